/* Context switch: two ends on one CPU hand a token to each other through pipes.
 *
 * hand_over_ns is half a round trip: a write, a read, and the switch between them, as `perf bench sched pipe`
 * times it. switch_ns leaves out what the write and the read cost where nobody sleeps (one end through a pipe
 * of its own, measured in between), as lmbench's lat_ctx does. With two CPUs given the token crosses over:
 * waking a CPU instead of switching one. A batch is a few round trips; echo.h says which are dropped. */
#include <stdlib.h>
#include <unistd.h>

#include "echo.h"
#include "limit.h"
#include "median.h"
#include "watchdog.h"

enum { ROUND_TRIPS = 8, ALONE_BATCHES = 24, ALONE_OPERATIONS = 16, KEPT_LEAST = 8 };

struct visit {
    struct echo echo;
    double alone_ns[ALONE_BATCHES]; /* a write and a read through one's own pipe */
    unsigned alone_count;
};

static void pipe_alone(struct visit *visit)
{
    int ends[2];
    char token = 1;
    if (pipe(ends) != 0)
        return;
    struct guard guard = guard_take();
    for (unsigned batch = 0; batch < ALONE_BATCHES; batch++) {
        uint64_t begin = ticks_now();
        bool moved = true;
        for (unsigned i = 0; i < ALONE_OPERATIONS; i++)
            moved = write(ends[1], &token, 1) == 1 && read(ends[0], &token, 1) == 1 && moved;
        double taken_ns = ticks_to_ns(ticks_now() - begin) / ALONE_OPERATIONS;
        if (guard_renew(&guard) == OUTCOME_KEPT && moved)
            visit->alone_ns[visit->alone_count++] = taken_ns;
    }
    close(ends[0]);
    close(ends[1]);
}

static void work(const struct member *member, void *context)
{
    struct visit *visit = context;
    struct watchdog watchdog = {0};
    if (!watchdog_start(&watchdog, member->deadline_ticks))
        return;
    if (echo_run(&visit->echo, member->index, member->deadline_ticks) && member->index == 0)
        pipe_alone(visit);
    watchdog_stop(&watchdog);
}

static void report(struct visit *visit, struct result *result)
{
    unsigned group = result_group(result, "all");
    double alone_ns = median_of(visit->alone_ns, visit->alone_count);
    for (unsigned i = 0; i < visit->echo.batches; i++) {
        enum outcome outcome = echo_outcome(&visit->echo, i);
        double hand_over_ns = visit->echo.of_ends[0][i].round_trip_ns / 2;
        result_count(result, outcome);
        if (outcome != OUTCOME_KEPT)
            continue;
        if (hand_over_ns <= alone_ns)
            result_refuse(result, STATUS_FAILED, "a hand-over took %.0f ns, its system calls alone %.0f ns",
                          hand_over_ns, alone_ns);
        result_sample(result, "switch_ns", group, hand_over_ns > alone_ns ? hand_over_ns - alone_ns : 0);
        result_sample(result, "hand_over_ns", group, hand_over_ns);
    }
    result_fact_number(result, "write_and_read_ns", alone_ns);
    if (result_kept(result) < KEPT_LEAST || visit->alone_count < KEPT_LEAST)
        result_refuse(result, STATUS_FAILED, "only %u of %u batches of hand-overs were kept", result_kept(result),
                      visit->echo.batches);
}

static void measure(struct visit *visit, struct crew crew, struct result *result)
{
    int cpus[2];
    struct target ends = echo_ends(crew.target, cpus);
    visit->echo.same_cpu = cpus[0] == cpus[1];
    visit->alone_count = 0;
    if (!echo_open(&visit->echo, result))
        return;
    crew.target = &ends;
    if (crew_run(&crew, result))
        report(visit, result);
    echo_close(&visit->echo);
}

int kernel_switch(struct request *request)
{
    struct visit visit = {.echo = {.round_trips = ROUND_TRIPS, .message_bytes = 1}};
    struct crew crew = {
        .model = request_model(request), .max_ms = limit_ms(request, 100), .work = work, .context = &visit};
    visit.echo.channel.kind = CHANNEL_PIPE;
    visit.echo.batches = (unsigned)request_number(request, "batches", 40, KEPT_LEAST, ECHO_BATCHES_MAX);
    request_targets(request, 1, 2);
    for (unsigned i = 0; i < request->target_count; i++) {
        struct result *result = result_begin(request, &request->targets[i]);
        crew.target = &request->targets[i];
        result_variant(result, "model", model_name(crew.model));
        result_fact_bool(result, "same_cpu", request->targets[i].count == 1);
        measure(&visit, crew, result);
        result_end(result);
    }
    return 0;
}
