from typing import Self

from typing_extensions import disjoint_base

from replay._ext.rowgroups import RowGroups

BATCH_FULL: int
ALL_DONE: int

@disjoint_base
class Samples: ...

@disjoint_base
class RingMerge:
    def __new__(
        cls, page_bytes: list[int], need_bytes: list[int], *, header_bytes: int, long_bytes: int, big_endian: bool = False
    ) -> Self: ...
    def set_type(self, event_type: int, group: int) -> None: ...
    def set_clock(
        self,
        streams: list[int],
        *,
        mult: int,
        shift: int,
        offset: int,
        samples: list[tuple[int, int, int, int]],
        interpolate: bool,
    ) -> None: ...
    def feed(self, stream: int, segment: memoryview) -> bool: ...
    def run(self, rows: int) -> int: ...
    @property
    def groups(self) -> RowGroups: ...
    def drop_rows(self) -> None: ...
    @property
    def batch_bytes(self) -> int: ...
    def met(self, stream: int) -> tuple[int, int, int, int, int]: ...
