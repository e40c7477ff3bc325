/* Batches of round trips through a channel: one end asks, the other answers.
 *
 * Both ends make the same number of round trips, told beforehand, so that no message carries anything but its
 * bytes; an end whose time is over leaves, and so does the other. What each batch did to the ends (churn.h) is
 * noted on both sides. Sleeping is part of the thing measured; a batch is dropped (`context_switch`) only where
 * the hand-overs do not explain the switches, and, on a channel that never sleeps, for any switch at all. */
#ifndef TOPOSCOPE_ECHO_H
#define TOPOSCOPE_ECHO_H

#include "channel.h"
#include "churn.h"
#include "kernel.h"

enum { ECHO_BATCHES_MAX = 512, ECHO_ROUND_TRIPS_MAX = 1024 };

struct echo_batch {
    bool done;
    double round_trip_ns;
    struct churn churn;
};

struct echo {
    struct channel channel;
    unsigned batches, round_trips; /* round trips a batch */
    size_t message_bytes;
    bool same_cpu;
    struct echo_batch *of_ends[2]; /* shared memory, set by echo_open */
};

bool echo_open(struct echo *echo, struct result *result);
void echo_close(struct echo *echo);

/* The batches, as seen from the end that asks (0) or answers (1). False when the time was over. */
bool echo_run(struct echo *echo, unsigned end, uint64_t deadline_ticks);

/* What happened to a batch. */
enum outcome echo_outcome(const struct echo *echo, unsigned batch);

/* The crew's target: the request's two CPUs, or twice its only one; `cpus` has room for two. */
struct target echo_ends(const struct target *target, int *cpus);

#endif
