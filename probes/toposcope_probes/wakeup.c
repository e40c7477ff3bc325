/* How long a sleeper takes to run again once it was woken: futex wake on one CPU, sleeper on the other.
 *
 * The first CPU lets the sleeper lie for asleep_us, wakes it and waits for its mark in shared memory. wakeup_ns
 * runs from before the wake to that mark being seen, both on the waker's clock, so it holds the wake's system
 * call, the other CPU's way out of its idle state, the scheduler and one cache line (some 0.1 µs). A wake that
 * met nobody asleep, or an end that was preempted, drops the batch; the sleeper's sleeping is no reason to. */
#include "churn.h"
#include "futex.h"
#include "kernel.h"
#include "limit.h"

enum { WAKES_MAX = 1024, KEPT_LEAST = 8 };
#define PATIENCE_NS 20e6 /* the sleeper's CPU may be busy with others; that is an outcome, not a disturbance */
#define LOOK_NAP_NS 20000L /* between looks once SPIN_NS are over; little by then */

struct bed {
    _Alignas(256) _Atomic uint32_t bell;   /* counts the wakes; what the sleeper sleeps on */
    _Alignas(256) _Atomic uint32_t lying;  /* the wake that the sleeper is about to wait for */
    _Alignas(256) _Atomic uint32_t awake;  /* the wake that the sleeper has heard */
    _Alignas(256) _Atomic uint32_t closed;
    long preempted[WAKES_MAX]; /* of the sleeper, up to each wake */
};

struct wake {
    enum outcome outcome;
    double wakeup_ns, call_ns;
};

struct visit {
    struct bed *bed;
    unsigned wakes, done;
    double asleep_ns;
    struct wake of_wakes[WAKES_MAX];
};

static void sleep_and_mark(struct bed *bed, unsigned wakes, uint64_t deadline_ticks)
{
    for (uint32_t wake = 0; wake < wakes && !atomic_load(&bed->closed); wake++) {
        atomic_store(&bed->lying, wake + 1);
        while (atomic_load_explicit(&bed->bell, memory_order_acquire) == wake) {
            if (ticks_now() > deadline_ticks)
                return;
            futex_wait(&bed->bell, wake);
        }
        atomic_store_explicit(&bed->awake, wake + 1, memory_order_release);
        bed->preempted[wake] = churn_take().preempted;
    }
}

/* Spins, then naps between looks, until the mark is there or patience at its end. */
static bool await(_Atomic uint32_t *mark, uint32_t value)
{
    struct spin spin = spin_for_ns(SPIN_NS), patience = spin_for_ns(PATIENCE_NS);
    while (atomic_load_explicit(mark, memory_order_acquire) != value) {
        if (!spin_is_over(&spin))
            continue;
        if (ticks_now() > patience.deadline_ticks)
            return false;
        nap_ns(LOOK_NAP_NS);
    }
    return true;
}

static struct wake wake_once(struct bed *bed, uint32_t number, double asleep_ns)
{
    struct wake wake = {.outcome = OUTCOME_DEADLINE};
    if (!await(&bed->lying, number))
        return wake;
    struct spin lie = spin_for_ns(asleep_ns);
    while (!spin_is_over(&lie))
        ;
    struct churn churn = churn_take();
    uint64_t begin = ticks_now();
    atomic_store_explicit(&bed->bell, number, memory_order_release);
    long woken = futex_wake(&bed->bell);
    uint64_t called = ticks_now();
    bool heard = await(&bed->awake, number);
    wake.wakeup_ns = ticks_to_ns(ticks_now() - begin);
    wake.call_ns = ticks_to_ns(called - begin);
    struct churn own = churn_renew(&churn);
    if (own.preempted > 0)
        wake.outcome = OUTCOME_CONTEXT_SWITCH;
    else if (heard && woken == 1)
        wake.outcome = OUTCOME_KEPT;
    return wake;
}

static void work(const struct member *member, void *context)
{
    struct visit *visit = context;
    if (member->index == 1) {
        sleep_and_mark(visit->bed, visit->wakes, member->deadline_ticks);
        return;
    }
    while (visit->done < visit->wakes && ticks_now() < member->deadline_ticks) {
        visit->of_wakes[visit->done] = wake_once(visit->bed, visit->done + 1, visit->asleep_ns);
        visit->done++;
    }
    atomic_store(&visit->bed->closed, 1);
    atomic_fetch_add(&visit->bed->bell, 1);
    futex_wake(&visit->bed->bell);
}

static void report(const struct visit *visit, struct result *result)
{
    unsigned group = result_group(result, "all");
    for (unsigned i = 0; i < visit->done; i++) {
        const struct wake *wake = &visit->of_wakes[i];
        enum outcome outcome = wake->outcome;
        if (outcome == OUTCOME_KEPT && i > 0 && visit->bed->preempted[i] != visit->bed->preempted[i - 1])
            outcome = OUTCOME_CONTEXT_SWITCH;
        result_count(result, outcome);
        if (outcome != OUTCOME_KEPT)
            continue;
        result_sample(result, "wakeup_ns", group, wake->wakeup_ns);
        result_sample(result, "wake_call_ns", group, wake->call_ns);
    }
    result_fact_number(result, "asleep_ns", visit->asleep_ns);
    if (result_kept(result) < KEPT_LEAST)
        result_refuse(result, STATUS_FAILED, "only %u of %u wakes were kept", result_kept(result), visit->wakes);
}

int kernel_wakeup(struct request *request)
{
    struct visit visit = {.bed = NULL};
    struct crew crew = {
        .model = request_model(request), .max_ms = limit_ms(request, 100), .work = work, .context = &visit};
    visit.wakes = (unsigned)request_number(request, "wakes", 32, KEPT_LEAST, WAKES_MAX);
    visit.asleep_ns = 1e3 * (double)request_number(request, "asleep_us", 50, 1, 100000);
    request_targets(request, 2, 2);
    for (unsigned i = 0; i < request->target_count; i++) {
        struct result *result = result_begin(request, &request->targets[i]);
        crew.target = &request->targets[i];
        visit.done = 0;
        visit.bed = shared_map(sizeof *visit.bed);
        result_variant(result, "model", model_name(crew.model));
        if (crew_run(&crew, result))
            report(&visit, result);
        shared_unmap(visit.bed, sizeof *visit.bed);
        result_end(result);
    }
    return 0;
}
