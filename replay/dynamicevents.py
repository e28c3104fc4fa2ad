"""Kernel probes of our group: made and removed through tracefs, and never left behind."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from replay.errors import ReplayError
from replay.probes import GROUP
from replay.recordplan import Definition, Missing, lost

# A recorder that was killed lets go of events a little later.
_RELEASE_SECONDS = 5.0


class BusyError(ReplayError):
    """Another recording, or its remains, holds our probes."""


class DynamicEvents:
    """Our probes in a tracefs. One recording at a time: the folder is locked, and the lock goes with its process."""

    def __init__(self, tracing: Path) -> None:
        self.tracing = tracing
        self.file = tracing / "dynamic_events"

    @contextmanager
    def locked(self) -> Iterator[None]:
        folder = os.open(self.tracing, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise BusyError("another replay record is running", hint="its probes would be removed: wait for it, or end it") from None
        finally:
            os.close(folder)

    def names(self) -> list[str]:
        """Our probes that there are, in the order of their making."""
        places = [line.split()[0].partition(":")[2] for line in self.file.read_text().splitlines() if line.strip()]
        return [name for group, _, name in (place.partition("/") for place in places) if group == GROUP]

    def define(self, definitions: Sequence[Definition]) -> tuple[list[Definition], list[Missing]]:
        """Make these probes; gives those that are made, each with the line that the kernel took, and those that it refused."""
        made, refused = [], []
        for definition in definitions:
            why = ""
            for line in definition.lines:
                why = self._write(line)
                if not why:
                    made.append(Definition(definition.event, (line,)))
                    break
            else:
                refused.append(lost(definition, f"the kernel refused it: {why}"))
        return made, refused

    def remove(self) -> int:
        """Remove all probes of our group; gives how many there were. BusyError if something still records them."""
        names = self.names()
        if names:
            self._disable(self.tracing / "events" / GROUP / "enable")
        until = time.monotonic() + _RELEASE_SECONDS
        for name in reversed(names):
            while why := self._write(f"-:{GROUP}/{name}"):
                if time.monotonic() > until:
                    raise BusyError(
                        f"probe {GROUP}/{name} cannot be removed: {why}", where=str(self.file), hint="something still records it"
                    )
                time.sleep(0.1)
        return len(names)

    def enabled(self) -> frozenset[str]:
        """Events that record into the top buffer, as system:event."""
        return frozenset(line.split()[0] for line in (self.tracing / "set_event").read_text().splitlines() if line.strip())

    def is_recording(self, before: frozenset[str]) -> bool:
        """Whether events are on that were not before; recorders switch them on while all recording is off."""
        return (self.tracing / "tracing_on").read_text().strip() == "1" and bool(self.enabled() - before)

    def disable(self, events: Sequence[str]) -> None:
        """Undo what a recorder that was killed has left on."""
        for name in events:
            system, _, event = name.partition(":")
            self._disable(self.tracing / "events" / system / event / "enable")

    def _disable(self, switch: Path) -> None:
        try:
            switch.write_text("0")
        except FileNotFoundError:
            return

    def _write(self, line: str) -> str:
        """Why the kernel refused the line, "" if it took it."""
        # Python's own append mode looks for the end of the file, which such a file does not have.
        file = os.open(self.file, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(file, f"{line}\n".encode())
        except OSError as error:
            return self._reason() if error.errno == errno.EINVAL else (error.strerror or str(error)).lower()
        finally:
            os.close(file)
        return ""

    def _reason(self) -> str:
        """tracefs error_log tells of an invalid line what is wrong with it: "[time] source: error: text", the line, a mark."""
        try:
            told = [line for line in (self.tracing / "error_log").read_text().splitlines() if ": error: " in line]
        except OSError:
            told = []
        return told[-1].partition(": error: ")[2].strip() if told else "invalid argument"
