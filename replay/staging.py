"""Folders for work in progress: locks that die with their writer, and the removal of what a dead one left."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import suppress
from pathlib import Path


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
