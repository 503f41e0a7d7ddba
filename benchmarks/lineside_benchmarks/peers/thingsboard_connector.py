"""A connector for ThingsBoard IoT Gateway, of the kind that its documentation calls custom: lines on standard input.

The gateway's own socket connector takes five readings a second at most. Copied into the gateway's `extensions`.
"""

import json
import sys
import threading
import time
from typing import Any

from thingsboard_gateway.connectors.connector import Connector
from thingsboard_gateway.gateway.entities.converted_data import ConvertedData
from thingsboard_gateway.gateway.entities.datapoint_key import DatapointKey
from thingsboard_gateway.gateway.entities.telemetry_entry import TelemetryEntry


class LinesConnector(Connector):  # type: ignore[misc]
    def __init__(self, gateway: Any, config: dict[str, Any], connector_type: str) -> None:
        self.daemon = True
        self._gateway = gateway
        self._config = config
        self._type = connector_type
        self._stopped = False
        self.name = config["name"]
        self.statistics = {"MessagesReceived": 0, "MessagesSent": 0}

    def open(self) -> None:
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        ts = 0
        for line in sys.stdin:
            # Two values of one millisecond would be one for it.
            ts = max(ts + 1, time.time_ns() // 1_000_000)
            data = ConvertedData(device_name=self._config["device"], device_type="default")
            data.add_to_telemetry(TelemetryEntry({DatapointKey("count"): json.loads(line)["count"]}, ts))
            self._gateway.send_to_storage(self.get_name(), self.get_id(), data)
            if self._stopped:
                break

    def close(self) -> None:
        self._stopped = True

    def get_id(self) -> str:
        return "lines"

    def get_name(self) -> str:
        return str(self.name)

    def get_type(self) -> str:
        return self._type

    def get_config(self) -> dict[str, Any]:
        return self._config

    def is_connected(self) -> bool:
        return True

    def is_stopped(self) -> bool:
        return self._stopped

    def on_attributes_update(self, content: Any) -> None:
        pass

    def server_side_rpc_handler(self, content: Any) -> None:
        pass
