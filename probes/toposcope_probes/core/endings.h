/* Waiting for threads and processes to end. */
#ifndef TOPOSCOPE_ENDINGS_H
#define TOPOSCOPE_ENDINGS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* For so long who waits for another stays awake: see ending_is_soon. */
#define ENDING_AWAKE_NS 250e3

/* Members end within microseconds of each other. Who sleeps meanwhile lets the CPU fall idle, and waking it takes
 * longer than their end does, in a guest by far: so until then this is true after a moment, and asks to look
 * again. Looking without a pause would hold the lock that an ending process needs. */
bool ending_is_soon(uint64_t sleep_ticks);

void ending_join(pthread_t thread);

/* Waits for a process until the limit, then kills it. It is reaped in any case. */
void ending_reap(pid_t process, uint64_t limit_ticks);

/* Takes over a process that is through with its work and only has to end. That takes longer than a thread's end
 * (0.2 ms), and the next target need not wait for it: it is reaped by ending_reap_all. */
void ending_let_go(pid_t process);
void ending_reap_all(void);

#endif
