"""A planted effect: putting something into a queue between threads first waits busily for 2 ms."""

import queue
import time


def _wait():
    until = time.perf_counter() + 0.002
    while time.perf_counter() < until:
        pass


class SlowQueue(queue.Queue):
    def put(self, item, block=True, timeout=None):
        _wait()
        super().put(item, block, timeout)


class SlowSimpleQueue(queue.SimpleQueue):
    def put(self, item, block=True, timeout=None):
        _wait()
        super().put(item, block, timeout)


queue.Queue, queue.SimpleQueue = SlowQueue, SlowSimpleQueue
