#include "watchdog.h"

#include <math.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ticks.h"

#ifndef sigev_notify_thread_id /* the name of timer_create(2); glibc has but the field */
#define sigev_notify_thread_id _sigev_un._tid
#endif

static void bark(int signal)
{
    (void)signal; /* what it does is to interrupt */
}

bool watchdog_start(struct watchdog *watchdog, uint64_t deadline_ticks)
{
    uint64_t now = ticks_now();
    double left_ns = deadline_ticks > now ? ticks_to_ns(deadline_ticks - now) : 1;
    struct sigaction action = {.sa_handler = bark}; /* no SA_RESTART: calls must return */
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM};
    struct itimerspec times = {
        .it_value = {.tv_sec = (time_t)(left_ns / 1e9), .tv_nsec = (long)fmod(left_ns, 1e9)},
        .it_interval = {.tv_nsec = 10000000},
    };
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    sigemptyset(&action.sa_mask);
    sigaction(SIGALRM, &action, NULL);
    watchdog->set = timer_create(CLOCK_MONOTONIC, &event, &watchdog->timer) == 0;
    if (watchdog->set)
        timer_settime(watchdog->timer, 0, &times, NULL);
    return watchdog->set;
}

void watchdog_stop(struct watchdog *watchdog)
{
    if (watchdog->set)
        timer_delete(watchdog->timer);
    watchdog->set = false;
}
