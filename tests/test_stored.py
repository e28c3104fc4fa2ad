"""Columns that do not lie in Parquet as SQL shows them: what goes in comes out, also where there is nothing."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from builders.shown import shown

from replay.ingest.canonical import Column, numbers, table, words
from replay.schema import EVENTS, ID_SOURCES, OPS
from replay.stored import share

EXT = Path(__file__).parent.parent / "_ext"
_VALUES: dict[str, Any] = {
    "bool": lambda rng: rng.random() < 0.5,
    "int32": lambda rng: rng.choice((0, 1, 2**31 - 1, rng.randrange(2**16))),
    "int64": lambda rng: rng.choice((0, 1, 2**31 - 1, rng.randrange(2**16))),
    "uint64": lambda rng: rng.randrange(2**64),
    "float64": lambda rng: rng.randrange(101) / 100.0,
}


def made_up(seed: int, count: int) -> list[dict[str, Any]]:
    rng = random.Random(seed)

    def value(name: str, type_: str) -> Any:
        if type_ != "string":
            return _VALUES[type_](rng)
        return rng.choice({"op": OPS, "id_source": ID_SOURCES}.get(name, ("a", "b", "c")))

    def row() -> dict[str, Any]:
        row = {column.name: value(column.name, column.type) if column.always or rng.random() < 0.6 else None for column in EVENTS.columns}
        return row if row["index"] is not None and row["nslots"] > 0 else row | {"slot": -1, "nslots": 0}

    return [row() for _ in range(count)]


def stored(rows: list[dict[str, Any]]) -> pa.Table:
    columns: dict[str, Column] = {}
    for column in EVENTS.columns:
        values = [row[column.name] for row in rows]
        columns[column.name] = words(values) if column.type == "string" else numbers(values, column.type)
    return table(EVENTS, columns, len(rows))


@pytest.mark.parametrize("seed", range(5))
def test_what_is_stored_is_shown(seed: int) -> None:
    rows = made_up(seed, 400)
    lying = stored(rows)
    assert lying.schema == EVENTS.arrow_schema()
    assert all(field.nullable or not column.null_count for field, column in zip(lying.schema, lying.columns, strict=True))
    assert shown("events", lying) == rows


def test_columns_that_nobody_tells_are_shown_as_null() -> None:
    told = {"seq", "ts", "op", "tid", "slot", "nslots"}
    columns = {name: Column(np.full(3, -1 if name == "slot" else 0)) for name in told - {"op"}}
    columns["op"] = Column(np.zeros(3, np.int32), words=OPS)
    for row in shown("events", table(EVENTS, columns, 3)):
        assert {name for name, value in row.items() if value is not None} == told


def test_every_share_of_whole_per_cent_is_exact_and_others_are_refused() -> None:
    shares = [number / 100.0 for number in range(101)]
    rows = [{**row, "id_confidence": value} for row, value in zip(made_up(1, 101), shares, strict=True)]
    assert [row["id_confidence"] for row in shown("events", stored(rows))] == shares
    for wrong in (0.955, -0.01, 1.01):
        with pytest.raises(ValueError, match="no whole per cent"):
            share(20).number(np.array([wrong]))


def test_flags_lie_as_the_compiled_core_writes_them() -> None:
    """As in _ext/rows.pxd, but for DAX, which takes the place of a mark that no event shows."""
    block = re.search(r"FLAG_WRITE = 0\n((?:    FLAG_\w+.*\n)+)", (EXT / "rows.pxd").read_text())
    assert block is not None
    named = ["write", *(name.lower() for name in re.findall(r"FLAG_(\w+)", block[1]))]
    for column in EVENTS.columns:
        if column.type == "bool":
            assert column.stored is not None
            number = named.index("weak" if column.name == "dax" else column.name)
            assert column.stored.number(np.array([False, True])).tolist() == [1 << 2 * number, 3 << 2 * number], column.name
