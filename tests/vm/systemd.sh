#!/bin/bash
# In the guest: the unit starts, serves, is hardened, and its watchdog heals a stopped daemon. /share holds site/, bin/
# and the unit. Prints `healed` at the end.
set -u
unit=/etc/systemd/system/toposcope.service
cp /share/toposcope.service "$unit"
cp -r /share/site /opt/toposcope-site && install -m 755 /share/bin/toposcope-kernels /usr/local/bin/
mkdir -p /etc/toposcope "$unit.d"
echo 'probes: {budget_ratio: 1.0}' > /etc/toposcope/config.yaml
# Only what the guest has to have otherwise: where the daemon lies, and time, since everything is emulated.
cat > "$unit.d/guest.conf" <<'D'
[Service]
Environment=PYTHONPATH=/opt/toposcope-site PYTHONDONTWRITEBYTECODE=1
ExecStart=
ExecStart=/usr/bin/python3 -m toposcope serve --config /etc/toposcope/config.yaml
TimeoutStartSec=240s
WatchdogSec=30s
D
ask() { python3 -c "import sys, urllib.request; print(urllib.request.urlopen('http://127.0.0.1:9847' + sys.argv[1], timeout=20).read().decode())" "$1" 2>/dev/null; }
wait_for() { # seconds, what, command…
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    if [ $SECONDS -ge $end ]; then echo "not in time: $what"; journalctl -u toposcope --no-pager | tail -30; exit 1; fi
    sleep 1
  done
}
has_result() { ask /metrics | grep -q '^toposcope_result_verdict{.*} 1'; }
other_pid() { local now; now=$(systemctl show -p MainPID --value toposcope); [ "$now" != 0 ] && [ "$now" != "$pid" ]; }
systemctl daemon-reload
systemctl start toposcope || { journalctl -u toposcope --no-pager | tail -30; exit 1; }
echo "active: $(systemctl is-active toposcope), user $(ps -o user= -p "$(systemctl show -p MainPID --value toposcope)")"
wait_for 240 "a result in /metrics" has_result
systemd-analyze security toposcope.service --no-pager | tail -1
pid=$(systemctl show -p MainPID --value toposcope)
kill -STOP "$pid"
wait_for 120 "the watchdog" other_pid
echo "watchdog: a stopped daemon was replaced"
wait_for 120 "an answer after the restart" has_result
pid=$(systemctl show -p MainPID --value toposcope)
kill -KILL "$pid"
wait_for 120 "a restart after SIGKILL" other_pid
echo "restart: a killed daemon was replaced"
wait_for 120 "an answer after the kill" has_result
systemctl stop toposcope && echo "stopped: $(systemctl is-active toposcope)"
ls -d /var/lib/toposcope /var/lib/private/toposcope
echo healed
