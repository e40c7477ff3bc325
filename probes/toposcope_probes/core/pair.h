/* The whole of a two-ended kernel but for the exchange itself.
 *
 * A visit: the ends meet (crew.h), a few batches find how many round trips make one of about 3 µs, then batch
 * after batch goes over LINES lines on two pages in turn, so that a change of the machine hits all lines
 * alike. A batch begins when both ends are there (meeting.h), and each end looks after itself (guard.h); what
 * happened to either, happened to the batch. An end that waits longer than SPIN_NS within a batch gives it up
 * (`deadline`): the other has lost its CPU. One sample is the time of a batch by twice its round trips: one
 * way.
 *
 * A visit ends when every line has ROUNDS_LEAST batches and the estimate (median over the lines of each
 * line's lowest batch) of the first half of the rounds is within `precision_permille` of that of the second;
 * or after `rounds` rounds; or at max_ms. */
#ifndef TOPOSCOPE_PAIR_H
#define TOPOSCOPE_PAIR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "kernel.h"

/* What a batch is done on: a line of each of two areas; values from `base` on were never on them before. */
struct span {
    _Atomic uint64_t *first, *second;
    uint64_t base;
    uint32_t round_trips;
};

/* Both ends of the exchange; false when the spin was over before the batch was. */
struct exchange {
    bool (*lead)(const struct span *span, struct spin *spin);
    bool (*follow)(const struct span *span, struct spin *spin);
};

/* Measures all pairs of the request; keys: pairs or cpus, model, home, rounds, precision_permille. */
int pair_kernel(struct request *request, const struct exchange *exchange);

#endif
