"""A real folder on a disk that can be full, refuse to be read, and lose power."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lineside_agent import sealed, segment


class FaultyDisk:
    """Stands between the outbox and the operating system, and knows what a power cut could take.

    `room` is how many bytes still fit (None: any number); without `takes_files` no other file fits while that is
    not None. `unreadable` makes every read of a segment fail.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.room: int | None = None
        self.takes_files = True
        self.unreadable = False
        self.syncs = 0
        self._cursors = [b""]  # those that a power cut may leave; the last one is there now
        self._cursor_synced = True
        self._synced: dict[str, int] = {}  # bytes by the name of a file
        self._named: set[str] = set()  # files whose names a power cut leaves
        self._deleted: dict[str, bytes] = {}  # files whose deletion a power cut may undo
        self._patch = pytest.MonkeyPatch()
        for module, name, function in [
            (os, "fdatasync", self._fdatasync),
            (os, "open", self._open),
            (os, "pwrite", self._pwrite),
            (os, "pread", self._pread),
            (os, "ftruncate", self._ftruncate),
            (os, "unlink", self._unlink),
            (segment, "sync_folder", self._sync_folder),
            (sealed, "write_whole", self._write_whole),
        ]:
            setattr(self, f"_real_{name}", getattr(module, name))
            self._patch.setattr(module, name, function)

    def restore(self) -> None:
        self._patch.undo()

    def segments(self) -> list[Path]:
        return sorted(self.folder.glob("*.log"))

    def bytes_used(self) -> int:
        return sum(path.stat().st_size for path in self.segments())

    def cursor(self) -> bytes:
        return self._cursors[-1]

    def possible_cursors(self) -> list[bytes]:
        """Return what the cursor's file may hold after a power cut."""
        return self._cursors if self._cursor_synced else [*self._cursors, b"", b"\0rubbish"]

    def cut_power(
        self, cursor: bytes, cut: Callable[[bytes, int], bytes], comes_back: Callable[[], bool]
    ) -> None:
        """Leave this cursor, and of each segment what `cut(content, bytes synced)` returns.

        Files whose deletion was not synced may come back.
        """
        for name, content in self._deleted.items():
            if comes_back():
                (self.folder / name).write_bytes(content)
                self._named.add(name)
        for path in self.segments():
            if path.name not in self._named:
                self._real_unlink(path)
        for path in self.segments():
            path.write_bytes(cut(path.read_bytes(), self._synced.get(path.name, 0)))
        (self.folder / "cursor").write_bytes(cursor)
        self._cursors, self._cursor_synced = [cursor], True
        self.room, self.unreadable = None, False
        # What is on the disk now is all there is, and stays.
        self._synced = {path.name: path.stat().st_size for path in self.segments()}
        self._deleted.clear()

    # What the outbox calls.

    def _fdatasync(self, descriptor: int) -> None:
        self.syncs += 1
        self._synced[Path(f"/proc/self/fd/{descriptor}").readlink().name] = os.fstat(descriptor).st_size

    def _open(self, path: Path, flags: int, *mode: int, **options: int) -> int:
        if flags & os.O_CREAT and self.room is not None and not self.takes_files:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._real_open(path, flags, *mode, **options)

    def _pwrite(self, descriptor: int, data: bytes, offset: int) -> int:
        if self.room is not None:
            if not self.room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            data = data[: self.room]
            self.room -= len(data)
        return self._real_pwrite(descriptor, data, offset)

    def _pread(self, descriptor: int, length: int, offset: int) -> bytes:
        if self.unreadable:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return self._real_pread(descriptor, length, offset)

    def _ftruncate(self, descriptor: int, length: int) -> None:
        self._free(os.fstat(descriptor).st_size - length)
        self._real_ftruncate(descriptor, length)

    def _unlink(self, path: Path, **options: int) -> None:
        path = Path(path)
        if path.suffix == ".log":
            content = path.read_bytes()
            self._deleted[path.name] = content
            self._free(len(content))
        self._real_unlink(path, **options)

    def _sync_folder(self, _folder: Path) -> None:
        self._named = {path.name for path in self.segments()}
        self._deleted.clear()

    def _write_whole(self, path: Path, data: bytes, *, sync: bool = True) -> None:
        if self.room is not None:
            if self.room < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.room -= len(data)
            self._free(path.stat().st_size if path.exists() else 0)
        path.write_bytes(data)
        if sync:
            self._sync_folder(path.parent)
        if path.name == "cursor":
            self._cursors = [data] if sync else [*self._cursors, data]
            self._cursor_synced = sync

    def _free(self, size: int) -> None:
        if self.room is not None:
            self.room += size
