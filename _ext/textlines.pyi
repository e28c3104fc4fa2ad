from typing import Any, final

import numpy as np

TASK: int
LATENCY: int
PERF: int
NAMED: int
ENTER: int
EXIT: int
FUNCTION: int
OTHER: int
RECORD: int
MOST_NAMES: int
UNSCALED: int
NEW_NAME: int
END: int

@final
class Names:
    @property
    def count(self) -> int: ...
    def __new__(cls) -> Names: ...

@final
class Scanner:
    def __new__(cls, data: np.ndarray[Any, np.dtype[np.uint8]], grammar: int) -> Scanner: ...
    @property
    def grammar(self) -> int: ...
    @property
    def unparsed(self) -> int: ...
    @property
    def first_unparsed(self) -> int: ...
    @property
    def event_count(self) -> int: ...
    @property
    def buffer_count(self) -> int: ...
    def reset(self) -> None: ...
    def event(self, number: int) -> tuple[int, bytes]: ...
    def buffer(self, number: int) -> bytes: ...
    def set_multiline(self, number: int) -> None: ...
    def scan(
        self, begin: int, end: int, lines: np.ndarray[Any, Any], count: int, notes: np.ndarray[Any, np.dtype[np.int64]]
    ) -> tuple[int, int, int, int]: ...
