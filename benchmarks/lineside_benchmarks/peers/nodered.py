"""Node-RED, told to read a pipe, queue on disk while the broker is away, and publish."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from lineside_benchmarks.peers.install import installed

# What the status of an MQTT node says, as commands for the queue: flush and pass on, or keep.
_CONTROL = """
const text = (msg.status || {}).text || "";
const up = text.includes("connected") && !text.includes("disconnected");
return {topic: "control", payload: up ? "open" : "queue"};
"""
_MESSAGE = "return {topic: TOPIC, payload: {ts: Date.now(), value: JSON.parse(msg.payload).count}};"


def prepare(folder: Path, pipe: Path, broker: tuple[str, int], topic: str) -> list[str]:
    """Write its settings and its flow into a folder, and return the command that runs it."""
    program = installed("node-red")
    assert program is not None
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "flows.json").write_text(json.dumps(_flow(pipe, broker, topic)))
    (folder / "settings.js").write_text(
        "module.exports = {flowFile: 'flows.json', httpAdminRoot: false, httpNodeRoot: false,"
        " contextStorage: {default: {module: 'localfilesystem'}},"
        " logging: {console: {level: 'warn'}}};\n"
    )
    return [str(program), "--userDir", str(folder), "--port", "0"]


def _flow(pipe: Path, broker: tuple[str, int], topic: str) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = [
        {"id": "start", "type": "inject", "once": True, "onceDelay": 0.1, "props": [], "wires": [["read"]]},
        {
            "id": "read",
            "type": "exec",
            "command": f"cat {shlex.quote(str(pipe))}",
            "useSpawn": "true",
            "wires": [["lines"], [], []],
        },
        {
            "id": "lines",
            "type": "split",
            "splt": "\\n",
            "spltType": "str",
            "stream": True,
            "wires": [["message"]],
        },
        _function("message", _MESSAGE.replace("TOPIC", json.dumps(topic)), "queue"),
        {
            "id": "queue",
            "type": "q-gate",
            "controlTopic": "control",
            "defaultState": "queueing",
            **{
                f"{verb}Cmd": verb
                for verb in ("open", "close", "toggle", "queue", "default", "trigger", "flush")
            },
            **{f"{verb}Cmd": verb for verb in ("reset", "peek", "drop", "status")},
            "maxQueueLength": "0",
            "persist": True,
            "storeName": "default",
            "wires": [["out"]],
        },
        {"id": "out", "type": "mqtt out", "topic": "", "qos": "1", "retain": "false", "broker": "broker"},
        {"id": "status", "type": "status", "scope": ["out"], "wires": [["control"]]},
        _function("control", _CONTROL, "queue"),
    ]
    placed = [{"z": "flow", "x": 100, "y": 100, "wires": [], **node} for node in nodes]
    return [{"id": "flow", "type": "tab", "label": "outage"}, _broker(broker), *placed]


def _function(name: str, text: str, to: str) -> dict[str, Any]:
    return {"id": name, "type": "function", "func": text, "outputs": 1, "wires": [[to]]}


def _broker(broker: tuple[str, int]) -> dict[str, Any]:
    return {
        "id": "broker",
        "type": "mqtt-broker",
        "broker": broker[0],
        "port": str(broker[1]),
        "clientid": "node-red",
        "autoConnect": True,
        "protocolVersion": "4",
        "keepalive": "15",
        "cleansession": False,
    }
