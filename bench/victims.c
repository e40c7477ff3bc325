/* What an ordinary service might do, in turns of about 3 ms each: fixed work, a pointer chase in level 2, a read
 * of memory beyond the caches; then a rest, so that its CPU counts as idle enough to be measured on. A line a
 * round: CLOCK_MONOTONIC at its end in s; of each of the three parts its wall time in ns; and for how long it waited
 * for its CPU in all three, in ns (/proc/thread-self/schedstat: behind other tasks, not for the hypervisor).
 *
 *   cc -O2 -o victims bench/victims.c && ./victims CPU SECONDS */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MULTIPLICATIONS = 3400000, HOPS = 500000, REST_NS = 20000000 };
enum { CHASE_LINES = 4096, LINE_POINTERS = 8, STREAM_WORDS = 5 << 20 };

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1e9 * (double)now.tv_sec + (double)now.tv_nsec;
}

static long long waited_ns(int schedstat)
{
    char text[96] = "";
    long long ran = 0, waited = 0;
    if (pread(schedstat, text, sizeof text - 1, 0) <= 0 || sscanf(text, "%lld %lld", &ran, &waited) != 2)
        exit(1);
    return waited;
}

/* Each product needs the one before: a stranger on the core's other thread hardly slows that down. */
static uint64_t work(uint64_t product)
{
    for (uint64_t i = 0; i < MULTIPLICATIONS; i++)
        __asm__ volatile("imul %1, %0" : "+r"(product) : "r"(0x9e3779b97f4a7c15ULL) : "cc");
    return product;
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
    uint64_t *memory = malloc(STREAM_WORDS * sizeof *memory), sum = 1;
    if (memory == NULL || sched_setaffinity(0, sizeof own, &own) != 0)
        return 1;
    memset(memory, 1, STREAM_WORDS * sizeof *memory);
    void **at = cycle();
    int schedstat = open("/proc/thread-self/schedstat", O_RDONLY);
    for (double end_ns = now_ns() + 1e9 * atof(words[2]); now_ns() < end_ns;) {
        long long waited = waited_ns(schedstat);
        double begin = now_ns();
        sum = work(sum);
        double worked = now_ns();
        at = chase(at);
        double chased = now_ns();
        sum += stream(memory);
        double streamed = now_ns();
        printf("%.6f %.0f %.0f %.0f %lld\n", streamed / 1e9, worked - begin, chased - worked, streamed - chased,
               waited_ns(schedstat) - waited);
        nanosleep(&(struct timespec){.tv_nsec = REST_NS}, NULL);
    }
    fprintf(stderr, "%lu\n", (unsigned long)(sum + (uintptr_t)at)); /* the work is wanted */
    return 0;
}
