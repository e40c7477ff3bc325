#include "windows.h"

#include <stdatomic.h>

#define GIVEN_UP (1u << 31)
enum { ATTEMPTS_A_WINDOW = 16 };

struct slot {
    struct tally tally;
    _Atomic unsigned char outcome;
};

/* In shared memory: how many came to each meeting, then what each member did in each window. */
struct slots {
    size_t bytes;
    struct slot *of_members;    /* members of window 0, members of window 1, … */
    _Atomic uint32_t arrived[]; /* at each attempt to meet */
};

static struct slot *slot_of(const struct windows *windows, unsigned number, unsigned member)
{
    return &windows->slots->of_members[number * windows->members + member];
}

/* Waits until all are there. Either all go in or none, so all agree on how many windows there were: the first
 * to lose patience marks the meeting, unless the last member came in that moment, and naps. */
static bool meet(_Atomic uint32_t *arrived, unsigned members, unsigned *misses)
{
    struct spin spin = spin_for_ns(MEET_NS);
    uint32_t count = atomic_fetch_add(arrived, 1) + 1;
    while (count < members && !spin_is_over(&spin))
        count = atomic_load_explicit(arrived, memory_order_acquire);
    while (count < members)
        if (atomic_compare_exchange_weak(arrived, &count, count | GIVEN_UP)) {
            nap_after_miss(misses);
            return false;
        }
    *misses = count == members ? 0 : *misses;
    return count == members;
}

static void work(const struct member *member, void *context)
{
    const struct windows *windows = context;
    struct window window = {
        .member = member->index, .members = member->count, .length_ticks = ticks_from_ns(windows->length_ns)};
    unsigned misses = 0;
    for (unsigned attempt = 0; attempt < windows->count * ATTEMPTS_A_WINDOW; attempt++) {
        if (window.number == windows->count || ticks_now() > member->deadline_ticks)
            break;
        struct guard guard = guard_take(); /* before the meeting: who is switched out in it comes late */
        if (!meet(&windows->slots->arrived[attempt], member->count, &misses))
            continue;
        struct slot *slot = slot_of(windows, window.number, member->index);
        windows->work(&window, windows->context, &slot->tally);
        atomic_store(&slot->outcome, (unsigned char)guard_renew(&guard));
        window.number++;
    }
}

/* Afterwards: how many windows were held, and how many meetings came to nothing. */
static void count_meetings(struct windows *windows, struct result *result)
{
    unsigned held = 0, missed = 0;
    for (unsigned attempt = 0; attempt < windows->count * ATTEMPTS_A_WINDOW; attempt++) {
        uint32_t arrived = atomic_load(&windows->slots->arrived[attempt]);
        held += arrived == windows->members;
        missed += (arrived & GIVEN_UP) != 0;
    }
    windows->count = held;
    result_check(result, "meetings_missed", missed);
}

bool windows_run(struct windows *windows, const struct crew *crew, struct result *result)
{
    struct crew all = *crew;
    windows->members = crew->target->count;
    /* The tables follow each other: counters first, rounded up so that the slots are aligned. */
    size_t counters =
        (sizeof(struct slots) + windows->count * ATTEMPTS_A_WINDOW * sizeof(uint32_t) + 63) / 64 * 64;
    size_t bytes = counters + sizeof(struct slot) * windows->count * windows->members;
    windows->slots = shared_map(bytes);
    windows->slots->bytes = bytes;
    windows->slots->of_members = (struct slot *)(void *)((char *)windows->slots + counters);
    all.work = work;
    all.context = windows;
    if (crew_run(&all, result)) {
        count_meetings(windows, result);
        return true;
    }
    windows_close(windows);
    return false;
}

void windows_close(struct windows *windows)
{
    shared_unmap(windows->slots, windows->slots->bytes);
}

enum outcome windows_outcome_of(const struct windows *windows, unsigned number, unsigned member)
{
    return (enum outcome)atomic_load(&slot_of(windows, number, member)->outcome);
}

enum outcome windows_outcome(const struct windows *windows, unsigned number)
{
    enum outcome outcome = OUTCOME_KEPT;
    for (unsigned member = 0; member < windows->members; member++)
        outcome = outcome_merge(outcome, windows_outcome_of(windows, number, member));
    return outcome;
}

const struct tally *windows_tally(const struct windows *windows, unsigned number, unsigned member)
{
    return &slot_of(windows, number, member)->tally;
}

double windows_rate(const struct windows *windows, unsigned number)
{
    double rate = 0;
    for (unsigned member = 0; member < windows->members; member++) {
        const struct tally *tally = windows_tally(windows, number, member);
        rate += (double)tally->operations / tally->ns;
    }
    return rate;
}
