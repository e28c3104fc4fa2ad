"""Signals during a recording: the recorder is asked to finish, and nothing interrupts the cleaning up."""

from __future__ import annotations

import ctypes
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType, TracebackType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_PR_SET_PDEATHSIG = 1  # include/uapi/linux/prctl.h


class Interrupted(Exception):  # noqa: N818 - a signal, not an error
    """A signal came before there was a recorder that could be asked to finish."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number


class Interrupts:
    """While it is entered, a signal ends the recording rather than this program; a second one kills the recorder."""

    def __init__(self) -> None:
        self.received = 0
        self.child: subprocess.Popen[bytes] | None = None
        self._asked = False
        self._held = False

    @property
    def status(self) -> int:
        """The exit status that a signal asks for, 0 if there was none."""
        return 128 + self.received if self.received else 0

    def __enter__(self) -> Interrupts:
        self._before = {number: signal.signal(number, self._hear) for number in _SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def start(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        """Run the recorder. It gets an interrupt should we be killed: without it nobody would end what it has begun."""
        libc = ctypes.CDLL(None)

        def die_with_us() -> None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT)

        with self.held_off():
            self.child = subprocess.Popen(argv, preexec_fn=die_with_us)  # noqa: PLW1509 - there are no other threads
        return self.child

    @contextmanager
    def held_off(self) -> Iterator[None]:
        """Signals wait until this is over."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self.received and not self._asked:
            self._ask()

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.received = self.received or number
        if not self._held:
            self._ask()

    def _ask(self) -> None:
        if self.child is None:
            raise Interrupted(self.received)
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGKILL if self._asked else signal.SIGINT)
        self._asked = True
