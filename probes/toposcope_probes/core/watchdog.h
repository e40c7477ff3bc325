/* A limit on system calls that block: from a moment on, a signal keeps interrupting the calling thread, so that
 * each read, write or wait of it returns with EINTR (timer_create(2), SIGEV_THREAD_ID). One a thread. */
#ifndef TOPOSCOPE_WATCHDOG_H
#define TOPOSCOPE_WATCHDOG_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct watchdog {
    timer_t timer;
    bool set;
};

/* Barks at `deadline_ticks` and every 10 ms from then on. False where the kernel gives no timer. */
bool watchdog_start(struct watchdog *watchdog, uint64_t deadline_ticks);
void watchdog_stop(struct watchdog *watchdog);

#endif
