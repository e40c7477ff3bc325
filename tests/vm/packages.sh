#!/bin/bash
# In the guest: /share holds packages_guest.py and the packages; arguments go to it.
exec python3 /share/packages_guest.py "$@"
