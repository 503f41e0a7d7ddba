"""Real brokers for tests, started from the very files that a user gets in broker-config/."""

from __future__ import annotations

import os
import pwd
import random
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from processes import Process

from lineside_cli.broker import answers, nats_server

CONFIG = Path(__file__).parents[2] / "broker-config"
PASSWORDS = {
    "collector": "only-the-collector",
    "observer": "who-only-looks",
    "operator": "of-nats-only",
    "pump-1": "first-pump",
    "pump-2": "second-pump",
}


class Certificates(NamedTuple):
    """Files: the authority that clients trust, and the broker's own certificate and key, for 127.0.0.1."""

    ca: Path
    certificate: Path
    key: Path


class Launch(NamedTuple):
    """How to start a broker on a port: a command, and what to add to its environment."""

    command: list[str]
    env: Mapping[str, str]


class Broker:
    """A broker with a folder and a port that outlive its process. TLS if there are certificates."""

    def __init__(
        self,
        kind: str,
        folder: Path,
        launch: Callable[[Path, int], Launch],
        certificates: Certificates | None = None,
    ) -> None:
        self.kind = kind
        self.folder = folder
        self.certificates = certificates
        self.port = free_port()
        self._launch = launch
        self._process: Process | None = None

    @property
    def url(self) -> str:
        return f"{'mqtts' if self.certificates else 'mqtt'}://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the broker, or start it again on the port and with the files that it had."""
        fresh = self._process is None
        for _ in range(5 if fresh else 1):
            launch = self._launch(self.folder, self.port)
            self._process = Process(launch.command, folder=self.folder, env=launch.env)
            if self._wait_until_it_answers(self._process):
                return
            if fresh:
                self.port = free_port()  # somebody took it in between
        raise AssertionError(f"{self.kind} did not start:\n{self.log()}")

    def stop(self) -> None:
        """Stop as an operator does, with SIGTERM."""
        assert self._process is not None
        self._process.stop(signal.SIGTERM)

    def kill(self) -> None:
        """Stop as a crash does, with SIGKILL."""
        assert self._process is not None
        self._process.kill()

    def close(self) -> None:
        if self._process is not None:
            self._process.close()

    def log(self) -> str:
        log = self.folder / "nats-server.log"
        output = self._process.output if self._process else ""
        return output + (log.read_text() if log.exists() else "")

    def _wait_until_it_answers(self, process: Process) -> bool:
        deadline = time.monotonic() + 20
        while process.running and time.monotonic() < deadline:
            if self._answers():
                return process.running  # another process may be the one that answers
            time.sleep(0.02)  # nothing announces that a port has been opened
        process.kill()
        return False

    def _answers(self) -> bool:
        if self.certificates is None:
            return answers("127.0.0.1", self.port)
        context = ssl.create_default_context(cafile=str(self.certificates.ca))
        try:
            with (
                socket.create_connection(("127.0.0.1", self.port), 2) as plain,
                context.wrap_socket(plain, server_hostname="127.0.0.1"),
            ):
                return True
        except OSError:
            return False


def free_port() -> int:
    """Return a port that nothing uses, from below those that the kernel gives to outgoing connections."""
    while True:
        port = random.randint(15000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def replace_once(text: str, old: str, new: str) -> str:
    """Replace a setting that must stand in the file exactly once."""
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the configuration"
    return text.replace(old, new)


def nats(folder: Path) -> Broker:
    return Broker("nats", folder, lambda _, port: _nats_launch(CONFIG / "nats" / "plain.conf", port))


def nats_tls(folder: Path, certificates: Certificates) -> Broker:
    shutil.copy(certificates.certificate, folder / "broker.crt")
    shutil.copy(certificates.key, folder / "broker.key")
    text = (CONFIG / "nats" / "tls.conf").read_text()
    text = replace_once(text, 'listen: "127.0.0.1:4222"\n', 'listen: "127.0.0.1:-1"\nports_file_dir: "."\n')
    (folder / "tls.conf").write_text(text)
    return Broker("nats", folder, lambda _, port: _nats_launch(folder / "tls.conf", port), certificates)


def _nats_launch(config: Path, port: int) -> Launch:
    passwords = {
        f"LINESIDE_PASSWORD_{user.upper().replace('-', '_')}": password
        for user, password in PASSWORDS.items()
    }
    env = {"LINESIDE_MQTT_HOST": "127.0.0.1", "LINESIDE_MQTT_PORT": str(port), **passwords}
    return Launch([str(nats_server()), "-c", str(config)], env)


def mosquitto(folder: Path) -> Broker:
    return Broker("mosquitto", folder, lambda _, port: _mosquitto_plain(folder, port))


def mosquitto_tls(folder: Path, certificates: Certificates) -> Broker:
    for user, password in PASSWORDS.items():
        file = folder / "passwords"
        create = [] if file.exists() else ["-c"]
        subprocess.run(
            [_program("mosquitto_passwd"), *create, "-b", str(file), user, password],
            check=True,
            capture_output=True,
        )
    return Broker(
        "mosquitto", folder, lambda _, port: _mosquitto_tls(folder, port, certificates), certificates
    )


def _mosquitto_plain(folder: Path, port: int) -> Launch:
    text = (CONFIG / "mosquitto" / "plain.conf").read_text()
    text = replace_once(text, "listener 1883 127.0.0.1\n", f"listener {port} 127.0.0.1\n")
    return _mosquitto_launch(folder, text)


def _mosquitto_tls(folder: Path, port: int, certificates: Certificates) -> Launch:
    text = (CONFIG / "mosquitto" / "tls.conf").read_text()
    for old, new in {
        "listener 8883\n": f"listener {port} 127.0.0.1\n",
        "certfile /etc/mosquitto/certs/broker.crt\n": f"certfile {certificates.certificate}\n",
        "keyfile /etc/mosquitto/certs/broker.key\n": f"keyfile {certificates.key}\n",
        "password_file /etc/mosquitto/passwords\n": f"password_file {folder / 'passwords'}\n",
        "acl_file /etc/mosquitto/acl\n": f"acl_file {CONFIG / 'mosquitto' / 'acl'}\n",
        "persistence_location /var/lib/mosquitto/\n": "persistence_location ./\n",
    }.items():
        text = replace_once(text, old, new)
    return _mosquitto_launch(folder, text)


def _mosquitto_launch(folder: Path, text: str) -> Launch:
    # Started by root it would become the user `mosquitto`, who may not enter the test's folders.
    user = pwd.getpwuid(os.geteuid()).pw_name
    config = folder / "mosquitto.conf"
    config.write_text(f"{text}\nuser {user}\n")
    return Launch([_program("mosquitto"), "-c", str(config)], {})


def _program(name: str) -> str:
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert path, f"The tests need {name}: `make test` installs it, or says how."
    return path
