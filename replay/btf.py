"""Where the members of a few structures lie in the running kernel, from its BTF (Documentation/bpf/btf.rst)."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from replay.errors import TraceError

_MAGIC = 0xEB9F
_HEADER = struct.Struct("HBBIIIII")
_PTR, _STRUCT, _UNION, _ENUM, _FUNC = 2, 4, 5, 6, 12
# Kinds that say something about another type: typedef, volatile, const, restrict, type tag.
_ALIASES = (8, 9, 10, 11, 18)
# By kind: the words of a type itself, and of each of its vlen entries.
_LONGER = {1: (4, 0), 3: (6, 0), 4: (3, 3), 5: (3, 3), 6: (3, 2), 13: (3, 2), 14: (4, 0), 15: (3, 3), 17: (4, 0), 19: (3, 3)}
_WORDS = [_LONGER.get(kind, (3, 0)) for kind in range(32)]
_MOST_DEPTH = 16


class Member(NamedTuple):
    """Offset in bytes, and the structure that it is or points to ("" if none)."""

    offset: int
    struct: str


@dataclass(frozen=True, slots=True)
class Layout:
    """What probes need to know of a kernel: members by structure, enumerators, names of functions' arguments."""

    members: dict[str, dict[str, Member]] = field(default_factory=dict)
    values: dict[str, int] = field(default_factory=dict)
    arguments: dict[str, tuple[str, ...]] = field(default_factory=dict)


class _Type(NamedTuple):
    kind: int
    name: int
    vlen: int
    bitfields: bool
    target: int
    tail: int


def read_layout(path: str, data: bytes, structs: Collection[str], values: Collection[str], functions: Collection[str]) -> Layout:
    """Only what is asked for, since a kernel describes itself with some hundred thousand types."""
    return _Reader(path, data).layout(structs, values, functions)


class _Reader:
    def __init__(self, path: str, data: bytes) -> None:
        if len(data) < _HEADER.size or _HEADER.unpack_from(data)[0] != _MAGIC:
            raise TraceError(path, 0, "no BTF of this machine's byte order")
        _, _, _, header, types, types_bytes, strings, strings_bytes = _HEADER.unpack_from(data)
        self.path, self.data = path, data
        self.strings = data[header + strings : header + strings + strings_bytes]
        if header + types + types_bytes > len(data) or len(self.strings) != strings_bytes:
            raise TraceError(path, len(data), "the BTF is cut short")
        # Types are made of words of 4 bytes.
        self.words = memoryview(data)[header + types : header + types + types_bytes // 4 * 4].cast("I")
        self.places: list[int] = [-1]  # number 0 is void

    def layout(self, structs: Collection[str], values: Collection[str], functions: Collection[str]) -> Layout:
        found = Layout()
        names = {place: name for name in (*structs, *functions) for place in self._named(name)}
        enumerators = {place: name for name in values for place in self._named(name)}
        named, enums = self._walk(names)
        for kind in map(self._at, named):
            name = names[kind.name]
            if kind.kind == _STRUCT and name in structs and name not in found.members:
                found.members[name] = dict(self._members(kind, "", 0))
            elif kind.kind == _FUNC and name in functions and name not in found.arguments:
                proto = self._type(kind.target)
                found.arguments[name] = tuple(self._string(argument) for argument, _ in self._entries(proto, 2))
        for kind in map(self._at, enums):
            found.values.update((enumerators[name], value) for name, value in self._entries(kind, 2) if name in enumerators)
        return found

    def _walk(self, names: Collection[int]) -> tuple[list[int], list[int]]:
        """Where types of these names stand, and where enumerations do; fills `places`."""
        words, places, named, enums, at, end = self.words, self.places, [], [], 0, len(self.words)
        while at < end - 2:
            places.append(at)
            info = words[at + 1]
            if words[at] in names:
                named.append(at)
            if info >> 24 & 0x1F == _ENUM:
                enums.append(at)
            fixed, each = _WORDS[info >> 24 & 0x1F]
            at += fixed + each * (info & 0xFFFF)
        if at != end:
            raise TraceError(self.path, len(self.data), "the types of the BTF are cut short")
        return named, enums

    def _at(self, place: int) -> _Type:
        name, info, target = self.words[place : place + 3]
        return _Type(info >> 24 & 0x1F, name, info & 0xFFFF, bool(info >> 31), target, place + 3)

    def _named(self, name: str) -> Iterator[int]:
        """Where a name begins among the strings: they may hold it several times."""
        wanted, at = b"\0" + name.encode() + b"\0", -1
        while (at := self.strings.find(wanted, at + 1)) >= 0:
            yield at + 1

    def _string(self, place: int) -> str:
        return self.strings[place : self.strings.find(b"\0", place)].decode(errors="replace")

    def _entries(self, of: _Type, width: int) -> Iterator[list[int]]:
        for i in range(of.tail, of.tail + of.vlen * width, width):
            yield self.words[i : i + width].tolist()

    def _type(self, number: int) -> _Type:
        """A type behind its aliases; void where there is none."""
        for _ in range(_MOST_DEPTH):
            if not 0 < number < len(self.places):
                break
            found = self._at(self.places[number])
            if found.kind not in _ALIASES:
                return found
            number = found.target
        return _VOID

    def _members(self, of: _Type, within: str, base: int, depth: int = 0) -> Iterator[tuple[str, Member]]:
        """Members by name, with those of structures inside: a.b, and b where the structure or union has no name."""
        if depth > _MOST_DEPTH:
            return
        for place, target, bits in self._entries(of, 3):
            offset = base + (bits & 0xFFFFFF if of.bitfields else bits) // 8
            kind = self._type(target)
            name = within + self._string(place)
            if place:
                behind = self._type(kind.target) if kind.kind == _PTR else kind
                yield name, Member(offset, self._string(behind.name) if behind.kind == _STRUCT else "")
            if kind.kind in (_STRUCT, _UNION):
                yield from self._members(kind, f"{name}." if place else within, offset, depth + 1)


_VOID = _Type(0, 0, 0, False, 0, 0)
