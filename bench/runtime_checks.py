"""Independent checks of the Python probes: statements for pyperf, and ten-line programs that print a figure.

`%(first)d` and `%(last)d` stand for the CPUs of the two ends.
"""

from __future__ import annotations

import os

CPUS = sorted(os.sched_getaffinity(0))[:2]
ENDS = {"first": CPUS[0], "last": CPUS[-1]}

SWITCH_TASKS = """
import asyncio, statistics, time
async def turns():
    for _ in range(100): await asyncio.sleep(0)
async def main():
    times = []
    for _ in range(100):
        begin = time.perf_counter_ns()
        await asyncio.gather(turns(), turns())
        times.append((time.perf_counter_ns() - begin) / 200)
    print(statistics.median(times))
asyncio.run(main())
"""
SWITCH_THREADS = """
import statistics, threading, time
a, b = threading.Lock(), threading.Lock()
a.acquire(); b.acquire()
def other():
    while True: b.acquire(); a.release()
threading.Thread(target=other, daemon=True).start()
times = []
for _ in range(300):
    begin = time.perf_counter_ns()
    for _ in range(20): b.release(); a.acquire()
    times.append((time.perf_counter_ns() - begin) / 40)
print(statistics.median(times))
"""
SWITCH_PROCESSES = """
import multiprocessing, statistics, time
mp = multiprocessing.get_context("fork")
a, b = mp.Semaphore(0), mp.Semaphore(0)
def other():
    while True: b.acquire(); a.release()
mp.Process(target=other, daemon=True).start()
times = []
for _ in range(300):
    begin = time.perf_counter_ns()
    for _ in range(20): b.release(); a.acquire()
    times.append((time.perf_counter_ns() - begin) / 40)
print(statistics.median(times))
"""
PIPE_TRIP = """
import multiprocessing, os, statistics, time
mp = multiprocessing.get_context("fork")
near, far = mp.Pipe()
def other():
    os.sched_setaffinity(0, {%(last)d})
    while True: far.send(far.recv())
mp.Process(target=other, daemon=True).start()
os.sched_setaffinity(0, {%(first)d})
times = []
for _ in range(1500):
    begin = time.perf_counter_ns(); near.send(b"m" * 64); near.recv()
    times.append(time.perf_counter_ns() - begin)
print(statistics.median(times))
"""
QUEUE_TRIP = """
import os, queue, statistics, threading, time
there, back = queue.Queue(), queue.Queue()
def other():
    os.sched_setaffinity(0, {%(last)d})
    while True: back.put(there.get())
threading.Thread(target=other, daemon=True).start()
os.sched_setaffinity(0, {%(first)d})
times = []
for _ in range(1500):
    begin = time.perf_counter_ns(); there.put(b"m" * 64); back.get()
    times.append(time.perf_counter_ns() - begin)
print(statistics.median(times))
"""
STALL_TASKS = """
import asyncio, time
async def hog():
    until = time.perf_counter() + 0.04
    while time.perf_counter() < until: pass
async def main():
    gaps, last, busy = [], time.perf_counter_ns(), asyncio.create_task(hog())
    while not busy.done():
        await asyncio.sleep(0.001)
        now = time.perf_counter_ns(); gaps.append(now - last); last = now
    print(max(gaps))
asyncio.run(main())
"""
MP_QUEUE_TRIP = PIPE_TRIP.replace("near, far = mp.Pipe()", "there, back = mp.Queue(), mp.Queue()").replace(
    "far.send(far.recv())", "back.put(there.get())").replace(
    'near.send(b"m" * 64); near.recv()', 'there.put(b"m" * 64); back.get()')  # fmt: skip
MEMORY_THREADS = """
import threading
def private():
    with open("/proc/self/smaps_rollup") as f:
        return sum(int(line.split()[1]) * 1024 for line in f if line.startswith("Private_"))
stop = threading.Event()
def start(n):
    for _ in range(n): threading.Thread(target=stop.wait, daemon=True).start()
start(32)
before = private()
start(64)
print((private() - before) / 64)
"""
# The workers note the times: whoever let them go may get a CPU again only when they are done.
SPEEDUP = """
import multiprocessing, os, statistics, threading, time
mp = multiprocessing.get_context("fork")
def pinned(k, cpu, gate, begins, ends):
    os.sched_setaffinity(0, {cpu}); gate.wait(); begins[k] = time.perf_counter()
    t = 0
    for i in range(50_000): t += i & 3
    ends[k] = time.perf_counter()
def together(cpus, worker, gate):
    begins, ends = mp.RawArray("d", len(cpus)), mp.RawArray("d", len(cpus))
    workers = [worker(target=pinned, args=(k, cpu, gate, begins, ends)) for k, cpu in enumerate(cpus)]
    for w in workers: w.start()
    for w in workers: w.join()
    return max(ends) - min(begins)
ratios = []
for _ in range(40):
    alone = together([%(last)d], %(worker)s, %(gate)s(1))
    ratios.append(2 * alone / together([%(first)d, %(last)d], %(worker)s, %(gate)s(2)))
print(statistics.median(ratios))
"""
ECHO = """
import asyncio, multiprocessing, os, socket, threading, time
mp = multiprocessing.get_context("fork")
def serve(s):
    os.sched_setaffinity(0, {%(first)d})
    async def one(r, w):
        while data := await r.read(64): w.write(data); await w.drain()
    async def main(): await (await asyncio.start_server(one, sock=s)).serve_forever()
    asyncio.run(main())
listener = socket.create_server(("127.0.0.1", 0), backlog=200)
mp.Process(target=serve, args=(listener,), daemon=True).start()
os.sched_setaffinity(0, {%(last)d})
import select
poll, conns = select.epoll(), {}
for _ in range(100):
    c = socket.create_connection(listener.getsockname()); conns[c.fileno()] = c
    c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1); poll.register(c, select.EPOLLIN)
def round_s(duration):
    count, until = 0, time.perf_counter() + duration
    while time.perf_counter() < until:
        for fd, _ in poll.poll(): conns[fd].recv(64); conns[fd].send(b"m" * 64); count += 1
    return count / duration
for c in conns.values(): c.send(b"m" * 64)
round_s(0.2)
print(sorted(round_s(0.05) for _ in range(5))[2])
"""
THREADS = {"worker": "threading.Thread", "gate": "threading.Barrier"}
PROCESSES = {"worker": "mp.Process", "gate": "mp.Barrier"}

MP = "import multiprocessing\nmp = multiprocessing.get_context('%s')\n"
PYPERF_THREAD = ("import threading\ndef f(): pass", "t = threading.Thread(target=f); t.start(); t.join()", 20)
PYPERF_FORK = (MP % "fork" + "def f(): pass", "p = mp.Process(target=f); p.start(); p.join()", 3)
TASKS = """
import asyncio
async def f(): pass
async def made():
    for _ in range(100): await asyncio.create_task(f())
async def turn():
    for _ in range(100): await asyncio.sleep(0)
async def turns(): await asyncio.gather(turn(), turn())
loop = asyncio.new_event_loop()
"""
PYPERF_TASK = (TASKS, "loop.run_until_complete(made())", 5)
PYPERF_SWITCH = (TASKS, "loop.run_until_complete(turns())", 5)
PYPERF_AWAIT = (
    """
async def f(): pass
async def g():
    for _ in range(1000): await f()
def run():
    try: g().send(None)
    except StopIteration: pass
""",
    "run()",
    5,
)
LOCKS = """
import threading, multiprocessing
mp = multiprocessing.get_context("fork")
a, b = %(latches)s
a.acquire(); b.acquire()
def other():
    while True: b.acquire(); a.release()
%(worker)s(target=other, daemon=True).start()
def turns():
    for _ in range(20): b.release(); a.acquire()
turns()  # the other one starts in here, with all its page faults: pyperf makes a new one for each value
"""
PYPERF_HAND_THREAD = (
    LOCKS % {"latches": "threading.Lock(), threading.Lock()", "worker": "threading.Thread"}, "turns()", 20,
)  # fmt: skip
PYPERF_HAND_PROCESS = (
    LOCKS % {"latches": "mp.Semaphore(1), mp.Semaphore(1)", "worker": "mp.Process"}, "turns()", 20,
)  # fmt: skip

# A program that prints its figure, or for pyperf setup, statement and how often that runs after each setup.
Check = str | tuple[str, str, int]
# By probe, variant and measure: name, check, and what one figure of the check is divided by.
Checks = dict[tuple[str, str, str], list[tuple[str, Check, float]]]
CHECKS: Checks = {
    ("python_spawn", "model=thread", "create_ns"): [
        ("thread, made and joined (pyperf)", PYPERF_THREAD, 1),
    ],
    ("python_spawn", "model=process_fork", "create_ns"): [("fork, made and joined (pyperf)", PYPERF_FORK, 1)],
    ("python_spawn", "model=asyncio_task", "create_ns"): [
        ("task, made and awaited (pyperf)", PYPERF_TASK, 100),
    ],
    ("python_spawn", "model=thread", "memory_bytes"): [("memory of a thread", MEMORY_THREADS, 1)],
    ("python_switch", "model=await", "switch_ns"): [("await (pyperf)", PYPERF_AWAIT, 1000)],
    ("python_switch", "model=asyncio_task", "switch_ns"): [
        ("switch of tasks (pyperf)", PYPERF_SWITCH, 200),
        ("switch of tasks", SWITCH_TASKS, 1),
    ],
    ("python_switch", "model=thread", "switch_ns"): [
        ("hand-over of threads (pyperf)", PYPERF_HAND_THREAD, 40),
        ("hand-over of threads", SWITCH_THREADS, 1),
    ],
    ("python_switch", "model=process", "switch_ns"): [
        ("hand-over of processes (pyperf)", PYPERF_HAND_PROCESS, 40),
        ("hand-over of processes", SWITCH_PROCESSES, 1),
    ],
    ("python_switch", "model=asyncio_task", "stall_ns"): [("stall beside a coroutine", STALL_TASKS, 1)],
    ("python_channel", "channel=queue", "round_trip_ns"): [("queue.Queue round trip", QUEUE_TRIP % ENDS, 1)],
    ("python_channel", "channel=pipe", "round_trip_ns"): [("Pipe round trip", PIPE_TRIP % ENDS, 1)],
    ("python_channel", "channel=mp_queue", "round_trip_ns"): [
        ("mp.Queue round trip", MP_QUEUE_TRIP % ENDS, 1),
    ],
    ("python_scaling", "model=thread", "speedup_ratio"): [
        ("speed-up of threads", SPEEDUP % (ENDS | THREADS), 1),
    ],
    ("python_scaling", "model=process_fork", "speedup_ratio"): [
        ("speed-up of processes", SPEEDUP % (ENDS | PROCESSES), 1),
    ],
    ("python_io", "model=asyncio connections=100", "requests_per_s"): [
        ("asyncio echo, 100 connections", ECHO % ENDS, 1),
    ],
}
# On two CPUs; everything else on one, as the probe does it.
ON_TWO_CPUS = ("python_channel", "python_scaling", "python_io")
