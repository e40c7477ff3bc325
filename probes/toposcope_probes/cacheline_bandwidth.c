/* Producer to consumer through a shared ring: bytes a second.
 *
 * The first CPU writes whole blocks and publishes how many there are; the second reads every word of them and
 * publishes how many it took. Both counts lie on lines of their own and are looked at once a block, each end
 * remembering what it saw last, as in rigtorp/SPSCQueue. A ring fits the level-2 caches, so the data go from
 * cache to cache. A window of WINDOW_NS is a sample, timed by the consumer. */
#include <stdatomic.h>
#include <unistd.h>

#include "windows.h"

enum { RINGS = 4, BLOCK_WORDS = 64 }; /* 512 bytes, 8 lines of 64 */
#define WINDOW_NS 30e3

/* A window has its own counts, so that an end which comes late finds nothing of another window. */
struct counts {
    _Alignas(256) _Atomic uint64_t produced;
    _Alignas(256) _Atomic uint64_t consumed;
};

struct rings {
    unsigned blocks; /* in a ring */
    struct counts *counts;
    uint64_t *words; /* RINGS rings, used in turn */
};

static uint64_t *block_at(const struct rings *rings, const struct window *window, uint64_t block)
{
    return rings->words + (window->number % RINGS * rings->blocks + block % rings->blocks) * BLOCK_WORDS;
}

/* One end waits until the other's count lets it go on, but only while the window lasts. */
static bool may_go_on(const _Atomic uint64_t *other, uint64_t needed, uint64_t *seen, uint64_t end_ticks)
{
    struct spin spin = {.deadline_ticks = end_ticks};
    while (*seen < needed) {
        *seen = atomic_load_explicit(other, memory_order_acquire);
        if (*seen < needed && spin_is_over(&spin))
            return false;
    }
    return true;
}

static void produce(const struct rings *rings, const struct window *window, struct tally *tally)
{
    struct counts *counts = &rings->counts[window->number];
    uint64_t begin = ticks_now(), end = begin + window->length_ticks, block = 0, consumed = 0;
    while (ticks_now() < end) {
        if (block >= rings->blocks &&
            !may_go_on(&counts->consumed, block - rings->blocks + 1, &consumed, end))
            break;
        uint64_t *words = block_at(rings, window, block);
        for (unsigned i = 0; i < BLOCK_WORDS; i++)
            words[i] = block + i;
        atomic_store_explicit(&counts->produced, ++block, memory_order_release);
    }
    tally->operations = block;
    tally->ns = ticks_to_ns(ticks_now() - begin);
}

static void consume(const struct rings *rings, const struct window *window, struct tally *tally)
{
    struct counts *counts = &rings->counts[window->number];
    uint64_t begin = ticks_now(), end = begin + window->length_ticks, block = 0, produced = 0;
    while (ticks_now() < end && may_go_on(&counts->produced, block + 1, &produced, end)) {
        const uint64_t *words = block_at(rings, window, block);
        uint64_t sum = 0;
        for (unsigned i = 0; i < BLOCK_WORDS; i++)
            sum += words[i];
        if (sum != BLOCK_WORDS * block + BLOCK_WORDS * (BLOCK_WORDS - 1) / 2)
            break; /* not what was sent: the window shows as one without bytes */
        atomic_store_explicit(&counts->consumed, ++block, memory_order_release);
    }
    tally->operations = block;
    tally->ns = ticks_to_ns(ticks_now() - begin);
}

static void work(const struct window *window, void *context, struct tally *tally)
{
    if (window->member == 0)
        produce(context, window, tally);
    else
        consume(context, window, tally);
}

static void report(const struct windows *windows, struct result *result)
{
    for (unsigned ring = 0; ring < RINGS; ring++)
        result_group(result, "ring%u", ring);
    for (unsigned number = 0; number < windows->count; number++) {
        const struct tally *consumer = windows_tally(windows, number, 1);
        enum outcome outcome = windows_outcome(windows, number);
        if (outcome == OUTCOME_KEPT && consumer->operations == 0)
            outcome = OUTCOME_DEADLINE; /* the producer was not on its CPU while the consumer was */
        result_count(result, outcome);
        if (outcome == OUTCOME_KEPT)
            result_sample(result, "bandwidth_bytes_per_s", number % RINGS,
                          1e9 * (double)consumer->operations * BLOCK_WORDS * sizeof(uint64_t) / consumer->ns);
    }
    if (result_kept(result) < 2 * RINGS)
        result_refuse(result, STATUS_FAILED, "both CPUs were at work at once in %u windows only",
                      result_kept(result));
}

static void measure(struct result *result, const struct crew *crew, enum home home, unsigned long ring_bytes,
                    unsigned rounds)
{
    struct rings rings = {.blocks = (unsigned)(ring_bytes / (BLOCK_WORDS * sizeof(uint64_t)))};
    struct windows windows = {
        .count = rounds * RINGS, .length_ns = WINDOW_NS, .work = work, .context = &rings};
    size_t counts_bytes = windows.count * sizeof(struct counts);
    struct arena arena = {.bytes = counts_bytes + RINGS * ring_bytes};
    arena.node = placement_node_of_cpu(crew->target->cpus[home == HOME_SECOND ? 1 : 0], result);
    if (!result_is_ok(result) || !arena_open(&arena, result))
        return;
    rings.counts = arena.memory;
    rings.words = (uint64_t *)(void *)((char *)arena.memory + counts_bytes);
    if (windows_run(&windows, crew, result)) {
        report(&windows, result);
        windows_close(&windows);
    }
    arena_close(&arena, result);
}

int kernel_cacheline_bandwidth(struct request *request)
{
    struct crew crew = {.model = request_model(request), .max_ms = request->max_ms};
    enum home home = request_home(request);
    unsigned long ring_bytes = request_number(request, "ring_bytes", 32768, 4096, 1UL << 24);
    unsigned rounds = (unsigned)request_number(request, "rounds", 8, 2, 256);
    request_targets(request, 2, 2);
    for (unsigned i = 0; i < request->target_count; i++) {
        struct result *result = result_begin(request, &request->targets[i]);
        crew.target = &request->targets[i];
        result_variant(result, "model", model_name(crew.model));
        if (home != HOME_UNSAID)
            result_variant(result, "home", home == HOME_FIRST ? "first" : "second");
        result_fact_number(result, "ring_bytes", (double)ring_bytes);
        measure(result, &crew, home, ring_bytes, rounds);
        result_end(result);
    }
    return 0;
}
