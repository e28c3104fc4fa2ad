from typing import final

import numpy as np
from numpy.typing import NDArray

@final
class Settling:
    def __init__(
        self,
        group_of_key: NDArray[np.int32],
        group_of_file: NDArray[np.int32],
        first_of_file: NDArray[np.int32],
        by_device: NDArray[np.uint8],
        latest: NDArray[np.int64],
    ) -> None: ...
    def copied(self) -> Settling: ...
