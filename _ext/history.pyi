"""The recorded rows: see history.pyx."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from typing_extensions import disjoint_base

_Numbers = npt.NDArray[Any]

LIMIT: Final[int]
TYPES: dict[str, type[np.generic]]
ROW_COLUMNS: dict[str, str]
KEPT: frozenset[int]

@disjoint_base
class History:
    seen: int
    first: int
    end: int
    remote: bool
    deletes: bool
    writes: int
    written_ns: int
    def __init__(self, tables: dict[str, _Numbers], n_slots: int, room: int) -> None: ...
    def find_allocations(self, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]: ...
    def add(self, group: dict[str, _Numbers]) -> None: ...

def check_columns(columns: Mapping[str, _Numbers], kinds: Mapping[str, str]) -> None: ...
def lie_within(values: _Numbers, low: int, high: int, what: str) -> None: ...
def ranges_lie_in_files(slot: _Numbers, npages: _Numbers, file: _Numbers, tables: Mapping[str, _Numbers], what: str) -> None: ...
def explain_bad_rows(group: Mapping[str, _Numbers], tables: Mapping[str, _Numbers], n_slots: int, before: int) -> None: ...
