/* What an ordinary service might do, in turns of about 3 ms each: fixed work, a pointer chase in level 2, a read
 * of memory beyond the caches; then a rest, so that its CPU counts as idle enough to be measured on. A line a
 * round: CLOCK_MONOTONIC at its end in s, and the wall time of the three parts in ns.
 *
 *   cc -O2 -o victims bench/victims.c && ./victims CPU SECONDS */
#define _GNU_SOURCE
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ADDITIONS = 5000000, HOPS = 500000, REST_NS = 16000000 };
enum { CHASE_LINES = 4096, LINE_POINTERS = 8, STREAM_WORDS = 5 << 20 };

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1e9 * (double)now.tv_sec + (double)now.tv_nsec;
}

static void work(void)
{
    for (uint64_t i = 0, sum = 0; i < ADDITIONS; i++)
        __asm__ volatile("" : "+r"(sum) : "r"(i));
}

static void **chase(void **at)
{
    for (long i = 0; i < HOPS; i++)
        at = *at;
    return at;
}

static uint64_t stream(const uint64_t *words)
{
    uint64_t sum = 0;
    for (long i = 0; i < STREAM_WORDS; i++)
        sum += words[i];
    return sum;
}

/* One random cycle through all lines (Sattolo). */
static void **cycle(void)
{
    static void *lines[CHASE_LINES * LINE_POINTERS];
    static uint32_t order[CHASE_LINES];
    for (uint32_t i = 0; i < CHASE_LINES; i++)
        order[i] = i;
    for (uint32_t i = CHASE_LINES - 1; i > 0; i--) {
        uint32_t other = (uint32_t)rand() % i, held = order[i];
        order[i] = order[other];
        order[other] = held;
    }
    for (uint32_t i = 0; i < CHASE_LINES; i++)
        lines[i * LINE_POINTERS] = &lines[order[i] * LINE_POINTERS];
    return lines;
}

int main(int count, char **words)
{
    if (count != 3)
        return 2;
    cpu_set_t own;
    CPU_ZERO(&own);
    CPU_SET((size_t)atoi(words[1]), &own);
    uint64_t *memory = malloc(STREAM_WORDS * sizeof *memory), sum = 0;
    if (memory == NULL || sched_setaffinity(0, sizeof own, &own) != 0)
        return 1;
    memset(memory, 1, STREAM_WORDS * sizeof *memory);
    void **at = cycle();
    for (double end_ns = now_ns() + 1e9 * atof(words[2]); now_ns() < end_ns;) {
        double begin = now_ns();
        work();
        double worked = now_ns();
        at = chase(at);
        double chased = now_ns();
        sum += stream(memory);
        double streamed = now_ns();
        printf("%.6f %.0f %.0f %.0f\n", streamed / 1e9, worked - begin, chased - worked, streamed - chased);
        nanosleep(&(struct timespec){.tv_nsec = REST_NS}, NULL);
    }
    fprintf(stderr, "%lu\n", (unsigned long)(sum + (uintptr_t)at)); /* the work is wanted */
    return 0;
}
