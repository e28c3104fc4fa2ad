"""The fuzz targets in the ordinary build: their seeds are sound, and no input that was once a finding is one again.

What a crasher in fuzz/crashers/<target>/ did, its name says.
"""

from __future__ import annotations

import contextlib
import importlib
from pathlib import Path

import pytest
from fuzz import TARGETS
from fuzz.run import read_log

from replay.errors import ReplayError

CRASHERS = sorted(Path(__file__).parent.glob("fuzz/crashers/*/*"))


@pytest.mark.parametrize("target", TARGETS)
def test_seeds_are_read_without_an_error(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REPLAY_EXTRA_TRACES", raising=False)
    module = importlib.import_module(f"fuzz.{target}")
    read = 0
    for name, data in module.seeds():
        path = tmp_path / name
        path.write_bytes(data)
        module.decode(str(path))
        read += 1
    assert read > 4


@pytest.mark.parametrize("path", CRASHERS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_was_a_finding_is_read_or_refused(path: Path) -> None:
    with contextlib.suppress(ReplayError):
        importlib.import_module(f"fuzz.{path.parent.name}").decode(str(path))


def test_the_figures_and_the_cause_are_read_from_the_log() -> None:
    log = """#2\tINITED cov: 5 ft: 6 corp: 1/1b exec/s: 0 rss: 40Mb
#8192\tpulse  cov: 70 ft: 90 corp: 12/34Kb lim: 64 exec/s: 99 rss: 50Mb
stat::number_of_executed_units: 9000
stat::peak_rss_mb:              51
"""
    whole = read_log("tracedat", log + "Done 9000 runs in 31 second(s)\n", 30, 0)
    assert whole.line() == (
        "tracedat: 9000 executions in 31 s (290/s), 70 edges and 90 features covered by 12 inputs, peak 51 MiB: no finding"
    )
    log += "AttributeError: no such thing\nartifact_prefix='x/'; Test unit written to x/crash-1\n"
    assert read_log("tracedat", log, 30, 77).finding == "AttributeError: no such thing [x/crash-1]"
    log = "==7==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x1\n"
    assert read_log("tracedat", log, 30, 77).finding == "AddressSanitizer: heap-buffer-overflow on address 0x1 [see the log]"
