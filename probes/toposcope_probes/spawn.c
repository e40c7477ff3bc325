/* What it costs to create a worker and to see it end, and what memory one takes.
 *
 * create_ns, model=thread: pthread_create to pthread_join; model=process: fork to waitpid, as lmbench's
 * lat_proc fork; exec_ns: posix_spawn of this program (which prints its version and ends) to waitpid. The
 * worker does nothing and runs on the CPU of its creator. memory_bytes is what the process, or the family of
 * processes, takes more with WORKERS idle workers than without, by worker (worker_memory.h). Each creation is a
 * batch; a creator that was switched out more often than waiting explains drops it. fork copies page tables, so
 * it costs by the creator's memory: fact creator_resident_bytes. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "churn.h"
#include "kernel.h"
#include "limit.h"
#include "own_memory.h"
#include "watchdog.h"
#include "worker_memory.h"

enum { WORKERS = 8, CREATIONS_MAX = 1024, KEPT_LEAST = 5, SWITCHES_EXPLAINED = 2 };

struct creations {
    unsigned wanted, count;
    double ns[CREATIONS_MAX];
    enum outcome outcomes[CREATIONS_MAX];
};

struct visit {
    enum model model;
    struct creations created, executed;
    double memory_bytes; /* by worker; negative where /proc does not say */
    struct own_memory own;
    bool has_own;
    const char *failure;
};

static void *do_nothing(void *nothing)
{
    return nothing;
}

static bool create_thread(void)
{
    pthread_t thread;
    return pthread_create(&thread, NULL, do_nothing, NULL) == 0 && pthread_join(thread, NULL) == 0;
}

/* Waits for a child; one that outlives the watchdog is killed, and reaped in any case. */
static bool reap(pid_t child)
{
    int status = 0;
    if (waitpid(child, &status, 0) == child)
        return WIFEXITED(status) && WEXITSTATUS(status) == 0;
    kill(child, SIGKILL);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    return false;
}

static bool create_process(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    return child > 0 && reap(child);
}

static bool execute(void)
{
    static char name[] = "toposcope-kernels", word[] = "--version";
    char *const arguments[] = {name, word, NULL};
    char *const environment[] = {NULL};
    posix_spawn_file_actions_t actions;
    pid_t child;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    bool ran = posix_spawn(&child, "/proc/self/exe", &actions, NULL, arguments, environment) == 0 && reap(child);
    posix_spawn_file_actions_destroy(&actions);
    return ran;
}

static bool repeat(struct creations *creations, bool (*create)(void), uint64_t deadline_ticks)
{
    bool created = create(); /* warms up */
    struct churn churn = churn_take();
    for (; created && creations->count < creations->wanted && ticks_now() < deadline_ticks; creations->count++) {
        uint64_t begin = ticks_now();
        created = create();
        creations->ns[creations->count] = ticks_to_ns(ticks_now() - begin);
        struct churn own = churn_renew(&churn);
        creations->outcomes[creations->count] =
            own.slept + own.preempted > SWITCHES_EXPLAINED ? OUTCOME_CONTEXT_SWITCH : OUTCOME_KEPT;
    }
    return created;
}

static void work(const struct member *member, void *context)
{
    struct visit *visit = context;
    struct watchdog watchdog = {0};
    if (!watchdog_start(&watchdog, member->deadline_ticks)) {
        visit->failure = "no timer to limit it by";
        return;
    }
    bool is_thread = visit->model == MODEL_THREAD;
    if (!repeat(&visit->created, is_thread ? create_thread : create_process, member->deadline_ticks))
        visit->failure = is_thread ? "a thread could not be created" : "a process could not be forked";
    if (!is_thread && !repeat(&visit->executed, execute, member->deadline_ticks))
        visit->executed.count = 0; /* no /proc to find this program by: exec_ns is left out */
    visit->memory_bytes = is_thread ? memory_of_threads(WORKERS) : memory_of_processes(WORKERS);
    visit->has_own = own_memory_read(&visit->own);
    watchdog_stop(&watchdog);
}

static void report_creations(const struct creations *creations, const char *measure, struct result *result)
{
    for (unsigned i = 0; i < creations->count; i++) {
        result_count(result, creations->outcomes[i]);
        if (creations->outcomes[i] == OUTCOME_KEPT)
            result_sample(result, measure, 0, creations->ns[i]);
    }
}

static void report(const struct visit *visit, struct result *result)
{
    result_group(result, "all");
    report_creations(&visit->created, "create_ns", result);
    if (result_kept(result) < KEPT_LEAST)
        result_refuse(result, STATUS_FAILED, "only %u of %u creations were kept%s%s", result_kept(result),
                      visit->created.wanted, visit->failure ? ": " : "", visit->failure ? visit->failure : "");
    report_creations(&visit->executed, "exec_ns", result);
    if (visit->memory_bytes >= 0)
        result_sample(result, "memory_bytes", 0, visit->memory_bytes);
    if (visit->has_own)
        result_fact_number(result, "creator_resident_bytes", (double)visit->own.resident_bytes);
    result_fact_number(result, "workers_for_memory", WORKERS);
}

int kernel_spawn(struct request *request)
{
    struct visit *visit = allocate(1, sizeof *visit);
    struct crew crew = {.max_ms = limit_ms(request, 200), .work = work, .context = visit};
    enum model model = request_model(request);
    unsigned creations = (unsigned)request_number(request, "creations", model == MODEL_THREAD ? 32 : 12,
                                                  KEPT_LEAST, CREATIONS_MAX);
    unsigned executions = (unsigned)request_number(request, "executions", 6, 1, CREATIONS_MAX);
    request_targets(request, 1, 1);
    for (unsigned i = 0; i < request->target_count; i++) {
        struct result *result = result_begin(request, &request->targets[i]);
        crew.target = &request->targets[i];
        *visit = (struct visit){.model = model, .created.wanted = creations, .executed.wanted = executions};
        result_variant(result, "model", model_name(model));
        if (crew_run(&crew, result))
            report(visit, result);
        result_end(result);
    }
    free(visit);
    return 0;
}
