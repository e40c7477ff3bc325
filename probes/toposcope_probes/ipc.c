/* Messages between two ends: round trip and throughput, through what the system offers and through memory.
 *
 * A batch is a few round trips of message_bytes (echo.h says which are dropped); a transfer is TRANSFER_BYTES
 * in blocks of BLOCK_BYTES one way and a message back, which stands for their arrival. Throughput is the
 * transfer's bytes by the time until that answer; channels that carry no bulk have none. With one CPU given,
 * both ends run on it (a ring that never sleeps makes no sense there). */
#include <stdlib.h>
#include <string.h>

#include "echo.h"
#include "limit.h"
#include "watchdog.h"

enum { BLOCK_BYTES = 65536, TRANSFER_BYTES = 1 << 20, TRANSFERS_MAX = 64, KEPT_LEAST = 8 };
/* Round trips that make a batch: sleeping ones take 5 to 50 µs each, a ring's some 0.3 µs. */
enum { ROUND_TRIPS_ASLEEP = 4, ROUND_TRIPS_SPINNING = 32 };

struct visit {
    struct echo echo;
    unsigned transfers;
    double transfer_ns[TRANSFERS_MAX];
    char *block; /* BLOCK_BYTES for each end */
};

static void transfer(struct visit *visit, unsigned end, uint64_t deadline_ticks)
{
    const struct channel *channel = &visit->echo.channel;
    char *block = visit->block + (size_t)end * BLOCK_BYTES, answer = 1;
    bool moves = true;
    for (unsigned i = 0; i < visit->transfers && moves; i++) {
        uint64_t begin = ticks_now();
        for (unsigned sent = 0; sent < TRANSFER_BYTES && moves; sent += BLOCK_BYTES)
            moves = end == 0 ? channel_send(channel, end, block, BLOCK_BYTES, deadline_ticks)
                             : channel_receive(channel, end, block, BLOCK_BYTES, deadline_ticks);
        if (end == 0)
            moves = moves && channel_receive(channel, end, &answer, 1, deadline_ticks);
        else
            moves = moves && channel_send(channel, end, &answer, 1, deadline_ticks);
        if (end == 0 && moves)
            visit->transfer_ns[i] = ticks_to_ns(ticks_now() - begin);
    }
}

static void work(const struct member *member, void *context)
{
    struct visit *visit = context;
    struct watchdog watchdog = {0};
    if (!watchdog_start(&watchdog, member->deadline_ticks))
        return;
    if (echo_run(&visit->echo, member->index, member->deadline_ticks))
        transfer(visit, member->index, member->deadline_ticks);
    watchdog_stop(&watchdog);
}

static void report(const struct visit *visit, struct result *result)
{
    unsigned group = result_group(result, "all");
    for (unsigned i = 0; i < visit->echo.batches; i++) {
        enum outcome outcome = echo_outcome(&visit->echo, i);
        result_count(result, outcome);
        if (outcome == OUTCOME_KEPT)
            result_sample(result, "round_trip_ns", group, visit->echo.of_ends[0][i].round_trip_ns);
    }
    for (unsigned i = 0; i < visit->transfers; i++)
        if (visit->transfer_ns[i] > 0)
            result_sample(result, "throughput_bytes_per_s", group, 1e9 * TRANSFER_BYTES / visit->transfer_ns[i]);
    if (result_kept(result) < KEPT_LEAST)
        result_refuse(result, STATUS_FAILED, "only %u of %u batches of round trips were kept", result_kept(result),
                      visit->echo.batches);
}

static void measure(struct visit *visit, struct crew crew, struct result *result)
{
    int cpus[2];
    struct target ends = echo_ends(crew.target, cpus);
    visit->echo.same_cpu = cpus[0] == cpus[1];
    memset(visit->transfer_ns, 0, sizeof visit->transfer_ns);
    if (visit->echo.same_cpu && !channel_sleeps(&visit->echo.channel))
        result_refuse(result, STATUS_NOT_APPLICABLE, "ends that spin can't share one CPU");
    if (!result_is_ok(result) || !echo_open(&visit->echo, result))
        return;
    crew.target = &ends;
    if (crew_run(&crew, result))
        report(visit, result);
    echo_close(&visit->echo);
}

int kernel_ipc(struct request *request)
{
    struct visit visit = {.block = allocate(2, BLOCK_BYTES)};
    struct crew crew = {
        .model = request_model(request), .max_ms = limit_ms(request, 200), .work = work, .context = &visit};
    struct channel *channel = &visit.echo.channel;
    channel->kind = (enum channel_kind)request_choice(request, "channel", channel_names, CHANNEL_PIPE);
    visit.echo.message_bytes = request_number(request, "message_bytes", 64, 1, CHANNEL_MESSAGE_BYTES_MAX);
    visit.echo.batches = (unsigned)request_number(request, "batches", 40, KEPT_LEAST, ECHO_BATCHES_MAX);
    visit.echo.round_trips = (unsigned)request_number(
        request, "round_trips", channel_sleeps(channel) ? ROUND_TRIPS_ASLEEP : ROUND_TRIPS_SPINNING, 1,
        ECHO_ROUND_TRIPS_MAX);
    unsigned transfers = (unsigned)request_number(request, "transfers", 6, 0, TRANSFERS_MAX);
    visit.transfers = channel_carries_bulk(channel) ? transfers : 0;
    request_targets(request, 1, 2);
    for (unsigned i = 0; i < request->target_count; i++) {
        struct result *result = result_begin(request, &request->targets[i]);
        crew.target = &request->targets[i];
        result_variant(result, "channel", channel_names[channel->kind]);
        result_variant(result, "model", model_name(crew.model));
        result_fact_number(result, "message_bytes", (double)visit.echo.message_bytes);
        result_fact_number(result, "round_trips_per_batch", visit.echo.round_trips);
        result_fact_bool(result, "same_cpu", request->targets[i].count == 1);
        measure(&visit, crew, result);
        result_end(result);
    }
    free(visit.block);
    return 0;
}
