#include "pair.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cpus.h"
#include "meeting.h"

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
#define BATCH_NS 3000.0

struct batch {
    uint32_t number; /* of its call */
    unsigned char line, outcome;
    double latency_ns;
};

/* The memory that the exchanges go over. */
struct ground {
    char *lines;
    size_t page_bytes;
};

/* In shared memory; what either end writes lies apart from what the other reads. */
struct visit {
    const struct exchange *exchange;
    struct ground ground;
    struct meeting meeting;
    _Alignas(256) double precision; /* from here on the first end's own */
    unsigned rounds, batch_count, trials, round_trips, missed;
    const char *stopped_by;
    struct batch batches[BATCHES_MAX]; /* as the first end saw them */
};

/* What lasts from pair to pair: the memory on each node that was a home, and the nodes of CPUs. */
struct homes {
    struct arena *arenas;
    unsigned count;
    short node_of_cpu[CPUS_MAX]; /* and one more; 0 is not known */
};

/* The lines lie evenly on their pages, from the first to the last line of each. The second of two lies elsewhere
 * on its page than the first: CPUs compare the low 12 bits of addresses first, and a load of the one would wait
 * for the store to the other (4K aliasing, Intel's optimization manual; 1.5 ns between SMT siblings of Zen 3). */
static struct span span_of(const struct ground *ground, const struct call *call)
{
    const size_t page_bytes = ground->page_bytes, on_a_page = LINES / PAGES;
    size_t step = (page_bytes / LINE_BYTES - 1) / (on_a_page - 1);
    size_t place = call->line / on_a_page * page_bytes + call->line % on_a_page * step * LINE_BYTES;
    char *first = ground->lines + place, *second = ground->lines + PAGES * page_bytes + (place ^ LINE_BYTES);
    return (struct span){.first = (_Atomic uint64_t *)(void *)first,
                         .second = (_Atomic uint64_t *)(void *)second,
                         .base = (uint64_t)call->number << 32,
                         .round_trips = call->round_trips};
}

/* A round trip before the clock runs: the line comes from wherever it was since the batch before on it, which takes
 * a tenth of a microsecond and no part of an exchange that goes on and on. Its values are others than the batch's. */
static struct span lead_in_of(const struct span *span)
{
    struct span lead_in = *span;
    lead_in.base |= 1u << 31;
    lead_in.round_trips = 1;
    return lead_in;
}

/* One batch, seen from the first end. Returns its time in ns, or 0 when it was dropped or never began. */
static double lead_batch(struct visit *visit, struct meeter *meeter, unsigned line, unsigned round_trips)
{
    struct call call = {.line = line, .round_trips = round_trips};
    if (!meeting_call(meeter, &call))
        return 0;
    struct span span = span_of(&visit->ground, &call), lead_in = lead_in_of(&span);
    struct spin spin = spin_for_ns(SPIN_NS);
    bool complete = visit->exchange->lead(&lead_in, &spin);
    uint64_t begin = ticks_now();
    complete = complete && visit->exchange->lead(&span, &spin);
    double taken_ns = ticks_to_ns(ticks_now() - begin);
    enum outcome outcome =
        outcome_merge(guard_renew(&meeter->guard), complete ? OUTCOME_KEPT : OUTCOME_DEADLINE);
    visit->batches[visit->batch_count++] = (struct batch){.number = call.number,
                                                          .line = (unsigned char)line,
                                                          .outcome = (unsigned char)outcome,
                                                          .latency_ns = taken_ns / (2.0 * round_trips)};
    return outcome == OUTCOME_KEPT ? taken_ns : 0;
}

/* Doubles the round trips until a batch is long enough to be judged, then takes the faster of two more, since
 * one may have been disturbed. Gives 0 when the other end was not to be had. */
static unsigned calibrate(struct visit *visit, struct meeter *meeter)
{
    unsigned round_trips = ROUND_TRIPS_LEAST, judged = 0;
    double least_ns = INFINITY;
    for (unsigned trial = 0; trial < TRIALS_MAX && judged < 3; trial++) {
        double taken_ns = lead_batch(visit, meeter, trial % LINES, round_trips);
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

/* Batch after batch until one of the reasons to stop holds; which one, it returns. */
static const char *lead_rounds(struct visit *visit, struct meeter *meeter)
{
    unsigned kept = 0;
    for (unsigned done = 1; done <= 3 * LINES * visit->rounds; done++) {
        kept += lead_batch(visit, meeter, (done - 1) % LINES, visit->round_trips) > 0;
        if (visit->batch_count != visit->trials + done) /* the batch never began, since time is up */
            break;
        if (done % LINES == 0 && is_tight(visit, kept / LINES))
            return "precision";
        if (kept == visit->rounds * LINES)
            return "rounds";
    }
    return "limit";
}

static void lead(struct visit *visit, const struct member *member)
{
    struct meeter meeter = meeter_begin(&visit->meeting, member);
    visit->batch_count = 0;
    visit->round_trips = calibrate(visit, &meeter);
    visit->stopped_by = visit->round_trips == 0 ? "limit" : lead_rounds(visit, &meeter);
    visit->missed = meeter.missed;
    meeting_end(&meeter);
}

static void follow(struct visit *visit, const struct member *member)
{
    const struct exchange *exchange = visit->exchange;
    const struct ground ground = visit->ground;
    struct meeter meeter = meeter_begin(&visit->meeting, member);
    struct call call;
    while (meeting_answer(&meeter, &call)) {
        struct span span = span_of(&ground, &call), lead_in = lead_in_of(&span);
        struct spin spin = spin_for_ns(SPIN_NS);
        bool complete = exchange->follow(&lead_in, &spin) && exchange->follow(&span, &spin);
        enum outcome outcome =
            outcome_merge(guard_renew(&meeter.guard), complete ? OUTCOME_KEPT : OUTCOME_DEADLINE);
        atomic_store_explicit(&visit->meeting.outcomes[call.number], (unsigned char)outcome,
                              memory_order_relaxed);
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
        enum outcome other = (enum outcome)atomic_load(&visit->meeting.outcomes[batch->number]);
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
    result_check(result, "meetings_missed", visit->missed);
    result_fact_number(result, "round_trips_per_batch", visit->round_trips);
    result_fact_text(result, "stopped_by", "%s", visit->stopped_by);
}

/* The memory on the node of a CPU, mapped for the first visit there; NULL with the result refused. */
static struct arena *home_at(struct homes *homes, int cpu, struct result *result)
{
    if (homes->node_of_cpu[cpu] == 0)
        homes->node_of_cpu[cpu] = (short)(placement_node_of_cpu(cpu, result) + 1);
    struct arena arena = {.node = homes->node_of_cpu[cpu] - 1,
                          .bytes = 2 * PAGES * (size_t)sysconf(_SC_PAGESIZE)};
    for (unsigned i = 0; i < homes->count; i++)
        if (homes->arenas[i].node == arena.node)
            return &homes->arenas[i];
    if (!result_is_ok(result) || !arena_map(&arena, result))
        return NULL;
    crew_dismiss(); /* a process that is there already does not have the memory */
    homes->arenas = reallocate(homes->arenas, homes->count + 1, sizeof arena);
    homes->arenas[homes->count] = arena;
    return &homes->arenas[homes->count++];
}

static void measure(struct request *request, const struct target *target, struct homes *homes,
                    struct visit *visit)
{
    struct result *result = result_begin(request, target);
    enum model model = request_model(request);
    enum home home = request_home(request);
    uint64_t begin = ticks_now();
    result_variant(result, "model", model_name(model));
    if (home != HOME_UNSAID)
        result_variant(result, "home", home == HOME_FIRST ? "first" : "second");
    struct arena *arena = home_at(homes, target->cpus[home == HOME_SECOND ? 1 : 0], result);
    if (arena != NULL) {
        struct crew crew = {.model = model,
                            .target = target,
                            .max_ms = request->max_ms,
                            .work = work,
                            .context = visit,
                            .lasts = true};
        memset(arena->memory, 0, arena->bytes); /* no value of the visit before is on a line */
        arena_begin(arena, result);
        visit->ground.lines = arena->memory;
        meeting_clear(&visit->meeting);
        if (crew_run(&crew, result))
            report(visit, result);
        arena_end(arena, result);
        result_check(result, "elapsed_ns", ticks_to_ns(ticks_now() - begin));
    }
    result_end(result);
}

int pair_kernel(struct request *request, const struct exchange *exchange)
{
    struct visit *visit = shared_map(sizeof *visit);
    struct homes *homes = allocate(1, sizeof *homes);
    visit->exchange = exchange;
    visit->ground.page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    visit->rounds = (unsigned)request_number(request, "rounds", 12, ROUNDS_LEAST, ROUNDS_MAX);
    visit->precision = (double)request_number(request, "precision_permille", 10, 0, 1000) / 1000;
    request_model(request); /* refuse what is wrong before the first target */
    request_home(request);
    request_targets(request, 2, 2);
    for (unsigned i = 0; i < request->target_count; i++)
        measure(request, &request->targets[i], homes, visit);
    crew_dismiss();
    for (unsigned i = 0; i < homes->count; i++)
        munmap(homes->arenas[i].memory, homes->arenas[i].bytes);
    free(homes->arenas);
    free(homes);
    shared_unmap(visit, sizeof *visit);
    return 0;
}
