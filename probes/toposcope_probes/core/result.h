/* The result of one target: gathered, then printed as one JSON line (the contract is in contract.py). */
#ifndef TOPOSCOPE_RESULT_H
#define TOPOSCOPE_RESULT_H

#include <stdbool.h>

#include "guard.h"
#include "request.h"

enum status { STATUS_OK, STATUS_NOT_APPLICABLE, STATUS_FAILED };

struct result; /* names passed below are kept as pointers: literals, or strings that live as long */

struct result *result_begin(struct request *request, const struct target *target);

/* Prints the line, flushes it and frees the result. */
void result_end(struct result *result);

/* Part of the result's identity, e.g. ("model", "thread"). */
void result_variant(struct result *result, const char *key, const char *value);
void result_node(struct result *result, int node);

/* What groups of samples there are (a line, a size, a round); the same for every measure. Returns its index.
 * The name is copied. */
unsigned result_group(struct result *result, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* One sample of a measure, e.g. "latency_ns"; groups without samples show as empty lists. */
void result_sample(struct result *result, const char *measure, unsigned group, double value);

/* Counts a batch; `OUTCOME_KEPT` or why it was dropped. */
void result_count(struct result *result, enum outcome outcome);
unsigned result_kept(const struct result *result);
unsigned result_dropped(const struct result *result, enum outcome why);

/* Facts about the visit that validity reads; facts about the result, kept as they are. Naming one twice
 * replaces it. */
void result_check(struct result *result, const char *name, double value);
void result_fact_number(struct result *result, const char *name, double value);
void result_fact_bool(struct result *result, const char *name, bool value);
void result_fact_text(struct result *result, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Anything but ok needs a reason, one clear sentence. The first reason stays. */
void result_refuse(struct result *result, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool result_is_ok(const struct result *result);

#endif
