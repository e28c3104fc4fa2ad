"""Words of records: each rule by which a mapping makes one, against a plain statement of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay._ext.words import RULES
from replay.ingest.gather import Plan
from replay.ingest.losses import Losses
from replay.ingest.lowering import Lowering
from replay.ingest.records import RawBatch, TraceInfo
from replay.ingest.sources import Mapping, Source

LAST = (1 << 63) - 1
EDGES = [0, 1, 3, 51, 52, 63, 4095, 4096, 4097, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 51, LAST - 1, LAST]
EDGES += [-1, -4096, -LAST - 1]
NUMBERS = st.one_of(st.sampled_from(EDGES), st.integers(-LAST - 1, LAST))


def expected(rule: str, value: int, more: int) -> int:
    end = value + min(max(more, 0), LAST - max(value, 0))
    first, whole_first = value >> 12, -(-value >> 12)
    found = {
        "plain": value,
        "page": value if 0 <= value < 1 << 51 else -1,
        "errno": value - (1 << 32) if 1 << 31 <= value < 1 << 32 else value,
        "order": 1 << min(max(value, 0), 51),
        "folio": 1 << min(max(more, 0), 51) if value else 1,
        "first_page": first,
        "whole_first": whole_first,
        "covering": -(-end >> 12) - first or -1,
        "whole": max((end >> 12) - whole_first, 0),
        "distance": -1 if more == LAST else max((more >> 12) - first + 1, 0) or -1,
        "device": (value << 20 | (more & 0xFFFFF)) & ((1 << 64) - 1),
        "shared": 8 if value & 1 else 0,
        "clone_flags": 0x10000 if value == more else 0,
    }[rule]
    if rule in {"first_page", "whole_first", "covering", "whole", "distance"} and value < 0:
        return -1
    return found if found <= LAST else -1


def reached(columns: dict[str, Any], source: Source) -> list[int]:
    """The page frame numbers of cache events that come from `source`; negative ones are told as none, hence -1."""
    rows = len(columns["x"])
    own = {"seq": np.arange(rows), "ts": np.arange(rows), "cpu": np.zeros(rows, np.int32), "common_pid": np.ones(rows, np.int32)}
    batch = pa.RecordBatch.from_pydict({name: pa.array(column) for name, column in (own | columns).items()})
    lowering = Lowering(TraceInfo("test.dat", "test", "mono", None, 1), Losses())
    ones = Source((), "constant", constant=1)
    mapping = Mapping("cache_add", "cache_add", ("test",), words={"ino": ones, "dev": ones, "index": ones, "npages": ones, "a": source})
    lowering.plans["test", "test"] = (Plan.of(mapping, batch.schema),)
    lowering.add(RawBatch({("test", "test"): batch}))
    return lowering.finish().tables["events"]["pfn"].to_pylist()


@pytest.mark.parametrize("rule", RULES)
@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=300))
@settings(deadline=None, max_examples=25)
def test_a_word_is_what_its_rule_says(rule: str, numbers: list[tuple[int, int]]) -> None:
    numbers += [(value, more) for value in EDGES for more in EDGES[::4]]
    values, more = (np.array(column, np.int64) for column in zip(*numbers, strict=True))
    found = reached({"x": values, "y": more}, Source(("x",), rule, ("y",)))
    assert found == [max(expected(rule, value, other), -1) for value, other in numbers]


@pytest.mark.parametrize("type_", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64, np.bool_])
def test_a_number_of_any_width_keeps_its_value(type_: Any) -> None:
    values = np.array([0, 1, 100, 200, 40000, 1 << 31, (1 << 63) - 1, (1 << 64) - 1], np.uint64).astype(type_)
    wide = values.astype(np.int64)
    assert reached({"x": values}, Source(("x",))) == np.maximum(wide, -1).tolist()
    assert reached({"x": np.zeros(len(values), np.int64), "y": values}, Source(("x",), "device", ("y",))) == (wide & 0xFFFFF).tolist()


def test_what_a_record_does_not_tell_is_zero() -> None:
    assert reached({"x": pa.array([None, 5, None], pa.int64())}, Source(("x",))) == [0, 5, 0]
