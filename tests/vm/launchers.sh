#!/bin/bash
# In the guest: units and commands with the words of the advice, on two nodes. /share/unit.conf is the drop-in,
# /share/numactl and /share/taskset hold a line each, which all end in `/share/where`. Prints what each was bound to.
set -u
chmod +x /share/where 2>/dev/null
mkdir -p /etc/systemd/system/advised.service.d
printf '[Service]\nType=oneshot\nExecStart=/bin/bash /share/where\nStandardOutput=file:/run/where\n' \
  > /etc/systemd/system/advised.service
cp /share/unit.conf /etc/systemd/system/advised.service.d/
systemctl daemon-reload && systemctl start advised.service || journalctl -u advised --no-pager | tail -20
echo "systemd: $(tr '\n' ' ' < /run/where)"
systemctl show advised.service -p CPUAffinity -p AllowedCPUs -p NUMAPolicy -p NUMAMask -p AllowedMemoryNodes
for tool in taskset numactl; do
  if command -v $tool > /dev/null; then echo "$tool: $(bash /share/$tool 2>&1 | sort | tr '\n' ' ')"; else echo "$tool: absent"; fi
done
echo done
