"""ThingsBoard IoT Gateway, told to take readings from standard input, keep them in SQLite and publish them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from lineside_benchmarks.peers.install import installed

DEVICE = "thingsboard"
_NO_LIMIT = "0:0,"  # the gateway's own way to say so


def prepare(folder: Path, broker: tuple[str, int]) -> tuple[list[str], dict[str, str]]:
    """Write its configuration, its storage included, into a folder; return a command and its environment."""
    program = installed("thingsboard-gateway")
    assert program is not None
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "logs").mkdir(exist_ok=True)
    for package in (program.parents[1] / "lib").glob("python*/site-packages/thingsboard_gateway"):
        extension = package / "extensions" / "lines"
        extension.mkdir(exist_ok=True)
        shutil.copy(Path(__file__).with_name("thingsboard_connector.py"), extension)
    lines = {"name": "sensor", "logLevel": "ERROR", "device": DEVICE}
    files = {"tb_gateway.json": _gateway(folder, broker), "lines.json": lines, "logs.json": _logs()}
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    return [str(program)], {"TB_GW_CONFIG_DIR": str(folder)}


def _gateway(folder: Path, broker: tuple[str, int]) -> dict[str, Any]:
    limits = (
        "rateLimits",
        "dpRateLimits",
        "messagesRateLimits",
        "deviceMessagesRateLimits",
        "deviceRateLimits",
        "deviceDpRateLimits",
    )
    return {
        "thingsboard": {
            "host": broker[0],
            "port": broker[1],
            "remoteShell": False,
            "remoteConfiguration": False,
            "statistics": {"enable": False},
            "security": {"type": "accessToken", "accessToken": "gateway"},
            "qos": 1,
            # As in the configuration that it comes with.
            "maxPayloadSizeBytes": 8196,
            "minPackSendDelayMS": 50,
            "minPackSizeToSend": 500,
            "checkConnectorsConfigurationInSeconds": 60,
            "reportStrategy": {"type": "ON_RECEIVED"},
            **dict.fromkeys(limits, _NO_LIMIT),
        },
        "storage": {
            "type": "sqlite",
            "data_file_path": f"{folder / 'data'}/",
            "messages_ttl_check_in_hours": 1,
            "messages_ttl_in_days": 7,
            "max_read_records_count": 1000,
        },
        "grpc": {"enabled": False},
        "connectors": [
            {"type": "lines", "name": "sensor", "configuration": "lines.json", "class": "LinesConnector"}
        ],
    }


def _logs() -> dict[str, Any]:
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {
            "console": {"class": "logging.StreamHandler", "level": "INFO", "stream": "ext://sys.stdout"}
        },
        "root": {"level": "WARNING", "handlers": ["console"]},
    }
