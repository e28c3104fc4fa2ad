"""perf.data directories, which `perf record --threads` writes in place of one file.

    NAME/data      a perf.data file: header, events, features, and the records that perf itself made up
    NAME/data.N    the records that the Nth thread read, and nothing else

tools/perf/Documentation/perf.data-directory-format.txt
"""

from __future__ import annotations

import os
import re

_PART = re.compile(r"data\.(\d{1,9})")
_MAIN = "data"
# tools/perf/util/header.c: "PERFILE2" as a number, in either byte order.
MAGICS = (b"PERFILE2", b"2ELIFREP")


def is_perf_directory(path: str) -> bool:
    """Whether the directory is one trace. A directory of traces, one of which happens to be called "data", has no header here."""
    main = os.path.join(path, _MAIN)
    try:
        if not os.path.isdir(path) or not os.path.isfile(main):
            return False
        with open(main, "rb") as file:
            return file.read(8) in MAGICS
    except (OSError, ValueError):
        return False


def files_of(path: str) -> list[str]:
    """The files that a trace consists of: itself, or those of a perf.data directory, the one with the header first."""
    if not is_perf_directory(path):
        return [path]
    numbers = sorted(int(match[1]) for name in os.listdir(path) if (match := _PART.fullmatch(name)))
    return [os.path.join(path, name) for name in (_MAIN, *(f"{_MAIN}.{number}" for number in numbers))]
