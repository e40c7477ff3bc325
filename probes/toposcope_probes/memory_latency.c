/* Latency of a load that depends on the one before, over working sets from level 1 to main memory.
 *
 * A ladder of working sets, each a random single cycle (chase.h), is walked once as a warm-up (which also
 * proves the cycle) and then in batches of about BATCH_NS. The largest set is flushed from all caches instead
 * of warmed and hardly a tenth of it is walked, so each load of it comes from memory, however large the caches
 * are; its samples are latency_ns. Groups are the sets, by size in bytes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "caches.h"
#include "chase.h"
#include "kernel.h"
#include "limit.h"
#include "median.h"
#include "pages.h"

enum { SETS_MAX = 64, BATCHES = 32, MEMORY_BATCHES = 64, HOPS_LEAST = 64, HOPS_MAX = 1 << 14 };
#define BATCH_NS 12e3
#define SMALLEST_BYTES 8192UL
/* These fit the caches of every CPU we know (level 1: 32 KiB or more, level 2: 256 KiB or more). */
#define L1_SET_BYTES 16384UL
#define L2_SET_BYTES 131072UL

struct set {
    size_t bytes;
    double latency_ns; /* median over its batches; 0 where none was kept */
};

struct visit {
    struct result *result;
    char *memory;
    size_t line_bytes, l3_set_bytes;
    uint32_t *order;
    uint64_t random;
    struct set sets[SETS_MAX];
    unsigned count;
    bool verify, all_single;
};

/* Sizes up to a quarter of the largest set, `steps` to an octave, then the largest. */
static void plan_sets(struct visit *visit, size_t largest_bytes, unsigned steps)
{
    for (size_t octave = SMALLEST_BYTES; octave <= largest_bytes / 4; octave *= 2)
        for (unsigned step = 0; step < steps && visit->count < SETS_MAX - 1; step++)
            visit->sets[visit->count++].bytes = octave + octave / steps * step;
    visit->sets[visit->count++].bytes = largest_bytes;
    for (unsigned i = 0; i < visit->count; i++)
        result_group(visit->result, "%zu", visit->sets[i].bytes);
}

static void add_sample(struct visit *visit, unsigned set, double latency_ns)
{
    size_t bytes = visit->sets[set].bytes;
    if (set == visit->count - 1)
        result_sample(visit->result, "latency_ns", set, latency_ns);
    else if (bytes == L1_SET_BYTES)
        result_sample(visit->result, "l1_latency_ns", set, latency_ns);
    else if (bytes == L2_SET_BYTES)
        result_sample(visit->result, "l2_latency_ns", set, latency_ns);
    else if (bytes == visit->l3_set_bytes)
        result_sample(visit->result, "l3_latency_ns", set, latency_ns);
}

static void walk(struct visit *visit, unsigned set, void **from, const struct member *member)
{
    double kept_ns[MEMORY_BATCHES];
    unsigned kept = 0, wanted = set == visit->count - 1 ? MEMORY_BATCHES : BATCHES;
    uint64_t begin = ticks_now();
    void **at = chase(from, HOPS_LEAST);
    double hop_ns = fmax(ticks_to_ns(ticks_now() - begin) / HOPS_LEAST, 0.1);
    uint64_t hops = (uint64_t)fmin(fmax(BATCH_NS / hop_ns, HOPS_LEAST), HOPS_MAX) / 8 * 8;
    struct guard guard = guard_take();
    for (unsigned tries = 0; kept < wanted && tries < 3 * wanted && ticks_now() < member->deadline_ticks; tries++) {
        begin = ticks_now();
        at = chase(at, hops);
        double latency_ns = ticks_to_ns(ticks_now() - begin) / (double)hops;
        enum outcome outcome = guard_renew(&guard);
        result_count(visit->result, outcome);
        if (outcome != OUTCOME_KEPT)
            continue;
        kept_ns[kept++] = latency_ns;
        add_sample(visit, set, latency_ns);
    }
    visit->sets[set].latency_ns = median_of(kept_ns, kept);
}

static void work(const struct member *member, void *context)
{
    struct visit *visit = context;
    for (unsigned set = 0; set < visit->count; set++) {
        bool largest = set == visit->count - 1;
        struct cycle cycle = {.memory = visit->memory,
                              .line_bytes = visit->line_bytes,
                              .lines = (uint32_t)(visit->sets[set].bytes / visit->line_bytes)};
        cycle_build(&cycle, visit->order, &visit->random);
        if (largest)
            cycle_flush(&cycle);
        else
            visit->all_single &= cycle_is_single(&cycle);
        walk(visit, set, (void **)(void *)cycle.memory, member);
        if (largest && visit->verify)
            visit->all_single &= cycle_is_single(&cycle);
    }
}

static double latency_at(const struct visit *visit, size_t bytes)
{
    for (unsigned i = 0; i < visit->count; i++)
        if (visit->sets[i].bytes == bytes)
            return visit->sets[i].latency_ns;
    return 0;
}

/* The largest set that still reads nearer to the level's latency than to the next one's (as ratios: below their
 * geometric mean); no larger set counts once one was beyond. 0 where the two levels can't be told apart. */
static double effective_bytes(const struct visit *visit, size_t level_bytes, size_t next_bytes)
{
    double level_ns = latency_at(visit, level_bytes), next_ns = latency_at(visit, next_bytes);
    size_t fits = 0;
    for (unsigned i = 0; level_ns > 0 && next_ns > level_ns && i < visit->count - 1; i++) {
        if (visit->sets[i].bytes > level_bytes && visit->sets[i].latency_ns > sqrt(level_ns * next_ns))
            break;
        fits = visit->sets[i].bytes;
    }
    return (double)fits;
}

static void report(const struct visit *visit)
{
    struct result *result = visit->result;
    char text[250] = "";
    for (unsigned i = 0, used = 0; i < visit->count && used < sizeof text - 16; i++) {
        used += (unsigned)snprintf(text + used, sizeof text - used, "%s%zu:%.3g", i ? " " : "",
                                   visit->sets[i].bytes >> 10, visit->sets[i].latency_ns);
        if (visit->sets[i].latency_ns <= 0)
            result_refuse(result, STATUS_FAILED, "no batch of the working set of %zu bytes was kept",
                          visit->sets[i].bytes);
    }
    size_t memory = visit->sets[visit->count - 1].bytes, l3 = visit->l3_set_bytes;
    result_fact_text(result, "curve_ns_by_kib", "%s", text);
    result_fact_number(result, "effective_l1_bytes", effective_bytes(visit, L1_SET_BYTES, L2_SET_BYTES));
    result_fact_number(result, "effective_l2_bytes", effective_bytes(visit, L2_SET_BYTES, l3 ? l3 : memory));
    if (l3)
        result_fact_number(result, "effective_l3_bytes", effective_bytes(visit, l3, memory));
    result_fact_number(result, "working_set_bytes", (double)memory);
    result_fact_bool(result, "cycles_verified", visit->all_single);
    if (!visit->all_single)
        result_refuse(result, STATUS_FAILED, "a chase was not one single cycle");
}

static void measure(struct visit *visit, const struct target *target, struct pages pages, unsigned max_ms)
{
    struct crew crew = {.target = target, .max_ms = max_ms, .work = work, .context = visit};
    if (!pages_open(&pages, target, visit->result))
        return;
    visit->memory = pages.memory;
    visit->order = allocate(pages.bytes / visit->line_bytes, sizeof *visit->order);
    if (crew_run(&crew, visit->result))
        report(visit);
    free(visit->order);
    pages_close(&pages, visit->result);
}

/* Twice level 2, as a power of two: beyond that, within any level 3. 0 where the CPU does not say. */
static size_t l3_set_bytes(void)
{
    size_t l2 = cache_bytes(2), bytes = SMALLEST_BYTES;
    while (bytes < 2 * l2)
        bytes *= 2;
    return l2 > 0 && bytes < cache_bytes(3) ? bytes : 0;
}

int kernel_memory_latency(struct request *request)
{
    static const char *const page_kinds[] = {"base", "huge", NULL};
    struct pages pages = {.node = pages_node(request)};
    long line = sysconf(_SC_LEVEL1_DCACHE_LINESIZE);
    pages.huge = pages.must_be_huge = request_choice(request, "pages", page_kinds, 0) == 1;
    pages.bytes = request_number(request, "largest_mib", 64, 1, 1UL << 16) << 20;
    pages.limit_bytes = request_number(request, "limit_mib", 0, 0, 1UL << 20) << 20;
    unsigned steps = (unsigned)request_number(request, "steps", 1, 1, 2);
    bool verify = request_number(request, "verify", 0, 0, 1) == 1;
    request_targets(request, 1, 1);
    for (unsigned i = 0; i < request->target_count; i++) {
        struct visit visit = {.result = result_begin(request, &request->targets[i]),
                              .line_bytes = line > 0 ? (size_t)line : 64,
                              .l3_set_bytes = l3_set_bytes(),
                              .random = 1,
                              .verify = verify,
                              .all_single = true};
        result_variant(visit.result, "pages", page_kinds[pages.huge]);
        plan_sets(&visit, pages.bytes, steps);
        measure(&visit, &request->targets[i], pages, limit_ms(request, 1000));
        result_end(visit.result);
    }
    return 0;
}
