from typing import Any

import numpy as np

_Bytes = np.ndarray[Any, np.dtype[np.uint8]]
_Words = np.ndarray[Any, np.dtype[np.int32]]
_Longs = np.ndarray[Any, np.dtype[np.int64]]

LITERAL: int
INTEGER: int
HEX: int
OCTAL: int
POINTER: int
DEVICE: int
BYTES_TO_PAGES: int
STRING: int
GUESS: int
IS_INTEGER: int
IS_NEGATIVE: int
IS_BIG: int
IS_WORD: int

def match(
    data: _Bytes,
    begins: _Longs,
    lengths: _Words,
    steps: _Words,
    literals: _Bytes,
    whole: bool,
    values: _Longs,
    sizes: _Words,
    present: _Bytes,
    seen: _Bytes,
    matched: _Bytes,
) -> int: ...
def copy(data: _Bytes, begins: _Longs, lengths: _Words, offsets: _Words, out: _Bytes) -> bool: ...
