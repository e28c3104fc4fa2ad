import numpy as np

from replay._ext.rowgroups import RowGroups

_Bytes = np.ndarray[tuple[int], np.dtype[np.uint8]]

FIELD: int
SEQ: int
TS: int
STREAM: int
INLINE: int
DATA_LOC: int
REL_LOC: int

def scalars(store: RowGroups, group_number: int, jobs: list[tuple[int, int, int, _Bytes]]) -> None: ...
def measure(
    store: RowGroups,
    group_number: int,
    place: int,
    offset: int,
    width: int,
    item_bytes: int,
    text: bool,
    offsets: np.ndarray[tuple[int], np.dtype[np.int32]],
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
    offsets: np.ndarray[tuple[int], np.dtype[np.int32]],
    out: _Bytes,
) -> bool: ...
