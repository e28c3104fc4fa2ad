"""Columns of Arrow tables as numpy arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

Numbers = Any  # a numpy array; its type follows from the column


def numbers(table: pa.Table | pa.RecordBatch, name: str, *, none: int = -1, kind: Any = np.int64) -> Numbers:
    """A column as numpy, NULL as `none`."""
    import pyarrow as pa

    column = table[name]
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if column.null_count and pa.types.is_integer(column.type):
        # Several times faster than fill_null: what lies under a NULL is arbitrary, but it is there.
        data = np.frombuffer(column.buffers()[1], column.type.to_pandas_dtype())
        held = data[column.offset : column.offset + len(column)]
        values = np.where(column.is_valid().to_numpy(zero_copy_only=False), held, held.dtype.type(none))
    else:
        values = (column.fill_null(none) if column.null_count else column).to_numpy(zero_copy_only=False)
    if kind is np.int32 and values.dtype == np.int64 and len(values) and not -(2**31) <= values.min() <= values.max() < 2**31:
        raise ValueError(f"column {name} holds numbers beyond 32 bits")
    return values.astype(kind, copy=False)


def flags(table: pa.Table | pa.RecordBatch, name: str) -> Numbers:
    """A column of truth values as 0 and 1, NULL as 0."""
    import pyarrow as pa

    column = table[name]
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if not len(column):
        return np.zeros(0, np.uint8)
    valid, data = column.buffers()
    bits = np.frombuffer(data, np.uint8)
    if valid is not None:
        told = np.frombuffer(valid, np.uint8)
        least = min(len(bits), len(told))
        bits = bits[:least] & told[:least]
    return np.unpackbits(bits, count=column.offset + len(column), bitorder="little")[column.offset :]


def codes(table: pa.Table | pa.RecordBatch, name: str, words: Mapping[str, int], kind: Any) -> Numbers:
    """A text column as the numbers of its words; NULL and unknown words as -1."""
    import pyarrow as pa

    column = table[name]
    if isinstance(column, pa.ChunkedArray):
        column = column.unify_dictionaries().combine_chunks()
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    found = [words.get(word, -1) for word in column.dictionary.to_pylist()]
    return np.array([*found, -1], kind)[column.indices.fill_null(-1).to_numpy(zero_copy_only=False)]
