import numpy as np
from numpy.typing import NDArray

from replay._ext.state import State

NO_TURN: int
WORDS: tuple[str, ...]

def feed(state: State, turns: NDArray[np.uint16], tables: list[tuple[int, bool, int, list[NDArray[np.int64]]]]) -> None: ...
