import numpy as np
from numpy.typing import NDArray

from replay._ext.state import State

def pack(state: State) -> bytes: ...
def unpack(
    packed: bytes | memoryview,
    seq: NDArray[np.int64],
    ts: NDArray[np.int64],
    index: NDArray[np.int64],
    npages: NDArray[np.int64],
    value: NDArray[np.int64],
    tid: NDArray[np.int32],
    file: NDArray[np.int32],
    mr: NDArray[np.int32],
    pin: NDArray[np.int32],
    cpu: NDArray[np.int32],
    flags: NDArray[np.uint16],
    op: NDArray[np.uint8],
    source: NDArray[np.uint8],
    confidence: NDArray[np.uint8],
    touches: NDArray[np.uint8],
) -> None: ...
