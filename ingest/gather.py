"""Raw tables to what the in-order pass takes: for each word of a record, the column that holds it and the rule to apply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from replay._ext.feed import WORDS
from replay._ext.identity import STEPS
from replay._ext.words import RULES
from replay.ingest.sources import Mapping, Source

# Words whose "none" is another one than -1.
_NONE = {"ino": 0}
_STEP_CODE = {name: code for code, name in enumerate(STEPS)}
_RULE_CODE = {name: code for code, name in enumerate(RULES)}

Numbers = tuple[NDArray[np.uint8], int, bool]
"""A column: its bytes, the width of a number, and whether it has a sign."""

Word = tuple[int, Numbers, Numbers | None] | int
"""Rule, column, and the column that the rule needs beside; or one value for all records."""


@dataclass(slots=True)
class Names:
    """Backing devices' names, numbered in order of appearance."""

    codes: dict[str, int] = field(default_factory=dict)

    def encode(self, column: pa.Array) -> Numbers:
        values = column.dictionary_encode() if pa.types.is_string(column.type) else column
        known = [-1 if name is None else self.codes.setdefault(name, len(self.codes)) for name in values.dictionary.to_pylist()]
        if values.null_count == 0 and known == list(range(len(known))):
            return _numbers(values.indices)
        indices = values.indices.fill_null(len(known)).to_numpy(zero_copy_only=False)
        return np.array([*known, -1], np.int64)[indices].view(np.uint8), 8, True


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Where a word comes from in tables of one schema; the one value of all records if `field` is None."""

    field: str | None
    more: str | None = None
    rule: str = "plain"
    constant: int = -1


@dataclass(frozen=True, slots=True)
class Plan:
    """How the tables of one event become words."""

    mapping: Mapping
    step: int
    words: tuple[_Chosen, ...]

    @classmethod
    def of(cls, mapping: Mapping, schema: pa.Schema) -> Plan:
        numeric, texts = _usable(schema)
        actor = mapping.actor if mapping.actor in numeric else "common_pid"
        own = {"ts": "ts", "cpu": "cpu", "tid": actor}
        words = []
        for word in WORDS:
            if word in own:
                words.append(_Chosen(own[word] if own[word] in numeric else None, constant=0))
            else:
                words.append(_chosen(word, mapping.words.get(word), numeric, texts))
        return cls(mapping, _STEP_CODE[mapping.step], tuple(words))

    def gather(self, batch: pa.RecordBatch, names: Names) -> tuple[int, bool, int, Numbers, list[Word]]:
        """One of the tables that `feed` takes."""
        batch = self._selected(batch)
        words: list[Word] = []
        for word, chosen in zip(WORDS, self.words, strict=True):
            if chosen.field is None:
                words.append(chosen.constant)
                continue
            column = batch.column(chosen.field)
            values = names.encode(column) if word == "name" else _numbers(column)
            words.append((_RULE_CODE[chosen.rule], values, None if chosen.more is None else _numbers(batch.column(chosen.more))))
        return self.step, self.mapping.weak, batch.num_rows, _numbers(batch.column("seq")), words

    def _selected(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        for condition, wanted in ((self.mapping.only, True), (self.mapping.unless, False)):
            if condition is not None:
                batch = batch.filter(pa.array(_any_set(batch, *condition) == wanted))
        return batch


def _any_set(batch: pa.RecordBatch, name: str, bits: int) -> NDArray[np.bool_]:
    """Whether one of the bits is set in the field of each record; in none where there is no such field."""
    if name not in _usable(batch.schema)[0]:
        return np.zeros(batch.num_rows, np.bool_)
    flags: NDArray[np.uint64] = batch.column(name).fill_null(0).to_numpy(zero_copy_only=False).astype(np.uint64)
    return (flags & np.uint64(bits)).astype(np.bool_)


def _chosen(word: str, source: Source | None, numeric: frozenset[str], texts: frozenset[str]) -> _Chosen:
    if source is None:
        return _Chosen(None, constant=_NONE.get(word, -1))
    found = _first(source.fields, texts if word == "name" else numeric)
    if found is not None:
        return _Chosen(found, _first(source.more, numeric), source.rule)
    return _Chosen(None, constant=source.constant if source.rule in {"constant", "order", "folio"} else _NONE.get(word, -1))


def _first(fields: Sequence[str], usable: frozenset[str]) -> str | None:
    return next((name for name in fields if name in usable), None)


def _usable(schema: pa.Schema) -> tuple[frozenset[str], frozenset[str]]:
    """Columns that are numbers, and those that are strings: a file may declare a field of any name as anything."""
    numeric = frozenset(column.name for column in schema if pa.types.is_integer(column.type) or pa.types.is_boolean(column.type))
    texts = frozenset(
        column.name
        for column in schema
        if pa.types.is_string(column.type) or (pa.types.is_dictionary(column.type) and pa.types.is_string(column.type.value_type))
    )
    return numeric, texts


def _numbers(column: pa.Array) -> Numbers:
    if column.null_count:
        column = column.fill_null(False if pa.types.is_boolean(column.type) else 0)
    values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values.view(np.uint8), values.itemsize, values.dtype.kind == "i"
