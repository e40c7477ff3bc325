"""toposcope: what sharing costs between the CPUs of this machine, measured continuously."""

__version__ = "0.1.0"
