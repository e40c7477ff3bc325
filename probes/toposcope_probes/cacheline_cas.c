/* One line between two CPUs by compare-and-swap: each end swaps the other's value for the next one. The
 * exchange of c2clat -w (rigtorp/c2clat) and nviennot's core-to-core-latency, so the figures compare. */
#include "pair.h"

/* Swaps `expected` for the next value as soon as it is there. */
static inline bool swap(_Atomic uint64_t *line, uint64_t expected, struct spin *spin)
{
    uint64_t found = expected;
    while (!atomic_compare_exchange_strong(line, &found, expected + 1)) {
        if (spin_is_over(spin))
            return false;
        found = expected;
    }
    return true;
}

static bool lead(const struct span *span, struct spin *spin)
{
    uint64_t last = span->base + 2 * (uint64_t)span->round_trips;
    atomic_store_explicit(span->first, span->base + 1, memory_order_release);
    for (uint64_t value = span->base + 2; value < last; value += 2)
        if (!swap(span->first, value, spin))
            return false;
    while (atomic_load_explicit(span->first, memory_order_acquire) != last)
        if (spin_is_over(spin))
            return false;
    return true;
}

static bool follow(const struct span *span, struct spin *spin)
{
    uint64_t last = span->base + 2 * (uint64_t)span->round_trips;
    for (uint64_t value = span->base + 1; value < last; value += 2)
        if (!swap(span->first, value, spin))
            return false;
    return true;
}

int kernel_cacheline_cas(struct request *request)
{
    return pair_kernel(request, &(struct exchange){.lead = lead, .follow = follow});
}
