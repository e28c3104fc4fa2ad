"""CSV, batch by batch: a text is quoted where it must be, NULL is nothing. Lists and the like are JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from replay.texttable import encode

if TYPE_CHECKING:
    import pyarrow as pa

_SPECIAL = re.compile('[",\r\n]')


def header(names: Iterable[str]) -> bytes:
    return (",".join(map(_quoted, names)) + "\n").encode()


def lines(batch: pa.RecordBatch) -> bytes:
    """The batch's rows. Arrow writes them, where no text needs quotes (it quotes all or none) and it knows the types."""
    import pyarrow as pa
    import pyarrow.csv as pa_csv

    out = pa.BufferOutputStream()
    if not any(map(_is_special, batch.columns)):
        try:
            pa_csv.write_csv(batch, out, pa_csv.WriteOptions(include_header=False, quoting_style="none"))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            pass
        else:
            written: bytes = out.getvalue().to_pybytes()
            return written
    return "".join(",".join(row) + "\n" for row in zip(*map(_texts, batch.columns), strict=True)).encode()


def _is_special(column: pa.Array) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string(column.type):
        return bool(pc.any(pc.match_substring_regex(column, _SPECIAL.pattern)).as_py())
    return bool(pa.types.is_nested(column.type))


def _texts(column: pa.Array) -> Iterator[str]:
    """The values as they stand in the file."""
    import pyarrow as pa

    write: Callable[[Any], str] = str
    if pa.types.is_nested(column.type):
        write = partial(json.dumps, default=encode)
    else:
        try:
            column = column.cast(pa.string())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            write = _encoded
    return ("" if value is None else _quoted(write(value)) for value in column.to_pylist())


def _encoded(value: object) -> str:
    return str(encode(value))


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if _SPECIAL.search(text) else text
