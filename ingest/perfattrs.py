"""Events of a perf.data file: their attributes, and where the fields of their samples are.

struct perf_event_attr and the order of a sample's fields: include/uapi/linux/perf_event.h.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag
from typing import Any

from replay.ingest.formats import Field, Place

TRACEPOINT = 2
LEAST_ATTR_BYTES = 64
_HEADER_BYTES = 8
_SAMPLE_ID_ALL = 1 << 18
_USE_CLOCKID = 1 << 25
_HARDWARE = (
    *("cycles", "instructions", "cache-references", "cache-misses", "branches", "branch-misses", "bus-cycles"),
    *("stalled-cycles-frontend", "stalled-cycles-backend", "ref-cycles"),
)
_SOFTWARE = (
    *("cpu-clock", "task-clock", "page-faults", "context-switches", "cpu-migrations", "minor-faults", "major-faults"),
    *("alignment-faults", "emulation-faults", "dummy", "bpf-output", "cgroup-switches"),
)


class Sample(IntFlag):
    """Bits of sample_type that this program reads the fields of."""

    IP = 1 << 0
    TID = 1 << 1
    TIME = 1 << 2
    ADDR = 1 << 3
    CALLCHAIN = 1 << 5
    ID = 1 << 6
    CPU = 1 << 7
    PERIOD = 1 << 8
    STREAM_ID = 1 << 9
    RAW = 1 << 10
    WEIGHT = 1 << 14
    DATA_SRC = 1 << 15
    IDENTIFIER = 1 << 16
    TRANSACTION = 1 << 17
    PHYS_ADDR = 1 << 19
    CGROUP = 1 << 21
    DATA_PAGE_SIZE = 1 << 22
    CODE_PAGE_SIZE = 1 << 23
    WEIGHT_STRUCT = 1 << 24


_HEAD = (
    *(Sample.IDENTIFIER, Sample.IP, Sample.TID, Sample.TIME, Sample.ADDR),
    *(Sample.ID, Sample.STREAM_ID, Sample.CPU, Sample.PERIOD),
)
_MIDDLE = (Sample.WEIGHT, Sample.DATA_SRC, Sample.TRANSACTION)
_TAIL = (Sample.PHYS_ADDR, Sample.CGROUP, Sample.DATA_PAGE_SIZE, Sample.CODE_PAGE_SIZE)
_TRAILER = (Sample.TID, Sample.TIME, Sample.ID, Sample.STREAM_ID, Sample.CPU, Sample.IDENTIFIER)
# The first of these that a sample has tells its event.
_IDS = (Sample.IDENTIFIER, Sample.ID, Sample.STREAM_ID)


@dataclass(frozen=True, slots=True)
class Attr:
    """One event: struct perf_event_attr as far as it matters here. The register masks tell what a dump of registers holds."""

    type: int
    config: int
    sample_type: int
    read_format: int
    branch_type: int
    user_registers: int
    interrupt_registers: int
    sample_id_all: bool
    clockid: int | None
    ids: tuple[int, ...]

    @property
    def default_name(self) -> str:
        known = {0: _HARDWARE, 1: _SOFTWARE}.get(self.type, ())
        return known[self.config] if self.config < len(known) else f"{self.type}:{self.config:#x}"

    @property
    def layout(self) -> tuple[int, ...]:
        """Events that agree in it have samples and trailers of the same form."""
        return (self.sample_type, self.read_format, self.branch_type, self.user_registers, self.interrupt_registers, self.sample_id_all)


def parse_attr(data: bytes, ids: tuple[int, ...], *, big_endian: bool = False) -> Attr:
    """From at least LEAST_ATTR_BYTES bytes; fields that an older perf did not have are 0, those of a newer one are not read."""

    def word(offset: int, size: int = 8, *, signed: bool = False) -> int:
        held = data[offset : offset + size] if len(data) - offset >= size else b""
        return int.from_bytes(held, "big" if big_endian else "little", signed=signed)

    # Bit fields: a big-endian compiler begins with the highest bit.
    flags = int(f"{word(40):064b}"[::-1], 2) if big_endian else word(40)
    return Attr(
        type=word(0, 4),
        config=word(8),
        sample_type=word(24),
        read_format=word(32),
        branch_type=word(72),
        user_registers=word(80),
        interrupt_registers=word(96),
        sample_id_all=bool(flags & _SAMPLE_ID_ALL),
        clockid=word(92, 4, signed=True) if flags & _USE_CLOCKID else None,
        ids=ids,
    )


@dataclass(frozen=True, slots=True)
class SampleForm:
    """Where the fields of a sample and of a trailer are: columns by part, and what the walk needs to know."""

    head: tuple[Field, ...]
    chain: tuple[Field, ...]
    middle: tuple[Field, ...]
    tail: tuple[Field, ...]
    trailer: tuple[Field, ...]
    layout: dict[str, Any]


def sample_form(attr: Attr) -> SampleForm:
    """The form of the event's samples; their time and CPU are columns of every table and so not among the fields."""
    kind = attr.sample_type
    at, head_bytes = _places(kind, _HEAD, _HEADER_BYTES)
    trailer_at, trailer_bytes = _places(kind, _TRAILER, 0) if attr.sample_id_all else ({}, 0)
    middle = [bit for bit in _MIDDLE if kind & bit or (bit is Sample.WEIGHT and kind & Sample.WEIGHT_STRUCT)]
    layout = {
        "sample_type": kind,
        "read_format": attr.read_format,
        "branch_type": attr.branch_type,
        "user_registers": attr.user_registers.bit_count(),
        "interrupt_registers": attr.interrupt_registers.bit_count(),
        "head_bytes": head_bytes,
        "trailer_bytes": trailer_bytes,
        "head": (_id_place(at), *(at.get(bit, -1) for bit in (Sample.TID, Sample.TIME, Sample.CPU))),
        "trailer": (_id_place(trailer_at), *(trailer_at.get(bit, -1) for bit in (Sample.TIME, Sample.CPU))),
        "ids": list(attr.ids),
    }
    misc = number("misc", 4, 2)
    return SampleForm(
        head=(misc, *_columns(at, (Sample.TIME, Sample.CPU))),
        chain=(array("callchain", 0, 8),) if kind & Sample.CALLCHAIN else (),
        middle=tuple(number(_name(bit), 8 * place, 8) for place, bit in enumerate(middle)),
        tail=tuple(number(_name(bit), 8 * place, 8) for place, bit in enumerate(bit for bit in _TAIL if kind & bit)),
        trailer=_columns(trailer_at, (Sample.CPU,)),
        layout=layout,
    )


def _places(kind: int, order: Sequence[Sample], begin: int) -> tuple[dict[Sample, int], int]:
    places = {bit: begin + 8 * place for place, bit in enumerate(bit for bit in order if kind & bit)}
    return places, begin + 8 * len(places)


def _id_place(places: dict[Sample, int]) -> int:
    return next((places[bit] for bit in _IDS if bit in places), -1)


def _columns(places: dict[Sample, int], without: Sequence[Sample]) -> tuple[Field, ...]:
    fields: list[Field] = []
    for bit, place in places.items():
        if bit is Sample.TID:
            fields += [number("pid", place, 4, signed=True), number("tid", place + 4, 4, signed=True)]
        elif bit not in without:
            fields.append(number(_name(bit), place, 8))
    return tuple(fields)


def _name(bit: Sample) -> str:
    return (bit.name or "").lower()


def number(name: str, offset: int, size: int, *, signed: bool = False) -> Field:
    return Field(name, f"{'s' if signed else 'u'}{8 * size}", offset, size, signed, Place.INLINE, False, False, False, size)


def array(name: str, offset: int, item_bytes: int, count: int = 0) -> Field:
    """An array of `count` items, or up to the end of the record."""
    return Field(name, f"u{8 * item_bytes}[]", offset, count * item_bytes, False, Place.INLINE, True, False, False, item_bytes)


def text(name: str, offset: int) -> Field:
    """A string up to its NUL or the end of the record."""
    return Field(name, "char[]", offset, 0, False, Place.INLINE, True, True, False, 1)
