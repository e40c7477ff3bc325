/* toposcope-kernels <kernel> key=value …: measures and prints one JSON object a line. See kernel.h. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cpus.h"
#include "kernel.h"

static const struct {
    const char *name;
    int (*run)(struct request *request);
} kernels[] = {
#define KERNEL(name) {#name, kernel_##name},
#include "kernel_table.inc"
#undef KERNEL
};
enum { KERNEL_COUNT = sizeof kernels / sizeof *kernels };

static int help(void)
{
    puts("usage: toposcope-kernels <kernel> key=value ...\n"
         "       toposcope-kernels --list | --version | --help\n"
         "Measures with pinned threads or processes and prints one JSON object a line, one line a target.\n"
         "Keys of all kernels: cpus=0,1 | pairs=0:1,0:2 | sets=0:1:2,3   max_ms=40   parent_pid=N\n"
         "The program dies with its parent; with parent_pid it ends at once when that is gone already.");
    return 0;
}

static int list(void)
{
    for (int i = 0; i < KERNEL_COUNT; i++)
        puts(kernels[i].name);
    return 0;
}

static int run(int kernel, int count, char **arguments)
{
    struct request request;
    request_open(&request, kernels[kernel].name, count, arguments);
    int parent = (int)request_number(&request, "parent_pid", (unsigned long)getppid(), 0, 1UL << 22);
    if (!die_with_parent(parent)) {
        fprintf(stderr, "toposcope-kernels: process %d is not the parent (any more)\n", parent);
        request_close(&request);
        return 1;
    }
    signal(SIGPIPE, SIG_IGN); /* a reader that went away is an error of write(2), told on stderr */
    cpus_remember_allowed();
    ticks_init();
    int status = kernels[kernel].run(&request);
    request_close(&request);
    return status;
}

int main(int count, char **arguments)
{
    if (count < 2)
        usage_error("name a kernel; --list shows them, --help the usage");
    if (strcmp(arguments[1], "--help") == 0)
        return help();
    if (strcmp(arguments[1], "--list") == 0)
        return list();
    if (strcmp(arguments[1], "--version") == 0) {
        puts("toposcope-kernels " TOPOSCOPE_VERSION);
        return 0;
    }
    for (int i = 0; i < KERNEL_COUNT; i++)
        if (strcmp(arguments[1], kernels[i].name) == 0)
            return run(i, count - 2, arguments + 2);
    usage_error("there is no kernel '%s'; --list shows them", arguments[1]);
}
