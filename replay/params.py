"""The timing model's parameters: every number that the trace cannot tell, with where its default comes from."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from replay.errors import UsageError
from replay.units import (
    Cost,
    format_cost,
    format_duration,
    format_rate,
    format_version,
    parse_cost,
    parse_duration,
    parse_rate,
    parse_version,
)

Value = int | str | Cost


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter. `kind`: duration, cost, count, rate, version or choice. Words stand among the choices, of which the first is
    the default; where it has a kind too, other values are of that.
    """

    name: str
    kind: str
    default: str
    source: str
    doc: str
    choices: tuple[str, ...] = ()
    most: int = 1000  # of a count

    def parse(self, text: str) -> Value:
        if text in self.choices:
            return text
        if self.kind == "duration":
            return parse_duration(text, self.name)
        if self.kind == "rate":
            return parse_rate(text, self.name)
        if self.kind == "version":
            return parse_version(text, self.name)
        if self.kind == "cost":
            return parse_cost(text, self.name)
        if self.kind == "count":
            if not text.isascii() or not text.isdigit() or len(text) > 15 or int(text) > self.most:
                raise UsageError(f"{self.name}: {text!r} is not a whole number from 0 to {self.most}")
            return int(text)
        raise UsageError(f"{self.name}: {text!r} is not one of {', '.join(self.choices)}", hint=suggest(text, self.choices))

    def show(self, value: Value) -> str:
        """The canonical text of a value: two ways to write the same value show the same."""
        if isinstance(value, Cost):
            return format_cost(value)
        if self.kind == "duration" and isinstance(value, int):
            return format_duration(value)
        if self.kind == "rate" and isinstance(value, int):
            return format_rate(value)
        if self.kind == "version" and isinstance(value, int):
            return format_version(value)
        return str(value)


def _choice(name: str, choices: str, source: str, doc: str, kind: str = "choice") -> Param:
    options = tuple(choices.split())
    return Param(name, kind, options[0], source, doc, options)


# Of an access of a remote side that goes on and on: one page.
_ACCESS_BYTES = 4096
# 100 us and 2 GiB/s.
_SERVICE = Cost(100_000_000, 1_907_000)


PARAMS = (
    Param("lease.break_time", "duration", "45s", "fs/locks.c, sysctl fs.lease-break-time", "How long a lease break waits for the holder."),
    Param(
        "lease.timer_rounding",
        "duration",
        "0",
        "timer wheel: up to 2.048 s at HZ=250, 4.096 s at HZ=1000; 46.68 s observed for 45 s on 6.18",
        "Added to a lease break's time-out.",
    ),
    Param("lease.app", "duration", "1ms", "inference: sweep 1 ms .. 600 s", "How long the holder's program takes to react to a break."),
    Param("lease.rtt", "duration", "10us", "inference", "Round trip to the remote side."),
    Param("lease.rounds", "count", "2", "inference", "Round trips until the remote side has stopped."),
    _choice(
        "lease.on_timeout",
        "wait fail_io kill",
        "the seed mail: block waiting, or fail future IO and drop the pins",
        "What a timed-out break does.",
    ),
    _choice("lease.scope", "inode range", "fs/locks.c breaks per inode; Ira Weiny proposed sub-ranges", "Whose lease an operation breaks."),
    _choice("lease.reregister", "after_op never", "inference", "Whether owners register again once the operation is done."),
    _choice(
        "hw.revoke",
        "mr ucontext device none",
        "Jan Kara, 11 Feb 2019: one big kill-everything call",
        "The least that the device can revoke.",
    ),
    Param("mr.reg", "cost", "50us+0.375us/page", "Mooncake PR 855; libfabric issue 4738 agrees", "Registering an MR."),
    Param("mr.dereg", "cost", "20us+0.09us/page", "Mooncake PR 855", "Deregistering an MR."),
    Param("mr.dirty", "cost", "0.3us/page", "inference", "Dirtying the clean pages of a writable MR at its release."),
    Param("odp.fault", "cost", "220us+0.127us/page", "Lesokhin, ASPLOS 2017 (secondary table)", "A device page fault."),
    Param("odp.invalidate", "cost", "50us", "inference: 5 .. 200 us", "Taking pages from the device's page table."),
    Param("bounce.copy", "cost", "0.78us/page", "kernel series on bounced direct IO, 2026", "Copying pages to a bounce buffer."),
    _choice(
        "writeback.service",
        "trace",
        f"the trace's own wb_start..wb_end; else {format_cost(_SERVICE)}: 100 us and 2 GiB/s",
        "Writing pages that the recorded kernel had not to write; trace: the mean time that a page was under writeback, or a cost.",
        "cost",
    ),
    Param("writeback.expire", "duration", "30s", "vm.dirty_expire_centisecs", "Age at which the periodic flusher writes a dirty page."),
    Param("writeback.interval", "duration", "5s", "vm.dirty_writeback_centisecs", "How often the periodic flusher wakes; 0: never."),
    Param(
        "free.reserve",
        "count",
        "0",
        "0: the file system is full but for the blocks that the trace shows being freed",
        "Free blocks besides those; allocations that find a block busy take them, and fail with ENOSPC once they are used up.",
        most=10**12,
    ),
    _choice(
        "remote.activity",
        "recorded always",
        "soft-RoCE shows remote accesses, hardware does not",
        "recorded: as the trace shows, and where it shows none as with always: each MR may be written at any time while it lives. "
        "A rate, as 2GiB/s or 1000/s (pages): each MR is written that fast, page after page and from its first page again.",
        "rate",
    ),
    Param(
        "mainline.version",
        "version",
        "6.5",
        "mm/gup.c: DAX is refused from 4.15 on, what needs dirty tracking from 6.5 on",
        "The kernel whose refusals refuse_dax and refuse_shared_file are.",
    ),
    _choice(
        "propagate",
        "task inode",
        "i_rwsem, which truncate, punch, collapse, reflink and fallocate hold",
        "Whose clock a delayed operation moves: its task's, or also those of tasks that queue for the file's inode lock.",
    ),
)

BY_NAME = {param.name: param for param in PARAMS}


def suggest(text: str, known: Iterable[str]) -> str | None:
    """A hint for a name that does not exist."""
    near = difflib.get_close_matches(text, list(known), n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else None


def parse_params(given: Mapping[str, str]) -> dict[str, Value]:
    """Every parameter with its value: the given ones, and the defaults of the others."""
    for name in given:
        if name not in BY_NAME:
            raise UsageError(f"no parameter is called {name!r}", hint=suggest(name, BY_NAME) or "list them: replay policies --params")
    return {param.name: param.parse(given.get(param.name, param.default)) for param in PARAMS}


def parse_assignments(given: Iterable[str]) -> dict[str, str]:
    """NAME=VALUE arguments of a command line; the last of a name counts."""
    values = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--param {text}: expected NAME=VALUE, such as lease.app=5ms")
        values[name.strip()] = value.strip()
    parse_params(values)
    return values


def show_params(values: Mapping[str, Value]) -> dict[str, str]:
    """The canonical texts, in the order of PARAMS."""
    return {param.name: param.show(values[param.name]) for param in PARAMS}


def show_changed(values: Mapping[str, Value]) -> dict[str, str]:
    """The same without those that have their default."""
    defaults = show_params(parse_params({}))
    return {name: text for name, text in show_params(values).items() if text != defaults[name]}


def numbers(values: Mapping[str, Value], order: Iterable[str]) -> list[int]:
    """The values as the engine takes them: nanoseconds, numbers of choices, costs as base and slope in picoseconds."""
    result: list[int] = []
    for name in order:
        value = values[name]
        if isinstance(value, Cost):
            result += [value.base_ps, value.slope_ps]
        elif value == "trace":  # a negative base: unless the trace tells
            result += [-_SERVICE.base_ps, _SERVICE.slope_ps]
        elif isinstance(value, str):
            result.append(BY_NAME[name].choices.index(value))
        elif BY_NAME[name].kind == "rate":  # behind the choices: the time from one access to the next
            result.append((_ACCESS_BYTES * 10**9 + value // 2) // value)
        else:
            result.append(value)
    return result
