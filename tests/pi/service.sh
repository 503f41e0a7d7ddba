# What happens to the service, told on the console as "== name: value". Runs as root in the booted system.
LINESIDE=/home/pi/.local/share/pipx/venvs/lineside/bin/lineside
CONFIG=/etc/lineside/agent.toml
SERVICE=lineside-agent

tell() { echo "== $1: ${*:2}"; }
show() { systemctl show -p "$1" --value $SERVICE; }
predictions() { show StatusText | cut -d ' ' -f 1; }
peak() { cat /sys/fs/cgroup/system.slice/$SERVICE.service/memory.peak; }

# await SECONDS COMMAND...: try once a second, and tell if it never came true.
await() {
    local end=$((SECONDS + $1)); shift
    until "$@"; do
        if [ $SECONDS -ge $end ]; then tell failed "$*"; journalctl -u $SERVICE -n 30 --no-pager; return 1; fi
        sleep 1
    done
}
restarted() { [ "$(show NRestarts)" -ge "$1" ]; }
predicted() { local found; found=$(predictions); [ "${found:-0}" -ge "$1" ]; }
settled() { ! systemctl is-active --quiet $SERVICE || restarted 1 || predicted 5; }

# The service installed, started, and confined.
$LINESIDE agent install --watchdog 20 --memory-max 96M --now
tell installed $?
await 180 predicted 20
pid=$(show MainPID)
tell active "$(systemctl is-active $SERVICE)"
tell user "$(stat -c %u /proc/$pid)"
tell confined $(grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/$pid/status | tr -d '\t')
tell exposure "$(systemd-analyze security --no-pager $SERVICE | tail -1)"
tell health "$($LINESIDE agent health)"
tell status "$(show StatusText)"
tell again "$($LINESIDE agent install --watchdog 20 --memory-max 96M | tr '\n' ' ')"

# The sensing thread hangs: it opens a pipe that nobody writes to. Delivery goes on, and must not count.
rm -f /srv/fault.toml
mkfifo /srv/fault.toml
await 180 restarted 1
rm -f /srv/fault.toml
tell watchdog "$(journalctl -u $SERVICE -o cat --no-pager | grep -c 'Watchdog timeout')"
await 180 predicted 20
tell recovered "$(systemctl is-active $SERVICE)"

# Killed without a word.
systemctl kill --signal=KILL $SERVICE
await 180 restarted 2
await 180 predicted 20
tell compact_peak "$(peak)"
systemctl stop $SERVICE
tell stopped "$(show Result)" "$(journalctl -u $SERVICE -o cat --no-pager | grep '; ' | tail -1)"

# The same forest as its converter wrote it, with as much memory, and with what it needs.
sed -i 's/--compact/--float32/' $CONFIG
for most in 96M 128M 50%; do
    systemctl reset-failed $SERVICE 2> /dev/null
    $LINESIDE agent install --memory-max $most --now > /dev/null
    tell "plain_$most" "started $?"
    await 180 settled
    tell "plain_$most" "$(show Result) restarts=$(show NRestarts) peak=$(peak 2> /dev/null)"
    systemctl stop $SERVICE
done

$LINESIDE agent uninstall
tell uninstalled $? "left: $(ls /etc/systemd/system/$SERVICE.service $CONFIG 2> /dev/null)"
