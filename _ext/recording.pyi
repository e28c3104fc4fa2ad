"""The recorded trace as columns of numbers: see recording.pyx."""

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
from typing_extensions import disjoint_base

COLUMNS: dict[str, str]

@disjoint_base
class Trace:
    def __init__(self, columns: Mapping[str, npt.NDArray[Any]]) -> None: ...
