"""The shape of an event's raw table in text: which columns it has, and the patterns that fill them.

Shapes are learned in a first pass over the trace: declared forms come first, then patterns derived from payloads. After
`settle` the columns and their types are fixed, so that every batch has the same schema.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from replay._ext import textfields
from replay.ingest.records import OWN_COLUMNS
from replay.ingest.textforms import FLAGS, FORMS, MULTILINE, RECORDS, SYSCALL_EXIT, SYSTEMS
from replay.ingest.textpatterns import GUESSED, STRING, FieldType, Part, Pattern, compile_parts, derive, field_type, form_parts, is_probe

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from replay.ingest.records import EventName

_FORMS = {name: (system, forms) for system, events in FORMS.items() for names, forms in events.items() for name in names.split()}
_SAME_AS = {"tracing_mark_write": "print"}
_OWN = frozenset({*OWN_COLUMNS, "common_pid", "text"})
_MOST_DERIVED = 8
_MOST_TRIES = 64


def system_of(event: str) -> str:
    """The system of an event by its name alone; "text" if it is not known."""
    if event in _FORMS:
        return _FORMS[event][0]
    return next((system for prefix, system in SYSTEMS if event.startswith(prefix)), "text")


def is_multiline(system: str | None, event: str) -> bool:
    """Whether lines that are no events belong to the event before them: prints, and what may be the function of one."""
    system = system or system_of(event)
    return system == "text" or (system == "ftrace" and event in MULTILINE)


@dataclass(frozen=True, slots=True)
class Payloads:
    """Where the payloads of some lines lie in the text."""

    text: NDArray[np.uint8]
    begins: NDArray[np.int64]
    sizes: NDArray[np.int32]

    def payload(self, row: int) -> bytes:
        return self.text[self.begins[row] : self.begins[row] + self.sizes[row]].tobytes()


@dataclass(frozen=True, slots=True)
class Matches:
    """What the patterns found: numbers and places by column and row."""

    values: NDArray[np.int64]
    sizes: NDArray[np.int32]
    present: NDArray[np.uint8]
    matched: NDArray[np.uint8]


@dataclass(slots=True)
class Shape:
    """`known`: its payload has a declared form or is a probe's; lines that do not fit are then set apart."""

    key: EventName
    known: bool
    bare_hex: bool = False
    columns: dict[str, FieldType] = field(default_factory=dict)
    parts: list[tuple[list[Part], bool]] = field(default_factory=list)
    patterns: list[Pattern] = field(default_factory=list)
    derived: int = 0
    tries: int = 0
    uses: list[int] = field(default_factory=list)
    seen: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))

    def learn(self, payloads: Payloads) -> Matches:
        """Take note of more payloads of the event; derives patterns for those that fit none, as long as there are few."""
        known = self.match(payloads)
        matched = known.matched
        while self.tries < _MOST_TRIES and self.derived < _MOST_DERIVED and not matched.all():
            row = int(np.argmin(matched))
            self.tries += 1
            if self._derive(payloads.payload(row)):
                found = self._run([len(self.patterns) - 1], payloads, matched).matched
                if found[row]:
                    self.derived += 1
                    matched = found
                    continue
                self.parts.pop()
                self.uses.pop()
                self.patterns.pop()
            matched = matched.copy()
            matched[row] = 1
        return known

    def _derive(self, payload: bytes) -> bool:
        parts = derive(payload, bare_hex=self.bare_hex)
        if parts is None:
            return False
        if self.known and not is_probe(payload):
            # Only `trace-cmd report -R`, which prints every field under its own name, says the same as a declared form.
            names = {part[0] for part in parts if not isinstance(part, bytes)}
            if not any(names >= {part[0] for part in form if not isinstance(part, bytes) and part[0]} for form, _ in self.parts):
                return False
            parts = [part if isinstance(part, bytes) else (part[0], self._as_field(*part)) for part in parts]
        self.add(parts, whole=True)
        return True

    def _as_field(self, name: str, guessed: FieldType) -> FieldType:
        declared = self.columns.get(_column_name(name))
        if declared is None or declared.step == textfields.GUESS:
            return guessed
        return field_type("u64") if declared.step == textfields.BYTES_TO_PAGES else declared

    def add(self, parts: list[Part], *, whole: bool) -> None:
        self.parts.append((parts, whole))
        self.uses.append(0)
        self.patterns.append(compile_parts(parts, self._column, whole=whole))

    def _column(self, name: str, type_: FieldType) -> int:
        name = _column_name(name)
        known = self.columns.setdefault(name, type_)
        if known.step == textfields.GUESS and type_ is STRING:
            self.columns[name] = STRING
        return list(self.columns).index(name)

    def settle(self) -> None:
        """Fix the columns: those of patterns that fitted, guessed ones with a type by all that was seen."""
        settled = {name: self._settled(column, type_) for column, (name, type_) in enumerate(self.columns.items())}
        used = [parts for parts, uses in zip(self.parts, self.uses, strict=True) if uses]
        self.parts, self.patterns, self.uses, self.columns, self.seen = [], [], [], {}, np.zeros(0, np.uint8)
        for parts, whole in used:
            self.add([self._retyped(part, settled) for part in parts], whole=whole)

    def _settled(self, column: int, type_: FieldType) -> FieldType:
        if type_.step != textfields.GUESS:
            return type_
        seen = int(self.seen[column]) if column < len(self.seen) else 0
        both = textfields.IS_NEGATIVE | textfields.IS_BIG
        if seen & textfields.IS_WORD or seen & both == both or not seen:
            return STRING
        return field_type("u64" if seen & textfields.IS_BIG else "i64")

    def _retyped(self, part: Part, settled: dict[str, FieldType]) -> Part:
        if isinstance(part, bytes) or not part[0]:
            return part
        type_ = settled[_column_name(part[0])]
        return (part[0], type_) if part[1].step == textfields.GUESS or type_ is STRING else part

    def match(self, payloads: Payloads) -> Matches:
        return self._run(range(len(self.patterns)), payloads, np.zeros(len(payloads.begins), np.uint8))

    def _run(self, numbers: Sequence[int], payloads: Payloads, matched: NDArray[np.uint8]) -> Matches:
        width, rows = len(self.columns), len(payloads.begins)
        seen = np.zeros(width, np.uint8)
        seen[: len(self.seen)] = self.seen
        values, sizes = np.zeros((width, rows), np.int64), np.zeros((width, rows), np.int32)
        found = Matches(values, sizes, np.zeros((width, rows), np.uint8), matched.copy())
        for number in numbers:
            pattern = self.patterns[number]
            self.uses[number] += textfields.match(
                payloads.text, payloads.begins, payloads.sizes, pattern.steps, pattern.literals, pattern.whole,
                found.values, found.sizes, found.present, seen, found.matched,
            )  # fmt: skip
        self.seen = seen
        return found

    def fields(self) -> list[tuple[str, pa.DataType]]:
        """The columns behind the reader's own, with their types."""
        typed = [(name, _arrow_type(type_)) for name, type_ in self.columns.items()]
        return typed if self.known else [*typed, ("text", pa.string())]

    def arrays(self, payloads: Payloads, found: Matches) -> tuple[list[pa.Array], int]:
        """The columns of `fields`, and how many numbers did not fit their type."""
        arrays, misfits = [], 0
        for column, type_ in enumerate(self.columns.values()):
            present = found.present[column].view(np.bool_)
            if type_.arrow == "string" or type_.names:
                array = strings(payloads.text, found.values[column], found.sizes[column], present)
                arrays.append(_named_values(array, type_) if type_.names else array)
            else:
                array, misfit = _numbers(found.values[column], present, type_)
                arrays.append(array)
                misfits += misfit
        return arrays if self.known else [*arrays, texts(payloads)], misfits


def shape_of(kind_name: str, system: str | None, sample: bytes, *, bare_hex: bool = False) -> Shape:
    """The shape of an event by its name, perf's system if told, and one of its payloads."""
    event = _SAME_AS.get(kind_name, kind_name)
    if is_probe(sample) and system != "perf":
        return Shape((system or ("uprobes" if sample.startswith(b"(0x") else "kprobes"), event), known=True)
    own, forms = ("perf", RECORDS.get(event, ())) if system == "perf" else _FORMS.get(kind_name, ("", ()))
    if event.startswith("sys_exit_"):
        forms = SYSCALL_EXIT
    shape = Shape((system or system_of(kind_name), event), known=bool(forms) and system in {None, own, "syscalls"}, bare_hex=bare_hex)
    if shape.known:
        for form in forms:
            shape.add(form_parts(form), whole=False)
    return shape


def texts(payloads: Payloads) -> pa.Array:
    return strings(payloads.text, payloads.begins, payloads.sizes, None)


def strings(text: NDArray[np.uint8], begins: NDArray[np.int64], sizes: NDArray[np.int32], present: NDArray[np.bool_] | None) -> pa.Array:
    """A column of strings that lie in the text; invalid UTF-8 is replaced."""
    rows = len(begins)
    offsets, data = np.empty(rows + 1, np.int32), np.empty(int(sizes.sum(dtype=np.int64)), np.uint8)
    ascii_only = textfields.copy(text, np.ascontiguousarray(begins), np.ascontiguousarray(sizes), offsets, data)
    valid, nulls = None, 0
    if present is not None and not present.all():
        valid, nulls = pa.py_buffer(np.packbits(present, bitorder="little")), int(np.count_nonzero(~present))
    buffers = [valid, pa.py_buffer(offsets), pa.py_buffer(data)]
    if ascii_only:
        return pa.Array.from_buffers(pa.string(), rows, buffers, null_count=nulls)
    raw = pa.Array.from_buffers(pa.binary(), rows, buffers, null_count=nulls)
    return pa.array([None if value is None else value.decode("utf-8", "replace") for value in raw.to_pylist()], pa.string())


def _column_name(name: str) -> str:
    return f"{name}_field" if name in _OWN else name


def _arrow_type(type_: FieldType) -> pa.DataType:
    return pa.type_for_alias(type_.arrow)


def _numbers(values: NDArray[np.int64], present: NDArray[np.bool_], type_: FieldType) -> tuple[pa.Array, int]:
    """Numbers of the declared width; a decimal number that does not fit is NULL."""
    dtype: np.dtype[Any] = np.dtype(type_.arrow)
    narrow = values.astype(dtype)
    fits = present
    if dtype.itemsize < values.itemsize and not type_.wraps:
        fits = present & (narrow.astype(np.int64) == values)
    mask = None if fits.all() else ~fits
    return pa.array(narrow, mask=mask), int(np.count_nonzero(present & ~fits))


def _named_values(array: pa.Array, type_: FieldType) -> pa.Array:
    """Names joined by "|" as a number; what is no such name is a number, or NULL."""
    encoded = array.dictionary_encode()
    table = FLAGS[type_.names or ""][1]
    numbers = [_value_of(words, table) for words in encoded.dictionary.to_pylist()]
    codes = encoded.indices
    return pa.array(numbers, _arrow_type(type_)).take(codes)


def _value_of(words: str, table: dict[str, int]) -> int | None:
    total = 0
    for word in words.split("|") if words else ():
        if word in table:
            total |= table[word]
        elif word.isdigit() and len(word) < 10:
            total |= int(word)
        elif word.startswith("0x") and 2 < len(word) <= 10:
            try:
                total |= int(word, 16)
            except ValueError:
                return None
        else:
            return None
    return total


__all__ = ["GUESSED", "Matches", "Payloads", "Shape", "is_multiline", "shape_of", "strings", "system_of", "texts"]
