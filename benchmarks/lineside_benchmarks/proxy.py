"""A network that fails on demand: a TCP proxy that cuts, swallows or delays what passes through it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER with time 0: closing sends RST


class Proxy:
    """Forwards `host`:`port` to 127.0.0.1:`target`, in a thread of its own. All methods may be called by others.

    cut: every connection is reset and new ones are refused. blackhole: connections stay open, new ones are
    accepted by the kernel, and nothing passes. delay: every byte arrives so many seconds later, one way.
    """

    def __init__(self, target: int, host: str = "127.0.0.1") -> None:
        self.target = target
        self.host = host
        self.delay = 0.0
        self.accepted = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server: asyncio.Server | None = None
        self._flow = self._run(self._new_event())
        self._listener = self._bind(0)
        self.port: int = self._listener.getsockname()[1]
        self.restore()

    @property
    def url(self) -> str:
        return f"mqtt://{self.host}:{self.port}"

    def cut(self) -> None:
        """Reset every connection and refuse new ones."""
        self._run(self._cut())

    def reset(self) -> None:
        """Reset every connection once; new ones are taken."""
        self._run(self._reset())

    def blackhole(self) -> None:
        """Keep every connection open and let nothing pass: a pulled cable, seen from both ends."""
        self._run(self._stop_flow())

    def restore(self) -> None:
        """Let everything pass again."""
        self._run(self._restore())

    def close(self) -> None:
        if self._loop.is_running():
            self._run(self._cut())
            self._run(self._cancel_all())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()
            self._listener.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def _bind(self, port: int) -> socket.socket:
        """Take a port without listening: connections to it are refused, and nobody else gets it."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.host, port))
        return listener

    async def _new_event(self) -> asyncio.Event:
        return asyncio.Event()

    async def _restore(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, sock=self._listener)
        self._flow.set()

    async def _stop_flow(self) -> None:
        self._flow.clear()

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
            self._listener = self._bind(self.port)
        await self._reset()
        self._flow.set()

    async def _reset(self) -> None:
        for writer in list(self._writers):
            self._abort(writer)

    async def _cancel_all(self) -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _abort(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        raw = writer.get_extra_info("socket")
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._writers.add(writer)
        await self._flow.wait()
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            self._abort(writer)
            return
        self._writers.add(far_writer)
        there = asyncio.ensure_future(self._forward(reader, far_writer))
        back = asyncio.ensure_future(self._forward(far_reader, writer))
        await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
        for task in (there, back):
            task.cancel()
        for end in (writer, far_writer):
            self._writers.discard(end)
            end.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        due: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=256)
        sender = asyncio.ensure_future(self._send(due, writer))
        try:
            with contextlib.suppress(ConnectionError):
                while data := await reader.read(65536):
                    await due.put((time.monotonic() + self.delay, data))
            await due.put((time.monotonic() + self.delay, b""))
            await sender
        finally:
            sender.cancel()

    async def _send(self, due: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        while True:
            at, data = await due.get()
            if (left := at - time.monotonic()) > 0:
                await asyncio.sleep(left)
            await self._flow.wait()
            if not data:
                return
            try:
                writer.write(data)
                await writer.drain()
            except ConnectionError:
                return
