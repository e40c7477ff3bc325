/* A pointer chase over a random single cycle: each load needs the address that the one before it brought, so
 * nothing overlaps and no prefetcher can guess.
 *
 * Sattolo, "An algorithm to generate a random cyclic permutation" (Information Processing Letters 22, 1986):
 * every cyclic permutation of n items is equally likely, so one walk touches each line exactly once. */
#ifndef TOPOSCOPE_CHASE_H
#define TOPOSCOPE_CHASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cycle {
    char *memory;
    size_t line_bytes; /* one pointer lies at the beginning of each line */
    uint32_t lines;
};

/* The next of a sequence of random numbers (splitmix64: Steele, Lea, Flood, OOPSLA 2014). */
static inline uint64_t random_next(uint64_t *state)
{
    uint64_t mixed = *state += 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
    return mixed ^ mixed >> 31;
}

/* From 0 to below - 1, evenly where `below` is far under 2^32 (Lemire, ACM TOMACS 29, 2019). */
static inline uint32_t random_below(uint64_t *state, uint32_t below)
{
    return (uint32_t)((random_next(state) >> 32) * below >> 32);
}

/* Writes the cycle; `order` has room for its lines. */
void cycle_build(const struct cycle *cycle, uint32_t *order, uint64_t *random);

/* Walks the whole cycle: whether it comes back to its first line after all lines and not before. */
bool cycle_is_single(const struct cycle *cycle);

/* Puts the cycle out of all caches (x86 clflush, aarch64 dc civac), so that each line comes from memory. */
void cycle_flush(const struct cycle *cycle);

/* Follows the pointers `hops` times, a multiple of 8; gives where it came to. */
void **chase(void **from, uint64_t hops);

#endif
