#include "pages.h"

#include <stdint.h>
#include <unistd.h>

#include "own_memory.h"

enum { PERCENT_HUGE_LEAST = 90 };

static bool is_within_cap(const struct pages *pages, struct result *result)
{
    const double gib = 1UL << 30;
    double machine = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    double limit = pages->limit_bytes ? (double)pages->limit_bytes : machine / 4;
    if ((double)pages->bytes > limit)
        result_refuse(result, STATUS_NOT_APPLICABLE, "needs %.3g GiB, and no more than %.3g GiB may be taken",
                      (double)pages->bytes / gib, limit / gib);
    return result_is_ok(result);
}

static void verify_size(const struct pages *pages, unsigned long huge_bytes_before, struct result *result)
{
    struct own_memory now;
    double page_bytes = pages->huge ? (double)HUGE_PAGE_BYTES : (double)sysconf(_SC_PAGESIZE);
    result_fact_number(result, "page_bytes", page_bytes);
    if (!own_memory_read(&now)) {
        result_fact_text(result, "pages_doubt", "the page size was asked for, and could not be verified");
        return;
    }
    double share = ((double)now.huge_bytes - (double)huge_bytes_before) / (double)pages->bytes;
    result_fact_number(result, "huge_pages_ratio", share > 1 ? 1 : share);
    if (pages->must_be_huge && 100 * share < PERCENT_HUGE_LEAST)
        result_refuse(result, STATUS_NOT_APPLICABLE,
                      "the kernel gave huge pages for %.0f %% of the memory only: transparent_hugepage may be "
                      "`never`, or memory is fragmented", 100 * share);
}

int pages_node(struct request *request)
{
    if (request_text(request, "node", NULL) == NULL)
        return -1;
    return (int)request_number(request, "node", 0, 0, 1UL << 20);
}

bool pages_open(struct pages *pages, const struct target *target, struct result *result)
{
    struct own_memory before = {0};
    int own_node = placement_node_of_cpu(target->cpus[0], result);
    if (pages->node < 0)
        pages->node = own_node;
    result_node(result, pages->node);
    pages->arena = (struct arena){
        .bytes = pages->bytes + HUGE_PAGE_BYTES, .node = pages->node, .private_huge = pages->huge};
    own_memory_read(&before); /* where it fails, so does the look afterwards, which tells */
    if (!result_is_ok(result) || !is_within_cap(pages, result) || !arena_open(&pages->arena, result))
        return false;
    size_t beyond = (uintptr_t)pages->arena.memory % HUGE_PAGE_BYTES;
    pages->memory = (char *)pages->arena.memory + (HUGE_PAGE_BYTES - beyond) % HUGE_PAGE_BYTES;
    verify_size(pages, before.huge_bytes, result);
    if (!result_is_ok(result))
        arena_close(&pages->arena, result);
    return result_is_ok(result);
}

void pages_close(struct pages *pages, struct result *result)
{
    arena_close(&pages->arena, result);
}
