#include "crew.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checks.h"
#include "cpus.h"
#include "spin.h"

/* For so long who waits for another's end stays awake, looking so often: see ends_soon. */
#define AWAKE_NS 250e3
#define LOOK_NS 5e3

/* What a member leaves behind; in shared memory. */
struct record {
    atomic_bool done;
    char why[160];
    double delay_ns[2], frequency_hz[2]; /* before and after the work */
    long context_switches;
};

struct muster {
    atomic_uint arrived;
    atomic_bool abandoned;
    struct record records[];
};

struct post {
    const struct crew *crew;
    struct muster *muster;
    unsigned index;
    pthread_t thread;
    pid_t process;
};

void *shared_map(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        fprintf(stderr, "toposcope-kernels: no shared memory of %zu bytes: %s\n", bytes, strerror(errno));
        exit(1);
    }
    return memory;
}

void shared_unmap(void *memory, size_t bytes)
{
    munmap(memory, bytes);
}

bool die_with_parent(int parent_pid)
{
    return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent_pid;
}

/* Waits until all members are there. Some may take a while to get onto a busy CPU, so this naps meanwhile. */
static bool gather(const struct post *post)
{
    struct muster *muster = post->muster;
    struct spin limit = spin_for_ns(GATHER_MS * 1e6);
    unsigned misses = 0;
    atomic_fetch_add(&muster->arrived, 1);
    while (atomic_load(&muster->arrived) < post->crew->target->count) {
        if (atomic_load(&muster->abandoned))
            return false;
        struct spin spin = spin_for_ns(MEET_NS);
        while (atomic_load(&muster->arrived) < post->crew->target->count && !spin_is_over(&spin))
            ;
        if (ticks_now() > limit.deadline_ticks) {
            atomic_store(&muster->abandoned, true);
            return false;
        }
        if (atomic_load(&muster->arrived) < post->crew->target->count)
            nap_after_miss(&misses);
    }
    return true;
}

static void warm_up(void)
{
    struct spin spin = spin_for_ns(WARM_UP_NS);
    while (!spin_is_over(&spin))
        ;
}

/* What one member does, in its own thread or process. */
static void serve(const struct post *post)
{
    struct record *record = &post->muster->records[post->index];
    struct member member = {.index = post->index,
                            .count = post->crew->target->count,
                            .cpu = post->crew->target->cpus[post->index]};
    prctl(PR_SET_TIMERSLACK, 1UL); /* so that short naps are short, see nap_after_miss */
    if (!cpu_pin(member.cpu, record->why, sizeof record->why)) {
        atomic_store(&post->muster->abandoned, true);
        return;
    }
    if (!gather(post))
        return;
    warm_up();
    struct guard before = guard_take();
    record->frequency_hz[0] = additions_per_s();
    record->delay_ns[0] = run_delay_ns();
    member.deadline_ticks = ticks_now() + ticks_from_ns(post->crew->max_ms * 1e6);
    post->crew->work(&member, post->crew->context);
    record->delay_ns[1] = run_delay_ns();
    record->frequency_hz[1] = additions_per_s();
    struct guard after = guard_take();
    record->context_switches = after.context_switches - before.context_switches;
    atomic_store(&record->done, true);
}

static void *serve_as_thread(void *post)
{
    serve(post);
    return NULL;
}

static bool start(struct post *post)
{
    if (post->crew->model == MODEL_THREAD) {
        int error = pthread_create(&post->thread, NULL, serve_as_thread, post);
        errno = error;
        return error == 0;
    }
    pid_t parent = getpid();
    post->process = fork();
    if (post->process == 0) {
        if (die_with_parent(parent))
            serve(post);
        _exit(0);
    }
    return post->process > 0;
}

/* Members end within microseconds of each other. Who sleeps meanwhile lets the CPU fall idle, and waking it takes
 * longer than their end does, in a guest by far: so for that long this is true after a moment, and asks to look
 * again. Looking without a pause would hold the lock that an ending process needs. */
static bool ends_soon(uint64_t sleep_ticks)
{
    if (ticks_now() >= sleep_ticks)
        return false;
    struct spin pause = spin_for_ns(LOOK_NS);
    while (!spin_is_over(&pause))
        ;
    return true;
}

static void join(pthread_t thread)
{
    uint64_t sleep_ticks = ticks_now() + ticks_from_ns(AWAKE_NS);
    while (ends_soon(sleep_ticks))
        if (pthread_tryjoin_np(thread, NULL) == 0)
            return;
    pthread_join(thread, NULL);
}

/* Waits for a process until the limit, then kills it; SIGCHLD must be blocked. It is reaped in any case. */
static void reap(pid_t process, uint64_t limit_ticks)
{
    uint64_t sleep_ticks = ticks_now() + ticks_from_ns(AWAKE_NS);
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    while (waitpid(process, NULL, WNOHANG) == 0) {
        if (ends_soon(sleep_ticks))
            continue;
        uint64_t now = ticks_now();
        if (now >= limit_ticks) {
            kill(process, SIGKILL);
            waitpid(process, NULL, 0);
            return;
        }
        double left_ns = ticks_to_ns(limit_ticks - now);
        struct timespec left = {.tv_sec = (time_t)(left_ns / 1e9), .tv_nsec = (long)fmod(left_ns, 1e9)};
        sigtimedwait(&child, NULL, &left);
    }
}

/* Processes that are through with their work and only have to end. That takes longer than a thread's end (0.2 ms),
 * and the next target need not wait for it: they are reaped when it has begun, or when the program ends. */
static struct {
    pid_t *processes;
    unsigned count, capacity;
} leaving;

static void reap_leaving(void)
{
    uint64_t limit = ticks_now() + ticks_from_ns(GATHER_MS * 1e6);
    sigset_t child, old;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    pthread_sigmask(SIG_BLOCK, &child, &old);
    for (; leaving.count > 0; leaving.count--)
        reap(leaving.processes[leaving.count - 1], limit);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void let_leave(pid_t process)
{
    if (leaving.capacity == 0)
        atexit(reap_leaving);
    if (leaving.count == leaving.capacity) {
        leaving.capacity = 2 * leaving.capacity + 8;
        leaving.processes = reallocate(leaving.processes, leaving.capacity, sizeof *leaving.processes);
    }
    leaving.processes[leaving.count++] = process;
}

/* Waits for the end of a process' work, and for its own end where its work has none. */
static void release(const struct post *post, uint64_t limit_ticks)
{
    const struct record *record = &post->muster->records[post->index];
    uint64_t sleep_ticks = ticks_now() + ticks_from_ns(AWAKE_NS);
    while (!atomic_load(&record->done) && ends_soon(sleep_ticks))
        ;
    if (atomic_load(&record->done))
        let_leave(post->process);
    else
        reap(post->process, limit_ticks);
}

static void finish(struct post *posts, unsigned count)
{
    /* The first member is through with its work; what the others may need more covers a busy CPU. */
    uint64_t limit = ticks_now() + ticks_from_ns(posts[0].crew->max_ms * 1e6 + GATHER_MS * 1e6);
    for (unsigned i = 1; i < count; i++) {
        if (posts[i].crew->model == MODEL_THREAD)
            join(posts[i].thread);
        else
            release(&posts[i], limit);
    }
}

/* The checks of a visit are those of the member that fared worst. */
static void report(const struct crew *crew, const struct muster *muster, struct result *result)
{
    double worst_delay_ns = -1, worst_ratio = 1, least_hz = 0;
    long switches = 0;
    for (unsigned i = 0; i < crew->target->count; i++) {
        const struct record *record = &muster->records[i];
        int cpu = crew->target->cpus[i];
        if (record->why[0] != '\0')
            result_refuse(result, STATUS_NOT_APPLICABLE, "%s", record->why);
        else if (!atomic_load(&record->done) && !atomic_load(&muster->abandoned))
            result_refuse(result, STATUS_FAILED, "the end on CPU %d died or was stopped", cpu);
        double ratio = record->frequency_hz[1] / record->frequency_hz[0];
        if (fabs(ratio - 1) > fabs(worst_ratio - 1))
            worst_ratio = ratio;
        if (i == 0 || record->frequency_hz[1] < least_hz)
            least_hz = record->frequency_hz[1];
        if (record->delay_ns[0] >= 0)
            worst_delay_ns = fmax(worst_delay_ns, record->delay_ns[1] - record->delay_ns[0]);
        switches += record->context_switches;
    }
    if (atomic_load(&muster->abandoned))
        result_refuse(result, STATUS_FAILED, "not all ends got onto their CPUs within %d ms", GATHER_MS);
    if (!result_is_ok(result))
        return;
    if (worst_delay_ns >= 0) /* else the kernel keeps no such statistics */
        result_check(result, "run_delay_ns", worst_delay_ns);
    result_check(result, "frequency_ratio", worst_ratio);
    result_check(result, "frequency_hz", least_hz);
    result_check(result, "context_switches", (double)switches);
    result_check(result, "warm_up_ns", WARM_UP_NS);
}

static bool all_allowed(const struct target *target, struct result *result)
{
    for (unsigned i = 0; i < target->count; i++)
        if (!cpu_is_allowed(target->cpus[i]))
            result_refuse(result, STATUS_NOT_APPLICABLE,
                          "CPU %d is offline, absent or not among the CPUs this process may use",
                          target->cpus[i]);
    return result_is_ok(result);
}

bool crew_run(const struct crew *crew, struct result *result)
{
    if (!all_allowed(crew->target, result))
        return false;
    unsigned count = crew->target->count, started = 1;
    size_t bytes = sizeof(struct muster) + count * sizeof(struct record);
    struct muster *muster = shared_map(bytes);
    struct post *posts = allocate(count, sizeof *posts);
    sigset_t child, old;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    pthread_sigmask(SIG_BLOCK, &child, &old);
    for (unsigned i = 0; i < count; i++)
        posts[i] = (struct post){.crew = crew, .muster = muster, .index = i};
    cpus_unpin(); /* else the others would start on this thread's CPU, behind it */
    while (started < count && start(&posts[started]))
        started++;
    reap_leaving();
    if (started == count) {
        serve(&posts[0]);
    } else {
        result_refuse(result, STATUS_FAILED, "an end could not be started: %s", strerror(errno));
        atomic_store(&muster->abandoned, true);
    }
    finish(posts, started);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    report(crew, muster, result);
    free(posts);
    shared_unmap(muster, bytes);
    return result_is_ok(result);
}
