/* The clock of batches: the CPU's own counter where it can be trusted, else the kernel's raw clock.
 *
 * x86-64: the TSC when CPUID says it is invariant (Intel SDM 18.17.1, AMD APM 13.2.4: leaf 8000_0007h, EDX
 * bit 8), calibrated against CLOCK_MONOTONIC_RAW. aarch64: CNTVCT_EL0, whose frequency CNTFRQ_EL0 states.
 * Ticks of one thread are compared with ticks of the same thread only. */
#ifndef TOPOSCOPE_TICKS_H
#define TOPOSCOPE_TICKS_H

#include <stdbool.h>
#include <stdint.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

struct ticks_clock {
    bool counter; /* the CPU's counter is used */
    const char *name;
    double ns_per_tick;
};
extern struct ticks_clock ticks_clock;

/* Chooses and calibrates the clock; takes about 0.2 ms. Call once. */
void ticks_init(void);

uint64_t ticks_of_kernel(void); /* CLOCK_MONOTONIC_RAW in ns */

/* The counter, read after all earlier instructions and before all later ones. */
static inline uint64_t ticks_of_counter(void)
{
#if defined(__x86_64__)
    _mm_lfence();
    uint64_t ticks = __rdtsc();
    _mm_lfence();
    return ticks;
#elif defined(__aarch64__)
    uint64_t ticks;
    __asm__ volatile("isb\n\tmrs %0, cntvct_el0\n\tisb" : "=r"(ticks)::"memory");
    return ticks;
#else
    return ticks_of_kernel();
#endif
}

static inline uint64_t ticks_now(void)
{
    return ticks_clock.counter ? ticks_of_counter() : ticks_of_kernel();
}

static inline double ticks_to_ns(uint64_t ticks)
{
    return (double)ticks * ticks_clock.ns_per_tick;
}

static inline uint64_t ticks_from_ns(double ns)
{
    return (uint64_t)(ns / ticks_clock.ns_per_tick);
}

#endif
