/* Bytes a second between the CPUs of a set and a node's memory: read, write, copy, triad.
 *
 * The operations of STREAM (McCalpin, 1995): read a[i]; write a[i]; a[i] = b[i]; a[i] = b[i] + s * c[i]. Loads
 * and stores are VECTOR_BYTES wide and ordinary, so that a store first fetches its line; what is counted are
 * the bytes that the program itself reads and writes (1, 1, 2 and 3 times the array), not that fetch. All CPUs
 * work in step on parts of their own, round and round through memory far larger than the level-3 cache; each
 * window of WINDOW_NS is a sample: the sum over the CPUs of bytes by time. */
#include <stdlib.h>

#include "caches.h"
#include "limit.h"
#include "pages.h"
#include "windows.h"

enum { VECTOR_BYTES = 16, BLOCK_BYTES = 16384, BLOCK_VECTORS = BLOCK_BYTES / VECTOR_BYTES };
enum { MEMBERS_MAX = 4096, WINDOWS_LEAST = 6 };
#define WINDOW_NS 250e3
#define PART_BYTES_LEAST (32UL << 20)
#define L3_BYTES_ASSUMED (32UL << 20) /* where the CPU does not say */

typedef double vector __attribute__((vector_size(VECTOR_BYTES)));

enum operation { OPERATION_READ, OPERATION_WRITE, OPERATION_COPY, OPERATION_TRIAD };
static const char *const operation_names[] = {"read", "write", "copy", "triad", NULL};
static const char *const page_kinds[] = {"huge", "base", NULL}; /* huge ones are asked for, not demanded */
static const unsigned arrays_of[] = {1, 1, 2, 3}; /* as many as each operation reads and writes in all */

struct streams {
    enum operation operation;
    char *memory;
    size_t array_bytes;  /* of one array of one member */
    size_t *positions;   /* where each member goes on, in bytes; a line for each */
};
enum { POSITION_STEP = 32 }; /* positions this far apart share no line */

/* Four sums, so that no addition waits for the one before. */
static void read_block(const vector *a)
{
    vector one = a[0], two = a[1], three = a[2], four = a[3];
    for (unsigned i = 4; i < BLOCK_VECTORS; i += 4) {
        one += a[i];
        two += a[i + 1];
        three += a[i + 2];
        four += a[i + 3];
    }
    one += two + three + four;
    __asm__ volatile("" ::"m"(one)); /* somebody wants the sum */
}

static void work_on_block(enum operation operation, vector *a, const vector *b, const vector *c)
{
    const vector scale = {3, 3};
    switch (operation) {
    case OPERATION_READ:
        read_block(a);
        break;
    case OPERATION_WRITE:
        for (unsigned i = 0; i < BLOCK_VECTORS; i++)
            a[i] = scale;
        break;
    case OPERATION_COPY:
        for (unsigned i = 0; i < BLOCK_VECTORS; i++)
            a[i] = b[i];
        break;
    case OPERATION_TRIAD:
        for (unsigned i = 0; i < BLOCK_VECTORS; i++)
            a[i] = b[i] + scale * c[i];
        break;
    }
    __asm__ volatile("" ::: "memory"); /* what was stored is wanted */
}

static void stream(const struct window *window, void *context, struct tally *tally)
{
    const struct streams *streams = context;
    unsigned arrays = arrays_of[streams->operation];
    char *part = streams->memory + window->member * arrays * streams->array_bytes;
    size_t *position = &streams->positions[window->member * POSITION_STEP];
    uint64_t begin = ticks_now(), now = begin;
    for (; now - begin < window->length_ticks; now = ticks_now()) {
        char *block = part + *position; /* arrays that the operation lacks are not looked at */
        work_on_block(streams->operation, (vector *)(void *)block,
                      (const vector *)(const void *)(block + streams->array_bytes),
                      (const vector *)(const void *)(block + 2 * streams->array_bytes));
        *position = (*position + BLOCK_BYTES) % streams->array_bytes;
        tally->operations += arrays * BLOCK_BYTES;
    }
    tally->ns = ticks_to_ns(now - begin);
}

static void report(const struct windows *windows, struct result *result)
{
    unsigned group = result_group(result, "all");
    for (unsigned number = 0; number < windows->count; number++) {
        enum outcome outcome = windows_outcome(windows, number);
        result_count(result, outcome);
        if (outcome == OUTCOME_KEPT)
            result_sample(result, "bandwidth_bytes_per_s", group, 1e9 * windows_rate(windows, number));
    }
    if (result_kept(result) < WINDOWS_LEAST)
        result_refuse(result, STATUS_FAILED, "all CPUs were at work at once in %u windows only",
                      result_kept(result));
}

/* Going round through this much, nothing is found in a cache again: four times the level-3 cache, and for sets
 * with several such caches PART_BYTES_LEAST for each CPU. */
static size_t bytes_for(unsigned members, unsigned long asked_mib)
{
    size_t l3 = cache_bytes(3), bytes = members * PART_BYTES_LEAST;
    size_t four_caches = 4 * (l3 > 0 ? l3 : L3_BYTES_ASSUMED);
    if (asked_mib > 0)
        return asked_mib << 20;
    return bytes > four_caches ? bytes : four_caches;
}

static void measure(struct result *result, const struct crew *crew, struct streams *streams, struct pages pages,
                    unsigned window_count)
{
    unsigned members = crew->target->count, arrays = arrays_of[streams->operation];
    streams->array_bytes = pages.bytes / members / arrays / BLOCK_BYTES * BLOCK_BYTES;
    if (streams->array_bytes == 0) {
        result_refuse(result, STATUS_NOT_APPLICABLE, "%zu bytes are too few for %u CPUs", pages.bytes, members);
        return;
    }
    result_fact_text(result, "instructions", "%d-byte loads and ordinary stores", VECTOR_BYTES);
    result_fact_text(result, "counted", "bytes read and written by the program, without line fills for stores");
    result_fact_number(result, "memory_bytes", (double)pages.bytes);
    if (!pages_open(&pages, crew->target, result))
        return;
    streams->memory = pages.memory;
    streams->positions = allocate(members * (size_t)POSITION_STEP, sizeof *streams->positions);
    struct windows windows = {.count = window_count, .length_ns = WINDOW_NS, .work = stream, .context = streams};
    if (windows_run(&windows, crew, result)) {
        report(&windows, result);
        windows_close(&windows);
    }
    free(streams->positions);
    pages_close(&pages, result);
}

int kernel_memory_bandwidth(struct request *request)
{
    struct crew crew = {.max_ms = limit_ms(request, 1000)};
    struct pages pages = {.node = pages_node(request)};
    struct streams streams = {.operation = request_choice(request, "operation", operation_names, OPERATION_READ)};
    pages.huge = request_choice(request, "pages", page_kinds, 0) == 0;
    unsigned long memory_mib = request_number(request, "memory_mib", 0, 0, 1UL << 20);
    unsigned windows = (unsigned)request_number(request, "windows", 32, 4, 1024);
    pages.limit_bytes = request_number(request, "limit_mib", 0, 0, 1UL << 20) << 20;
    request_targets(request, 1, MEMBERS_MAX);
    for (unsigned i = 0; i < request->target_count; i++) {
        struct result *result = result_begin(request, &request->targets[i]);
        crew.target = &request->targets[i];
        pages.bytes = bytes_for(crew.target->count, memory_mib);
        result_variant(result, "operation", operation_names[streams.operation]);
        measure(result, &crew, &streams, pages, windows);
        result_end(result);
    }
    return 0;
}
