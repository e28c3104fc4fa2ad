"""Progress on stderr: a bar on a terminal, rare lines in a log, nothing where the work is short."""

from __future__ import annotations

import io
import sys

import pytest

from replay import progress
from replay.progress import Bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    return now


def test_a_bar_has_rate_and_time_left(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    monkeypatch.setattr(sys, "stderr", out := Terminal())
    with Bar("big.dat", counts_bytes=True) as bar:
        bar.update(0, 100 << 20)
        clock[0] += 2
        bar.update(50 << 20, 100 << 20)
        bar.update(51 << 20, 100 << 20)  # too soon
    frames = out.getvalue().replace("\x1b[K", "").split("\r")
    assert frames == [
        "",
        "big.dat  [..............................]   0%",
        "big.dat  [###############...............]  50%  25 MiB/s  2 s left",
        "",
    ]


def test_what_was_there_before_does_not_make_the_rest_look_fast(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    monkeypatch.setattr(sys, "stderr", out := Terminal())
    with Bar("replaying") as bar:
        bar.update(9, 11)
        clock[0] += 10
        bar.update(10, 11)
        assert "10 of 11  10 s left" in out.getvalue()
    with Bar("drawing") as bar:
        bar.update(0, 50_000)
        clock[0] += 4
        bar.update(20_000, 50_000)
        assert "40%  5,000/s  6 s left" in out.getvalue()


def test_a_line_fits_the_terminal(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    monkeypatch.setattr(sys, "stderr", out := Terminal())
    for columns in ("80", "30", "5"):
        monkeypatch.setenv("COLUMNS", columns)
        with Bar("a name that is very long indeed, longer than the terminal is wide, far longer \x1b[31m") as bar:
            bar.update(1, 3)
            clock[0] += 60
            bar.update(2, 3)
    assert "\x1b[31m" not in out.getvalue()
    widths = [len(frame) for frame in out.getvalue().replace("\x1b[K", "").split("\r")]
    assert widths == [0, 79, 79, 0, 29, 29, 0, 4, 4, 0]


@pytest.mark.parametrize(("out", "term"), [(io.StringIO(), "xterm"), (Terminal(), "dumb")])
def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, clock: list[float], out: io.StringIO, term: str) -> None:
    monkeypatch.setattr(sys, "stderr", out)
    monkeypatch.setenv("TERM", term)
    with Bar("big.dat", counts_bytes=True) as bar:
        for second in range(100):
            bar.update(second << 20, 100 << 20)
            clock[0] += 1
    assert out.getvalue() == ("big.dat: 30%  1 MiB/s  70 s left\nbig.dat: 60%  1 MiB/s  40 s left\nbig.dat: 90%  1 MiB/s  10 s left\n")


def test_work_of_no_size_has_no_progress(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    monkeypatch.setattr(sys, "stderr", out := Terminal())
    with Bar("empty") as bar:
        bar.update(0, 0)
    assert out.getvalue() == ""
