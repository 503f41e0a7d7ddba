"""The wire contract for readers in any language: JSON Schemas and an AsyncAPI document, from the types.

Run `python -m lineside_contract.schemas docs` to write them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from lineside_contract import messages
from lineside_contract.manifest import Manifest
from lineside_contract.topics import ROOT, Kind

WIRE_VERSION = "1.0.0"


class Published(NamedTuple):
    """One kind of message: its topic, type, delivery and who says it."""

    address: str
    type: type[msgspec.Struct]
    qos: int
    retained: bool
    sender: str
    summary: str


def _device(kind: Kind) -> str:
    return f"{ROOT}/{{site}}/{{device}}/{kind}"


PUBLISHED = {
    "status": Published(
        _device(Kind.STATUS), messages.Status, 1, True, "agent", "Birth, clean stop and last will."
    ),
    "heartbeat": Published(
        _device(Kind.HEARTBEAT), messages.Heartbeat, 0, False, "agent", "Health, at regular intervals."
    ),
    "prediction": Published(
        _device(Kind.PREDICTION), messages.Prediction, 1, False, "agent", "One prediction."
    ),
    "predictions": Published(
        _device(Kind.PREDICTIONS), messages.Predictions, 1, False, "agent", "Many predictions, in columns."
    ),
    "event": Published(_device(Kind.EVENT), messages.Event, 1, False, "agent", "Something that happened."),
    "ack": Published(
        _device(Kind.ACK), messages.Ack, 0, False, "collector", "Which messages a collector committed."
    ),
    "collector_status": Published(
        f"{ROOT}/{{site}}/collectors/{{collector}}/status",
        messages.CollectorStatus,
        1,
        True,
        "collector",
        "Whether a collector is there.",
    ),
}
_PARAMETERS = {
    "site": "The plant or line; one collector serves one site.",
    "device": "The device's id, which is also its MQTT client id.",
    "collector": "The collector's id.",
}


def documents() -> dict[str, str]:
    """Return every generated document by its path below the docs folder."""
    types = {published.type for published in PUBLISHED.values()} | {Manifest}
    result = {
        f"schema/{kind.__name__}.json": _text(_schema(kind))
        for kind in sorted(types, key=lambda kind: kind.__name__)
    }
    result["asyncapi.json"] = _text(_asyncapi())
    return result


def _schema(kind: type) -> dict[str, Any]:
    schema = msgspec.json.schema(kind, ref_template="#/$defs/{name}")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _asyncapi() -> dict[str, Any]:
    """Return an AsyncAPI 3.0.0 document (www.asyncapi.com) with MQTT bindings 0.2.0."""
    names = list(PUBLISHED)
    types = [PUBLISHED[name].type for name in names]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Lineside",
            "version": WIRE_VERSION,
            "description": "What agents and collectors say to each other over MQTT 3.1.1.",
        },
        "defaultContentType": "application/json",
        "channels": {name: _channel(name, PUBLISHED[name]) for name in names},
        "operations": {f"{PUBLISHED[name].sender}_{name}": _operation(name) for name in names},
        "components": {
            "messages": {
                name: {"name": name, "summary": PUBLISHED[name].summary, "payload": schema}
                for name, schema in zip(names, schemas, strict=True)
            },
            "schemas": components,
        },
    }


def _channel(name: str, published: Published) -> dict[str, Any]:
    return {
        "address": published.address,
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        "parameters": {
            parameter: {"description": text}
            for parameter, text in _PARAMETERS.items()
            if f"{{{parameter}}}" in published.address
        },
    }


def _operation(name: str) -> dict[str, Any]:
    published = PUBLISHED[name]
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{name}"},
        "summary": f"The {published.sender} says: {published.summary[0].lower()}{published.summary[1:]}",
        "messages": [{"$ref": f"#/channels/{name}/messages/{name}"}],
        "bindings": {"mqtt": {"qos": published.qos, "retain": published.retained, "bindingVersion": "0.2.0"}},
    }


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2) + "\n"


def main(folder: Path) -> None:
    """Write every document below `folder`."""
    for name, text in documents().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
