"""A planted effect: everything that processes send each other first waits busily for 1 ms."""

import time
from multiprocessing import connection

_send = connection.Connection._send


def slow_send(self, *arguments, **keywords):
    until = time.perf_counter() + 0.001
    while time.perf_counter() < until:
        pass
    return _send(self, *arguments, **keywords)


connection.Connection._send = slow_send
