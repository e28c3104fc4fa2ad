"""Folders for work in progress: locks that die with their writer, and the removal of what a dead one left."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import Future


def fsync_path(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fsync_tree(root: Path) -> None:
    for folder, _, names in os.walk(root):
        for name in names:
            fsync_path(Path(folder, name))
        fsync_path(Path(folder))


class Syncing:
    """Puts finished files on the disk while others are still being made: at the end that would be waiting with nothing to do."""

    def __init__(self) -> None:
        from concurrent.futures import ThreadPoolExecutor

        self._pool = ThreadPoolExecutor(1, "sync")
        self._futures: list[Future[None]] = []

    def add(self, path: Path) -> None:
        """From any thread."""
        self._futures.append(self._pool.submit(fsync_path, path))

    def finish(self) -> None:
        """Wait. An error of the disk is told once only, so it must be asked for here: a later fsync would not hear of it."""
        for future in self._futures:
            future.result()

    def close(self) -> None:
        """Whatever is still waiting is not wanted any more."""
        self._pool.shutdown(cancel_futures=True)


def hold(path: Path) -> int:
    """Take the lock of a staging folder. Another writer may remove the file, or the folder, before we hold it: then try again."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:
            continue
        fcntl.flock(handle, fcntl.LOCK_EX)
        if _is_same_file(handle, path):
            return handle
        os.close(handle)


def _is_same_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def remove_dead(root: Path) -> None:
    """Remove staging folders whose writer is gone: its lock died with it."""
    for name in sorted({entry.name.removesuffix(".lock").removesuffix("-aside") for entry in os.scandir(root)}):
        lock = root / f"{name}.lock"
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            with suppress(BlockingIOError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_same_file(handle, lock):
                    shutil.rmtree(root / name, ignore_errors=True)
                    shutil.rmtree(root / f"{name}-aside", ignore_errors=True)
                    lock.unlink(missing_ok=True)
        finally:
            os.close(handle)
