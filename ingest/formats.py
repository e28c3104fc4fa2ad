"""Parses event formats: the text of tracefs events/<system>/<event>/format, as trace.dat and perf.data carry it.

name: sched_waking
ID: 318
format:
        field:unsigned short common_type;       offset:0;       size:2; signed:0;
        field:char comm[16];    offset:8;       size:16;        signed:0;
        field:__data_loc char[] path;   offset:24;      size:4; signed:0;

print fmt: "comm=%s", REC->comm
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

MAX_FIELDS = 1024
MAX_LINE = 1024
MAX_RECORD_BYTES = 1 << 16
_FIELD = re.compile(r"field[^:\n]*:([^;\n]*);\s*offset:(\d{1,9});\s*size:(\d{1,9});(?:\s*signed:(\d);)?")
_DECLARATION = re.compile(r"^(?P<type>.*?)\b(?P<name>\w++)\s*(?P<dims>(?:\[[^\]]*\]\s*)*)$")
_QUALIFIERS = re.compile(r"\b(?:const|volatile|struct|enum|__data_loc|__rel_loc)\b|__attribute__\s*\(\(.*?\)\)|\[[^\]]*\]")
_ITEM_BYTES = {
    **dict.fromkeys(("char", "signed char", "unsigned char", "u8", "s8", "__u8", "__s8", "uint8_t", "int8_t", "bool"), 1),
    **dict.fromkeys(("short", "unsigned short", "u16", "s16", "__u16", "__s16", "uint16_t", "int16_t", "__le16", "__be16"), 2),
    **dict.fromkeys(("int", "unsigned", "unsigned int", "u32", "s32", "__u32", "__s32", "uint32_t", "int32_t", "pid_t"), 4),
    **dict.fromkeys(("__le32", "__be32", "dev_t", "uid_t", "gid_t"), 4),
    **dict.fromkeys(("long long", "unsigned long long", "u64", "s64", "__u64", "__s64", "uint64_t", "int64_t"), 8),
}


class Place(IntEnum):
    """Where the bytes of a field are: in place, or where a 32-bit word says (from the record's start, or from its own end)."""

    INLINE = 0
    DATA_LOC = 1
    REL_LOC = 2


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `item_bytes` is the size of one array item; `array` and `text` tell arrays and char arrays (strings)."""

    name: str
    type: str
    offset: int
    bytes: int
    signed: bool
    place: Place
    array: bool
    text: bool
    boolean: bool
    item_bytes: int

    @property
    def scalar(self) -> bool:
        return not self.array and self.place is Place.INLINE


@dataclass(frozen=True, slots=True)
class Format:
    """An event type: its id in the ring buffer, and its fields in the order of the text."""

    system: str
    name: str
    id: int
    fields: tuple[Field, ...]

    @property
    def need_bytes(self) -> int:
        """A record shorter than this lacks a scalar field (a trailing array may be cut: kernel_stack is)."""
        return max((f.offset + f.bytes for f in self.fields if f.scalar or f.place is not Place.INLINE), default=0)


def parse_format(text: str, system: str, *, long_bytes: int) -> Format | None:
    """None if the text describes no event that can be decoded: its records are then counted as unknown."""
    head, _, rest = text.partition("\nformat:")
    name = re.search(r"^name:\s*(\S+)", head, re.MULTILINE)
    number = re.search(r"^ID:\s*(\d{1,9})\s*$", head, re.MULTILINE)
    if name is None or number is None or int(number[1]) >= 1 << 16:
        return None
    lines = [line for line in rest.partition("\nprint fmt:")[0].splitlines() if line.lstrip().startswith("field")]
    matches = [_FIELD.search(line) if len(line) < MAX_LINE else None for line in lines]
    found = [match.groups("") for match in matches if match]
    if not found or len(found) > MAX_FIELDS or len(found) < len(lines):
        return None
    fields: list[Field] = []
    names: dict[str, int] = {}
    for declaration, offset, size, signed in found:
        field = _field(declaration.strip(), int(offset), int(size), signed, long_bytes, names)
        if field is None:
            return None
        fields.append(field)
    if _overlap(fields):
        return None
    return Format(system, name[1], int(number[1]), tuple(fields))


def _field(declaration: str, offset: int, size: int, signed: str, long_bytes: int, names: dict[str, int]) -> Field | None:
    match = _DECLARATION.match(declaration)
    if match is None or offset >= MAX_RECORD_BYTES or size >= MAX_RECORD_BYTES:
        return None
    kind, name, dims = match["type"].strip(), match["name"], match["dims"]
    place = Place.DATA_LOC if "__data_loc" in kind else Place.REL_LOC if "__rel_loc" in kind else Place.INLINE
    if place is not Place.INLINE and size != 4:
        return None
    base = " ".join(_QUALIFIERS.sub(" ", kind).split())
    pointer = base.endswith("*")
    array = bool(dims) or place is not Place.INLINE
    if not array and size not in (1, 2, 4, 8):
        array, base, pointer = True, "u8", False
    item_bytes = long_bytes if pointer else _item_bytes(base, dims, size if place is Place.INLINE else 0, long_bytes)
    return Field(
        name=_unused(name, names),
        type=kind + dims,
        offset=offset,
        bytes=size,
        signed=(signed == "1" if signed else "unsigned" not in base) and not pointer,
        place=place,
        array=array,
        text=array and base == "char" and dims.count("[") < 2,
        boolean=base in ("bool", "_Bool") and not array and size == 1,
        item_bytes=item_bytes if array else size,
    )


def _unused(name: str, names: dict[str, int]) -> str:
    """The name if it is new, else one made of it; `names` counts how often each was used, so that a thousand equal ones take no time."""
    unused = name
    while unused in names:
        unused = name + "_again" * names[name]
        names[name] += 1
    names[unused] = 1
    return unused


def _item_bytes(base: str, dims: str, size: int, long_bytes: int) -> int:
    """Size of an array item: by the type's name, else by the declared length, else bytes."""
    if base in ("long", "unsigned long", "long unsigned int", "long int", "size_t", "cpumask_t"):
        known = long_bytes
    else:
        known = _ITEM_BYTES.get(base, 0)
    if known:
        return known if size % known == 0 else 1
    length = re.fullmatch(r"\[\s*(\d{1,6})\s*\]", dims.strip())
    if length and int(length[1]) and size % int(length[1]) == 0 and size // int(length[1]) in (1, 2, 4, 8):
        return size // int(length[1])
    return 1


def _overlap(fields: list[Field]) -> bool:
    """Real fields never share bytes; a format whose fields do could make small records fill large columns."""
    ordered = sorted((f for f in fields if f.bytes), key=lambda f: f.offset)
    return any(a.offset + a.bytes > b.offset for a, b in pairwise(ordered))
