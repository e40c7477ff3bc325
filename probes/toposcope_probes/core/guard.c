#include "guard.h"

#include <sys/resource.h>

#include "cpus.h"

const char *outcome_name(enum outcome outcome)
{
    static const char *const names[OUTCOME_COUNT] = {"kept", "deadline", "migration", "context_switch"};
    return names[outcome];
}

struct guard guard_take(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return (struct guard){.context_switches = usage.ru_nvcsw + usage.ru_nivcsw, .cpu = cpu_here()};
}

enum outcome guard_renew(struct guard *guard)
{
    struct guard before = *guard;
    *guard = guard_take();
    if (before.context_switches != guard->context_switches)
        return OUTCOME_CONTEXT_SWITCH;
    return before.cpu == guard->cpu ? OUTCOME_KEPT : OUTCOME_MIGRATION;
}

enum outcome outcome_merge(enum outcome one, enum outcome other)
{
    return one > other ? one : other;
}
