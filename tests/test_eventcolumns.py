"""Columns of events from packed rows: where values lie, and that what is not whole is an error."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np
import pytest
from builders.raw import added, batch, deleted, dirtied, lower, rows
from numpy.typing import NDArray

from replay.ingest.canonical import Canonical
from replay.ingest.losses import Losses
from replay.ingest.lowering import Lowering
from replay.ingest.records import TraceInfo
from replay.ingest.rows import Columns, Part
from replay.schema import OPS

PATCH_OP, PATCH_DUR, PATCH_INDEX = 10, 0, 12


def part_of(records: list[Any]) -> tuple[Part, memoryview]:
    """The only part of a trace, and its rows as packed."""
    with closing(Lowering(TraceInfo("test.dat", "test", "mono", None, 1), Losses())) as lowering:
        lowering.add(batch(records))
        canonical: Canonical = lowering.finish()
        (part,) = canonical.parts
        assert isinstance(part, Part)
        packed, patches = part.spill.chunk(0)
        assert len(patches) == 0
        return part, packed


def filled(
    part: Part, packed: bytes | memoryview, count: int, patches: list[list[int]], room: Columns | None = None
) -> tuple[int, Columns]:
    room = room or Columns(count)
    told: NDArray[np.int64] = np.array(patches, np.int64).reshape(-1, 3)
    return part.columns.fill(packed, count, told, room.longs, room.ints, room.told), room


@pytest.mark.parametrize("count", [1, 31, 32, 33, 64, 100])
def test_values_lie_where_their_rows_are(count: int) -> None:
    """Bits that tell of values lie in words of 32."""
    makers = (added, dirtied, deleted)
    canonical, _ = lower([makers[number % 3](10 + number % 2, number) for number in range(count)])
    assert rows(canonical, "events", "seq", "op", "index", "pfn", "tid", "open") == [
        (
            number,
            ("cache_add", "dirty", "cache_del")[number % 3],
            number,
            None if number % 3 == 1 else 7000 + number,
            10 + number % 2,
            False,
        )
        for number in range(count)
    ]


def test_patches_change_rows_and_columns() -> None:
    part, packed = part_of([added(10, 5), added(10, 6), added(10, 7)])
    events, room = filled(part, packed, 3, [[0, 255, PATCH_OP], [1, 77, PATCH_DUR], [1, 78, PATCH_DUR], [2, 9, PATCH_INDEX]])
    assert events == 2
    assert room.longs[:, :2][[0, 2]].tolist() == [[1, 2], [6, 9]]
    assert room.longs[4, 0] == 78


def test_rows_and_patches_that_are_not_whole_are_errors() -> None:
    part, packed = part_of([added(10, 5), dirtied(11, 1 << 40), added(12, 6)])
    whole, _ = filled(part, packed, part.spill.rows, [])
    assert whole == part.spill.rows
    for cut in range(len(packed)):
        with pytest.raises(ValueError, match="end too early"):
            filled(part, packed[:cut], part.spill.rows, [])
    for patches in ([[1, 3, PATCH_DUR], [0, 3, PATCH_DUR]], [[part.spill.rows, 3, PATCH_DUR]]):
        with pytest.raises(ValueError, match="not in order"):
            filled(part, packed, part.spill.rows, patches)
    with pytest.raises(ValueError, match="no operation"):
        filled(part, packed, part.spill.rows, [[0, len(OPS), PATCH_OP]])
    with pytest.raises(ValueError, match="no column"):
        filled(part, packed, part.spill.rows, [[0, 1, 99]])
    with pytest.raises(IndexError):
        filled(part, packed, part.spill.rows, [[0, 1 << 20, PATCH_INDEX - 1]])
    with pytest.raises(ValueError, match="more events"):
        filled(part, packed, part.spill.rows, [], Columns(1))


def test_columns_of_other_shapes_are_refused() -> None:
    part, packed = part_of([added(10, 5)])
    room = Columns(8)
    room.told = room.told[:-1]
    with pytest.raises(ValueError, match="not the columns"):
        filled(part, packed, 1, [], room)
    room = Columns(64)
    room.told = np.ascontiguousarray(room.told[:, :1])
    with pytest.raises(ValueError, match="differ in length"):
        filled(part, packed, 1, [], room)
