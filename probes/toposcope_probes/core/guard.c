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

enum outcome guard_compare(const struct guard *before, const struct guard *after)
{
    if (before->context_switches != after->context_switches)
        return OUTCOME_CONTEXT_SWITCH;
    return before->cpu == after->cpu ? OUTCOME_KEPT : OUTCOME_MIGRATION;
}

enum outcome outcome_merge(enum outcome one, enum outcome other)
{
    return one > other ? one : other;
}
