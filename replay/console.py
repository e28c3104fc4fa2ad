"""Where output goes: results as data on stdout or into a file, messages and progress on stderr."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from replay.errors import ReplayError
from replay.render import PLAIN, Format, Look, printable, write, write_batches, write_rows

if TYPE_CHECKING:
    import pyarrow as pa

# --plain: no more than ASCII, nothing that is drawn.
PLAIN_WANTED: ContextVar[bool] = ContextVar("plain", default=False)
_NARROWEST = 40


def say(line: str) -> None:
    """A message for the user, on stderr; may be cut to one printable line, since parts of it may come from a trace."""
    sys.stderr.write(printable(line) + "\n")


def look() -> Look:
    """What stdout shows. Where it is no terminal, lines are as long as COLUMNS says, or 80 characters."""
    dumb = PLAIN_WANTED.get() or os.environ.get("TERM") == "dumb"
    return Look(max(shutil.get_terminal_size().columns, _NARROWEST), unicode=not dumb and _shows_unicode())


def _shows_unicode() -> bool:
    """By the locale, as far as it was set: Python takes the C locale for one of UTF-8."""
    locale = next(filter(None, (os.environ.get(name) for name in ("LC_ALL", "LC_CTYPE", "LANG"))), "utf-8")
    return "utf" in locale.lower()


def put(text: str) -> None:
    """Text that is a result, on stdout."""
    with output(None) as out:
        out.write(look().bytes(text))


def show(table: pa.Table, form: Format, path: str | None, *, spare: Sequence[str] = ()) -> None:
    """A table that is a result, in the wanted format. `spare`: columns that a text table may leave out."""
    with output(path) as out:
        write(table, form, out, look() if path is None else PLAIN, spare=spare)


def show_rows(
    names: Sequence[str], rows: Iterable[Sequence[Any]], form: Literal["table", "json"], path: str | None, limit: int | None
) -> None:
    """Rows that are a result and need not be held all at once; `limit` bounds those of a text table.

    They stand as they are: only a terminal has them row by row if they are too wide.
    """
    with output(path) as out:
        shown = look() if path is None else PLAIN
        write_rows(names, rows, form, out, shown if sys.stdout.isatty() else shown._replace(width=None), limit=limit)


def show_batches(schema: pa.Schema, batches: Iterable[pa.RecordBatch], form: Literal["csv", "parquet"], path: str | None) -> None:
    """The same for rows in batches."""
    with output(path) as out:
        write_batches(schema, batches, form, out)


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
