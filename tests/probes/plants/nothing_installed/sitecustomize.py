"""An interpreter in which none of the optional libraries is installed."""

import sys

for name in ("greenlet", "gevent", "tornado", "uvloop"):
    sys.modules[name] = None
