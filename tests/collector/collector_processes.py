"""A real broker, a client that stands for a device, and the collector as a process of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path
from queue import Queue
from typing import Any

import paho.mqtt.client as mqtt
from collector_messages import wire
from paho.mqtt.enums import CallbackAPIVersion

from lineside_contract.messages import Status


class Broker:
    """mosquitto on a loopback port, which can be killed and started again."""

    def __init__(self, folder: Path, settings: str = "allow_anonymous true\n") -> None:
        self.port = free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self._config = folder / f"mosquitto-{self.port}.conf"
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\n{settings}set_tcp_nodelay true\n"
            "user root\nmax_queued_messages 1000000\nmax_inflight_messages 50\npersistence false\n"
        )
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            ["/usr/sbin/mosquitto", "-c", str(self._config)], stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except ConnectionRefusedError:
                assert time.monotonic() < deadline, "mosquitto did not start"
                assert self._process.poll() is None, "mosquitto ended"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


class Peer:
    """What a device or an operator would have: a client whose messages land in a queue."""

    def __init__(self, port: int, topic: str) -> None:
        self.messages: Queue[tuple[str, bytes]] = Queue()
        granted: Queue[bool] = Queue()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self.client.max_inflight_messages_set(0)
        self.client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
        self.client.on_subscribe = lambda *_: granted.put(True)
        self.client.on_message = lambda _c, _d, message: self.messages.put((message.topic, message.payload))
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        granted.get(timeout=10)

    def send(self, message: Any, site: str) -> None:
        topic, payload = wire(message, site)
        self.client.publish(topic, payload, qos=1, retain=isinstance(message, Status))

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


class Running:
    """A `lineside collector run` process; its stderr, line by line."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lineside_cli.main", "collector", "run", *arguments],
            stderr=subprocess.PIPE,
            text=True,
            env={"PATH": "/usr/bin", **environment},
        )

    def wait_for(self, line: str) -> None:
        assert self.process.stderr is not None
        seen = []
        for one in self.process.stderr:
            seen.append(one)
            if line in one:
                return
        raise AssertionError(f"{line!r} never came, but: {''.join(seen)}")

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
