/* N members at the same work in short windows, all in step: who gets how much done?
 *
 * Before each window all members meet. Where one does not come within MEET_NS (it is not on its CPU) none
 * goes in, and they try again after a nap; such misses are counted
 * (checks.meetings_missed). Each member
 * times itself, so that clocks of different CPUs are never compared. */
#ifndef TOPOSCOPE_WINDOWS_H
#define TOPOSCOPE_WINDOWS_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel.h"

/* One window as one member sees it; the work lasts about length_ticks by the member's own clock. */
struct window {
    unsigned number, member, members;
    uint64_t length_ticks;
};

/* What a member got done in a window, and in what time. */
struct tally {
    uint64_t operations;
    double ns;
};

typedef void window_work(const struct window *window, void *context, struct tally *tally);

struct windows {
    unsigned count; /* wanted; after windows_run: held */
    double length_ns;
    window_work *work;
    void *context;
    struct slots *slots; /* set by windows_run */
    unsigned members;
};

/* Runs the windows, or as many as max_ms allows, and counts the misses. False with the result refused where
 * the crew failed. On true, windows_close must follow. */
bool windows_run(struct windows *windows, const struct crew *crew, struct result *result);
void windows_close(struct windows *windows);

/* What happened to one member in a window, and to the window as a whole: the cause among all members. */
enum outcome windows_outcome_of(const struct windows *windows, unsigned number, unsigned member);
enum outcome windows_outcome(const struct windows *windows, unsigned number);
const struct tally *windows_tally(const struct windows *windows, unsigned number, unsigned member);

/* Operations per ns of all members together. */
double windows_rate(const struct windows *windows, unsigned number);

#endif
