"""What commands import: most of the time of a short one."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLE = Path(__file__).parent / "examples" / "dax-punch.jsonl"
TRACE = ROOT / "sample_traces" / "rdma-ext4.dat"
_CODE = """
import sys
from replay.cli import main
try:
    main()
finally:
    print("imported:", *sys.modules)
"""


def imported(*args: str | Path) -> set[str]:
    """The modules that a command has imported when it is over."""
    done = subprocess.run([sys.executable, "-c", _CODE, *map(str, args)], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("imported:")[2].split())


@pytest.mark.parametrize("trace", [EXAMPLE, TRACE], ids=lambda path: path.suffix)
def test_ingest_imports_nothing_of_reports_and_runs(tmp_path: Path, trace: Path) -> None:
    modules = imported("ingest", "--store", tmp_path / "store", trace)
    assert {"pyarrow", "replay.ingest.pipeline"} <= modules
    assert not modules & {"duckdb", "polars", "multiprocessing", "pyarrow.compute", "numpy.ma"}
    assert not modules & {"replay.reports", "replay.reporting", "replay.session", "replay.runs"}


def test_what_the_store_holds_is_not_read_again(tmp_path: Path) -> None:
    command = "ingest", "--store", tmp_path / "store", TRACE
    assert "replay.ingest.tracecmd" in imported(*command)
    assert not imported(*command) & {"numpy", "pyarrow", "replay.ingest.lowering", "replay.ingest.tracecmd"}
