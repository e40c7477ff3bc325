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

/* Six significant digits of a number from 0.001 to 999999.5, without an exponent and without zeros at the end: as
 * printf's %.6g writes it but for the rounding of ties, in a tenth of the time. Gives the text's length. */
static size_t six_digits(double number, char *text)
{
    static const double powers[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8};
    int decimals = 5; /* behind the point of a number from 1 to 10 */
    while (decimals > 0 && number * powers[decimals] >= 999999.5)
        decimals--;
    while (decimals < 8 && number * powers[decimals] < 99999.95)
        decimals++;
    unsigned long digits = (unsigned long)llrint(number * powers[decimals]);
    for (; decimals > 0 && digits % 10 == 0; decimals--)
        digits /= 10;
    char reversed[16];
    size_t length = 0;
    for (int place = 0; digits > 0 || place <= decimals; place++, digits /= 10) {
        if (place == decimals && decimals > 0)
            reversed[length++] = '.';
        reversed[length++] = (char)('0' + digits % 10);
    }
    for (size_t i = 0; i < length; i++)
        text[i] = reversed[length - 1 - i];
    return length;
}

void json_number(struct json *json, double number)
{
    char text[32];
    bool is_whole = fabs(number) < 1e15 && rint(number) == number; /* sizes in bytes, kept exactly */
    if (!is_whole && number >= 1e-3 && number < 999999.5) {
        separate(json);
        append(json, text, six_digits(number, text));
        return;
    }
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
