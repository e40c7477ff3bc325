"""A planted effect: starting a thread takes 20 ms."""

import threading
import time

_start = threading.Thread.start


def slow_start(self):
    time.sleep(0.02)
    _start(self)


threading.Thread.start = slow_start
