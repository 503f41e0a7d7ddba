"""The text of the systemd unit. https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from lineside_agent.install.needs import Needs
from lineside_agent.install.places import Places

# The memory limit is a share of the machine's: a leak ends the agent, which starts anew, and not the machine.
MEMORY_MAX = "50%"
WATCHDOG_S = 60


class Unit(NamedTuple):
    """What a unit says. `command` starts Lineside; the rest are its limits."""

    command: tuple[str, ...]
    places: Places
    needs: Needs
    watchdog_s: int = WATCHDOG_S
    memory_max: str = MEMORY_MAX


_UNIT = """\
# Written by `lineside agent install`, which writes it anew. Changes of yours belong into a drop-in:
#   {systemctl} edit lineside-agent
[Unit]
Description=Lineside agent
# It waits for network and broker by itself, and is started again however often it fails.
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={command} agent run --config {config}
EnvironmentFile=-{secrets}
Environment=LINESIDE__STATE=%S/{state}
StateDirectory={state}
StateDirectoryMode=0700
RuntimeDirectory=lineside
# Killed at any moment it loses nothing, so any failure may be answered by a new start; wrong settings (2) may not.
Restart=on-failure
RestartSec=5s
RestartPreventExitStatus=2
# The sensing thread feeds the watchdog. SIGKILL, because SIGABRT would leave a core file.
WatchdogSec={watchdog_s}s
WatchdogSignal=SIGKILL
TimeoutStartSec=5min
TimeoutStopSec=30s
MemoryMax={memory_max}
MemorySwapMax=0
TasksMax=64
{confined}
[Install]
WantedBy={target}
"""
# What needs no mount namespace: a user's own service manager can do it too.
_FOR_ALL = """\

NoNewPrivileges=yes
LockPersonality=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
UMask=0077
"""
_FOR_SYSTEM = """\

DynamicUser=yes
User=lineside-agent
CapabilityBoundingSet=
AmbientCapabilities=
KeyringMode=private
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
RemoveIPC=yes
"""


def render(unit: Unit) -> str:
    """Return the unit file's text."""
    places = unit.places
    confined = _FOR_ALL if places.user else _FOR_ALL + _FOR_SYSTEM + "\n".join(_allowed(unit.needs)) + "\n"
    return _UNIT.format(
        systemctl=" ".join(("sudo", *places.systemctl)[places.user :]),
        command=" ".join(map(_quoted, unit.command)),
        config=_quoted(str(places.config)),
        secrets=_percent(places.secrets),
        # Older systemd keeps a user's state beside the configuration: they must not be the same folder.
        state="lineside/state" if places.user else "lineside",
        watchdog_s=unit.watchdog_s,
        memory_max=unit.memory_max,
        confined=confined,
        target="default.target" if places.user else "multi-user.target",
    )


def _allowed(needs: Needs) -> list[str]:
    """Return the lines that depend on the settings."""
    lines = [] if needs.writes_code else ["MemoryDenyWriteExecute=yes"]
    if needs.devices:
        lines += ["DevicePolicy=closed", *(f"DeviceAllow={device} rw" for device in needs.devices)]
    else:
        lines += ["PrivateDevices=yes", "PrivateUsers=yes"]
    if needs.groups:
        lines.append(f"SupplementaryGroups={' '.join(needs.groups)}")
    if needs.visible:
        # /home is an empty folder with just these in it.
        lines.append("ProtectHome=tmpfs")
        lines += [f"BindReadOnlyPaths={_path(path)}" for path in needs.visible]
    else:
        lines.append("ProtectHome=yes")
    if needs.key_file is not None:
        lines.append(f"LoadCredential=device.key:{_percent(needs.key_file)}")
        lines.append("Environment=LINESIDE__BROKER__KEY_FILE=%d/device.key")
    return lines


def _quoted(text: str) -> str:
    """Return a word of a command as systemd reads it back: it expands percent and dollar signs."""
    return _path(text.replace("$", "$$"))


def _path(path: Path | str) -> str:
    text = _percent(path)
    if not any(letter in text for letter in " \t\"'\\"):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _percent(path: Path | str) -> str:
    return str(path).replace("%", "%%")
