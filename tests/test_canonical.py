"""Columns of lowered tables become Arrow in the declared type, or not at all."""

import numpy as np
import pyarrow as pa
import pytest

from replay.ingest.canonical import Column


def test_numbers_take_the_declared_type() -> None:
    column = Column(np.array([7, -3, 1 << 40]), np.array([False, False, True]))
    assert column.arrow(pa.int32()).to_pylist() == [7, -3, None]
    assert column.arrow(pa.int32()).type == pa.int32()
    assert Column(np.array([3, 1 << 63], np.uint64)).arrow(pa.uint64()).to_pylist() == [3, 1 << 63]
    assert Column(np.array([True, False])).arrow(pa.bool_()).to_pylist() == [True, False]
    assert Column(np.array([0.5, 0.1])).arrow(pa.float32()).to_pylist() == [0.5, np.float32(0.1)]


@pytest.mark.parametrize(("numbers", "kind"), [([1 << 31], pa.int32()), ([-1], pa.uint64()), ([1 << 16], pa.uint16())])
def test_numbers_without_room_are_no_other_numbers(numbers: list[int], kind: pa.DataType) -> None:
    with pytest.raises(OverflowError, match="numbers that are no"):
        Column(np.array(numbers)).arrow(kind)


@pytest.mark.parametrize("kind", [pa.string(), pa.dictionary(pa.int32(), pa.string())])
def test_words_by_number(kind: pa.DataType) -> None:
    column = Column(np.array([1, -1, 0, 1], np.int32), words=["a", "b"]).arrow(kind)
    assert column.type == kind
    assert column.to_pylist() == ["b", None, "a", "b"]
