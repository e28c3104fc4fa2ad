"""The recording lab: every scenario says what it must show, in the README as in the queries, and the small recordings show it."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

SAMPLES = Path(__file__).parent.parent / "sample_traces"
LAB = SAMPLES / "lab"


@pytest.fixture(scope="module")
def check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check", LAB / "check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_readme_and_queries_tell_the_same_of_scenarios_that_exist(check: ModuleType) -> None:
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| ([^|]*) \|$", (LAB / "README.md").read_text(), re.MULTILINE)
    assert {name: sentences.split(" · ") for name, sentences in rows} == {name: list(queries) for name, queries in check.EXPECTED.items()}
    scenarios = set(re.findall(r"^(\w+)\(\)", (LAB / "scenarios.sh").read_text(), re.MULTILINE))
    assert set(check.EXPECTED) <= scenarios


@pytest.mark.parametrize("name", ["lives.dat", "xfs-folios.dat", "record-running.dat", "record-direct-io.dat"])
def test_small_recordings_show_what_they_are_for(check: ModuleType, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.check([str(SAMPLES / name)])
    printed = capsys.readouterr().out
    assert "agrees" in printed
    assert printed.count("seen") == len(check.EXPECTED[name.removesuffix(".dat").replace("-", "_")])


def test_a_recording_that_lacks_it_is_told(check: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An event that is absent, and one that is there but shows something else."""
    for name in ("xfs_large", "two_processes", "kill_mr"):
        (tmp_path / f"{name}.dat").write_bytes((SAMPLES / "lease-dax.dat").read_bytes())
    assert not check.check([str(tmp_path)])
    assert capsys.readouterr().out.count("MISSING") == 4
    assert not check.check([str(tmp_path / "nothing.dat")])
