#include "result.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "json.h"
#include "ticks.h"

enum { GROUPS_MAX = 1024, MEASURES_MAX = 8, ENTRIES_MAX = 32, SENTENCE_BYTES = 256, NAME_BYTES = 48 };

struct list {
    double *values;
    unsigned count, capacity;
};

struct measure {
    const char *name;
    struct list *groups; /* GROUPS_MAX of them */
};

/* A named value, in the form it is printed. */
struct entry {
    const char *name;
    enum { ENTRY_NUMBER, ENTRY_BOOL, ENTRY_TEXT } kind;
    double number;
    char text[SENTENCE_BYTES];
};

struct entries {
    struct entry items[ENTRIES_MAX];
    unsigned count;
};

struct result {
    const struct request *request;
    const struct target *target;
    int node;
    enum status status;
    char reason[SENTENCE_BYTES];
    struct entries variant, checks, facts;
    char (*group_names)[NAME_BYTES];
    unsigned group_count;
    struct measure measures[MEASURES_MAX];
    unsigned measure_count;
    unsigned batches[OUTCOME_COUNT];
};

static _Noreturn void kernel_is_wrong(const char *what)
{
    fprintf(stderr, "toposcope-kernels: a kernel has too many %s\n", what);
    abort();
}

static struct entry *entry_named(struct entries *entries, const char *name)
{
    for (unsigned i = 0; i < entries->count; i++)
        if (strcmp(entries->items[i].name, name) == 0)
            return &entries->items[i];
    if (entries->count == ENTRIES_MAX)
        kernel_is_wrong("named values");
    entries->items[entries->count].name = name;
    return &entries->items[entries->count++];
}

static void entry_number(struct entries *entries, const char *name, double value, int kind)
{
    struct entry *entry = entry_named(entries, name);
    entry->kind = kind;
    entry->number = value;
}

struct result *result_begin(struct request *request, const struct target *target)
{
    request_seal(request);
    struct result *result = allocate(1, sizeof *result);
    result->request = request;
    result->target = target;
    result->node = -1;
    result->group_names = allocate(GROUPS_MAX, NAME_BYTES);
    result_fact_text(result, "clock", "%s", ticks_clock.name);
    return result;
}

void result_variant(struct result *result, const char *key, const char *value)
{
    struct entry *entry = entry_named(&result->variant, key);
    entry->kind = ENTRY_TEXT;
    snprintf(entry->text, sizeof entry->text, "%s", value);
}

void result_node(struct result *result, int node)
{
    result->node = node;
}

unsigned result_group(struct result *result, const char *format, ...)
{
    if (result->group_count == GROUPS_MAX)
        kernel_is_wrong("groups");
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(result->group_names[result->group_count], NAME_BYTES, format, arguments);
    va_end(arguments);
    return result->group_count++;
}

static struct measure *measure_named(struct result *result, const char *name)
{
    for (unsigned i = 0; i < result->measure_count; i++)
        if (strcmp(result->measures[i].name, name) == 0)
            return &result->measures[i];
    if (result->measure_count == MEASURES_MAX)
        kernel_is_wrong("measures");
    struct measure *measure = &result->measures[result->measure_count++];
    measure->name = name;
    measure->groups = allocate(GROUPS_MAX, sizeof *measure->groups);
    return measure;
}

void result_sample(struct result *result, const char *measure, unsigned group, double value)
{
    struct list *list = &measure_named(result, measure)->groups[group];
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? 2 * list->capacity : 16;
        list->values = reallocate(list->values, list->capacity, sizeof *list->values);
    }
    list->values[list->count++] = value;
}

void result_count(struct result *result, enum outcome outcome)
{
    result->batches[outcome]++;
}

unsigned result_kept(const struct result *result)
{
    return result->batches[OUTCOME_KEPT];
}

unsigned result_dropped(const struct result *result, enum outcome why)
{
    return result->batches[why];
}

void result_check(struct result *result, const char *name, double value)
{
    entry_number(&result->checks, name, value, ENTRY_NUMBER);
}

void result_fact_number(struct result *result, const char *name, double value)
{
    entry_number(&result->facts, name, value, ENTRY_NUMBER);
}

void result_fact_bool(struct result *result, const char *name, bool value)
{
    entry_number(&result->facts, name, value, ENTRY_BOOL);
}

void result_fact_text(struct result *result, const char *name, const char *format, ...)
{
    struct entry *entry = entry_named(&result->facts, name);
    va_list arguments;
    entry->kind = ENTRY_TEXT;
    va_start(arguments, format);
    vsnprintf(entry->text, sizeof entry->text, format, arguments);
    va_end(arguments);
}

void result_refuse(struct result *result, enum status status, const char *format, ...)
{
    if (result->status != STATUS_OK)
        return;
    va_list arguments;
    result->status = status;
    va_start(arguments, format);
    vsnprintf(result->reason, sizeof result->reason, format, arguments);
    va_end(arguments);
}

bool result_is_ok(const struct result *result)
{
    return result->status == STATUS_OK;
}

static void write_entries(struct json *json, const char *key, const struct entries *entries)
{
    json_key(json, key);
    json_open(json, '{');
    for (unsigned i = 0; i < entries->count; i++) {
        const struct entry *entry = &entries->items[i];
        json_key(json, entry->name);
        if (entry->kind == ENTRY_TEXT)
            json_text(json, entry->text);
        else if (entry->kind == ENTRY_BOOL)
            json_bool(json, entry->number > 0);
        else
            json_number(json, entry->number);
    }
    json_close(json, '}');
}

static void write_identity(struct json *json, const struct result *result)
{
    static const char *const statuses[] = {"ok", "not_applicable", "failed"};
    json_key(json, "schema_version");
    json_whole(json, 1);
    json_key(json, "kernel");
    json_text(json, result->request->kernel);
    json_key(json, "cpus");
    json_open(json, '[');
    for (unsigned i = 0; i < result->target->count; i++)
        json_whole(json, result->target->cpus[i]);
    json_close(json, ']');
    json_key(json, "node");
    if (result->node < 0)
        json_null(json);
    else
        json_whole(json, result->node);
    write_entries(json, "variant", &result->variant);
    json_key(json, "status");
    json_text(json, statuses[result->status]);
    json_key(json, "reason");
    json_text(json, result->reason);
}

static void write_samples(struct json *json, const struct result *result)
{
    json_key(json, "samples");
    json_open(json, '{');
    for (unsigned m = 0; m < result->measure_count; m++) {
        json_key(json, result->measures[m].name);
        json_open(json, '[');
        for (unsigned g = 0; g < result->group_count; g++) {
            const struct list *list = &result->measures[m].groups[g];
            json_open(json, '[');
            for (unsigned i = 0; i < list->count; i++)
                json_number(json, list->values[i]);
            json_close(json, ']');
        }
        json_close(json, ']');
    }
    json_close(json, '}');
    json_key(json, "groups");
    json_open(json, '[');
    for (unsigned g = 0; g < result->group_count; g++)
        json_text(json, result->group_names[g]);
    json_close(json, ']');
}

static void write_counts(struct json *json, const struct result *result)
{
    json_key(json, "batches_kept");
    json_whole(json, result->batches[OUTCOME_KEPT]);
    json_key(json, "batches_dropped");
    json_open(json, '{');
    for (int why = OUTCOME_KEPT + 1; why < OUTCOME_COUNT; why++) {
        json_key(json, outcome_name((enum outcome)why));
        json_whole(json, result->batches[why]);
    }
    json_close(json, '}');
}

/* One write a line, so that whoever reads sees whole lines even when the program is killed. */
static void print_line(const struct json *json)
{
    for (size_t written = 0; written < json->length;) {
        ssize_t count = write(STDOUT_FILENO, json->text + written, json->length - written);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0) {
            fprintf(stderr, "toposcope-kernels: writing a result failed: %s\n", strerror(errno));
            exit(1);
        }
        written += (size_t)count;
    }
}

void result_end(struct result *result)
{
    struct json json = {0};
    json_open(&json, '{');
    write_identity(&json, result);
    write_samples(&json, result);
    write_counts(&json, result);
    write_entries(&json, "checks", &result->checks);
    write_entries(&json, "facts", &result->facts);
    json_close(&json, '}');
    json.text[json.length] = '\n'; /* append keeps room for one more character */
    json.length++;
    print_line(&json);
    for (unsigned m = 0; m < result->measure_count; m++) {
        for (unsigned g = 0; g < result->group_count; g++)
            free(result->measures[m].groups[g].values);
        free(result->measures[m].groups);
    }
    free(json.text);
    free(result->group_names);
    free(result);
}
