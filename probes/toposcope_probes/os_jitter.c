/* What the operating system and the hypervisor steal from fixed work.
 *
 * One thread does the same small piece of work (a quantum: dependent additions, no memory) again and again and
 * times each (fixed work quanta: Sottile and Minnich, Cluster 2004). A quantum that takes longer than the
 * threshold held a gap, whose length is what it took beyond the median. The threshold is the median plus
 * SPREADS times the distance from median to fastest quantile, and at least twice the median, so it follows the
 * machine instead of a fixed number. Context switches, interrupts and lost CPUs are the thing measured:
 * nothing is dropped for them. Groups are windows of WINDOW_QUANTA quanta. */
#include <math.h>
#include <stdlib.h>

#include "kernel.h"
#include "limit.h"
#include "median.h"

enum { WINDOW_QUANTA = 2048, WINDOWS_MAX = 256, SPREADS = 6, TURNS = 200 };

struct visit {
    unsigned windows, done;
    float *quanta_ns; /* WINDOW_QUANTA for each window */
};

#if defined(__x86_64__)
#define ADD "add %1, %0\n\t"
#else
#define ADD "add %0, %0, %1\n\t"
#endif

static void quantum(void)
{
    uint64_t sum = 0, one = 1;
    for (unsigned turn = 0; turn < TURNS; turn++)
        __asm__ volatile(ADD ADD ADD ADD : "+r"(sum) : "r"(one) : "cc");
}

static void work(const struct member *member, void *context)
{
    struct visit *visit = context;
    uint64_t last = ticks_now();
    for (visit->done = 0; visit->done < visit->windows && last < member->deadline_ticks; visit->done++) {
        float *quanta_ns = &visit->quanta_ns[visit->done * WINDOW_QUANTA];
        for (unsigned i = 0; i < WINDOW_QUANTA; i++) {
            quantum();
            uint64_t now = ticks_now();
            quanta_ns[i] = (float)ticks_to_ns(now - last);
            last = now;
        }
    }
}

struct threshold {
    double median_ns, gap_ns;
};

static struct threshold find_threshold(const struct visit *visit)
{
    unsigned count = visit->done * WINDOW_QUANTA;
    double *values = allocate(count, sizeof *values);
    for (unsigned i = 0; i < count; i++)
        values[i] = (double)visit->quanta_ns[i];
    double median_ns = median_of(values, count), fast_ns = values[count / 20];
    free(values);
    return (struct threshold){.median_ns = median_ns,
                              .gap_ns = median_ns + fmax(SPREADS * (median_ns - fast_ns), median_ns)};
}

static void report_window(const float *quanta_ns, struct threshold threshold, unsigned group,
                          struct result *result)
{
    double stolen_ns = 0, longest_ns = 0, all_ns = 0;
    unsigned gaps = 0;
    for (unsigned i = 0; i < WINDOW_QUANTA; i++) {
        double taken_ns = (double)quanta_ns[i];
        all_ns += taken_ns;
        if (taken_ns <= threshold.gap_ns)
            continue;
        double gap_ns = taken_ns - threshold.median_ns;
        gaps++;
        stolen_ns += gap_ns;
        longest_ns = fmax(longest_ns, gap_ns);
        result_sample(result, "gap_ns", group, gap_ns);
    }
    result_count(result, OUTCOME_KEPT);
    result_sample(result, "available_ratio", group, 1 - stolen_ns / all_ns);
    result_sample(result, "gaps_per_s", group, 1e9 * gaps / all_ns);
    result_sample(result, "longest_gap_ns", group, longest_ns);
}

static void report(const struct visit *visit, struct result *result)
{
    if (visit->done < 2) {
        result_refuse(result, STATUS_FAILED, "only %u windows of work fitted into the limit", visit->done);
        return;
    }
    struct threshold threshold = find_threshold(visit);
    for (unsigned window = 0; window < visit->done; window++)
        report_window(&visit->quanta_ns[window * WINDOW_QUANTA], threshold,
                      result_group(result, "window%u", window), result);
    result_fact_number(result, "quantum_ns", threshold.median_ns);
    result_fact_number(result, "gap_threshold_ns", threshold.gap_ns - threshold.median_ns);
}

int kernel_os_jitter(struct request *request)
{
    struct visit visit = {.windows = (unsigned)request_number(request, "windows", 48, 2, WINDOWS_MAX)};
    struct crew crew = {.max_ms = limit_ms(request, 200), .work = work, .context = &visit};
    visit.quanta_ns = allocate((unsigned long)visit.windows * WINDOW_QUANTA, sizeof *visit.quanta_ns);
    request_targets(request, 1, 1);
    for (unsigned i = 0; i < request->target_count; i++) {
        struct result *result = result_begin(request, &request->targets[i]);
        crew.target = &request->targets[i];
        if (crew_run(&crew, result))
            report(&visit, result);
        result_end(result);
    }
    free(visit.quanta_ns);
    return 0;
}
