from typing_extensions import Buffer

from replay._ext.ringbuffer import RingMerge

FIELD: int
SEQ: int
TS: int
STREAM: int
INLINE: int
DATA_LOC: int
REL_LOC: int

def scalars(merge: RingMerge, group_number: int, jobs: list[tuple[int, int, int, Buffer]]) -> None: ...
def measure(
    merge: RingMerge,
    group_number: int,
    place: int,
    offset: int,
    width: int,
    item_bytes: int,
    text: bool,
    offsets: Buffer,
    valid: Buffer,
    spent: Buffer,
) -> tuple[int, int]: ...
def copy(
    merge: RingMerge,
    group_number: int,
    place: int,
    offset: int,
    width: int,
    item_bytes: int,
    text: bool,
    offsets: Buffer,
    out: Buffer,
) -> bool: ...
