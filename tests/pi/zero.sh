# A user's own service, and the service with a quarter of one core, told on the console as "== name: value".
# Runs as root in the booted system.
LINESIDE=/home/pi/.local/share/pipx/venvs/lineside/bin/lineside
CONFIG=/etc/lineside/agent.toml
SERVICE=lineside-agent
SYSTEMCTL=systemctl

tell() { echo "== $1: ${*:2}"; }
show() { $SYSTEMCTL show -p "$1" --value $SERVICE; }
predictions() { show StatusText | cut -d ' ' -f 1; }

# await SECONDS COMMAND...: try once a second, and tell if it never came true.
await() {
    local end=$((SECONDS + $1)); shift
    until "$@"; do
        if [ $SECONDS -ge $end ]; then tell failed "$*"; journalctl -n 40 --no-pager; return 1; fi
        sleep 1
    done
}
restarted() { [ "$(show NRestarts)" -ge "$1" ]; }
predicted() { local found; found=$(predictions); [ "${found:-0}" -ge "$1" ]; }
ended() { ! $SYSTEMCTL is-active --quiet $SERVICE; }
as_pi() { setpriv --reuid pi --regid pi --init-groups env HOME=/home/pi XDG_RUNTIME_DIR=/run/user/1000 "$@"; }

# A user without root, who is not logged in.
loginctl enable-linger pi
await 120 test -S /run/user/1000/systemd/private
SYSTEMCTL="as_pi systemctl --user"
as_pi $LINESIDE agent install --user --watchdog 20 --now
tell user_installed $?
await 180 predicted 10
pid=$(show MainPID)
tell user_is "$(stat -c %U /proc/$pid)"
tell user_confined $(grep -E '^(NoNewPrivs|Seccomp):' /proc/$pid/status | tr -d '\t')
tell user_health "$(as_pi $LINESIDE agent health)"
rm -f /srv/fault.toml
mkfifo /srv/fault.toml
await 180 restarted 1
rm -f /srv/fault.toml
await 180 predicted 10
tell user_recovered "$($SYSTEMCTL is-active $SERVICE)"
tell user_uninstalled "$(as_pi $LINESIDE agent uninstall --user | head -1)"
tell user_left "$(cd /home/pi/.config && ls -d lineside/* systemd/user/*.service 2> /dev/null | tr '\n' ' ')"

# A slow board: a recording at so many readings a second, with a quarter of an emulated core.
SYSTEMCTL=systemctl
mkdir -p /etc/systemd/system/$SERVICE.service.d
printf '[Service]\nCPUQuota=25%%\n' > /etc/systemd/system/$SERVICE.service.d/slow.conf
for rate in $RATES; do
    sed -i "s|^file = .*|file = \"/etc/lineside/$rate.csv\"|; s|^interval_s = .*|interval_s = $(awk "BEGIN {print 1 / $rate}")|" $CONFIG
    systemctl reset-failed $SERVICE 2> /dev/null
    began=$(cut -d . -f 1 /proc/uptime)
    $LINESIDE agent install --watchdog 20 --memory-max 96M --now > /dev/null || tell failed "install for $rate"
    started=$(($(cut -d . -f 1 /proc/uptime) - began))
    stat=/sys/fs/cgroup/system.slice/$SERVICE.service
    while ! ended; do
        used=$(awk '{printf "%s=%s ", $1, $2}' $stat/cpu.stat 2> /dev/null) && kept=$used || true
        most=$(cat $stat/memory.peak 2> /dev/null) && peak=$most || true
        sleep 0.5
    done
    took=$(($(cut -d . -f 1 /proc/uptime) - began - started))
    tell "slow_$rate" "start=$started took=$took restarts=$(show NRestarts) result=$(show Result) peak=$peak $kept"
done
journalctl -u $SERVICE -o cat --no-pager | tail -15
