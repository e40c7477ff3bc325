/* What the command line asks for: `toposcope-kernels <kernel> key=value …`.
 *
 * Targets come as `cpus=0,2-3` (one target), `pairs=0:1,0:2` or `sets=0:1:2,3` (many). Common keys: max_ms
 * (the limit of one target's wall time) and parent_pid (who must still be the parent; see main.c). A kernel
 * takes its own keys through the functions below; each function ends the program with status 2 and one
 * sentence on stderr when the value is not allowed. Keys nobody took are refused when the first result
 * begins. */
#ifndef TOPOSCOPE_REQUEST_H
#define TOPOSCOPE_REQUEST_H

#include <stdbool.h>

struct target {
    unsigned count;
    int *cpus;
};

struct option {
    const char *key;
    const char *value;
    bool taken;
};

/* Whether the ends of a kernel are threads of one process or processes that share a mapping. */
enum model { MODEL_THREAD, MODEL_PROCESS };

/* On whose node the shared memory is homed; HOME_UNSAID means the first end's, and is not reported. */
enum home { HOME_UNSAID, HOME_FIRST, HOME_SECOND };

struct request {
    const char *kernel;
    unsigned option_count;
    struct option *options;
    unsigned target_count;
    struct target *targets;
    unsigned max_ms;
    bool sealed;
};

/* Reads the arguments after the kernel's name. */
void request_open(struct request *request, const char *kernel, int count, char **arguments);
void request_close(struct request *request);

/* Reads the targets; each must have `least` to `most` CPUs, all different. */
void request_targets(struct request *request, unsigned least, unsigned most);

/* The value of a key, or `fallback` (which may be NULL) where it was not given. */
const char *request_text(struct request *request, const char *key, const char *fallback);
unsigned long request_number(struct request *request, const char *key, unsigned long fallback,
                             unsigned long least, unsigned long most);
/* The index of the value in `choices`, which ends with NULL. */
unsigned request_choice(struct request *request, const char *key, const char *const *choices,
                        unsigned fallback);
enum model request_model(struct request *request); /* model=thread|process */
enum home request_home(struct request *request);   /* home=first|second */
const char *model_name(enum model model);

/* Refuses keys that nobody took; the first result_begin calls it. */
void request_seal(struct request *request);

/* Prints one sentence on stderr and ends the program with status 2. */
_Noreturn void usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* As malloc and realloc, but never NULL: without memory the program ends with status 1. */
void *allocate(unsigned long count, unsigned long size_bytes);
void *reallocate(void *old, unsigned long count, unsigned long size_bytes);

#endif
