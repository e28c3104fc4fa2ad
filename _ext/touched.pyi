from typing import Self

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

INDEX_END: int

@disjoint_base
class PageBits:
    def __new__(cls, touching: NDArray[np.uint8] | None = None) -> Self: ...
    def add(self, file: NDArray[np.int64], begin: NDArray[np.int64], npages: NDArray[np.int64]) -> None: ...
    def superseded(self) -> list[int]: ...
    def runs(self) -> bytearray: ...

@disjoint_base
class Settling:
    def __init__(
        self,
        group_of_key: NDArray[np.int32],
        group_of_file: NDArray[np.int32],
        first_of_file: NDArray[np.int32],
        by_device: NDArray[np.uint8],
        latest: NDArray[np.int64],
    ) -> None: ...
    def settle(self, key: NDArray[np.int32], op: NDArray[np.uint8], index: NDArray[np.int64], file: NDArray[np.int64]) -> None: ...

def ranks(
    run_file: NDArray[np.int64],
    run_index: NDArray[np.int64],
    run_npages: NDArray[np.int64],
    run_slot: NDArray[np.int64],
    file: NDArray[np.int64],
    index: NDArray[np.int64],
    rank: NDArray[np.int64],
) -> None: ...
