#!/bin/bash
# In the guest: /share holds site/ (the daemon with all it needs) and bin/; arguments are CPUs to switch off and on.
export PYTHONPATH=/share/site PATH=/share/bin:$PATH PYTHONDONTWRITEBYTECODE=1
exec python3 /share/daemon_guest.py "$@"
