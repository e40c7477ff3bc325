/* How two ends begin each batch together although either may be off its CPU at any moment.
 *
 * The first end calls, the second answers, then both are at it. A call that is not answered within MEET_NS is
 * withdrawn, and repeated after a nap. A call is one word, so that an end which comes late never reads the
 * parts of two; each has a number of its own, so that a late answer is recognised. */
#ifndef TOPOSCOPE_MEETING_H
#define TOPOSCOPE_MEETING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "crew.h"
#include "guard.h"

enum { CALLS_MAX = 1 << 16 }; /* in a visit; after that the other end is given up */

/* What a call says: batch number `number` goes over `line` with so many round trips. */
struct call {
    uint32_t number;
    uint32_t line;        /* below 256 */
    uint32_t round_trips; /* below 2^24 */
};

/* In memory that both ends share; all zero at first. */
struct meeting {
    _Alignas(256) _Atomic uint64_t call;
    _Alignas(256) _Atomic uint32_t answered;
    _Alignas(256) _Atomic unsigned char outcomes[CALLS_MAX]; /* the second end's, by number */
};

/* One end's view of it. */
struct meeter {
    struct meeting *meeting;
    const struct member *member;
    struct guard guard; /* the end of a batch is the beginning of the next */
    uint32_t number;    /* of the last call */
    unsigned missed;    /* calls that were not answered */
};

/* Makes it as it was at first, after a visit. Nobody may be at it. */
void meeting_clear(struct meeting *meeting);

struct meeter meeter_begin(struct meeting *meeting, const struct member *member);

/* The first end: calls until it is answered. Fills in call->number; false when the visit's time is over. */
bool meeting_call(struct meeter *meeter, struct call *call);

/* The first end: there will be no more calls. */
void meeting_end(struct meeter *meeter);

/* The second end: waits for the next call and answers it. False when there will be none. */
bool meeting_answer(struct meeter *meeter, struct call *call);

#endif
