#include "worker_memory.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include "own_memory.h"
#include "spin.h"

static double taken_bytes(void)
{
    struct own_memory memory;
    return own_memory_read(&memory) ? (double)(memory.pss_bytes + memory.page_table_bytes) : -1;
}

struct threads_room {
    int bell[2]; /* closed when all may end */
    atomic_uint there;
};

static void *idle_thread(void *context)
{
    struct threads_room *room = context;
    char byte;
    atomic_fetch_add(&room->there, 1);
    while (read(room->bell[0], &byte, 1) < 0 && errno == EINTR)
        ;
    return NULL;
}

double memory_of_threads(unsigned workers)
{
    struct threads_room room = {.there = 0};
    pthread_t threads[WORKERS_MAX];
    unsigned started = 0;
    double before = taken_bytes(), after = -1;
    if (pipe(room.bell) != 0)
        return -1;
    while (started < workers && pthread_create(&threads[started], NULL, idle_thread, &room) == 0)
        started++;
    while (atomic_load(&room.there) < started)
        nap_ns(100000);
    if (started == workers)
        after = taken_bytes();
    close(room.bell[1]);
    for (unsigned i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    close(room.bell[0]);
    return before >= 0 && after >= 0 ? (after - before) / workers : -1;
}

/* A child is told by `go` that all are there, says on `answers` what it takes, and ends when `end` is closed. */
struct family {
    int go[2], answers[2], end[2];
};

static void close_both(const int *ends)
{
    close(ends[0]);
    close(ends[1]);
}

static bool family_open(struct family *family)
{
    if (pipe(family->go) != 0)
        return false;
    if (pipe(family->answers) == 0) {
        if (pipe(family->end) == 0)
            return true;
        close_both(family->answers);
    }
    close_both(family->go);
    return false;
}

static _Noreturn void idle_process(const struct family *family)
{
    char byte;
    close(family->end[1]);
    close(family->go[1]);
    if (read(family->go[0], &byte, 1) != 1)
        _exit(1);
    double taken = taken_bytes();
    if (write(family->answers[1], &taken, sizeof taken) != sizeof taken)
        _exit(1);
    _exit(read(family->end[0], &byte, 1) == 0 ? 0 : 1);
}

/* The sum over all processes while all are there; negative where one did not answer. */
static double taken_by_all(const struct family *family, unsigned workers)
{
    double sum = 0;
    for (unsigned i = 0; i < workers; i++)
        if (write(family->go[1], "", 1) != 1)
            return -1;
    for (unsigned i = 0; i < workers; i++) {
        double taken = -1;
        if (read(family->answers[0], &taken, sizeof taken) != sizeof taken || taken < 0)
            return -1;
        sum += taken;
    }
    double own = taken_bytes();
    return own >= 0 ? sum + own : -1;
}

double memory_of_processes(unsigned workers)
{
    struct family family;
    pid_t children[WORKERS_MAX];
    unsigned started = 0;
    double before = taken_bytes(), after = -1;
    if (!family_open(&family))
        return -1;
    for (; started < workers; started++) {
        children[started] = fork();
        if (children[started] == 0)
            idle_process(&family);
        if (children[started] < 0)
            break;
    }
    if (started == workers)
        after = taken_by_all(&family, workers);
    close(family.end[1]);
    close(family.go[1]);
    for (unsigned i = 0; i < started; i++)
        while (waitpid(children[i], NULL, 0) < 0 && errno == EINTR)
            kill(children[i], SIGKILL);
    close_both(family.answers);
    close(family.go[0]);
    close(family.end[0]);
    return before >= 0 && after >= 0 ? (after - before) / workers : -1;
}
