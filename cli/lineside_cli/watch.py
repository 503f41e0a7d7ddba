"""`lineside watch`: print the messages that flow through a broker, as they come."""

from __future__ import annotations

import argparse
import os
import ssl
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from lineside_cli.watch_words import clock, words
from lineside_contract.address import BrokerAddress
from lineside_contract.errors import BrokerRefused, InputError, LinesideError, NotDelivered
from lineside_contract.topics import ROOT

if TYPE_CHECKING:
    import paho.mqtt.client as paho

PASSWORD = "LINESIDE_BROKER_PASSWORD"
_EPILOG = f"""\
examples:
  lineside watch                                            everything
  lineside watch '{ROOT}/+/+/event'                     events of every device
  lineside watch --json --count 1 '{ROOT}/+/pump-1/heartbeat' | jq .payload
  {PASSWORD}=... lineside watch --broker mqtts://broker.example --username observer --ca-file ca.crt

On a terminal each message is told in a few words; --json, and any pipe, gets all of it.
In a topic, + stands for one level and # for the rest. A connection that is lost is made again; Ctrl-C ends it.
"""
_KEEPALIVE_S = 15
_ANSWER_S = 10.0
_DIM, _TOPIC, _PLAIN = "\033[2m", "\033[36m", "\033[0m"


class Received(NamedTuple):
    """One message as it came: `ts` is milliseconds since the Unix epoch."""

    ts: int
    topic: str
    retained: bool
    payload: bytes


def configure_watch(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `lineside watch`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    everything = f"{ROOT}/#"
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help=f"what to print (default: {everything})")
    parser.add_argument(
        "--broker",
        default="mqtt://localhost:1883",
        metavar="URL",
        help="default: %(default)s; mqtts:// for TLS",
    )
    parser.add_argument("--username", default="", help=f"the password comes from the environment: {PASSWORD}")
    parser.add_argument(
        "--ca-file", type=Path, help="certificate authority of the broker (default: the system's)"
    )
    parser.add_argument("--count", type=int, metavar="N", help="end after N messages")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print messages until Ctrl-C or the last of `--count`.

    Raises InputError for arguments that cannot work, NotDelivered if no broker answers at first, BrokerRefused
    if it will not have this user or topic.
    """
    address = BrokerAddress.parse(options.broker)
    topics = [_check_filter(topic) for topic in options.topics or [f"{ROOT}/#"]]
    if options.count is not None and options.count < 1:
        raise InputError(f"--count {options.count} would print nothing.", hint="Use 1 or more.")
    watch = _Watch(topics, options.count, _json_line if options.json else _printer())
    client = _client(watch, address, options.username, options.ca_file)
    _connect(client, watch, address)
    while watch.goes_on:
        client.loop_forever()
    if watch.error:
        raise watch.error
    return 0


class _Watch:
    """The callbacks, and what they found. They run inside paho's loop, in the thread that called it."""

    def __init__(self, topics: list[str], count: int | None, line: Any) -> None:
        self.error: LinesideError | None = None
        self.answered = False
        self._topics = topics
        self._left = count
        self._line = line

    @property
    def goes_on(self) -> bool:
        return self.error is None and self._left != 0

    def connected(self, client: paho.Client, _data: object, _flags: object, reason: Any, _: object) -> None:
        if reason.is_failure:
            self._fail(client, BrokerRefused(f"The broker refused the connection: {reason}.", hint=_REFUSED))
            return
        if self.answered:
            _say("connected again")
        self.answered = True
        client.subscribe([(topic, 0) for topic in self._topics])

    def subscribed(self, client: paho.Client, _data: object, _mid: int, reasons: Any, _: object) -> None:
        refused = [topic for topic, reason in zip(self._topics, reasons, strict=True) if reason.is_failure]
        if refused:
            error = BrokerRefused(
                f"The broker does not let this user read {', '.join(refused)}.", hint=_REFUSED
            )
            self._fail(client, error)

    def disconnected(
        self, _client: object, _data: object, _flags: object, _reason: object, _: object
    ) -> None:
        if self.answered and self.goes_on:
            _say("connection lost; trying again")

    def message(self, client: paho.Client, _data: object, message: Any) -> None:
        if not self.goes_on:
            return
        received = Received(time.time_ns() // 1_000_000, message.topic, message.retain, message.payload)
        print(self._line(received), flush=True)
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                client.disconnect()

    def _fail(self, client: paho.Client, error: LinesideError) -> None:
        self.error = error
        self.answered = True
        client.disconnect()


_REFUSED = f"Check --username and the environment's {PASSWORD}, and what the broker allows that user."


def _client(watch: _Watch, address: BrokerAddress, username: str, ca_file: Path | None) -> paho.Client:
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion

    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.reconnect_delay_set(1, 10)
    if username:
        client.username_pw_set(username, os.environ.get(PASSWORD))
    if ca_file and not address.tls:
        raise InputError(
            f"--ca-file is for TLS, and {address} is not.", hint="Write mqtts:// instead of mqtt://."
        )
    if address.tls:
        try:
            client.tls_set(ca_certs=str(ca_file) if ca_file else None)
        except OSError as error:  # ssl's own errors are OSErrors, too
            raise InputError(
                f"The certificates in {ca_file} cannot be used: {error.strerror or error}.",
                hint="Name a file with the authority's certificate in PEM format.",
            ) from error
    client.on_connect = watch.connected
    client.on_subscribe = watch.subscribed
    client.on_disconnect = watch.disconnected
    client.on_message = watch.message
    return client


def _connect(client: paho.Client, watch: _Watch, address: BrokerAddress) -> None:
    """Connect for the first time, where failing means that an argument is wrong or the broker is not there."""
    try:
        client.connect(address.host, address.port, keepalive=_KEEPALIVE_S)
    except ssl.SSLCertVerificationError as error:
        raise BrokerRefused(
            f"The certificate of {address} cannot be trusted: {error.verify_message}.",
            hint="Name the authority that signed it with --ca-file.",
        ) from error
    except OSError as error:
        raise NotDelivered(
            f"No broker answers at {address}: {error.strerror or error}.",
            hint="Is it running? `lineside broker` starts one on this machine.",
        ) from error
    deadline = time.monotonic() + _ANSWER_S
    while not watch.answered and time.monotonic() < deadline:
        if client.loop(0.2) != 0 and not watch.answered:
            break
    if not watch.answered:
        raise NotDelivered(
            f"What answers at {address} is not an MQTT broker, or wants TLS (mqtts://)."
            if not address.tls
            else f"What answers at {address} is not an MQTT broker."
        )


def _check_filter(topic: str) -> str:
    """Return a topic filter that is one (MQTT 3.1.1, section 4.7). Raises InputError otherwise."""
    levels = topic.split("/")
    whole = all(level in ("+", "#") or not set(level) & set("+#") for level in levels)
    if not topic or "#" in levels[:-1] or not whole or "\0" in topic:
        raise InputError(
            f"{topic!r} is not a topic to subscribe to.",
            hint="+ stands for a whole level, # for all the rest at the end.",
        )
    return topic


def _json_line(received: Received) -> str:
    try:
        msgspec.json.decode(received.payload)
        payload: object = msgspec.Raw(msgspec.json.format(received.payload, indent=-1))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        payload = received.payload.decode(errors="replace")
    return msgspec.json.encode({**received._asdict(), "payload": payload}).decode()


def _printer() -> Any:
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    dim, topic, plain = (_DIM, _TOPIC, _PLAIN) if coloured else ("", "", "")

    def line(received: Received) -> str:
        at = clock(received.ts)
        mark = f" {dim}(retained){plain}" if received.retained else ""
        # In a pipe all of it, for a program or grep.
        said = words(received.topic, received.payload) if sys.stdout.isatty() else None
        if said is None:
            return f"{dim}{at}{plain} {topic}{_safe(received.topic)}{plain}{mark} {_text(received.payload)}"
        late = "" if said.made is None else f" {dim}(replayed, of {clock(said.made)}){plain}"
        return (
            f"{dim}{at}{plain} {topic}{_safe(said.who)}{plain} {said.kind:<11} {_safe(said.what)}{late}{mark}"
        )

    return line


def _text(payload: bytes) -> str:
    try:
        return _safe(msgspec.json.format(payload, indent=0).decode())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _safe(payload.decode(errors="replace"))


def _safe(text: str) -> str:
    """Return text that cannot steer the terminal that shows it."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _say(text: str) -> None:
    print(f"lineside: {text}", file=sys.stderr, flush=True)
