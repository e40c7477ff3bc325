#include "pair.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    LINES = 16,
    PAGES = 2,
    LINE_BYTES = 64,
    ROUNDS_LEAST = 6,
    ROUNDS_MAX = 64,
    TRIALS_MAX = 32, /* batches spent on calibration */
    BATCHES_MAX = TRIALS_MAX + 3 * LINES * ROUNDS_MAX,
    KEPT_LEAST = 3, /* batches a line needs to count */
    ROUND_TRIPS_LEAST = 8,
    ROUND_TRIPS_MAX = 1 << 16,
};
#define BATCH_NS 6000.0
#define WITHDRAWN 0u
#define FINISHED UINT64_MAX

/* Where the ends meet. `go` packs batch, line and round trips into one word, so that an end that comes late
 * never reads the parts of two batches. */
struct meeting {
    _Alignas(256) _Atomic uint64_t go;
    _Alignas(256) _Atomic uint32_t ready;
    _Alignas(256) _Atomic unsigned char outcomes[BATCHES_MAX]; /* the second end's */
};

struct batch {
    unsigned char line, outcome;
    double latency_ns;
};

struct visit {
    const struct exchange *exchange;
    char *lines;
    struct meeting *meeting;
    struct guard guard; /* the first end's; the end of a batch is the beginning of the next */
    unsigned rounds, batch_count, trials, round_trips, misses;
    double precision;
    const char *stopped_by;
    struct batch batches[BATCHES_MAX]; /* the first end's */
};

static uint64_t pack(unsigned number, unsigned line, unsigned round_trips)
{
    return (uint64_t)number << 32 | (uint64_t)line << 24 | round_trips;
}

/* The lines lie evenly on their pages, from the first to the last line of each. */
static struct span unpack(const struct visit *visit, uint64_t go)
{
    const size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE), on_a_page = LINES / PAGES;
    size_t line = go >> 24 & 0xff;
    size_t step = (page_bytes / LINE_BYTES - 1) / (on_a_page - 1);
    char *first = visit->lines + line / on_a_page * page_bytes + line % on_a_page * step * LINE_BYTES;
    return (struct span){.first = (_Atomic uint64_t *)(void *)first,
                         .second = (_Atomic uint64_t *)(void *)(first + PAGES * page_bytes),
                         .base = go >> 32 << 32,
                         .round_trips = (uint32_t)(go & 0xffffff)};
}

static bool wait_until_ready(struct meeting *meeting, uint32_t number)
{
    struct spin spin = spin_for_ns(MEET_NS);
    while (atomic_load_explicit(&meeting->ready, memory_order_acquire) != number)
        if (spin_is_over(&spin))
            return false;
    return true;
}

/* One batch, seen from the first end. Returns its time in ns, or 0 when it was dropped. */
static double lead_batch(struct visit *visit, unsigned line, unsigned round_trips)
{
    uint32_t number = visit->batch_count++;
    uint64_t go = pack(number + 1, line, round_trips), begin = 0, end = 0;
    struct span span = unpack(visit, go);
    atomic_store_explicit(&visit->meeting->go, go, memory_order_release);
    bool complete = wait_until_ready(visit->meeting, number + 1);
    if (complete) {
        struct spin spin = spin_for_ns(SPIN_NS);
        begin = ticks_now();
        complete = visit->exchange->lead(&span, &spin);
        end = ticks_now();
    }
    enum outcome outcome =
        outcome_merge(guard_renew(&visit->guard), complete ? OUTCOME_KEPT : OUTCOME_DEADLINE);
    double taken_ns = ticks_to_ns(end - begin);
    visit->batches[number] = (struct batch){.line = (unsigned char)line,
                                            .outcome = (unsigned char)outcome,
                                            .latency_ns = taken_ns / (2.0 * round_trips)};
    if (complete) {
        visit->misses = 0;
    } else {
        atomic_store_explicit(&visit->meeting->go, WITHDRAWN, memory_order_release);
        nap_after_miss(&visit->misses);
        visit->guard = guard_take();
    }
    return outcome == OUTCOME_KEPT ? taken_ns : 0;
}

/* Doubles the round trips until a batch is long enough to be judged, then takes the faster of two more, since
 * one may have been disturbed. Gives 0 when the other end was not to be had. */
static unsigned calibrate(struct visit *visit, const struct member *member)
{
    unsigned round_trips = ROUND_TRIPS_LEAST, judged = 0;
    double least_ns = INFINITY;
    while (visit->batch_count < TRIALS_MAX && judged < 3 && ticks_now() < member->deadline_ticks) {
        double taken_ns = lead_batch(visit, visit->batch_count % LINES, round_trips);
        if (taken_ns >= BATCH_NS / 2 || (taken_ns > 0 && round_trips == ROUND_TRIPS_MAX)) {
            judged++;
            least_ns = fmin(least_ns, taken_ns);
        } else if (taken_ns > 0) {
            round_trips *= 2;
        }
    }
    visit->trials = visit->batch_count;
    double wanted = round_trips * BATCH_NS / least_ns;
    return judged ? (unsigned)fmin(fmax(wanted, ROUND_TRIPS_LEAST), ROUND_TRIPS_MAX) : 0;
}

static int compare(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

/* Median over the lines of each line's lowest batch, of the batches from–to. */
static double estimate(const struct visit *visit, unsigned from, unsigned to)
{
    double lowest[LINES];
    for (unsigned line = 0; line < LINES; line++)
        lowest[line] = INFINITY;
    for (unsigned i = from; i < to; i++) {
        const struct batch *batch = &visit->batches[i];
        if (batch->outcome == OUTCOME_KEPT)
            lowest[batch->line] = fmin(lowest[batch->line], batch->latency_ns);
    }
    qsort(lowest, LINES, sizeof *lowest, compare);
    return (lowest[LINES / 2 - 1] + lowest[LINES / 2]) / 2;
}

static bool is_tight(const struct visit *visit, unsigned round)
{
    unsigned from = visit->trials, middle = (from + visit->batch_count) / 2;
    if (round < ROUNDS_LEAST)
        return false;
    double one = estimate(visit, from, middle), other = estimate(visit, middle, visit->batch_count);
    return fabs(one - other) <= visit->precision * fmin(one, other);
}

static void lead(struct visit *visit, const struct member *member)
{
    unsigned kept = 0, done = 0;
    visit->guard = guard_take();
    visit->round_trips = calibrate(visit, member);
    visit->stopped_by = "limit";
    while (visit->round_trips != 0 && ticks_now() < member->deadline_ticks &&
           done < 3 * LINES * visit->rounds) {
        kept += lead_batch(visit, done++ % LINES, visit->round_trips) > 0;
        if (done % LINES == 0 && is_tight(visit, kept / LINES)) {
            visit->stopped_by = "precision";
            break;
        }
        if (kept == visit->rounds * LINES) {
            visit->stopped_by = "rounds";
            break;
        }
    }
    atomic_store_explicit(&visit->meeting->go, FINISHED, memory_order_release);
}

/* The next batch: spins for a while, then naps between looks, since the first end may be off its CPU. */
static uint64_t wait_for_go(const struct meeting *meeting, uint64_t last, const struct member *member,
                            struct guard *guard)
{
    struct spin spin = spin_for_ns(MEET_NS);
    unsigned misses = 0;
    uint64_t go;
    while ((go = atomic_load_explicit(&meeting->go, memory_order_acquire)) == last || go == WITHDRAWN) {
        if (!spin_is_over(&spin))
            continue;
        if (ticks_now() > member->deadline_ticks)
            return FINISHED;
        nap_after_miss(&misses);
        *guard = guard_take();
        spin = spin_for_ns(MEET_NS);
    }
    return go;
}

static void follow(const struct visit *visit, const struct member *member)
{
    struct meeting *meeting = visit->meeting;
    struct guard guard = guard_take();
    uint64_t go = 0;
    while ((go = wait_for_go(meeting, go, member, &guard)) != FINISHED) {
        struct span span = unpack(visit, go);
        uint32_t number = (uint32_t)(go >> 32);
        struct spin spin = spin_for_ns(SPIN_NS);
        atomic_store_explicit(&meeting->ready, number, memory_order_release);
        bool complete = visit->exchange->follow(&span, &spin);
        enum outcome outcome = outcome_merge(guard_renew(&guard), complete ? OUTCOME_KEPT : OUTCOME_DEADLINE);
        atomic_store_explicit(&meeting->outcomes[number - 1], (unsigned char)outcome, memory_order_relaxed);
    }
}

static void work(const struct member *member, void *context)
{
    if (member->index == 0)
        lead(context, member);
    else
        follow(context, member);
}

static void report(const struct visit *visit, struct result *result)
{
    unsigned kept[LINES] = {0}, least = UINT32_MAX;
    for (unsigned line = 0; line < LINES; line++)
        result_group(result, "line%u", line);
    for (unsigned i = visit->trials; i < visit->batch_count; i++) {
        const struct batch *batch = &visit->batches[i];
        enum outcome other = (enum outcome)atomic_load(&visit->meeting->outcomes[i]);
        enum outcome outcome = outcome_merge((enum outcome)batch->outcome, other);
        result_count(result, outcome);
        if (outcome == OUTCOME_KEPT) {
            result_sample(result, "latency_ns", batch->line, batch->latency_ns);
            kept[batch->line]++;
        }
    }
    for (unsigned line = 0; line < LINES; line++)
        least = kept[line] < least ? kept[line] : least;
    if (visit->round_trips == 0)
        result_refuse(result, STATUS_FAILED, "the two ends were never on their CPUs at the same time");
    else if (least < KEPT_LEAST)
        result_refuse(result, STATUS_FAILED, "too few batches: a line kept %u and needs %d", least,
                      KEPT_LEAST);
    result_check(result, "calibration_batches", visit->trials);
    result_fact_number(result, "round_trips_per_batch", visit->round_trips);
    result_fact_text(result, "stopped_by", "%s", visit->stopped_by);
}

static void measure(struct request *request, const struct target *target, enum model model, enum home home,
                    struct visit *visit)
{
    struct result *result = result_begin(request, target);
    struct arena arena = {.bytes = 2 * PAGES * (size_t)sysconf(_SC_PAGESIZE)};
    uint64_t begin = ticks_now();
    result_variant(result, "model", model_name(model));
    if (home != HOME_UNSAID)
        result_variant(result, "home", home == HOME_FIRST ? "first" : "second");
    arena.node = placement_node_of_cpu(target->cpus[home == HOME_SECOND ? 1 : 0], result);
    if (result_is_ok(result) && arena_open(&arena, result)) {
        struct crew crew = {
            .model = model, .target = target, .max_ms = request->max_ms, .work = work, .context = visit};
        visit->lines = arena.memory;
        visit->batch_count = visit->trials = visit->round_trips = visit->misses = 0;
        visit->meeting = shared_map(sizeof *visit->meeting);
        if (crew_run(&crew, result))
            report(visit, result);
        shared_unmap(visit->meeting, sizeof *visit->meeting);
        arena_close(&arena, result);
        result_check(result, "elapsed_ns", ticks_to_ns(ticks_now() - begin));
    }
    result_end(result);
}

int pair_kernel(struct request *request, const struct exchange *exchange)
{
    struct visit *visit = allocate(1, sizeof *visit);
    enum model model = request_model(request);
    enum home home = request_home(request);
    visit->exchange = exchange;
    visit->rounds = (unsigned)request_number(request, "rounds", 12, ROUNDS_LEAST, ROUNDS_MAX);
    visit->precision = (double)request_number(request, "precision_permille", 10, 0, 1000) / 1000;
    request_targets(request, 2, 2);
    for (unsigned i = 0; i < request->target_count; i++)
        measure(request, &request->targets[i], model, home, visit);
    free(visit);
    return 0;
}
