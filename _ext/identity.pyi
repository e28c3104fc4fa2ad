from typing import Any

import numpy as np
from numpy.typing import NDArray

from replay._ext.state import State

STEPS: tuple[str, ...]

def feed(
    state: State,
    order: NDArray[np.int32],
    step: NDArray[np.uint8],
    weak: NDArray[np.uint8],
    seq: NDArray[np.int64],
    ts: NDArray[np.int64],
    cpu: NDArray[np.int32],
    tid: NDArray[np.int32],
    dev: NDArray[np.int64],
    ino: NDArray[np.uint64],
    name: NDArray[np.int32],
    index: NDArray[np.int64],
    npages: NDArray[np.int64],
    a: NDArray[np.int64],
    b: NDArray[np.int64],
    c: NDArray[np.int64],
    d: NDArray[np.int64],
) -> Any: ...
