"""The recorded trace as columns of numbers: see recording.pyx."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import numpy.typing as npt
from typing_extensions import disjoint_base

LIMIT: Final[int]
ROW_COLUMNS: dict[str, str]
TABLE_COLUMNS: dict[str, str]
REUSE_COLUMNS: dict[str, str]
COLUMNS: dict[str, str]

@disjoint_base
class Trace:
    def __init__(
        self,
        columns: Mapping[str, npt.NDArray[Any]],
        batches: Iterable[dict[str, Any]] | None = None,
        room: int | None = None,
        reuses: Callable[[], Mapping[str, npt.NDArray[Any]]] | None = None,
    ) -> None: ...
