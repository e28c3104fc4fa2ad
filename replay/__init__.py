"""Replay a recorded trace of long-term page pins under each policy that was proposed for them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from replay.errors import ReplayError, StoreError, TraceError, UsageError

if TYPE_CHECKING:
    from replay.archive import Archive
    from replay.reporting import Reported
    from replay.session import Answer

__version__ = "0.1.0"
__all__ = ["Answer", "Archive", "ReplayError", "Reported", "StoreError", "TraceError", "UsageError", "__version__", "open"]
_LAZY = {"Answer": "replay.session", "Archive": "replay.archive", "Reported": "replay.reporting"}


def open(store: str | os.PathLike[str] = "./replay-store", *, create: bool = False) -> Archive:  # noqa: A001 - read as replay.open(...)
    """Open a store: `replay.open("replay-store").report("stalls").pl()`. `create` allows a missing one, which the first ingest makes."""
    from replay.archive import Archive

    return Archive(store, create=create)


def __getattr__(name: str) -> object:
    """Classes for annotations; `import replay` alone stays cheap."""
    if name not in _LAZY:
        raise AttributeError(f"module 'replay' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
