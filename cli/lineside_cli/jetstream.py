"""The one thing that nats-server's configuration cannot say: how many messages may wait for absent collectors.

Without a limit they fill JetStream's whole store, and then the broker refuses every connection for want of room to
note it, also that of the collector that comes back to fetch them. With it the oldest go first. nats-server keeps
the limit once it is set. (nats-server 2.15 has no MQTT setting for it; NATS client protocol and JetStream API:
docs.nats.io/reference.)
"""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

from lineside_contract.errors import LinesideError

MESSAGES = (
    "$MQTT_msgs"  # where nats-server keeps MQTT messages until every subscription has acknowledged them
)
_INBOX = "_INBOX.lineside"
_TIMEOUT_S = 10.0


def client_port(folder: Path, pid: int) -> int:
    """Return the port for NATS clients of the server that runs in `folder`, which writes it to a file.

    It may do so a little after it answers MQTT clients, so wait for that. Raises LinesideError if it never does.
    """
    file = folder / f"nats-server_{pid}.ports"
    deadline = time.monotonic() + _TIMEOUT_S
    while True:
        try:
            return int(str(json.loads(file.read_bytes())["nats"][0]).rpartition(":")[2])
        except (FileNotFoundError, json.JSONDecodeError) as error:  # not there, or not all of it
            if time.monotonic() > deadline:
                raise LinesideError(f"nats-server did not say on which port it listens: {error}.") from error
        time.sleep(0.02)  # nothing announces a file


def limit_messages(port: int, most_bytes: int, *, user: str = "", password: str = "") -> None:
    """Let at most `most_bytes` of messages wait; the oldest go first. An MQTT client must have connected before.

    Raises LinesideError if the server will not.
    """
    found = request(port, f"$JS.API.STREAM.INFO.{MESSAGES}", user=user, password=password)
    wanted = {**found["config"], "max_bytes": most_bytes, "discard": "old"}
    if found["config"] != wanted:
        request(port, f"$JS.API.STREAM.UPDATE.{MESSAGES}", wanted, user=user, password=password)


def request(
    port: int, subject: str, body: Any = None, *, user: str = "", password: str = ""
) -> dict[str, Any]:
    """Send a request to the NATS server on this machine and return its answer, or raise LinesideError."""
    payload = b"" if body is None else json.dumps(body).encode()
    options = {"verbose": False, **({"user": user, "pass": password} if user else {})}
    try:
        with socket.create_connection(("127.0.0.1", port), _TIMEOUT_S) as connection:
            connection.sendall(
                b"CONNECT %s\r\nSUB %s 1\r\nPUB %s %s %d\r\n%s\r\n"
                % (
                    json.dumps(options).encode(),
                    _INBOX.encode(),
                    subject.encode(),
                    _INBOX.encode(),
                    len(payload),
                    payload,
                )
            )
            answer = _answer(connection)
    except (OSError, ValueError) as error:
        raise LinesideError(f"nats-server did not answer {subject}: {error}.") from error
    if problem := answer.get("error"):
        raise LinesideError(f"nats-server refused {subject}: {problem.get('description')}.")
    return answer


def _answer(connection: socket.socket) -> dict[str, Any]:
    with connection.makefile("rb") as lines:
        for line in lines:
            if line.startswith(b"MSG "):
                answer: dict[str, Any] = json.loads(lines.read(int(line.split()[-1])))
                return answer
            if line.startswith(b"-ERR"):
                raise ValueError(line[4:].decode(errors="replace").strip())
            if line.startswith(b"PING"):
                connection.sendall(b"PONG\r\n")
    raise ValueError("it closed the connection")
