"""Tables of a perf.data file: one for each event, and one for each type of the records that tell of tasks, mappings and losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from replay._ext.perfrecords import KINDS, MMAP2_BUILD_ID, PerfRecords
from replay.ingest.formats import Field, Format
from replay.ingest.perfattrs import TRACEPOINT, Attr, Sample, SampleForm, array, number, sample_form, text
from replay.ingest.rawtables import Part, RawTable, raw_table
from replay.ingest.records import EventName

SYSTEM = "perf"
_TASK = "s4 pid, s4 tid"
_MAP = f"{_TASK}, u8 addr, u8 len, u8 pgoff"
_FAMILY = "s4 pid, s4 ppid, s4 tid, s4 ptid, u8 time"
# Layouts of include/uapi/linux/perf_event.h, enum perf_event_type; each begins behind the header.
RECORDS = {
    1: ("mmap", f"{_MAP}, text filename"),
    2: ("lost", "u8 id, u8 lost"),
    3: ("comm", f"{_TASK}, text comm"),
    4: ("exit", _FAMILY),
    5: ("throttle", "u8 time, u8 id, u8 stream_id"),
    6: ("unthrottle", "u8 time, u8 id, u8 stream_id"),
    7: ("fork", _FAMILY),
    8: ("read", f"{_TASK}, u8[] values"),
    10: ("mmap2", f"{_MAP}, u4 maj, u4 min, u8 ino, u8 ino_generation, u4 prot, u4 flags, text filename"),
    11: ("aux", "u8 aux_offset, u8 aux_size, u8 flags"),
    12: ("itrace_start", _TASK),
    13: ("lost_samples", "u8 lost"),
    14: ("switch", ""),
    15: ("switch_cpu_wide", "s4 next_prev_pid, s4 next_prev_tid"),
    16: ("namespaces", f"{_TASK}, u8 nr_namespaces, u8[] link_info"),
    17: ("ksymbol", "u8 addr, u4 len, u2 ksym_type, u2 flags, text name"),
    18: ("bpf_event", "u2 type, u2 flags, u4 id, u1[] tag"),
    19: ("cgroup", "u8 id, text path"),
    20: ("text_poke", "u8 addr, u2 old_len, u2 new_len, u1[] bytes"),
    21: ("aux_output_hw_id", "u8 hw_id"),
    MMAP2_BUILD_ID: (
        "mmap2_build_id",
        f"{_MAP}, u1 build_id_size, u1 reserved_1, u2 reserved_2, u1[20] build_id, u4 prot, u4 flags, text filename",
    ),
}
_OWN_TIME = {4: 24, 7: 24, 5: 8, 6: 8}
_BEGIN = 8


@dataclass(slots=True)
class Forms:
    """The tables of a file, and the groups of rows that they are built from."""

    need_bytes: list[int] = field(default_factory=list)
    tables: list[RawTable] = field(default_factory=list)
    layouts: list[dict[str, Any]] = field(default_factory=list)
    sides: list[tuple[int, int, int]] = field(default_factory=list)
    names: dict[EventName, int] = field(default_factory=dict)
    same_trailers: bool = True

    def records(self, *, big_endian: bool) -> PerfRecords:
        return PerfRecords(self.layouts, self.sides, self.need_bytes, same_trailers=self.same_trailers, big_endian=big_endian)

    def part(self, fields: Sequence[Field], *, prefix: str = "") -> Part:
        """A new group of rows."""
        self.need_bytes.append(max((f.offset + f.bytes for f in fields), default=0))
        renamed = tuple(replace(f, name=prefix + f.name) for f in fields) if prefix else tuple(fields)
        return Part(len(self.need_bytes) - 1, renamed)

    def table(self, system: str, name: str, parts: Sequence[Part]) -> None:
        unique = name
        while (system, unique) in self.names:
            self.names[system, name] += 1
            unique = f"{name}_{self.names[system, name]}"
        self.names[system, unique] = 1
        self.tables.append(raw_table((system, unique), parts))


def build_forms(attrs: Sequence[Attr], names: Sequence[str], formats: Mapping[int, Format]) -> Forms:
    """`names` are those of the events, in the order of `attrs`."""
    forms = Forms()
    samples = [sample_form(attr) for attr in attrs]
    forms.same_trailers = all(form.trailer == samples[0].trailer for form in samples)
    for kind in range(KINDS):
        _add_side(forms, kind, samples[0].trailer if forms.same_trailers else ())
    known: dict[tuple[Any, ...], list[int]] = {}
    for attr, name, sample in zip(attrs, names, samples, strict=True):
        form = formats.get(attr.config) if attr.type == TRACEPOINT and attr.sample_type & Sample.RAW else None
        key = (attr.type, attr.config, name, attr.layout)
        if key not in known:
            known[key] = _add_event(forms, name, sample, form, bool(attr.sample_type & Sample.RAW))
        forms.layouts.append({**sample.layout, "groups": known[key]})
    return forms


def _add_side(forms: Forms, kind: int, trailer: Sequence[Field]) -> None:
    if kind not in RECORDS:
        forms.sides.append((-1, -1, -1))
        return
    name, layout = RECORDS[kind]
    parts = [forms.part(_fields(layout))]
    if trailer:
        parts.append(forms.part(trailer, prefix="sample_"))
    forms.sides.append((parts[0].group, parts[1].group if trailer else -1, _OWN_TIME.get(kind, -1)))
    forms.table(SYSTEM, name, parts)


def _add_event(forms: Forms, name: str, sample: SampleForm, form: Format | None, raw: bool) -> list[int]:
    """Its table; returns the groups of the parts in the order of _ext/perfrecords.pxd."""
    prefix = "sample_" if form else ""
    content = (*form.fields, *_undeclared(form)) if form else (array("raw", 0, 1),) if raw else ()
    head, chain, middle, tail = (
        forms.part(fields, prefix=prefix) if fields else None for fields in (sample.head, sample.chain, sample.middle, sample.tail)
    )
    payload = forms.part(content) if raw else None
    if form and payload:
        forms.need_bytes[payload.group] = form.need_bytes
    parts = [part for part in (payload, head, chain, middle, tail) if part is not None]
    forms.table(form.system if form else SYSTEM, form.name if form else name, parts)
    return [-1 if part is None else part.group for part in (head, chain, payload, middle, tail)]


def _undeclared(form: Format) -> tuple[Field, ...]:
    """Events of LinuxTracepoints (eventheader_tracepoint.h) describe themselves behind the fields that their format declares."""
    if form.system == "user_events" and form.fields and any(field.name == "eventheader_flags" for field in form.fields):
        return (array("payload", max(field.offset + field.bytes for field in form.fields), 1),)
    return ()


def _fields(layout: str) -> list[Field]:
    """`u4 name`: an unsigned number of four bytes; `u8[] name`: numbers to the end; `u1[20] name`: so many of them."""
    fields = [number("misc", 4, 2)]
    at = _BEGIN
    for declaration in filter(None, layout.split(", ")):
        kind, name = declaration.split()
        if kind == "text":
            fields.append(text(name, at))
        elif kind.endswith("]"):
            count = int(kind[3:-1] or 0)
            fields.append(array(name, at, int(kind[1]), count))
            at += count * int(kind[1])
        else:
            fields.append(number(name, at, int(kind[1]), signed=kind[0] == "s"))
            at += int(kind[1])
    return fields
