import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

@disjoint_base
class Packer:
    @property
    def rows(self) -> int: ...
    def take(self) -> bytes: ...

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
