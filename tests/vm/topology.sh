#!/bin/bash
# In the guest: /share holds daemon/ and site/ (click, rich, msgspec); arguments are CPUs to switch off and on.
export PYTHONPATH=/share/daemon:/share/probes:/share/site PYTHONDONTWRITEBYTECODE=1
exec python3 /share/topology_guest.py "$@"
