#include "chase.h"

static void **line_at(const struct cycle *cycle, uint32_t line)
{
    return (void **)(void *)(cycle->memory + line * cycle->line_bytes);
}

void cycle_build(const struct cycle *cycle, uint32_t *order, uint64_t *random)
{
    for (uint32_t i = 0; i < cycle->lines; i++)
        order[i] = i;
    for (uint32_t i = cycle->lines - 1; i > 0; i--) {
        uint32_t other = random_below(random, i), held = order[i];
        order[i] = order[other];
        order[other] = held;
    }
    for (uint32_t i = 0; i < cycle->lines; i++)
        *line_at(cycle, i) = line_at(cycle, order[i]);
}

bool cycle_is_single(const struct cycle *cycle)
{
    void **first = line_at(cycle, 0), **at = first;
    uint32_t hops = 0;
    do {
        at = *at;
        hops++;
    } while (at != first && hops < cycle->lines);
    return at == first && hops == cycle->lines;
}

void cycle_flush(const struct cycle *cycle)
{
    for (uint32_t i = 0; i < cycle->lines; i++) {
#if defined(__x86_64__)
        __asm__ volatile("clflush %0" : "+m"(*(volatile char *)line_at(cycle, i)));
#elif defined(__aarch64__)
        __asm__ volatile("dc civac, %0" ::"r"(line_at(cycle, i)) : "memory");
#endif
    }
#if defined(__x86_64__)
    __asm__ volatile("mfence" ::: "memory");
#elif defined(__aarch64__)
    __asm__ volatile("dsb sy" ::: "memory");
#endif
}

void **chase(void **from, uint64_t hops)
{
    void **at = from;
    for (uint64_t i = 0; i < hops; i += 8) {
        at = *at, at = *at, at = *at, at = *at;
        at = *at, at = *at, at = *at, at = *at;
    }
    __asm__ volatile("" : "+r"(at)); /* the way is the goal: it must not be left out */
    return at;
}
