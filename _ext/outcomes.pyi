"""Part of the replay loop: see outcomes.pyx."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from typing_extensions import disjoint_base

CONFLICT_COLUMNS: dict[str, type[np.integer]]

@disjoint_base
class Blocks:
    def __init__(self, rows: int, take: Callable[[dict[str, npt.NDArray[np.integer]]], None] | None) -> None: ...
