#include "own_memory.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Not by stdio, which would allocate: what is counted would change by the counting. */
static bool read_file(const char *path, char *text, size_t bytes)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    size_t length = 0;
    ssize_t count = 1;
    while (count > 0 && length < bytes - 1) {
        count = read(file, text + length, bytes - 1 - length);
        if (count > 0)
            length += (size_t)count;
    }
    close(file);
    text[length] = '\0';
    return length > 0;
}

/* The value of a line "<key>   <n> kB"; 0 where there is none. */
static unsigned long bytes_of(const char *text, const char *key)
{
    const char *line = strstr(text, key);
    return line != NULL ? 1024 * strtoul(line + strlen(key), NULL, 10) : 0;
}

bool own_memory_read(struct own_memory *memory)
{
    char text[8192];
    if (!read_file("/proc/self/smaps_rollup", text, sizeof text))
        return false;
    memory->pss_bytes = bytes_of(text, "\nPss:");
    memory->resident_bytes = bytes_of(text, "\nRss:");
    memory->huge_bytes = bytes_of(text, "\nAnonHugePages:");
    if (!read_file("/proc/self/status", text, sizeof text))
        return false;
    memory->page_table_bytes = bytes_of(text, "\nVmPTE:");
    return true;
}
