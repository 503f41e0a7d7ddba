"""What the conformance tests need of each kind of sensor: a source that can be silenced, killed and brought back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from lineside_agent.clock import Clock, Signal, SystemClock
from lineside_agent.sensors import Sensor, open_sensor, settings_type
from lineside_agent.tables import Source as Origin
from lineside_agent.tables import decode


class ImpatientClock(SystemClock):
    """The machine's clock, for which every pause is short."""

    def wait(self, seconds: float, stop: Signal) -> bool:
        return super().wait(min(seconds, 0.01), stop)


class Source:
    """One kind's source. `options` are its section of agent.toml, `wrong` what may not stand there.

    `mortal`: whether it can die and come back. `channels` are what it gives.
    """

    kind: ClassVar[str]
    channels: ClassVar[tuple[str, ...]]
    mortal: ClassVar[bool] = True
    wrong: ClassVar[dict[str, Any]]

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def options(self) -> dict[str, Any]:
        raise NotImplementedError

    def start(self) -> None:
        """Be there, and give readings."""

    def silence(self) -> None:
        """Be there, and give no readings any more. Kinds that are asked give what they have for ever."""

    def kill(self) -> None:
        """Be gone, as by a pulled plug."""

    def stop(self) -> None:
        """Leave nothing behind."""
        self.kill()

    def settings(self, **changes: Any) -> Any:
        table = {**self.options, **changes}
        return decode(settings_type(self.kind), table, Origin(self.folder / "agent.toml", {}), "sensors.main")

    def open(self, stop: Signal, clock: Clock | None = None) -> Sensor:
        return open_sensor(self.kind, self.settings(), clock or SystemClock(), stop)


class Feeder:
    """Writes a line every 5 ms until it is told to stop."""

    def __init__(self, write: Callable[[bytes], object], line: Callable[[int], str]) -> None:
        self._write = write
        self._line = line
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        number = 0
        while not self._stopping.wait(0.005):
            try:
                self._write(self._line(number).encode())
            except OSError:
                return
            number += 1

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
