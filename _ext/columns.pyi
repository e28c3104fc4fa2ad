from collections.abc import Sequence

import numpy as np

from replay._ext.rowgroups import RowGroups
from replay._ext.vocabulary import Vocabulary

_Numbers = np.ndarray[tuple[int], np.dtype[np.int32]]
_Bytes = np.ndarray[tuple[int], np.dtype[np.uint8]]

FIELD: int
SEQ: int
TS: int
CPU: int
BUFFER: int
INLINE: int
DATA_LOC: int
REL_LOC: int

def column_bytes(rows: int, width: int) -> int: ...
def scalars(
    store: RowGroups, group_number: int, jobs: Sequence[tuple[int, int, int]], cpus: _Numbers, buffers: _Numbers, out: _Bytes
) -> None: ...
def measure(
    store: RowGroups,
    group_number: int,
    place: int,
    offset: int,
    width: int,
    item_bytes: int,
    text: bool,
    offsets: _Numbers,
    valid: _Bytes,
    spent: np.ndarray[tuple[int], np.dtype[np.uint32]],
) -> tuple[int, int]: ...
def copy(
    store: RowGroups,
    group_number: int,
    place: int,
    offset: int,
    width: int,
    item_bytes: int,
    text: bool,
    offsets: _Numbers,
    out: _Bytes,
) -> bool: ...
def words(
    store: RowGroups,
    group_number: int,
    place: int,
    offset: int,
    width: int,
    vocabulary: Vocabulary,
    codes: _Numbers,
    spent: np.ndarray[tuple[int], np.dtype[np.uint32]],
) -> int: ...
