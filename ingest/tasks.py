"""Threads of a trace: what is known of each, counted up over chunks of its events."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from replay import schema
from replay.ingest.canonical import Column, table, values_of, words

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from replay.ingest.records import TraceInfo

_KTHREAD = re.compile(r"(kworker|kswapd|jbd2|ksoftirqd|kcompactd|khugepaged|flush-|xfsaild|rcu_|migration/|swapper|<idle>)")
# Up to this span thread ids are counted in an array rather than sorted.
_COUNTED = 1 << 20
# Thread ids have 32 bits.
_MOST_TIDS = 1 << 31


@dataclass(frozen=True, slots=True)
class NamedThreads:
    """Threads of which the facts of a trace tell something, by columns: `name` is a number of `names`; -1 for what they do not tell."""

    tid: NDArray[np.int32]
    tgid: NDArray[np.int32]
    name: NDArray[np.int32]
    names: list[str]


@dataclass(slots=True)
class Tasks:
    """From the facts of the trace, or from the events' own columns: then the last name that an event carries counts."""

    info: TraceInfo
    events: dict[int, int] = field(default_factory=dict)
    comm: dict[int, str | None] = field(default_factory=dict)
    tgid: dict[int, int] = field(default_factory=dict)

    def add(self, events: Mapping[str, Column]) -> dict[str, Column]:
        """Count the threads of some events; process id and name of each event's thread, where the events do not tell them."""
        tids = events["tid"].data
        numbers, place, counts = _distinct(tids)
        self.count(dict(zip(numbers.tolist(), counts.tolist(), strict=True)), named="comm" in events)
        self._hear(events)
        columns = {}
        if "comm" not in events:
            name = words([self.comm[tid] for tid in numbers.tolist()])
            columns["comm"] = Column(name.data[place], words=name.words)
        if "tgid" not in events:
            tgid = np.array([self.tgid[tid] for tid in numbers.tolist()], np.int32)[place]
            columns["tgid"] = Column(tgid, tgid < 0)
        return columns

    def named(self) -> NamedThreads:
        """Threads whose events take process id and name from the facts of the trace."""
        known = [tid for tid in {0: None, **self.info.cmdlines, **self.info.tgids} if abs(tid) < _MOST_TIDS]
        codes: dict[str, int] = {}
        names = words([self._name(tid) for tid in known], codes)
        tgid = [self.info.tgids.get(tid, -1) for tid in known]
        return NamedThreads(np.array(known, np.int32), np.array(tgid, np.int32), names.data, list(codes))

    def count(self, events: Mapping[int, int], *, named: bool = False) -> None:
        """Count events by thread. `named`: they tell their names themselves."""
        for tid, count in events.items():
            if tid not in self.events:
                self.comm[tid] = (self.info.cmdlines.get(tid) or None) if named else self._name(tid)
                self.tgid[tid] = self.info.tgids.get(tid, -1)
            self.events[tid] = self.events.get(tid, 0) + count

    def _name(self, tid: int) -> str | None:
        """Each CPU's idle task has a name that trace files do not tell."""
        return self.info.cmdlines.get(tid) or ("<idle>" if tid == 0 else None)

    def _hear(self, events: Mapping[str, Column]) -> None:
        """What the events themselves tell of their threads."""
        tids = events["tid"].data
        comm = events.get("comm")
        if comm is not None and comm.words is not None:
            told = comm.data >= 0
            self.comm |= {tid: comm.words[code] for tid, code in zip(tids[told].tolist(), comm.data[told].tolist(), strict=True)}
        if "tgid" in events:
            told = values_of(events["tgid"], -1) >= 0
            self.tgid |= dict(zip(tids[told].tolist(), events["tgid"].data[told].tolist(), strict=True))

    def table(self) -> pa.Table:
        tids = sorted(self.events)
        comm = [self.comm[tid] for tid in tids]
        tgid = np.array([self.tgid[tid] for tid in tids], np.int32)
        columns: dict[str, Column] = {
            "tid": Column(np.array(tids, np.int64)),
            "tgid": Column(tgid, tgid < 0),
            "comm": words(comm),
            "kthread": Column(np.array([bool(_KTHREAD.match(name or "")) for name in comm], bool)),
            "events": Column(np.array([self.events[tid] for tid in tids], np.int64)),
        }
        return table(schema.TASKS, columns, len(tids))


def _distinct(tids: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.intp], NDArray[np.int64]]:
    """Distinct thread ids in order, the place of each row's among them, and how often each occurs."""
    first, last = int(tids.min(initial=0)), int(tids.max(initial=0))
    if last - first > _COUNTED:
        numbers, where, counts = np.unique(tids, return_inverse=True, return_counts=True)
        return numbers.astype(np.int64), where, counts
    offsets: NDArray[Any] = tids.astype(np.int64) - first
    counts = np.bincount(offsets)
    known = np.flatnonzero(counts)
    place = np.zeros(len(counts), np.intp)
    place[known] = np.arange(len(known))
    return known + first, place[offsets], counts[known]
