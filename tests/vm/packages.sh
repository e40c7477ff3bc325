#!/bin/bash
# In the guest: /share holds the scripts and the packages; arguments go to the script that knows the first one.
case "$1" in drop-ins | probes) script=service_guest.py ;; *) script=packages_guest.py ;; esac
exec python3 "/share/$script" "$@"
