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
