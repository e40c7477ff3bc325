#!/bin/bash
# In the guest: podman as a user who isn't root, and the docker engine, with the words of the advice, on cgroup v2 and
# two nodes. /share/{podman,docker}-{one,two} hold a line each, which prints what the container may use. Prints `done`.
set -u
unset XDG_RUNTIME_DIR DBUS_SESSION_BUS_ADDRESS
mkdir -p /srv/tree/bin
cp "$(command -v busybox)" /srv/tree/bin/ && ln -s busybox /srv/tree/bin/grep
tar -C /srv/tree -cf /srv/tiny.tar .
flat() { tr -s '\n\t' '  '; }
echo "versions: $(podman --version), $(crun --version | head -1), $(dockerd --version), $(systemctl --version | head -1)"

# This guest's logind is masked, and without it nobody has a session.
rm -f /etc/systemd/system/systemd-logind.service
systemctl daemon-reload && systemctl start systemd-logind
useradd --create-home --shell /bin/bash tester
useradd --create-home --shell /bin/bash stranger
mkdir -p /etc/containers && printf '[containers]\nnetns = "none"\n' > /etc/containers/containers.conf
as_user() { su - tester -c "$1" 2>&1; } # a session of its own, as a login has
as_user 'podman import -q /srv/tiny.tar tiny' > /dev/null
report() { echo "$1: $(as_user "bash /share/$2; echo \$?" | flat)"; }
report undelegated podman-one
mkdir -p /etc/systemd/system/user@.service.d
printf '[Service]\nDelegate=cpuset\n' > /etc/systemd/system/user@.service.d/delegate.conf
systemctl daemon-reload
report delegated podman-one
report delegated-two podman-two
id=$(id -u tester)
echo "controllers: $(cat "/sys/fs/cgroup/user.slice/user-$id.slice/user@$id.service/cgroup.controllers")"
as_user 'mkdir -p .config/containers && printf "[engine]\ncgroup_manager = \"cgroupfs\"\n" > .config/containers/containers.conf'
report cgroupfs podman-one
# As from cron, or below sudo: nobody to ask for a group.
stranger() { setpriv --reuid=stranger --regid=stranger --init-groups env -i HOME=~stranger PATH="$PATH" bash -c "cd; $1" 2>&1; }
stranger 'podman import -q /srv/tiny.tar tiny' > /dev/null
echo "sessionless: $(stranger 'bash /share/podman-one; echo $?' | flat)"

systemctl stop docker.socket docker.service containerd.service 2> /dev/null
export DOCKER_HOST=unix:///run/own/docker.sock
mkdir -p /run/own
dockerd -H $DOCKER_HOST --data-root /run/own/data --exec-root /run/own/exec -p /run/own/pid --storage-driver=vfs \
  --iptables=false --ip6tables=false --bridge=none > /run/own/log 2>&1 &
for _ in {1..120}; do docker import /srv/tiny.tar tiny > /dev/null 2>&1 && break; sleep 0.5; done
echo "engine: $(docker info --format '{{.CgroupDriver}} v{{.CgroupVersion}} {{.Driver}}' 2>&1 | flat)"
for which in one two; do echo "docker-$which: $(bash /share/docker-$which 2>&1 | flat)"; done
[ -s /run/own/pid ] || tail -5 /run/own/log
kill %1 && wait
echo done
