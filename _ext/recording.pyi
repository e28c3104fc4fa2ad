"""The recorded trace as columns of numbers: see columns.pyx."""

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

COLUMNS: dict[str, str]

class Trace:
    def __init__(self, columns: Mapping[str, npt.NDArray[Any]]) -> None: ...
