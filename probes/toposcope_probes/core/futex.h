/* Sleeping on a word and waking who sleeps on it (futex(2)); the word may lie in memory that processes share. */
#ifndef TOPOSCOPE_FUTEX_H
#define TOPOSCOPE_FUTEX_H

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Sleeps while the word holds `value`, for 10 ms at most, so that a waker that died is noticed by the caller,
 * who looks at the word and at the clock again. */
static inline void futex_wait(_Atomic uint32_t *word, uint32_t value)
{
    struct timespec limit = {.tv_sec = 0, .tv_nsec = 10000000};
    syscall(SYS_futex, word, FUTEX_WAIT, value, &limit, NULL, 0);
}

/* Wakes one sleeper; how many there were to wake (0 or 1), or -1. */
static inline long futex_wake(_Atomic uint32_t *word)
{
    return syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

#endif
