#include "endings.h"

#include <math.h>
#include <signal.h>
#include <sys/wait.h>

#include "request.h"
#include "spin.h"

#define LOOK_NS 5e3
#define LEAVING_MS 200 /* for a process that is through with its work to end, on a busy CPU */

bool ending_is_soon(uint64_t sleep_ticks)
{
    if (ticks_now() >= sleep_ticks)
        return false;
    struct spin pause = spin_for_ns(LOOK_NS);
    while (!spin_is_over(&pause))
        ;
    return true;
}

void ending_join(pthread_t thread)
{
    uint64_t sleep_ticks = ticks_now() + ticks_from_ns(ENDING_AWAKE_NS);
    while (ending_is_soon(sleep_ticks))
        if (pthread_tryjoin_np(thread, NULL) == 0)
            return;
    pthread_join(thread, NULL);
}

void ending_reap(pid_t process, uint64_t limit_ticks)
{
    uint64_t sleep_ticks = ticks_now() + ticks_from_ns(ENDING_AWAKE_NS);
    sigset_t child, old;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    pthread_sigmask(SIG_BLOCK, &child, &old);
    while (waitpid(process, NULL, WNOHANG) == 0) {
        if (ending_is_soon(sleep_ticks))
            continue;
        uint64_t now = ticks_now();
        if (now >= limit_ticks) {
            kill(process, SIGKILL);
            waitpid(process, NULL, 0);
            break;
        }
        double left_ns = ticks_to_ns(limit_ticks - now);
        struct timespec left = {.tv_sec = (time_t)(left_ns / 1e9), .tv_nsec = (long)fmod(left_ns, 1e9)};
        sigtimedwait(&child, NULL, &left);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static struct {
    pid_t *processes;
    unsigned count, capacity;
} leaving;

void ending_reap_all(void)
{
    uint64_t limit = ticks_now() + ticks_from_ns(LEAVING_MS * 1e6);
    for (; leaving.count > 0; leaving.count--)
        ending_reap(leaving.processes[leaving.count - 1], limit);
}

void ending_let_go(pid_t process)
{
    if (leaving.count == leaving.capacity) {
        leaving.capacity = 2 * leaving.capacity + 8;
        leaving.processes = reallocate(leaving.processes, leaving.capacity, sizeof *leaving.processes);
    }
    leaving.processes[leaving.count++] = process;
}
