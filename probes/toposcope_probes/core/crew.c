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
#include "endings.h"
#include "futex.h"
#include "spin.h"

/* What a member is told and what it leaves behind; in shared memory. */
struct record {
    int cpu;
    atomic_bool done;
    char why[160];
    double delay_ns[2], frequency_hz[2]; /* before and after the work */
    long context_switches;
};

struct muster {
    _Atomic uint32_t runs; /* counted when one begins: who has done the one before waits for that */
    atomic_bool dismissed; /* there will be no run after this one */
    atomic_uint arrived;
    atomic_bool abandoned;
    struct record records[];
};

struct post {
    struct crew crew; /* of a member that waits for further targets only its first one's */
    struct muster *muster;
    unsigned index;
    pthread_t thread;
    pid_t process; /* 0: there is none, or none any more */
};

/* All members of a crew; the first post is the calling thread's. */
struct band {
    struct muster *muster;
    size_t muster_bytes;
    struct post *posts;
    unsigned count, started;
};

/* The band of a lasting crew between two of its runs; no posts where there is none. */
static struct band standing;

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
static bool gather(struct muster *muster, unsigned count)
{
    struct spin limit = spin_for_ns(GATHER_MS * 1e6);
    unsigned misses = 0;
    atomic_fetch_add(&muster->arrived, 1);
    while (atomic_load(&muster->arrived) < count) {
        if (atomic_load(&muster->abandoned))
            return false;
        struct spin spin = spin_for_ns(MEET_NS);
        while (atomic_load(&muster->arrived) < count && !spin_is_over(&spin))
            ;
        if (ticks_now() > limit.deadline_ticks) {
            atomic_store(&muster->abandoned, true);
            return false;
        }
        if (atomic_load(&muster->arrived) < count)
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

/* What one member does for a target, in its own thread or process; false when it didn't come to its work. */
static bool serve(const struct post *post)
{
    struct record *record = &post->muster->records[post->index];
    struct member member = {
        .index = post->index, .count = post->crew.target->count, .cpu = record->cpu};
    if (!cpu_pin(member.cpu, record->why, sizeof record->why)) {
        atomic_store(&post->muster->abandoned, true);
        return false;
    }
    if (!gather(post->muster, member.count))
        return false;
    warm_up();
    struct guard before = guard_take();
    record->frequency_hz[0] = additions_per_s();
    record->delay_ns[0] = run_delay_ns();
    member.deadline_ticks = ticks_now() + ticks_from_ns(post->crew.max_ms * 1e6);
    post->crew.work(&member, post->crew.context);
    record->delay_ns[1] = run_delay_ns();
    record->frequency_hz[1] = additions_per_s();
    struct guard after = guard_take();
    record->context_switches = after.context_switches - before.context_switches;
    atomic_store(&record->done, true);
    return true;
}

/* Waits until the next run begins, awake for as long as that takes as a rule; false when there is none. */
static bool await_run(struct muster *muster, uint32_t *run)
{
    struct spin awake = spin_for_ns(ENDING_AWAKE_NS);
    while (atomic_load(&muster->runs) == *run && !atomic_load(&muster->dismissed))
        if (ticks_now() > awake.deadline_ticks)
            futex_wait(&muster->runs, *run);
    *run = atomic_load(&muster->runs);
    return !atomic_load(&muster->dismissed);
}

static void serve_all(const struct post *post)
{
    uint32_t run = 1;
    prctl(PR_SET_TIMERSLACK, 1UL); /* so that short naps are short, see nap_after_miss */
    while (serve(post) && await_run(post->muster, &run))
        ;
}

static void *serve_as_thread(void *post)
{
    serve_all(post);
    return NULL;
}

static bool start(struct post *post)
{
    if (post->crew.model == MODEL_THREAD) {
        int error = pthread_create(&post->thread, NULL, serve_as_thread, post);
        errno = error;
        return error == 0;
    }
    pid_t parent = getpid();
    post->process = fork();
    if (post->process == 0) {
        if (die_with_parent(parent))
            serve_all(post);
        _exit(0);
    }
    return post->process > 0;
}

static bool is_done(const struct band *band)
{
    for (unsigned i = 1; i < band->count; i++)
        if (!atomic_load(&band->muster->records[i].done))
            return false;
    return true;
}

/* Tells the members that wait that there is a run, or that there will be none. */
static void wake(const struct band *band)
{
    atomic_fetch_add(&band->muster->runs, 1);
    for (unsigned i = 1; i < band->started; i++)
        futex_wake(&band->muster->runs);
}

/* Ends all members but the calling thread, once they are through with what they are at. */
static void band_end(struct band *band)
{
    /* The first member is through with its work; what the others may need more covers a busy CPU. */
    uint64_t limit = ticks_now() + ticks_from_ns(band->posts[0].crew.max_ms * 1e6 + GATHER_MS * 1e6);
    atomic_store(&band->muster->dismissed, true);
    wake(band);
    for (unsigned i = 1; i < band->started; i++) {
        struct post *post = &band->posts[i];
        if (post->crew.model == MODEL_THREAD)
            ending_join(post->thread);
        else if (post->process != 0 && atomic_load(&band->muster->records[i].done))
            ending_let_go(post->process);
        else if (post->process != 0)
            ending_reap(post->process, limit);
    }
    band->started = 0;
}

static void band_free(struct band *band)
{
    free(band->posts);
    shared_unmap(band->muster, band->muster_bytes);
    *band = (struct band){0};
}

void crew_dismiss(void)
{
    if (standing.posts == NULL)
        return;
    band_end(&standing);
    band_free(&standing);
}

static void end_members(void)
{
    crew_dismiss();
    ending_reap_all();
}

static struct band band_make(const struct crew *crew)
{
    static bool ends_at_exit;
    unsigned count = crew->target->count;
    struct band band = {.count = count,
                        .muster_bytes = sizeof(struct muster) + count * sizeof(struct record),
                        .posts = allocate(count, sizeof *band.posts)};
    if (!ends_at_exit)
        ends_at_exit = atexit(end_members) == 0;
    band.muster = shared_map(band.muster_bytes);
    atomic_store(&band.muster->dismissed, !crew->lasts);
    for (unsigned i = 0; i < count; i++)
        band.posts[i] = (struct post){.crew = *crew, .muster = band.muster, .index = i};
    return band;
}

/* Whether the standing band does what this crew is to do, and nobody killed one of its members. */
static bool stands_ready(const struct crew *crew)
{
    if (standing.posts == NULL)
        return false;
    const struct crew *before = &standing.posts[0].crew;
    bool ready = crew->lasts && crew->model == before->model && crew->work == before->work &&
                 crew->context == before->context && crew->max_ms == before->max_ms &&
                 crew->target->count == before->target->count;
    for (unsigned i = 1; i < standing.started; i++) {
        struct post *post = &standing.posts[i];
        if (post->process != 0 && waitpid(post->process, NULL, WNOHANG) != 0) {
            post->process = 0;
            ready = false;
        }
    }
    return ready;
}

/* The standing band where it fits, else a new one of which nobody but the first member was started. */
static struct band band_for(const struct crew *crew)
{
    if (!stands_ready(crew)) {
        crew_dismiss();
        return band_make(crew);
    }
    struct band band = standing;
    standing = (struct band){0};
    band.posts[0].crew = *crew;
    return band;
}

/* Has all members begin the run. False where one could not be started. */
static bool band_begin(struct band *band, const struct target *target)
{
    struct muster *muster = band->muster;
    atomic_store(&muster->arrived, 0);
    for (unsigned i = 0; i < band->count; i++) {
        memset(&muster->records[i], 0, sizeof muster->records[i]);
        muster->records[i].cpu = target->cpus[i];
    }
    if (band->started == band->count) {
        wake(band);
        return true;
    }
    atomic_store(&muster->runs, 1);
    cpus_unpin(); /* else the others would start on this thread's CPU, behind it */
    for (band->started = 1; band->started < band->count; band->started++)
        if (!start(&band->posts[band->started]))
            return false;
    return true;
}

/* The run is over for the first member. Those of a lasting crew are left standing where all did their work; all
 * others end. */
static void band_finish(struct band *band)
{
    uint64_t sleep_ticks = ticks_now() + ticks_from_ns(ENDING_AWAKE_NS);
    while (!is_done(band) && ending_is_soon(sleep_ticks))
        ;
    if (!band->posts[0].crew.lasts || !is_done(band))
        band_end(band);
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
    struct band band = band_for(crew);
    if (band_begin(&band, crew->target)) {
        prctl(PR_SET_TIMERSLACK, 1UL);
        ending_reap_all();
        serve(&band.posts[0]);
    } else {
        result_refuse(result, STATUS_FAILED, "an end could not be started: %s", strerror(errno));
        atomic_store(&band.muster->abandoned, true);
    }
    band_finish(&band);
    report(crew, band.muster, result);
    if (band.started == 0)
        band_free(&band);
    else
        standing = band;
    return result_is_ok(result);
}
