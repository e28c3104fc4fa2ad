"""The errors that users see: a sentence, where it happened, and what to do about it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


class ReplayError(Exception):
    """A refusal that we can explain. The command line prints it as one line and exits with `exit_status`."""

    exit_status = 1

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text} ({self.hint})" if self.hint else text


class UsageError(ReplayError, ValueError):
    """The request itself is wrong: an unknown policy, a parameter without a unit, SQL that writes."""

    exit_status = 2


class TraceError(ReplayError, ValueError):
    """A trace that cannot be read. `offset` is in bytes from the start of the file (lines for text formats say so)."""

    def __init__(self, path: object, offset: int | None, what: str, *, hint: str | None = None) -> None:
        where = f"{path}" if offset is None else f"{path}: byte {offset}"
        super().__init__(what, where=where, hint=hint)
        self.path = str(path)
        self.offset = offset


class StoreError(ReplayError):
    """A store that is missing, foreign, or of a version that this program does not know."""


def refused_by_system(error: OSError) -> ReplayError:
    """What the system refused, in its own words: no space left, permission denied."""
    where = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else None
    return ReplayError(reason(error), where=where)


def reason(error: OSError) -> str:
    """Why the system refused, without what a library says around it."""
    text = os.strerror(error.errno) if error.errno and "[errno" in str(error) else error.strerror or str(error)
    return text.lower()


@contextmanager
def explained() -> Iterator[None]:
    """Errors of the system as ours, so that a caller has one kind to catch."""
    try:
        yield
    except OSError as error:
        raise refused_by_system(error) from error
