#include "placement.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cpus.h"

enum { NODES_MAX = 1024, PAGES_ASKED_MAX = 64 };

int placement_node_of_cpu(int cpu, struct result *result)
{
    char why[160] = "";
    if (!cpu_is_allowed(cpu))
        result_refuse(result, STATUS_NOT_APPLICABLE,
                      "CPU %d is offline, absent or not among the CPUs this process may use", cpu);
    else if (!cpu_pin(cpu, why, sizeof why))
        result_refuse(result, STATUS_NOT_APPLICABLE, "%s", why);
    return result_is_ok(result) ? node_here() : -1;
}

/* Binds the untouched memory to the node; 0 or an errno. */
static int bind_to_node(const struct arena *arena)
{
    unsigned long nodes[NODES_MAX / (8 * sizeof(unsigned long))] = {0};
    const unsigned bits = 8 * sizeof(unsigned long);
    nodes[(unsigned)arena->node / bits] = 1UL << ((unsigned)arena->node % bits);
    long failed = syscall(SYS_mbind, arena->memory, arena->bytes, MPOL_BIND, nodes, NODES_MAX, 0);
    return failed ? errno : 0;
}

static void doubt(struct arena *arena, struct result *result, const char *what, const char *why)
{
    arena->verified = false;
    result_fact_text(result, "home_doubt", "%s%s", what, why);
}

/* Asks for the node of up to PAGES_ASKED_MAX pages, evenly spread over the arena. */
static void verify(struct arena *arena, struct result *result, const char *when)
{
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE), pages = (arena->bytes + page_bytes - 1) / page_bytes;
    void *asked[PAGES_ASKED_MAX];
    int nodes[PAGES_ASKED_MAX];
    size_t count = pages < PAGES_ASKED_MAX ? pages : PAGES_ASKED_MAX;
    for (size_t i = 0; i < count; i++)
        asked[i] = (char *)arena->memory + i * pages / count * page_bytes;
    if (syscall(SYS_move_pages, 0, count, asked, NULL, nodes, 0) != 0) {
        doubt(arena, result, "move_pages: ", strerror(errno));
        return;
    }
    for (size_t i = 0; i < count; i++)
        if (nodes[i] != arena->node)
            doubt(arena, result, "a page was on another node ", when);
}

bool arena_map(struct arena *arena, struct result *result)
{
    int sharing = arena->private_huge ? MAP_PRIVATE : MAP_SHARED;
    if (arena->node < 0 || arena->node >= NODES_MAX) {
        result_refuse(result, STATUS_NOT_APPLICABLE, "there is no node %d", arena->node);
        return false;
    }
    arena->memory = mmap(NULL, arena->bytes, PROT_READ | PROT_WRITE, sharing | MAP_ANONYMOUS, -1, 0);
    if (arena->memory == MAP_FAILED) {
        result_refuse(result, STATUS_FAILED, "mapping %zu bytes: %s", arena->bytes, strerror(errno));
        return false;
    }
    madvise(arena->memory, arena->bytes, arena->private_huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    int error = bind_to_node(arena);
    if (error == EINVAL) { /* mbind(2): no node of the mask is online, allowed and has memory */
        result_refuse(result, STATUS_NOT_APPLICABLE, "node %d has no memory this process may use",
                      arena->node);
        munmap(arena->memory, arena->bytes);
        return false;
    }
    arena->bound = error == 0;
    memset(arena->memory, 0, arena->bytes);
    return true;
}

void arena_begin(struct arena *arena, struct result *result)
{
    arena->verified = true;
    verify(arena, result, "before the visit");
    result_fact_number(result, "home_node", arena->node);
    result_fact_bool(result, "home_bound", arena->bound);
    result_fact_bool(result, "home_verified", arena->verified);
}

void arena_end(struct arena *arena, struct result *result)
{
    if (arena->verified)
        verify(arena, result, "after the visit");
    result_fact_bool(result, "home_verified", arena->verified);
}

bool arena_open(struct arena *arena, struct result *result)
{
    if (!arena_map(arena, result))
        return false;
    arena_begin(arena, result);
    return true;
}

void arena_close(struct arena *arena, struct result *result)
{
    arena_end(arena, result);
    munmap(arena->memory, arena->bytes);
}
