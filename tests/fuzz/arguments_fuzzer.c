/* libFuzzer on the kernels' argument parser: the bytes are arguments, separated by NUL or newline.
 *
 * Built by tests/fuzz/run with clang's address and undefined-behaviour sanitizers, of core/request.c and
 * core/cpus.c as they are. usage_error ends the program by exit(2): here exit goes back to the fuzzer, and what
 * the parser had allocated by then is freed, since a real run ends there. */
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static jmp_buf back;
static void *allocated[4096];
static unsigned allocated_count;

/* The parser's own memory, so that leaving it in the middle leaks nothing. */
static void *kept(void *memory)
{
    if (memory != NULL && allocated_count < sizeof allocated / sizeof *allocated)
        allocated[allocated_count++] = memory;
    return memory;
}

static void forget(void *memory)
{
    for (unsigned i = allocated_count; i-- > 0;)
        if (allocated[i] == memory) {
            allocated[i] = allocated[--allocated_count];
            return;
        }
}

static void *kept_realloc(void *old, size_t bytes)
{
    if (bytes > 1UL << 28) /* a request for more has to be refused by the parser, not by the machine */
        abort();
    forget(old);
    return kept(realloc(old, bytes));
}

static char *kept_strdup(const char *text)
{
    return kept(strdup(text));
}

static void kept_free(void *memory)
{
    forget(memory);
    free(memory);
}

static _Noreturn void leave(int status)
{
    longjmp(back, status + 1);
}

#define realloc kept_realloc
#define strdup kept_strdup
#define free kept_free
#define exit leave
#include "request.c"
#include "cpus.c"
#undef realloc
#undef strdup
#undef free
#undef exit

enum { ARGUMENTS_MAX = 64 };

static void parse(int count, char **arguments, unsigned least, unsigned most)
{
    static const char *const choices[] = {"one", "two", NULL};
    struct request request;
    request_open(&request, "fuzzed", count, arguments);
    request_targets(&request, least, most);
    request_model(&request);
    request_home(&request);
    request_number(&request, "size_bytes", 4096, 1, 1UL << 30);
    request_choice(&request, "operation", choices, 0);
    for (unsigned i = 0; i < request.target_count; i++) {
        const struct target *target = &request.targets[i];
        if (target->count < least || target->count > most)
            abort();
        for (unsigned j = 0; j < target->count; j++)
            if (target->cpus[j] < 0 || target->cpus[j] >= CPUS_MAX)
                abort();
    }
    request_seal(&request);
    request_close(&request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    char *text = malloc(size), *arguments[ARGUMENTS_MAX];
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    int count = 0;
    for (size_t at = 0; at < size - 1 && count < ARGUMENTS_MAX; at += strlen(text + at) + 1) {
        char *end = strchr(text + at, '\n');
        if (end != NULL)
            *end = '\0';
        arguments[count++] = text + at;
    }
    static const unsigned limits[][2] = {{1, 1}, {2, 2}, {1, 4}, {1, CPUS_MAX}};
    const unsigned *limit = limits[data[0] % 4];
    if (setjmp(back) == 0)
        parse(count, arguments, limit[0], limit[1]);
    while (allocated_count > 0)
        kept_free(allocated[allocated_count - 1]);
    free(text);
    return 0;
}
