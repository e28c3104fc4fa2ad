"""Where output goes: results as data on stdout or into a file, messages and progress on stderr."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from replay.errors import ReplayError
from replay.render import Format, printable, write, write_rows

if TYPE_CHECKING:
    import pyarrow as pa


def say(line: str) -> None:
    """A message for the user, on stderr; may be cut to one printable line, since parts of it may come from a trace."""
    sys.stderr.write(printable(line) + "\n")


def put(text: str) -> None:
    """Text that is a result, on stdout."""
    with output(None) as out:
        out.write(text.encode(errors="replace"))


def show(table: pa.Table, form: Format, path: str | None) -> None:
    """A table that is a result, in the wanted format."""
    with output(path) as out:
        write(table, form, out, width=_width(path))


def show_rows(
    names: Sequence[str], rows: Iterable[Sequence[Any]], form: Literal["table", "json"], path: str | None, limit: int | None
) -> None:
    """Rows that are a result and need not be held all at once; `limit` bounds those of a text table."""
    with output(path) as out:
        write_rows(names, rows, form, out, width=_width(path), limit=limit)


def _width(path: str | None) -> int | None:
    """The terminal's, if the output goes there."""
    return shutil.get_terminal_size().columns if path is None and sys.stdout.isatty() else None


@contextmanager
def output(path: str | None) -> Iterator[IO[bytes]]:
    """Stdout, or a file that appears only once it is whole."""
    if path is None:
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        with _whole(Path(path)) if _may_be_replaced(path) else open(path, "wb") as out:
            yield out
    except OSError as error:
        raise ReplayError(f"cannot write: {error.strerror}", where=path) from None


def _may_be_replaced(path: str) -> bool:
    """Only files: a rename onto /dev/null or a named pipe would take its place."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return True


@contextmanager
def _whole(path: Path) -> Iterator[IO[bytes]]:
    """A draft that takes the file's place at the end, with its permissions; where the path is a link, the place of its target."""
    place = path.resolve()
    draft = place.with_name(f"{place.name}.part-{os.getpid()}")
    try:
        with open(draft, "wb") as out:
            if place.exists():
                shutil.copymode(place, draft)
            yield out
        draft.replace(place)
    finally:
        draft.unlink(missing_ok=True)
