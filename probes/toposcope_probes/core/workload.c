#include "workload.h"

#include <math.h>

#include "checks.h"

enum { KEPT_LEAST = 3 };
/* Of a round's time a worker may have waited that share for its CPU: a kernel thread that passes by for some
 * microseconds is in every round of tens of milliseconds, and no disturbance of it. */
#define DELAY_SHARE_MOST 0.01

struct round {
    double alone_ns, edges_alone, edges_together;
    enum outcome outcome_alone;
    bool right, done;
};

/* What one worker did in one round. */
struct share {
    double ns;
    enum outcome outcome;
};

struct ledger {
    struct barrier barrier;
    unsigned tried, kept; /* rounds so far */
    bool enough;
    struct round rounds[WORKLOAD_TRIES_MAX];
    struct share shares[]; /* round after round, worker after worker */
};

struct run {
    const struct workload *workload;
    struct ledger *ledger;
};

bool barrier_meet(struct barrier *barrier, const struct member *member)
{
    unsigned phase = atomic_load(&barrier->phase);
    if (atomic_fetch_add(&barrier->arrived, 1) + 1 == member->count) {
        atomic_store(&barrier->arrived, 0);
        atomic_store_explicit(&barrier->phase, phase + 1, memory_order_release);
        return !atomic_load(&barrier->broken);
    }
    struct spin spin = spin_for_ns(SPIN_NS);
    unsigned misses = 0;
    while (atomic_load_explicit(&barrier->phase, memory_order_acquire) == phase &&
           !atomic_load(&barrier->broken)) {
        if (!spin_is_over(&spin))
            continue;
        if (ticks_now() > member->deadline_ticks)
            atomic_store(&barrier->broken, true);
        nap_after_miss(&misses);
    }
    return !atomic_load(&barrier->broken);
}

/* What befell a worker since: switches of which next to nothing came are none. */
struct watch {
    struct guard guard;
    double delay_ns; /* negative where the kernel does not tell */
};

static struct watch watch_take(void)
{
    return (struct watch){.delay_ns = run_delay_ns(), .guard = guard_take()};
}

static enum outcome watch_close(const struct watch *watch, double taken_ns)
{
    struct guard guard = watch->guard;
    enum outcome outcome = guard_renew(&guard);
    if (outcome != OUTCOME_CONTEXT_SWITCH || watch->delay_ns < 0)
        return outcome;
    if (run_delay_ns() - watch->delay_ns > DELAY_SHARE_MOST * taken_ns)
        return outcome;
    return guard.cpu == watch->guard.cpu ? OUTCOME_KEPT : OUTCOME_MIGRATION;
}

static void work_alone(const struct worker *worker, const struct workload *workload, struct round *round)
{
    struct watch watch = watch_take();
    uint64_t begin = ticks_now();
    workload->alone(worker);
    round->alone_ns = ticks_to_ns(ticks_now() - begin);
    round->outcome_alone = watch_close(&watch, round->alone_ns);
}

static bool work_together(const struct worker *worker, const struct workload *workload, struct share *share)
{
    struct watch watch = watch_take();
    uint64_t begin = ticks_now();
    bool finished = workload->together(worker);
    share->ns = ticks_to_ns(ticks_now() - begin);
    share->outcome = watch_close(&watch, share->ns);
    return finished;
}

static enum outcome outcome_of(const struct run *run, unsigned number, unsigned members)
{
    enum outcome outcome = run->ledger->rounds[number].done ? OUTCOME_KEPT : OUTCOME_DEADLINE;
    for (unsigned i = 0; i < members; i++)
        outcome = outcome_merge(outcome, run->ledger->shares[number * members + i].outcome);
    return outcome;
}

/* Worker 0, while the others wait: checks, and says whether there are enough rounds now. */
static void close_round(const struct worker *worker, const struct run *run)
{
    const struct workload *workload = run->workload;
    struct round *round = &run->ledger->rounds[worker->round];
    round->right = workload->check(worker);
    round->edges_alone = workload->edges_alone(worker);
    round->edges_together = workload->edges_together(worker);
    round->done = true;
    run->ledger->tried = worker->round + 1;
    run->ledger->kept += outcome_of(run, worker->round, worker->member->count) == OUTCOME_KEPT;
    run->ledger->enough = run->ledger->kept == workload->rounds;
}

/* False when there are enough rounds or the time was over: then all leave. */
static bool work_round(const struct worker *worker, const struct run *run)
{
    const struct workload *workload = run->workload;
    struct round *round = &run->ledger->rounds[worker->round];
    struct share *share = &run->ledger->shares[worker->round * worker->member->count + worker->member->index];
    bool first = worker->member->index == 0, alone_first = worker->round % 2 == 0;
    nap_ns(50000); /* who has slept gets a whole slice of a busy CPU */
    if (first && alone_first)
        work_alone(worker, workload, round);
    if (!barrier_meet(worker->barrier, worker->member) || !work_together(worker, workload, share))
        return false;
    if (first && !alone_first)
        work_alone(worker, workload, round);
    if (workload->settle != NULL)
        workload->settle(worker);
    if (!barrier_meet(worker->barrier, worker->member))
        return false;
    if (first)
        close_round(worker, run);
    return barrier_meet(worker->barrier, worker->member) && !run->ledger->enough;
}

static void work(const struct member *member, void *context)
{
    const struct run *run = context;
    struct worker worker = {
        .member = member, .context = run->workload->context, .barrier = &run->ledger->barrier};
    if (run->workload->enter != NULL)
        worker.own = run->workload->enter(&worker);
    while (worker.round < workload_tries(run->workload->rounds) && work_round(&worker, run))
        worker.round++;
    if (run->workload->leave != NULL)
        run->workload->leave(&worker);
}

static void report_round(const struct run *run, unsigned number, unsigned members, struct result *result)
{
    const struct round *round = &run->ledger->rounds[number];
    enum outcome outcome = outcome_of(run, number, members);
    double longest_ns = 0;
    for (unsigned i = 0; i < members; i++)
        longest_ns = fmax(longest_ns, run->ledger->shares[number * members + i].ns);
    result_count(result, outcome);
    if (!round->right)
        result_refuse(result, STATUS_FAILED, "the workload's result was wrong in round %u", number);
    if (outcome != OUTCOME_KEPT)
        return;
    double rate = round->edges_together / longest_ns, rate_alone = round->edges_alone / round->alone_ns;
    result_sample(result, "edges_per_s", 0, 1e9 * rate);
    if (round->outcome_alone == OUTCOME_KEPT)
        result_sample(result, "speedup_ratio", 0, rate / rate_alone);
}

void workload_run(const struct workload *workload, struct crew crew, struct result *result)
{
    unsigned members = crew.target->count, verified = 0;
    size_t shares = (size_t)workload_tries(workload->rounds) * members;
    size_t bytes = sizeof(struct ledger) + shares * sizeof(struct share);
    struct run run = {.workload = workload, .ledger = shared_map(bytes)};
    crew.work = work;
    crew.context = &run;
    result_group(result, "all");
    if (crew_run(&crew, result)) {
        for (unsigned i = 0; i < run.ledger->tried; i++) {
            report_round(&run, i, members, result);
            verified += run.ledger->rounds[i].right;
        }
        result_fact_number(result, "rounds_verified", verified);
        if (result_kept(result) < KEPT_LEAST)
            result_refuse(result, STATUS_FAILED, "only %u of %u rounds were kept", result_kept(result),
                          run.ledger->tried);
    }
    shared_unmap(run.ledger, bytes);
}
