"""Progress of long work on stderr: a bar with rate and time left on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable

from replay.humane import duration, number, size
from replay.render import printable

Progress = Callable[[int, int], None]
"""Called now and then with how much is done, and of how much."""

_BAR_CELLS = 30
_REDRAW_SECONDS = 0.1
# Where nobody watches, as in a log, work of less than this is silent.
_LINE_SECONDS = 30.0
# So many things are too many to be counted one by one.
_MANY = 10_000
# Before this has passed nothing can be said about what is left.
_LEARNING_SECONDS = 1.0


class Bar:
    """One line that is redrawn in place; its `update` is a Progress. What is counted has a rate if it is bytes."""

    def __init__(self, label: str, *, counts_bytes: bool = False) -> None:
        self._label = printable(label)
        self._counts_bytes = counts_bytes
        self._terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._began = time.monotonic()
        self._next = self._began + (0.0 if self._terminal else _LINE_SECONDS)
        self._done_before: int | None = None
        self._drawn = False

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def clear(self) -> None:
        """Make room for other lines; the next update draws the bar again."""
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._drawn = False

    def update(self, done: int, total: int) -> None:
        """Redraw, unless that has just been done."""
        now = time.monotonic()
        if self._done_before is None:
            self._done_before = done  # was there when we came: says nothing about the rate
        if now < self._next or total <= 0:
            return
        self._next = now + (_REDRAW_SECONDS if self._terminal else _LINE_SECONDS)
        share = min(done / total, 1.0)
        state = f"{share:4.0%}{self._pace(done, total, now - self._began)}"
        if not self._terminal:
            sys.stderr.write(f"{self._label}: {state.strip()}\n")
        else:
            self._draw(share, state)
        sys.stderr.flush()

    def _draw(self, share: float, state: str) -> None:
        cells = int(share * _BAR_CELLS)
        text = f"  [{'#' * cells}{'.' * (_BAR_CELLS - cells)}] {state}"
        room = shutil.get_terminal_size().columns - 1
        line = (self._label[: max(room - len(text), 0)] + text)[-room:]
        sys.stderr.write(f"\r{line}\x1b[K")
        self._drawn = True

    def _pace(self, done: int, total: int, seconds: float) -> str:
        gained = done - (self._done_before or 0)
        if seconds < _LEARNING_SECONDS or gained <= 0:
            return ""
        few = f"  {done} of {total}" if total < _MANY else f"  {number(round(gained / seconds))}/s"
        rate = f"  {size(gained / seconds)}/s" if self._counts_bytes else few
        left = duration(round(seconds * (total - done) / gained) * 1_000_000_000)
        return f"{rate}  {left} left"
