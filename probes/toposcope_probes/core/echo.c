#include "echo.h"

#include <string.h>


bool echo_open(struct echo *echo, struct result *result)
{
    size_t bytes = ECHO_BATCHES_MAX * sizeof(struct echo_batch);
    if (!channel_open(&echo->channel, result))
        return false;
    for (unsigned end = 0; end < 2; end++)
        echo->of_ends[end] = shared_map(bytes);
    return true;
}

void echo_close(struct echo *echo)
{
    for (unsigned end = 0; end < 2; end++)
        shared_unmap(echo->of_ends[end], ECHO_BATCHES_MAX * sizeof(struct echo_batch));
    channel_close(&echo->channel);
}

static bool round_trip(const struct echo *echo, unsigned end, char *message, uint64_t deadline_ticks)
{
    const struct channel *channel = &echo->channel;
    if (end == 0)
        return channel_send(channel, end, message, echo->message_bytes, deadline_ticks) &&
               channel_receive(channel, end, message, echo->message_bytes, deadline_ticks);
    return channel_receive(channel, end, message, echo->message_bytes, deadline_ticks) &&
           channel_send(channel, end, message, echo->message_bytes, deadline_ticks);
}

bool echo_run(struct echo *echo, unsigned end, uint64_t deadline_ticks)
{
    char message[CHANNEL_MESSAGE_BYTES_MAX];
    memset(message, 1, sizeof message);
    for (unsigned i = 0; i < 2; i++) /* both ends are awake and their caches warm */
        if (!round_trip(echo, end, message, deadline_ticks))
            return false;
    struct churn churn = churn_take();
    for (unsigned batch = 0; batch < echo->batches; batch++) {
        struct echo_batch *own = &echo->of_ends[end][batch];
        uint64_t begin = ticks_now();
        for (unsigned i = 0; i < echo->round_trips; i++)
            if (!round_trip(echo, end, message, deadline_ticks))
                return false;
        own->round_trip_ns = ticks_to_ns(ticks_now() - begin) / echo->round_trips;
        own->churn = churn_renew(&churn);
        own->done = true;
    }
    return true;
}

enum outcome echo_outcome(const struct echo *echo, unsigned batch)
{
    const struct echo_batch *one = &echo->of_ends[0][batch], *other = &echo->of_ends[1][batch];
    long hand_overs = channel_sleeps(&echo->channel) ? 2L * echo->round_trips : 0;
    if (!one->done || !other->done)
        return OUTCOME_DEADLINE;
    if (hand_overs == 0 && one->churn.slept + other->churn.slept > 0)
        return OUTCOME_CONTEXT_SWITCH;
    return churn_is_explained(one->churn, other->churn, echo->same_cpu, hand_overs) ? OUTCOME_KEPT
                                                                                    : OUTCOME_CONTEXT_SWITCH;
}

struct target echo_ends(const struct target *target, int *cpus)
{
    cpus[0] = target->cpus[0];
    cpus[1] = target->cpus[target->count - 1];
    return (struct target){.count = 2, .cpus = cpus};
}
