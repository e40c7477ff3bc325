#include "request.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpus.h"

static const char *current_kernel = "";

_Noreturn void usage_error(const char *format, ...)
{
    va_list arguments;
    fprintf(stderr, "toposcope-kernels: %s%s", current_kernel, *current_kernel ? ": " : "");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(2);
}

void *reallocate(void *old, unsigned long count, unsigned long size_bytes)
{
    void *memory = NULL;
    unsigned long bytes = 0;
    if (!__builtin_mul_overflow(count, size_bytes, &bytes))
        memory = realloc(old, bytes > 0 ? bytes : 1);
    if (memory == NULL) {
        fprintf(stderr, "toposcope-kernels: no memory for %lu items of %lu bytes\n", count, size_bytes);
        exit(1);
    }
    return memory;
}

void *allocate(unsigned long count, unsigned long size_bytes)
{
    void *memory = reallocate(NULL, count, size_bytes);
    memset(memory, 0, count * size_bytes);
    return memory;
}

void request_open(struct request *request, const char *kernel, int count, char **arguments)
{
    current_kernel = kernel;
    *request = (struct request){.kernel = kernel, .option_count = (unsigned)count};
    request->options = allocate((unsigned long)count, sizeof *request->options);
    for (unsigned i = 0; i < request->option_count; i++) {
        char *equals = strchr(arguments[i], '=');
        if (equals == NULL || equals == arguments[i])
            usage_error("'%s' is not of the form key=value", arguments[i]);
        *equals = '\0';
        for (unsigned j = 0; j < i; j++)
            if (strcmp(request->options[j].key, arguments[i]) == 0)
                usage_error("%s is given twice", arguments[i]);
        request->options[i] = (struct option){.key = arguments[i], .value = equals + 1};
    }
    request->max_ms = (unsigned)request_number(request, "max_ms", 40, 1, 600000);
}

void request_close(struct request *request)
{
    for (unsigned i = 0; i < request->target_count; i++)
        free(request->targets[i].cpus);
    free(request->targets);
    free(request->options);
}

const char *request_text(struct request *request, const char *key, const char *fallback)
{
    for (unsigned i = 0; i < request->option_count; i++) {
        if (strcmp(request->options[i].key, key) == 0) {
            request->options[i].taken = true;
            return request->options[i].value;
        }
    }
    return fallback;
}

unsigned long request_number(struct request *request, const char *key, unsigned long fallback,
                             unsigned long least, unsigned long most)
{
    const char *text = request_text(request, key, NULL);
    if (text == NULL)
        return fallback;
    char *end = NULL;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value < least || value > most)
        usage_error("%s=%s is not a whole number from %lu to %lu", key, text, least, most);
    return value;
}

unsigned request_choice(struct request *request, const char *key, const char *const *choices,
                        unsigned fallback)
{
    const char *text = request_text(request, key, NULL);
    if (text == NULL)
        return fallback;
    char allowed[256] = "";
    for (unsigned i = 0; choices[i] != NULL; i++) {
        if (strcmp(choices[i], text) == 0)
            return i;
        size_t used = strlen(allowed);
        snprintf(allowed + used, sizeof allowed - used, "%s%s", i ? ", " : "", choices[i]);
    }
    usage_error("%s=%s is not one of: %s", key, text, allowed);
}

static const char *const model_names[] = {"thread", "process", NULL};

const char *model_name(enum model model)
{
    return model_names[model];
}

enum model request_model(struct request *request)
{
    return (enum model)request_choice(request, "model", model_names, MODEL_THREAD);
}

enum home request_home(struct request *request)
{
    static const char *const homes[] = {"first", "second", NULL};
    if (request_text(request, "home", NULL) == NULL)
        return HOME_UNSAID;
    return request_choice(request, "home", homes, 0) == 0 ? HOME_FIRST : HOME_SECOND;
}

static void add_target(struct request *request, const char *key, const char *text, char separator,
                       unsigned least, unsigned most)
{
    struct target target = {0};
    if (!cpus_parse(text, separator, &target))
        usage_error("%s: '%s' is not a list of CPU numbers", key, text);
    if (target.count < least || target.count > most) {
        if (least == most)
            usage_error("%s: '%s' names %u CPUs, a target here has %u", key, text, target.count, least);
        usage_error("%s: '%s' names %u CPUs, a target here has %u to %u", key, text, target.count, least,
                    most);
    }
    for (unsigned i = 0; i < target.count; i++)
        for (unsigned j = 0; j < i; j++)
            if (target.cpus[i] == target.cpus[j])
                usage_error("%s: '%s' names CPU %d twice", key, text, target.cpus[i]);
    request->targets = reallocate(request->targets, request->target_count + 1UL, sizeof target);
    request->targets[request->target_count++] = target;
}

void request_targets(struct request *request, unsigned least, unsigned most)
{
    const char *cpus = request_text(request, "cpus", NULL);
    const char *pairs = request_text(request, "pairs", NULL);
    const char *sets = request_text(request, "sets", NULL);
    if ((cpus != NULL) + (pairs != NULL) + (sets != NULL) != 1)
        usage_error("give the CPUs by one of cpus=0,1 (one target), pairs=0:1,0:2 or sets=0:1:2,3");
    if (cpus != NULL) {
        add_target(request, "cpus", cpus, ',', least, most);
        return;
    }
    if (pairs != NULL && (least > 2 || most < 2))
        usage_error("pairs= is for kernels whose targets are pairs; use sets=");
    const char *key = pairs != NULL ? "pairs" : "sets";
    char *copy = strdup(pairs != NULL ? pairs : sets), *rest = copy, *item;
    if (copy == NULL)
        usage_error("no memory to read %s=", key);
    while ((item = strsep(&rest, ",")) != NULL)
        add_target(request, key, item, ':', pairs != NULL ? 2 : least, pairs != NULL ? 2 : most);
    free(copy);
}

void request_seal(struct request *request)
{
    for (unsigned i = 0; i < request->option_count && !request->sealed; i++)
        if (!request->options[i].taken)
            usage_error("there is no key '%s' here", request->options[i].key);
    request->sealed = true;
}
