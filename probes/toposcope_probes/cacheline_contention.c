/* N CPUs atomically adding to one line: what an increment costs while all want it, and who gets how many.
 *
 * Each window of WINDOW_NS is a sample: time by increments of all CPUs together (increment_ns), the smallest
 * share by the greatest (share_min_max_ratio), and Jain's index (sum x)^2 / (n * sum x^2), which is 1 when
 * all get the same and 1/n when one gets all (Jain, Chiu, Hawe: DEC-TR-301, 1984). */
#include <math.h>
#include <stdatomic.h>
#include <unistd.h>

#include "windows.h"

enum { LINES = 16, LINE_STEP_BYTES = 576, ADDS_BETWEEN_LOOKS = 16 };
#define WINDOW_NS 20e3

static void add(const struct window *window, void *context, struct tally *tally)
{
    _Atomic uint64_t *line =
        (_Atomic uint64_t *)(void *)((char *)context + window->number % LINES * LINE_STEP_BYTES);
    uint64_t begin = ticks_now(), now = begin;
    for (; now - begin < window->length_ticks; now = ticks_now()) {
        for (int i = 0; i < ADDS_BETWEEN_LOOKS; i++)
            atomic_fetch_add_explicit(line, 1, memory_order_relaxed);
        tally->operations += ADDS_BETWEEN_LOOKS;
    }
    tally->ns = ticks_to_ns(now - begin);
}

static void report_window(const struct windows *windows, unsigned number, struct result *result)
{
    double sum = 0, squares = 0, least = INFINITY, most = 0;
    for (unsigned member = 0; member < windows->members; member++) {
        const struct tally *tally = windows_tally(windows, number, member);
        double share = (double)tally->operations / tally->ns;
        sum += share;
        squares += share * share;
        least = fmin(least, share);
        most = fmax(most, share);
    }
    unsigned line = number % LINES;
    result_sample(result, "increment_ns", line, 1 / windows_rate(windows, number));
    result_sample(result, "share_min_max_ratio", line, least / most);
    result_sample(result, "share_jain_ratio", line, sum * sum / (windows->members * squares));
}

static void report(const struct windows *windows, struct result *result)
{
    for (unsigned line = 0; line < LINES; line++)
        result_group(result, "line%u", line);
    for (unsigned number = 0; number < windows->count; number++) {
        enum outcome outcome = windows_outcome(windows, number);
        result_count(result, outcome);
        if (outcome == OUTCOME_KEPT)
            report_window(windows, number, result);
    }
    if (result_kept(result) < LINES)
        result_refuse(result, STATUS_FAILED, "all CPUs were at work at once in %u windows only",
                      result_kept(result));
}

static void measure(struct result *result, const struct crew *crew, unsigned rounds)
{
    struct arena arena = {.bytes = (size_t)sysconf(_SC_PAGESIZE) > LINES * LINE_STEP_BYTES
                                       ? 2 * (size_t)sysconf(_SC_PAGESIZE)
                                       : LINES * LINE_STEP_BYTES};
    arena.node = placement_node_of_cpu(crew->target->cpus[0], result);
    if (!result_is_ok(result) || !arena_open(&arena, result))
        return;
    struct windows windows = {
        .count = rounds * LINES, .length_ns = WINDOW_NS, .work = add, .context = arena.memory};
    if (windows_run(&windows, crew, result)) {
        report(&windows, result);
        windows_close(&windows);
    }
    arena_close(&arena, result);
}

int kernel_cacheline_contention(struct request *request)
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
