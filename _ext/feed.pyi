import numpy as np
from numpy.typing import NDArray

from replay._ext.packing import Packer
from replay._ext.state import State
from replay._ext.touched import PageBits

WORDS: tuple[str, ...]

_Column = tuple[NDArray[np.uint8], int, bool]
_Word = tuple[int, _Column, _Column | None] | int

def feed(state: State, pages: PageBits, packer: Packer, tables: list[tuple[int, bool, int, _Column, list[_Word]]]) -> None: ...
