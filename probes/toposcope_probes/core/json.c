#include "json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "request.h"

static void append(struct json *json, const char *text, size_t length)
{
    if (json->length + length + 1 > json->capacity) {
        json->capacity = 2 * (json->length + length) + 1024;
        json->text = reallocate(json->text, json->capacity, 1);
    }
    memcpy(json->text + json->length, text, length);
    json->length += length;
    json->text[json->length] = '\0';
}

/* A comma is due unless a bracket or a key's colon has just been opened. */
static void separate(struct json *json)
{
    char last = json->length ? json->text[json->length - 1] : '[';
    if (last != '[' && last != '{' && last != ':')
        append(json, ",", 1);
}

void json_open(struct json *json, char bracket)
{
    separate(json);
    append(json, &bracket, 1);
}

void json_close(struct json *json, char bracket)
{
    append(json, &bracket, 1);
}

static bool needs_escape(char c)
{
    return c == '"' || c == '\\' || (unsigned char)c < 0x20;
}

void json_text(struct json *json, const char *text)
{
    separate(json);
    append(json, "\"", 1);
    while (*text != '\0') {
        size_t plain = 0;
        while (text[plain] != '\0' && !needs_escape(text[plain]))
            plain++;
        append(json, text, plain); /* nearly always all of it */
        text += plain;
        if (*text != '\0') {
            char escaped[8];
            unsigned code = (unsigned char)*text;
            snprintf(escaped, sizeof escaped, code < 0x20 ? "\\u%04x" : "\\%c", code);
            append(json, escaped, strlen(escaped));
            text++;
        }
    }
    append(json, "\"", 1);
}

void json_key(struct json *json, const char *key)
{
    json_text(json, key);
    append(json, ":", 1);
}

static void raw(struct json *json, const char *text)
{
    separate(json);
    append(json, text, strlen(text));
}

void json_number(struct json *json, double number)
{
    char text[32];
    bool is_whole = fabs(number) < 1e15 && rint(number) == number; /* sizes in bytes, kept exactly */
    snprintf(text, sizeof text, is_whole ? "%.0f" : "%.6g", number);
    raw(json, isfinite(number) ? text : "null");
}

void json_whole(struct json *json, long long number)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", number);
    raw(json, text);
}

void json_bool(struct json *json, bool value)
{
    raw(json, value ? "true" : "false");
}

void json_null(struct json *json)
{
    raw(json, "null");
}
