/* Ways for two ends to send each other messages: what an operating system offers, and shared memory.
 *
 * Ends are 0 and 1; both may be threads of one process, or processes forked after the channel was opened. All
 * calls give up when the calling thread's time is over: those that sleep in the kernel need a watchdog.h, which
 * interrupts them; CHANNEL_SHM_RING never sleeps, it spins. */
#ifndef TOPOSCOPE_CHANNEL_H
#define TOPOSCOPE_CHANNEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "result.h"

enum channel_kind {
    CHANNEL_PIPE,     /* pipe(7), one a direction */
    CHANNEL_UNIX,     /* unix(7), a stream socket pair */
    CHANNEL_TCP,      /* tcp(7) over loopback, TCP_NODELAY */
    CHANNEL_EVENTFD,  /* eventfd(2), one a direction: a signal without data */
    CHANNEL_FUTEX,    /* a message in shared memory, told of by futex(2) */
    CHANNEL_SHM_RING, /* a ring in shared memory, looked at again and again */
};
extern const char *const channel_names[]; /* "pipe", "unix", …, NULL */

enum { CHANNEL_MESSAGE_BYTES_MAX = 4096, CHANNEL_RING_BYTES = 65536 };

/* One direction of a channel in shared memory. The counts lie on lines of their own. */
struct lane {
    _Alignas(256) _Atomic uint32_t written; /* bytes of a ring, messages of a futex */
    _Alignas(256) _Atomic uint32_t taken;
    _Alignas(256) char bytes[CHANNEL_RING_BYTES];
};

struct channel {
    enum channel_kind kind;
    int read_fds[2], write_fds[2]; /* of each end */
    struct lane *lanes;            /* [0] from end 0 to end 1, [1] back */
};

/* False with the result refused where the system does not let us. */
bool channel_open(struct channel *channel, struct result *result);
void channel_close(struct channel *channel);

bool channel_sleeps(const struct channel *channel);       /* waiting is done asleep, in the kernel */
bool channel_carries_bulk(const struct channel *channel); /* bytes without end, not just messages */

/* Sends or receives all of the bytes; false when the time was over or the channel broke. A channel that does
 * not carry bulk takes CHANNEL_MESSAGE_BYTES_MAX at most. */
bool channel_send(const struct channel *channel, unsigned end, const void *bytes, size_t count,
                  uint64_t deadline_ticks);
bool channel_receive(const struct channel *channel, unsigned end, void *bytes, size_t count,
                     uint64_t deadline_ticks);

#endif
