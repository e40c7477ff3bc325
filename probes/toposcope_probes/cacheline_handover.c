/* A value handed over on one line and back on another, by plain stores and loads: a message and its answer.
 * The exchange of c2clat without -w (rigtorp/c2clat). */
#include "pair.h"

/* Counts its turns in a register: in memory, the count's own stores stand before the message in the store
 * buffer, which is 1.5 ns between SMT siblings. */
static inline bool await(_Atomic uint64_t *line, uint64_t value, const struct spin *spin)
{
    struct spin own = *spin;
    while (atomic_load_explicit(line, memory_order_acquire) != value)
        if (spin_is_over(&own))
            return false;
    return true;
}

static bool lead(const struct span *span, struct spin *spin)
{
    for (uint64_t value = span->base + 1; value <= span->base + span->round_trips; value++) {
        atomic_store_explicit(span->first, value, memory_order_release);
        if (!await(span->second, value, spin))
            return false;
    }
    return true;
}

static bool follow(const struct span *span, struct spin *spin)
{
    for (uint64_t value = span->base + 1; value <= span->base + span->round_trips; value++) {
        if (!await(span->first, value, spin))
            return false;
        atomic_store_explicit(span->second, value, memory_order_release);
    }
    return true;
}

int kernel_cacheline_handover(struct request *request)
{
    return pair_kernel(request, &(struct exchange){.lead = lead, .follow = follow});
}
