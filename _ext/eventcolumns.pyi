from typing import final

import numpy as np
from numpy.typing import NDArray

from replay._ext.known import Codes, Identity, Threads
from replay._ext.settling import Settling
from replay._ext.slotruns import SlotRuns

LONGS: tuple[str, ...]
INTS: tuple[str, ...]
TOLD: tuple[str, ...]

@final
class EventColumns:
    def __init__(
        self,
        identity: Identity,
        settling: Settling | None,
        slots: SlotRuns,
        threads: Threads,
        files: Codes,
        comms: Codes,
        file_events: NDArray[np.int64],
    ) -> None: ...
    def fill(
        self,
        packed: bytes | memoryview,
        rows: int,
        patches: NDArray[np.int64],
        longs: NDArray[np.int64],
        ints: NDArray[np.int32],
        told: NDArray[np.uint32],
    ) -> int: ...
    def chunk_devices(self) -> bytearray: ...
    def layout_waits(self) -> bytearray: ...
    def counts(self) -> tuple[list[int], list[int]]: ...
