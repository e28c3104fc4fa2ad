"""What the state beside a trace adds to it: processes and mappings of before, devices that are DAX, regions that nobody registered."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from replay.ingest.identity import DEVICE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from replay.ingest.losses import Losses
    from replay.ingest.records import TraceInfo
    from replay.statefile import SystemState

_MINOR_BITS = 20


def informed(info: TraceInfo, before: SystemState) -> TraceInfo:
    """The facts of the trace, with what only the state tells."""
    threads = {tid: process for process in before.processes for tid in (process.pid, *process.threads)}
    return replace(
        info,
        uname=info.uname or before.uname or None,
        tgids={tid: process.pid for tid, process in threads.items()} | info.tgids,
        cmdlines={process.pid: process.comm for process in before.processes} | info.cmdlines,
    )


def count(before: SystemState, losses: Losses) -> None:
    """What there was before that the trace cannot know."""
    owned = sum("pid" in region for region in before.regions or ())
    losses.add("mrs_before_recording", owned)
    losses.of("mrs_before_recording", owned)
    losses.add("state_incomplete", before.cut + before.skipped)


def settle(keys: NDArray[Any], used: NDArray[np.int32], before: SystemState | None) -> NDArray[Any]:
    """The keys with what is known at the end: files that pins are of (`used`) count as told by the kernel, if they are on a device."""
    if before is None:
        return keys
    keys = keys.copy()
    pinned = np.zeros(len(keys), bool)
    pinned[used[used >= 0]] = True
    pinned &= keys["before"] != 0
    keys["before"][pinned] = 0
    # Shared memory has a device without a major number: whether it is a file the page cache's events show.
    keys["direct"] |= pinned & (keys["place"] >> _MINOR_BITS != 0)
    dax = np.array(sorted(before.dax_devices()), np.int64)
    keys["dax"] |= (keys["kind"] == DEVICE) & np.isin(keys["place"], dax)
    return keys
