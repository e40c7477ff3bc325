/* JSON text in a buffer that grows; commas are put by themselves. */
#ifndef TOPOSCOPE_JSON_H
#define TOPOSCOPE_JSON_H

#include <stdbool.h>
#include <stddef.h>

struct json {
    char *text;
    size_t length, capacity;
};

void json_open(struct json *json, char bracket);  /* '{' or '[' */
void json_close(struct json *json, char bracket); /* '}' or ']' */
void json_key(struct json *json, const char *key);
void json_text(struct json *json, const char *text);
/* Six digits, or all of a whole number; null where it is not finite. */
void json_number(struct json *json, double number);
void json_whole(struct json *json, long long number);
void json_bool(struct json *json, bool value);
void json_null(struct json *json);

#endif
