import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

@disjoint_base
class PageBits:
    def add(self, file: NDArray[np.int64], index: NDArray[np.int64]) -> None: ...
    def runs(self) -> tuple[list[int], list[int], list[int]]: ...

def ranks(
    run_file: NDArray[np.int64],
    run_index: NDArray[np.int64],
    run_npages: NDArray[np.int64],
    run_slot: NDArray[np.int64],
    file: NDArray[np.int64],
    index: NDArray[np.int64],
    rank: NDArray[np.int64],
) -> None: ...
