"""An ingest that a file can kill; it stands here since processes find it by its module's name."""

from __future__ import annotations

import os
import signal

from replay.ingest import many
from replay.store import Store

_ingest = many._ingest


def ingest_or_die(store: Store, path: str) -> many.Outcome:
    if path.endswith("deadly"):
        os.kill(os.getpid(), signal.SIGKILL)
    return _ingest(store, path)
