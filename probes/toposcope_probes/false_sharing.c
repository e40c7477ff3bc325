/* N CPUs, a counter each: neighbours in one line against lines of their own.
 *
 * No counter is shared, so whatever neighbours cost is false sharing. Windows of both layouts alternate; a
 * pair of them gives one slowdown_ratio. The increments are atomic, so that the store buffer cannot hide that
 * the line is away. */
#include <stdatomic.h>
#include <unistd.h>

#include "windows.h"

enum {
    PLACES = 16,          /* tried in turn; what the address does must not look like sharing */
    LINE_BYTES = 64,      /* counters this near share a line on every CPU we know (64, 128 or 256 bytes) */
    OWN_STEP_BYTES = 512, /* counters this far apart share none, nor one that a prefetcher takes along */
    NEIGHBOURS_MAX = LINE_BYTES / sizeof(uint32_t),
    ADDS_BETWEEN_LOOKS = 64,
};
#define WINDOW_NS 20e3

static _Atomic uint32_t *counter_of(char *memory, const struct window *window)
{
    size_t place = window->number / 2 % PLACES, line = place * 3 % PLACES;
    size_t own = (window->member + line) * OWN_STEP_BYTES;
    size_t neighbour = (window->member / NEIGHBOURS_MAX + line) * OWN_STEP_BYTES +
                       window->member % NEIGHBOURS_MAX * sizeof(uint32_t);
    return (_Atomic uint32_t *)(void *)(memory + (window->number % 2 == 0 ? neighbour : own));
}

static void add(const struct window *window, void *context, struct tally *tally)
{
    _Atomic uint32_t *counter = counter_of(context, window);
    uint64_t begin = ticks_now(), now = begin;
    for (; now - begin < window->length_ticks; now = ticks_now()) {
        for (int i = 0; i < ADDS_BETWEEN_LOOKS; i++)
            atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
        tally->operations += ADDS_BETWEEN_LOOKS;
    }
    tally->ns = ticks_to_ns(now - begin);
}

static void report(const struct windows *windows, struct result *result)
{
    for (unsigned place = 0; place < PLACES; place++)
        result_group(result, "place%u", place);
    for (unsigned number = 0; number + 1 < windows->count; number += 2) {
        enum outcome outcome =
            outcome_merge(windows_outcome(windows, number), windows_outcome(windows, number + 1));
        result_count(result, outcome);
        if (outcome != OUTCOME_KEPT)
            continue;
        unsigned place = number / 2 % PLACES;
        /* Per member: each has a counter of its own, so members by rate of all is the cost of one. */
        double shared_ns = windows->members / windows_rate(windows, number);
        double own_ns = windows->members / windows_rate(windows, number + 1);
        result_sample(result, "slowdown_ratio", place, shared_ns / own_ns);
        result_sample(result, "neighbour_increment_ns", place, shared_ns);
        result_sample(result, "own_increment_ns", place, own_ns);
    }
    if (result_kept(result) < PLACES)
        result_refuse(result, STATUS_FAILED, "all CPUs were at work at once in %u windows only",
                      result_kept(result));
}

static void measure(struct result *result, const struct crew *crew, unsigned rounds)
{
    struct arena arena = {.bytes = (crew->target->count + PLACES) * (size_t)OWN_STEP_BYTES};
    arena.node = placement_node_of_cpu(crew->target->cpus[0], result);
    if (!result_is_ok(result) || !arena_open(&arena, result))
        return;
    struct windows windows = {
        .count = 2 * rounds * PLACES, .length_ns = WINDOW_NS, .work = add, .context = arena.memory};
    if (windows_run(&windows, crew, result)) {
        report(&windows, result);
        windows_close(&windows);
    }
    arena_close(&arena, result);
}

int kernel_false_sharing(struct request *request)
{
    struct crew crew = {.model = request_model(request), .max_ms = request->max_ms};
    unsigned rounds = (unsigned)request_number(request, "rounds", 3, 1, 64);
    request_targets(request, 2, 4096);
    for (unsigned i = 0; i < request->target_count; i++) {
        struct result *result = result_begin(request, &request->targets[i]);
        crew.target = &request->targets[i];
        result_variant(result, "model", model_name(crew.model));
        measure(result, &crew, rounds);
        result_end(result);
    }
    return 0;
}
