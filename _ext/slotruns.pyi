from typing import final

import numpy as np
from numpy.typing import NDArray

@final
class SlotRuns:
    def __init__(self, index: NDArray[np.int64], npages: NDArray[np.int64], slot: NDArray[np.int64], first: NDArray[np.int64]) -> None: ...
    def ranks(self, file: NDArray[np.int64], index: NDArray[np.int64], ranks: NDArray[np.int64]) -> None: ...
