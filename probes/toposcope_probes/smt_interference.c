/* What a busy sibling costs: a piece of work by the first CPU while the second sleeps, then while it is busy.
 *
 * Three kinds of work, a group each: additions that do not depend on each other (they compete for the core's
 * execution units), a chain of dependent multiplications (it leaves them free), and loads from level 1. The
 * sibling is busy with the first kind. Windows alternate, and two of them give a slowdown_ratio. On CPUs that
 * are no siblings it reads 1, which makes it a test of what the machine declares. */
#include <stdatomic.h>

#include "windows.h"

enum { KINDS = 3, TURNS_BETWEEN_LOOKS = 64, TABLE_WORDS = 512 };
#define WINDOW_NS 60e3
#define SETTLE_NS 15e3 /* for the sibling to fall asleep, or to be at it */

static const char *const kinds[KINDS] = {"independent_additions", "dependent_multiplications",
                                         "level_1_loads"};

/* The empty instructions keep the compiler from folding the arithmetic. */
static void add_independently(void)
{
    uint64_t a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, one = 1;
    for (int i = 0; i < TURNS_BETWEEN_LOOKS; i++) {
        a += one;
        b += one;
        c += one;
        d += one;
        e += one;
        f += one;
        __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f), "+r"(one));
    }
}

static void multiply_dependently(void)
{
    uint64_t a = 3;
    for (int i = 0; i < TURNS_BETWEEN_LOOKS; i++) {
        a *= a;
        __asm__ volatile("" : "+r"(a));
    }
}

static void load(void)
{
    static const uint64_t table[TABLE_WORDS];
    uint64_t sum = 0;
    for (int i = 0; i < TURNS_BETWEEN_LOOKS; i++) {
        const volatile uint64_t *at = &table[i * 8 % TABLE_WORDS];
        sum += at[0] + at[1] + at[2] + at[3];
    }
    __asm__ volatile("" : "+r"(sum));
}

static void turn(unsigned kind)
{
    if (kind == 0)
        add_independently();
    else if (kind == 1)
        multiply_dependently();
    else
        load();
}

static void toil(unsigned kind, uint64_t length_ticks, struct tally *tally)
{
    uint64_t begin = ticks_now(), now = begin;
    for (; now - begin < length_ticks; now = ticks_now()) {
        turn(kind);
        tally->operations++;
    }
    tally->ns = ticks_to_ns(now - begin);
}

/* The sibling's windows last as long as the first CPU's, with the settling. */
static void work(const struct window *window, void *context, struct tally *tally)
{
    uint64_t settle_ticks = ticks_from_ns(SETTLE_NS);
    bool sibling_sleeps = window->number % 2 == 0;
    (void)context;
    if (window->member == 1 && sibling_sleeps) {
        nap_ns((long)(WINDOW_NS + SETTLE_NS));
    } else if (window->member == 1) {
        toil(0, window->length_ticks + settle_ticks, tally);
    } else {
        struct tally settling = {0};
        toil(1, settle_ticks, &settling);
        toil(window->number / 2 % KINDS, window->length_ticks, tally);
    }
}

/* The sibling's sleep is a context switch that was wanted. */
static enum outcome outcome_of_both(const struct windows *windows, unsigned number)
{
    enum outcome asleep = windows_outcome_of(windows, number, 0),
                 slept = windows_outcome_of(windows, number, 1);
    enum outcome sibling = slept == OUTCOME_CONTEXT_SWITCH ? OUTCOME_KEPT : slept;
    return outcome_merge(outcome_merge(asleep, sibling), windows_outcome(windows, number + 1));
}

static void report(const struct windows *windows, struct result *result)
{
    for (unsigned kind = 0; kind < KINDS; kind++)
        result_group(result, "%s", kinds[kind]);
    for (unsigned number = 0; number + 1 < windows->count; number += 2) {
        enum outcome outcome = outcome_of_both(windows, number);
        result_count(result, outcome);
        if (outcome != OUTCOME_KEPT)
            continue;
        const struct tally *alone = windows_tally(windows, number, 0);
        const struct tally *beside = windows_tally(windows, number + 1, 0);
        double alone_ns = alone->ns / (double)alone->operations;
        double beside_ns = beside->ns / (double)beside->operations;
        result_sample(result, "slowdown_ratio", number / 2 % KINDS, beside_ns / alone_ns);
    }
    if (result_kept(result) < KINDS)
        result_refuse(result, STATUS_FAILED, "both CPUs were at work at once in %u windows only",
                      result_kept(result));
}

int kernel_smt_interference(struct request *request)
{
    struct crew crew = {.model = request_model(request), .max_ms = request->max_ms};
    unsigned rounds = (unsigned)request_number(request, "rounds", 4, 1, 64);
    request_targets(request, 1, 2);
    for (unsigned i = 0; i < request->target_count; i++) {
        struct result *result = result_begin(request, &request->targets[i]);
        struct windows windows = {.count = 2 * KINDS * rounds, .length_ns = WINDOW_NS, .work = work};
        crew.target = &request->targets[i];
        result_variant(result, "model", model_name(crew.model));
        if (crew.target->count == 1) {
            result_refuse(result, STATUS_NOT_APPLICABLE, "CPU %d has no SMT sibling", crew.target->cpus[0]);
        } else if (windows_run(&windows, &crew, result)) {
            report(&windows, result);
            windows_close(&windows);
        }
        result_end(result);
    }
    return 0;
}
