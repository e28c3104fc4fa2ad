"""Replay a recorded trace of long-term page pins under each policy that was proposed for them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from replay.errors import ReplayError, StoreError, TraceError, UsageError

if TYPE_CHECKING:
    from replay.archive import Archive

__version__ = "0.1.0"
__all__ = ["ReplayError", "StoreError", "TraceError", "UsageError", "__version__", "open"]


def open(store: str | os.PathLike[str] = "./replay-store") -> Archive:  # noqa: A001 - read as replay.open(...)
    """Open a store to ask questions: `replay.open("replay-store").sql("SELECT ...").pl()`."""
    from replay.archive import Archive

    return Archive(store)
