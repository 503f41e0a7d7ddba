"""Variables of an OPC UA server: subscribed to, and given at fixed intervals as the server says they are."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct

from lineside_agent.clock import Clock, Signal
from lineside_agent.sensors.arrivals import Arrivals
from lineside_agent.sensors.drivers import driver
from lineside_agent.sensors.line_feed import float32
from lineside_agent.sensors.sensor import Block
from lineside_agent.sensors.stamps import Stamps
from lineside_contract.errors import InputError, SensorError

_PARTING_S = 0.5
_OPENING_S = 20.0


class Settings(Struct, frozen=True, kw_only=True):
    """Which server, which of its variables are channels, and how often a reading is made of them.

    `nodes` gives each channel's node id, such as "ns=2;s=Press.Temperature". `security` other than "none" needs the
    client's own certificate and key. Raises ValueError for what cannot go together.
    """

    url: str
    nodes: dict[str, str]
    interval_s: Annotated[float, Meta(ge=0.001, le=86400)] = 1.0
    timeout_s: Annotated[float, Meta(gt=0, le=60)] = 4.0
    username: str = ""
    password: str = ""
    security: Literal["none", "Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"] = "none"
    cert_file: Path | None = None
    key_file: Path | None = None

    def __post_init__(self) -> None:
        if not self.url.startswith("opc.tcp://"):
            raise ValueError(f"{self.url!r} is no OPC UA address; write url as opc.tcp://host:4840")
        if not self.nodes:
            raise ValueError("nodes names no channel")
        if self.password and not self.username:
            raise ValueError("password needs username")
        if {self.cert_file is not None, self.key_file is not None} != {self.security != "none"}:
            raise ValueError("security goes with cert_file and key_file, and only with both")

    def __repr__(self) -> str:
        """Show the address and nothing secret."""
        return f"Settings(url={self.url!r}, username={self.username!r}, nodes={self.nodes!r})"

    @property
    def known_channels(self) -> tuple[str, ...]:
        """The channels."""
        return tuple(self.nodes)


def open(settings: Settings, clock: Clock, stop: Signal) -> OpcUa:
    """Connect and subscribe. Raises InputError without asyncua or for a node id that is none, SensorError."""
    return OpcUa(settings, clock, stop)


class OpcUa:
    """A sensor that is an OPC UA client, on a thread of its own with its own event loop."""

    def __init__(self, settings: Settings, clock: Clock, stop: Signal) -> None:
        self.channels = tuple(settings.nodes)
        self._settings = settings
        self._asyncua = driver("asyncua", "opcua", "asyncua")
        # It logs what it does, and traces of what fails; ours are told once, as events.
        logging.getLogger("asyncua").setLevel(logging.CRITICAL)
        self._node_ids = self._parse_nodes()
        self._application_uri = _application_uri(settings.cert_file, settings.key_file)
        self._stamps = Stamps(clock)
        self._clock = clock
        self._stop = stop
        self._arrivals = Arrivals(len(self.channels), clock, stop)
        self._values = dict.fromkeys(self.channels, math.nan)
        self._closed = False
        self._loop = asyncio.new_event_loop()
        self._leaving = asyncio.Event()
        self._ready = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="opcua", daemon=True)
        self._thread.start()
        self._await_ready()

    def read(self) -> Block:
        """Wait for the next reading; NaN for what the server calls bad. Raises SensorError if it is lost."""
        return self._arrivals.take()

    def close(self) -> None:
        """Leave the server. May be called twice."""
        if not self._closed:
            self._closed = True
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._leaving.set)
            self._thread.join(_PARTING_S)
            self._arrivals.close()

    def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
        """Note a value; called by asyncua for each that changes, and once at the start."""
        status = data.monitored_item.Value.StatusCode
        self._values[self._names[node.nodeid]] = _number(value) if status.is_good() else math.nan

    def _await_ready(self) -> None:
        """Wait until the subscription stands. Raises what hinders it; SensorError if `stop` is raised."""
        while not self._ready.wait(0.05):
            if self._clock.wait(0, self._stop):  # by a clock that is watched, waiting is progress
                self.close()
                raise SensorError(f"The OPC UA server {self._settings.url} has not answered yet.")
        if self._failure is not None:
            self.close()
            raise self._failure

    def _parse_nodes(self) -> dict[str, Any]:
        found = {}
        for channel, text in self._settings.nodes.items():
            try:
                found[channel] = self._asyncua.ua.NodeId.from_string(text)
            except (ValueError, self._asyncua.ua.UaError) as error:
                raise InputError(
                    f"nodes: {channel} = {text!r} is no node id.",
                    hint='Write it like "ns=2;s=Press.Temperature".',
                ) from error
        self._names = {node: channel for channel, node in found.items()}
        return found

    # What follows runs on the thread.

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._stay())
        except Exception as error:  # asyncua raises many kinds, of asyncio, ua and the socket
            failure = error if isinstance(error, InputError | SensorError) else self._unreachable(error)
            if self._ready.is_set():
                self._arrivals.fail(failure if isinstance(failure, SensorError) else self._unreachable(error))
            else:
                self._failure = failure
        finally:
            self._ready.set()
            self._loop.close()

    async def _stay(self) -> None:
        client = await self._client()
        lost: asyncio.Future[None] = self._loop.create_future()

        async def on_lost(error: Exception) -> None:
            if not lost.done():
                lost.set_exception(error)

        client.connection_lost_callback = on_lost
        await asyncio.wait_for(client.connect(), min(self._settings.timeout_s, _OPENING_S))
        try:
            await self._subscribe(client)
            self._ready.set()
            await self._give(lost)
        finally:
            with contextlib.suppress(Exception):  # of a connection that may be dead
                await asyncio.wait_for(client.disconnect(), _PARTING_S / 2)

    async def _client(self) -> Any:
        settings = self._settings
        client = self._asyncua.Client(settings.url, timeout=settings.timeout_s)
        if settings.username:
            client.set_user(settings.username)
            client.set_password(settings.password)
        if settings.security != "none":
            files = f"{settings.cert_file},{settings.key_file}"
            if self._application_uri:
                client.application_uri = self._application_uri
            await client.set_security_string(f"{settings.security},SignAndEncrypt,{files}")
        return client

    async def _subscribe(self, client: Any) -> None:
        period_ms = self._settings.interval_s * 1000
        nodes = {channel: client.get_node(node) for channel, node in self._node_ids.items()}
        for channel, node in nodes.items():
            try:
                value = await node.read_data_value(raise_on_bad_status=False)
            except self._asyncua.ua.UaStatusCodeError as error:
                raise self._no_node(channel, str(error)) from error
            status = value.StatusCode
            if status.value in (
                self._asyncua.ua.StatusCodes.BadNodeIdUnknown,
                self._asyncua.ua.StatusCodes.BadNodeIdInvalid,
            ):
                raise self._no_node(channel, status.name)
            if status.is_good():
                self._values[channel] = _number(value.Value.Value)
        subscription = await client.create_subscription(period_ms, self)
        await subscription.subscribe_data_change(list(nodes.values()), sampling_interval=period_ms)

    def _no_node(self, channel: str, why: str) -> SensorError:
        node = self._settings.nodes[channel]
        return SensorError(
            f"The OPC UA server {self._settings.url} does not give {node!r}: {why.rstrip('.')}.",
            hint="Look at nodes, at the server's namespaces, and at what its user may read.",
        )

    async def _give(self, lost: asyncio.Future[None]) -> None:
        """Make a reading each interval until told to leave. Raises what ended the connection."""
        leaving = self._loop.create_task(self._leaving.wait())
        start, number = self._loop.time(), 0
        while not leaving.done():
            self._put()
            number = max(number + 1, math.floor((self._loop.time() - start) / self._settings.interval_s))
            pause = start + number * self._settings.interval_s - self._loop.time()
            ends: set[asyncio.Future[Any]] = {leaving, lost}
            await asyncio.wait(ends, timeout=max(0.0, pause), return_when=asyncio.FIRST_COMPLETED)
            if lost.done():
                leaving.cancel()
                lost.result()

    def _put(self) -> None:
        row = [list(self._values.values())]
        self._arrivals.put(Block(np.array([self._stamps.now()]), float32(row, len(self.channels))))

    def _unreachable(self, error: Exception) -> SensorError:
        why = str(error) or type(error).__name__
        return SensorError(
            f"The OPC UA server {self._settings.url} cannot be read: {why.rstrip('.')}.",
            hint="Is it running, is url right, and does it let this user in?",
        )


def _application_uri(cert_file: Path | None, key_file: Path | None) -> str:
    """Return what a certificate calls its application (OPC 10000-6, 6.2.2), or nothing: servers compare it.

    Raises InputError for files that cannot be used.
    """
    if cert_file is None or key_file is None:
        return ""
    x509 = driver("cryptography.x509", "opcua", "cryptography")
    try:
        data = cert_file.read_bytes()
        pem = data.lstrip().startswith(b"-----")
        certificate = x509.load_pem_x509_certificate(data) if pem else x509.load_der_x509_certificate(data)
        key_file.read_bytes()
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ""
    except (OSError, ValueError) as error:
        raise InputError(
            f"The certificate {cert_file} or its key cannot be used: {getattr(error, 'strerror', error)}.",
            hint="Both must be readable by the agent's user, in PEM or DER format.",
        ) from error
    return next(iter(names.get_values_for_type(x509.UniformResourceIdentifier)), "")


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
