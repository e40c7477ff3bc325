/* How a kernel is written.
 *
 * A kernel is one file, probes/toposcope_probes/<name>.c, with one entry point:
 *
 *     #include "kernel.h"
 *     int kernel_<name>(struct request *request)
 *     {
 *         unsigned long size_bytes = request_number(request, "size_bytes", 4096, 1, 1UL << 30);
 *         request_targets(request, 1, 1);                      // how many CPUs a target has, from–to
 *         for (unsigned i = 0; i < request->target_count; i++) {
 *             struct result *result = result_begin(request, &request->targets[i]);
 *             unsigned group = result_group(result, "all");
 *             ... measure; then for each batch result_count(result, outcome), and of the kept ones
 *             result_sample(result, "latency_ns", group, value);
 *             result_end(result);                              // prints the target's JSON line, frees it
 *         }
 *         return 0;
 *     }
 *
 * CMake finds the file; no list is edited. What the core offers, a header each:
 *
 *     request.h    key=value arguments, targets; a bad or unknown one ends the program with status 2
 *     result.h     the JSON line of a target (the contract is in contract.py)
 *     ticks.h      the clock
 *     guard.h      what happened to a thread during a batch: context switches, migration
 *     checks.h     what happened to it during a visit: effective frequency, run-queue delay
 *     crew.h       the same work on several pinned threads or processes; pinning, warm-up and checks are done
 *     spin.h       waiting for the other end, never beyond a deadline
 *     placement.h  memory that ends share, homed on the node of a CPU and verified
 *     pair.h       the whole of a two-ended kernel but for the exchange itself
 *     meeting.h    two ends begin a batch together, or not at all
 *     windows.h    N members at the same work in short windows
 *
 * Rules: what runs on a CPU runs in a crew, since that pins, verifies and reaps; batches take 3–20 µs (or
 * what one operation needs); a batch is dropped for what happened to its thread, never for being slow; each
 * loop has a limit (request->max_ms bounds a target); stdout carries JSON lines only. */
#ifndef TOPOSCOPE_KERNEL_H
#define TOPOSCOPE_KERNEL_H

#include "checks.h"
#include "crew.h"
#include "guard.h"
#include "placement.h"
#include "request.h"
#include "result.h"
#include "spin.h"
#include "ticks.h"

#define KERNEL(name) int kernel_##name(struct request *request);
#include "kernel_table.inc"
#undef KERNEL

#endif
