from typing import final

import numpy as np
from numpy.typing import NDArray

from replay._ext.settling import Settling

@final
class Codes:
    def __init__(self, code: NDArray[np.int32], numbers: NDArray[np.int32]) -> None: ...
    def forget(self) -> list[int]: ...

@final
class Threads:
    def __init__(self, tid: NDArray[np.int32], tgid: NDArray[np.int32], comm: NDArray[np.int32]) -> None: ...
    def events(self) -> dict[int, int]: ...

@final
class Identity:
    def __init__(
        self,
        file: NDArray[np.int64],
        source: NDArray[np.uint8],
        confidence: NDArray[np.uint8],
        wander: NDArray[np.uint8],
        superseded: NDArray[np.uint8],
        dax: NDArray[np.uint8],
    ) -> None: ...

def touched(
    identity: Identity, settling: Settling | None, packed: bytes | memoryview, rows: int, patches: NDArray[np.int64]
) -> bytearray: ...
