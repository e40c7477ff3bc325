#include "cpus.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static union {
    cpu_set_t set;
    unsigned char bytes[CPUS_MAX / 8];
} allowed;

bool cpus_parse(const char *text, char separator, struct target *target)
{
    *target = (struct target){0};
    for (const char *at = text;;) {
        char *end = NULL;
        if (*at < '0' || *at > '9')
            return false;
        unsigned long first = strtoul(at, &end, 10), last = first;
        if (*end == '-' && end[1] >= '0' && end[1] <= '9')
            last = strtoul(end + 1, &end, 10);
        if (last >= CPUS_MAX || first > last)
            return false;
        target->cpus = reallocate(target->cpus, target->count + last - first + 1, sizeof(int));
        for (unsigned long cpu = first; cpu <= last; cpu++)
            target->cpus[target->count++] = (int)cpu;
        if (*end == '\0')
            return true;
        if (*end != separator)
            return false;
        at = end + 1;
    }
}

void cpus_remember_allowed(void)
{
    memset(&allowed, 0, sizeof allowed);
    if (sched_getaffinity(0, sizeof allowed, &allowed.set) != 0)
        memset(&allowed, 0xff, sizeof allowed); /* then sched_setaffinity decides alone */
}

bool cpu_is_allowed(int cpu)
{
    return CPU_ISSET_S((size_t)cpu, sizeof allowed, &allowed.set);
}

void cpus_unpin(void)
{
    /* Where this fails the thread stays pinned, as it was. */
    sched_setaffinity(0, sizeof allowed, &allowed.set);
}

bool cpu_pin(int cpu, char *why, size_t why_bytes)
{
    union {
        cpu_set_t set;
        unsigned char bytes[CPUS_MAX / 8];
    } wanted = {.bytes = {0}}, got = {.bytes = {0}};
    CPU_SET_S((size_t)cpu, sizeof wanted, &wanted.set);
    if (sched_setaffinity(0, sizeof wanted, &wanted.set) != 0) {
        if (errno == EINVAL)
            snprintf(why, why_bytes, "CPU %d is offline, absent or outside this process's cpuset", cpu);
        else
            snprintf(why, why_bytes, "pinning to CPU %d was refused: %s", cpu, strerror(errno));
        return false;
    }
    if (sched_getaffinity(0, sizeof got, &got.set) != 0 || memcmp(&got, &wanted, sizeof got) != 0) {
        snprintf(why, why_bytes, "pinning to CPU %d had no effect", cpu);
        return false;
    }
    int here = cpu_here();
    if (here != cpu) {
        snprintf(why, why_bytes, "pinned to CPU %d but running on CPU %d", cpu, here);
        return false;
    }
    return true;
}

int cpu_here(void)
{
    return sched_getcpu();
}

int node_here(void)
{
    unsigned cpu = 0, node = 0;
    return getcpu(&cpu, &node) == 0 ? (int)node : -1;
}
