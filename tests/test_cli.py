"""The command line: results on stdout, messages on stderr, one line and the right status for what goes wrong."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from replay import reports
from replay.cli import main
from replay.console import output
from replay.exits import clean_up_when_terminated
from replay.policies import BUILTIN

EXAMPLE = Path(__file__).parent / "examples" / "never-unpinned.jsonl"


@dataclass(frozen=True, slots=True)
class Result:
    status: int
    out: str
    err: str


class Shell:
    """Runs commands in this process, on one store."""

    def __init__(self, store: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.store = store
        self._capture = capture

    def __call__(self, *args: str) -> Result:
        with pytest.raises(SystemExit) as end:
            main([*args, "--store", str(self.store)])
        out, err = self._capture.readouterr()
        assert isinstance(end.value.code, int)
        return Result(end.value.code, out, err)

    def tree(self) -> list[str]:
        return sorted(str(path.relative_to(self.store)) for path in self.store.rglob("*") if path.is_file())


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.delenv("REPLAY_STORE", raising=False)
    return Shell(tmp_path / "store", capsys)


@pytest.fixture
def filled(shell: Shell) -> Shell:
    assert shell("ingest", str(EXAMPLE)).status == 0
    assert shell("run", "--policy", "none", "--policy", "hold-off").status == 0
    return shell


def test_from_trace_to_report(shell: Shell) -> None:
    ingest = shell("ingest", str(EXAMPLE))
    assert ingest.status == 0
    assert "1 MR, 4 pinned pages, 1 file" in ingest.out
    run = shell("run")
    assert [line.split()[0] for line in run.out.partition("---\n")[2].splitlines()[: len(BUILTIN)]] == [policy.name for policy in BUILTIN]
    report = shell("report")
    assert report.status == 0
    assert ">= 100 ms (still open)" in report.out
    assert "lost or left unresolved" in report.out
    assert report.err == ""


def test_same_content_is_read_once(shell: Shell, tmp_path: Path) -> None:
    shell("ingest", str(EXAMPLE))
    before = shell.tree()
    copy = tmp_path / "other name.txt"
    copy.write_bytes(EXAMPLE.read_bytes())
    again = shell("ingest", str(copy))
    assert (again.status, shell.tree()) == (0, before)
    assert "already in the store" in again.out


def test_same_run_is_made_once(filled: Shell) -> None:
    before = filled.tree()
    again = filled("run", "--policy", "hold-off", "--param", "lease.app=1ms")
    assert (again.status, filled.tree()) == (0, before)
    assert "1 of 1 runs were in the store already" in again.err


def test_whom_a_delay_reaches_is_part_of_the_question(filled: Shell) -> None:
    before = filled.tree()
    assert "1 of 1 runs were in the store already" in filled("run", "--policy", "hold-off", "--propagate", "task").err
    assert filled.tree() == before
    (row,) = json.loads(filled("run", "--policy", "hold-off", "--propagate", "inode", "--format", "json").out)
    asked = f"select params->>'propagate' as propagate from runs where run = '{row['run']}'"
    assert json.loads(filled("sql", asked, "--format", "json").out) == [{"propagate": "inode"}]


def test_one_bad_file_does_not_spoil_the_others(shell: Shell, tmp_path: Path) -> None:
    bad = tmp_path / "bad.dat"
    bad.write_text("this is no trace\n")
    ingest = shell("ingest", str(bad), str(EXAMPLE), str(tmp_path / "missing.dat"))
    assert ingest.status == 1
    assert "never-unpinned.jsonl: trace t" in ingest.out
    message = "byte 0: no trace in a known format: begins with 'this is no trace'; "
    message += "expected a trace.dat, perf.data, a trace as text or events.jsonl"
    assert ingest.out.endswith("1 ingested, 0 already there, 2 refused\n")
    assert ingest.err.splitlines() == [
        f"[1/3] {bad}: refused",
        f"[2/3] {EXAMPLE}",
        f"[3/3] {tmp_path / 'missing.dat'}: refused",
        f"replay: {bad}: {message}",
        f"replay: {tmp_path / 'missing.dat'}: no such file or directory",
    ]
    assert json.loads(shell("sql", "select count(*) as n from traces", "--format", "json").out) == [{"n": 1}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file or directory"),
        (b"", "the file is empty"),
        (b"hello world\n", "no trace in a known format: begins with 'hello world"),
        (b"\x7fELF\x02\x01\x01\x00", "begins with 7f 45 4c 46"),
        (b"\x17\x08Dtrac", "cut off within the magic"),
        (b"\x17\x08Dtracing6\x00", "byte"),
        (b'{"ts": 0}\n', "op"),
        (b"{broken\n", "JSON"),
        (b"\x28\xb5\x2f\xfd....", "zstd -d"),
        (b"PERFILE2", "inside of the size of the header"),
        (b"cpus=2\n", "no event"),
        (b"  pinload [000]    41.741313863:     gup:mmap_region: (ffffffff8acdca30) ino=7\n", "without thread ids (print it again"),
    ],
)
def test_what_is_no_trace_is_refused_in_one_line(shell: Shell, tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "trace.dat"
    if content is not None:
        path.write_bytes(content)
    ingest = shell("ingest", str(path))
    assert (ingest.status, ingest.out) == (1, "")
    assert ingest.err.startswith(f"replay: {path}: ")
    assert message in ingest.err
    assert ingest.err.count("\n") == 1
    assert not shell.store.exists()


def test_empty_directories_and_pipes_are_refused(shell: Shell, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    ingest = shell("ingest", str(tmp_path), str(tmp_path / "pipe"), "nul\0name")
    assert ingest.status == 1
    reasons = [line for line in ingest.err.splitlines() if line.startswith("replay: ")]
    assert ["directory" in line or "regular" in line or "name" in line for line in reasons] == [True, True, True]
    assert ingest.out == "0 ingested, 0 already there, 3 refused\n"


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        (["run", "--policy", "leese"], 2, "did you mean lease?"),
        (["run", "--policy", "lease+bonce"], 2, "did you mean bounce?"),
        (["run", "--param", "lease.ap=5ms"], 2, "did you mean lease.app?"),
        (["run", "--param", "lease.app=5"], 2, "lease.app"),
        (["run", "--param", "lease.app"], 2, "NAME=VALUE"),
        (["run", "--propagate", "file"], 2, "not one of task, inode"),
        (["run", "--trace", "other.jsonl"], 2, "no trace 'other.jsonl'"),
        (["run", "--trace", ""], 2, "no trace ''"),
        (["report", "--trace", ""], 2, "no trace ''"),
        (["validate", "--trace", ""], 2, "no trace ''"),
        (["run", "--jobs", "0"], 2, "--jobs"),
        (["sweep", "--param", "lease.app=1ms,2ms"], 2, "--policy"),
        (["sweep", "--policy", "lease"], 2, "--param"),
        (["sweep", "--policy", "leese", "--param", "lease.app=1ms,2ms"], 2, "did you mean lease?"),
        (["sweep", "--policy", "lease", "--param", "lease.app=1ms"], 2, "no parameter has several values"),
        (["sweep", "--policy", "lease", "--param", "lease.app=1ms..1s:2000"], 2, "not 2000"),
        (["sweep", "--policy", "lease", "--param", "lease.app=1ms,2ms", "--trace", "other.jsonl"], 2, "no trace 'other.jsonl'"),
        (["report", "--param", "lease.app=1ms,2ms"], 2, "not a duration"),
        (["report", "--policy", "none", "--param", "lease.app=7ms"], 1, "replay run --policy none --param lease.app=7ms"),
        (["report", "stals"], 2, "did you mean stalls?"),
        (["report", "stalls", "--policy", "leas"], 2, "did you mean lease?"),
        (["report", "stalls", "--policy", "lease"], 1, "replay run --policy lease"),
        (["report", "pins", "--policy", "none"], 2, "no parameter 'policy'"),
        (["report", "--format", "parket"], 2, "parket"),
        (["sql", "drop view runs"], 2, "only SELECT"),
        (["sql", "copy runs to 'x.csv'"], 2, "only SELECT"),
        (["sql", "select * from read_csv('/etc/passwd')"], 2, "/etc/passwd"),
        (["sql", "select nothing from events"], 2, "nothing"),
        (["sql", "select * from event"], 2, "events"),
        (["sql"], 2, "no query"),
        (["sql", "select 1", "-o", "/nonexistent/x.csv"], 1, "cannot write"),
        (["ingst", "x"], 2, "Did you mean 'ingest'?"),
        (["report", "--polcy", "none"], 2, "--policy"),
        (["ingest"], 2, "TRACE"),
    ],
)
def test_wrong_requests_end_in_one_line_and_change_nothing(filled: Shell, args: list[str], status: int, message: str) -> None:
    before = filled.tree()
    result = filled(*args)
    assert (result.status, result.out) == (status, "")
    assert message in result.err
    assert result.err.startswith("replay: ")
    assert result.err.count("\n") == 1
    assert filled.tree() == before


def test_output_file_keeps_its_permissions_and_a_link_its_place(filled: Shell, tmp_path: Path) -> None:
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "real.csv").chmod(0o600)
    (tmp_path / "link.csv").symlink_to("real.csv")
    assert filled("sql", "select 1 as one", "--format", "csv", "-o", str(tmp_path / "link.csv")).status == 0
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text() == "one\n1\n"
    assert (tmp_path / "real.csv").stat().st_mode & 0o777 == 0o600


def test_output_into_a_pipe_leaves_it_a_pipe(filled: Shell, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    assert filled("sql", "select 1 as one", "--format", "csv", "-o", str(tmp_path / "pipe")).status == 0
    assert os.read(reader, 100) == b"one\n1\n"
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("args", [["report"], ["run"], ["sql", "select 1"], ["sql", "--views"], ["validate"]])
def test_reading_commands_never_make_a_store(shell: Shell, args: list[str]) -> None:
    result = shell(*args)
    assert result.status == 1
    assert "there is no store here" in result.err
    assert not shell.store.exists()


@pytest.mark.parametrize("args", [["ingest", str(EXAMPLE)], ["run"], ["report"], ["sql", "select 1"], ["validate"]])
def test_store_of_a_future_version_is_left_alone(shell: Shell, args: list[str]) -> None:
    shell.store.mkdir()
    (shell.store / "store.json").write_text('{"version": 99}')
    result = shell(*args)
    assert result.status == 1
    assert "format version 99" in result.err
    assert shell.tree() == ["store.json"]


def test_damaged_table_is_named(filled: Shell) -> None:
    (broken,) = filled.store.glob("traces/*/events.parquet")
    broken.write_bytes(b"PAR1 half of it")
    for args in (["report", "unsynced"], ["sql", "select count(*) from events"]):
        result = filled(*args)
        assert result.status == 1
        assert "events.parquet" in result.err
        assert result.err.count("\n") == 1


def test_uneven_comparisons_say_so(filled: Shell) -> None:
    assert "Not every policy" not in filled("report").out
    filled("ingest", str(EXAMPLE.with_name("dax-punch.jsonl")))
    filled("run", "--policy", "none")
    assert "Not every policy was run on every trace" in filled("report").out


def test_formats(filled: Shell, tmp_path: Path) -> None:
    query = ["sql", "select policy, count(*) as n from runs group by policy order by policy"]
    assert filled(*query).out == "policy    n\n--------  -\nhold-off  1\nnone      1\n"
    assert filled(*query, "--format", "csv").out == "policy,n\nhold-off,1\nnone,1\n"
    assert json.loads(filled(*query, "--format", "json").out) == [{"policy": "hold-off", "n": 1}, {"policy": "none", "n": 1}]
    assert filled(*query, "--format", "parquet", "-o", str(tmp_path / "n.parquet")).status == 0
    assert pl.read_parquet(tmp_path / "n.parquet")["n"].to_list() == [1, 1]


def test_a_long_answer_as_parquet_comes_in_row_groups_with_plain_sums_or_not_at_all(filled: Shell, tmp_path: Path) -> None:
    path = tmp_path / "long.parquet"
    assert filled("sql", "select range as n, range as n from range(2500000)", "--format", "parquet", "-o", str(path)).status == 0
    file = pq.ParquetFile(path)
    assert (file.metadata.num_rows, file.metadata.num_row_groups > 1, file.schema_arrow.names) == (2_500_000, True, ["n", "n_2"])
    assert pl.read_parquet(path)["n_2"].sum() == 2_500_000 * 2_499_999 // 2
    assert (
        filled(
            "sql", "select sum(range) as n, sum(range)::hugeint * 1e19::hugeint as m from range(9)", "--format", "parquet", "-o", str(path)
        ).status
        == 0
    )
    assert (pq.read_schema(path).field("n").type, pl.read_parquet(path)["m"].to_list()) == (pa.int64(), [36 * 10**19])
    late = "select case when range = 2400000 then error('too late') end as e from range(2500000)"
    command = [sys.executable, "-m", "replay", "--store", str(filled.store), "sql", late, "--format", "parquet"]
    failed = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert (failed.returncode != 0, failed.stdout, b"too late" in failed.stderr) == (True, b"", True)


def test_plain_stands_before_the_command_or_behind_it(filled: Shell) -> None:
    query = ("sql", "select 'ä' as a")
    assert "ä" in filled(*query).out
    for args in (("--plain", *query), (*query, "--plain")):
        assert filled(*args).out == "a\n-\n\\xe4\n"


def test_a_long_answer_as_csv_is_the_same_as_in_other_forms(filled: Shell) -> None:
    query = ["sql", "select range as n, range // 7 || ',' as text, sum(range) over (order by range) as sum from range(200000)"]
    rows = list(csv.DictReader(io.StringIO(filled(*query, "--format", "csv").out)))
    as_text = [{name: str(value) for name, value in row.items()} for row in json.loads(filled(*query, "--format", "json").out)]
    assert rows == as_text


@pytest.mark.parametrize("name", reports.names())
def test_every_report_in_every_format(filled: Shell, name: str) -> None:
    assert filled("report", name).status == 0
    rows = json.loads(filled("report", name, "--format", "json").out)
    table = filled("report", name, "--format", "csv")
    assert len(table.out.splitlines()) == len(rows) + 1
    assert "lost or left unresolved" in table.err


def test_report_list_and_policies_are_tables(shell: Shell) -> None:
    assert [row["report"] for row in json.loads(shell("report", "--list", "--format", "json").out)] == reports.names()
    table = json.loads(shell("policies", "--format", "json").out)
    assert [row["policy"] for row in table] == [policy.name for policy in BUILTIN]
    assert not shell.store.exists()


def test_query_from_stdin(filled: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "query.sql").write_text("-- how many\nselect count(*) as n\nfrom runs;\n")
    with open(tmp_path / "query.sql") as text:
        monkeypatch.setattr(sys, "stdin", text)
        assert filled("sql", "-", "--format", "csv").out == "n\n2\n"


def test_own_policies_from_a_file(filled: Shell, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('[policy.mine]\nwriteback = "hold"\n')
    run = filled("run", "--policy", "mine", "--policy-file", str(tmp_path / "own.toml"), "--format", "json")
    assert [row["policy"] for row in json.loads(run.out)] == ["mine"]
    assert filled("report", "--policy", "mine").status == 0


def test_a_policy_that_was_changed_between_runs_is_not_summed_with_itself(filled: Shell, tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    for choice in ("write", "bounce"):
        own.write_text(f'[policy.mine]\nwriteback = "{choice}"\n')
        assert filled("run", "--policy", "mine", "--policy-file", str(own)).status == 0
    rows = json.loads(filled("report", "--policy", "mine", "--format", "json").out)
    assert [row["settings"] for row in rows] == ["writeback=bounce", "writeback=write"]
    (none,) = json.loads(filled("report", "--policy", "none", "--format", "json").out)
    assert (none["settings"], rows[1]["at_risk_pages"]) == ("", none["at_risk_pages"])


def test_store_from_the_environment_and_before_the_command(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shell("ingest", str(EXAMPLE))
    query = ["sql", "select count(*) as n from traces", "--format", "csv"]
    with pytest.raises(SystemExit):
        main(["--store", str(shell.store), *query])
    assert capsys.readouterr().out == "n\n1\n"
    monkeypatch.setenv("REPLAY_STORE", str(shell.store))
    with pytest.raises(SystemExit):
        main(query)
    assert capsys.readouterr().out == "n\n1\n"


def test_interrupt_ends_quietly(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("replay.ingest.pipeline.ingest_file", interrupted)
    result = shell("ingest", str(EXAMPLE))
    assert (result.status, result.err) == (130, "")


def test_broken_pipe_ends_quietly(filled: Shell) -> None:
    command = [
        sys.executable,
        "-m",
        "replay",
        "sql",
        "select range from range(1000000)",
        "--format",
        "csv",
        "--store",
        str(filled.store),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 1


def test_help_is_fast_because_nothing_heavy_is_imported() -> None:
    for args in (["--help"], ["run", "--help"], ["--version"]):
        command = [sys.executable, "-X", "importtime", "-m", "replay", *args]
        result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in result.stderr.splitlines() if line.startswith("import time:")}
        assert imported.isdisjoint({"pyarrow", "duckdb", "polars", "numpy", "rich"})


def test_a_short_query_imports_no_more_than_it_needs(filled: Shell) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "replay", "--store", str(filled.store), "sql", "select count(*) from events"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    imported = {line.rsplit("|", 1)[-1].strip() for line in result.stderr.splitlines() if line.startswith("import time:")}
    assert {"duckdb", "replay.session"} <= imported
    assert imported.isdisjoint({"pyarrow", "numpy", "polars", "replay.reports", "replay.archive", "replay.params", "replay.policies"})


def test_names_that_are_not_utf8(shell: Shell, tmp_path: Path) -> None:
    odd = os.fsdecode(b"b\xffd.jsonl")
    (tmp_path / odd).write_bytes(EXAMPLE.read_bytes())
    assert shell("ingest", str(tmp_path / odd)).out.startswith("b\\xffd.jsonl: trace t")
    assert shell("run", "--trace", odd, "--policy", "none").status == 0
    shell.store = tmp_path / os.fsdecode(b"s\xff")
    for args in (["ingest", str(EXAMPLE)], ["report"]):
        refused = shell(*args)
        assert (refused.status, refused.err.count("\n")) == (1, 1)
        assert "must be UTF-8" in refused.err
    assert not shell.store.exists()


def test_closed_streams(filled: Shell) -> None:
    def closing(*streams: int) -> subprocess.CompletedProcess[bytes]:
        command = " ".join([*(f"exec {stream}>&-;" for stream in streams), sys.executable, "-m", "replay", "report"])
        return subprocess.run(
            ["sh", "-c", command], env={**os.environ, "REPLAY_STORE": str(filled.store)}, capture_output=True, timeout=60, check=False
        )

    nowhere = closing(1)
    assert (nowhere.returncode, nowhere.stderr) == (1, b"replay: stdout is closed\n")
    assert closing(2).stdout.startswith(b"What each policy")
    assert closing(1, 2).returncode == 1


def test_what_the_system_refuses_is_said_in_its_words(filled: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "Error writing bytes to file. Detail: [errno 28] No space left on device")

    monkeypatch.setattr("replay.runs.write_table", full)
    run = filled("run", "--policy", "bounce")
    assert (run.status, run.err) == (1, "replay: no space left on device\n")
    assert not list((filled.store / ".staging").iterdir())


def test_what_is_half_written_goes_away_when_terminated(tmp_path: Path) -> None:
    def write() -> None:
        with output(str(tmp_path / "out.csv")) as out:
            out.write(b"half")
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)

    before = signal.getsignal(signal.SIGTERM)
    clean_up_when_terminated()
    try:
        with pytest.raises(SystemExit) as end:
            write()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert end.value.code == 143
    assert not list(tmp_path.iterdir())
