"""The compiled replay: see engine.pyx."""

from collections.abc import Callable
from typing import TypedDict, type_check_only

import numpy as np
import numpy.typing as npt

from replay._ext.recording import Trace

ENGINE_VERSION: str
DECISIONS: tuple[str, ...]
PARAMS: tuple[str, ...]
BLOCK_ROWS: int

@type_check_only
class Outcome(TypedDict):
    conflicts: dict[str, npt.NDArray[np.integer]]
    stalls: dict[str, npt.NDArray[np.int64]]
    refusals: dict[str, npt.NDArray[np.int64]]
    revocations: dict[str, npt.NDArray[np.int64]]
    bins: npt.NDArray[np.object_]
    first: int
    end: int
    bin_ns: int

def replay(
    trace: Trace,
    policy: npt.NDArray[np.int64],
    params: npt.NDArray[np.int64],
    take_conflicts: Callable[[dict[str, npt.NDArray[np.integer]]], None] | None = None,
    block_rows: int = ...,
) -> Outcome: ...
