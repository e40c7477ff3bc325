#include "checks.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "ticks.h"

double run_delay_ns(void)
{
    char text[128];
    int file = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return -1;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    unsigned long long ran = 0, waited = 0;
    text[length > 0 ? length : 0] = '\0';
    return sscanf(text, "%llu %llu", &ran, &waited) == 2 ? (double)waited : -1;
}

/* Register to register: an addition of a constant is folded away by the renamer of newer cores. */
#if defined(__x86_64__)
#define ADD "add %1, %0\n\t"
#elif defined(__aarch64__)
#define ADD "add %0, %0, %1\n\t"
#else
#error "toposcope-kernels knows x86-64 and aarch64"
#endif
#define ADD_16 ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD

double additions_per_s(void)
{
    enum { TRIES = 3, TURNS = 512, A_TURN = 16 };
    uint64_t least = UINT64_MAX, sum = 0, one = 1;
    for (int attempt = 0; attempt < TRIES; attempt++) {
        uint64_t before = ticks_now();
        for (int turn = 0; turn < TURNS; turn++)
            __asm__ volatile(ADD_16 : "+r"(sum) : "r"(one) : "cc");
        uint64_t taken = ticks_now() - before;
        if (taken < least)
            least = taken;
    }
    return 1e9 * TURNS * A_TURN / ticks_to_ns(least ? least : 1);
}
