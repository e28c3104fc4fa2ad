"""Ingest as a whole: what is stored, what is said, and what a failure leaves behind."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from replay.errors import TraceError
from replay.ingest import lowering, pipeline, tracecmd
from replay.ingest.pipeline import ingest_file
from replay.runs import run
from replay.schema import TRACE_TABLES
from replay.session import Session, views_script
from replay.store import Store
from replay.summary import caveats, ingested

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "sample_traces" / "rdma-ext4.dat"
LEASE = ROOT / "sample_traces" / "lease-dax.dat"
EXAMPLE = ROOT / "tests" / "examples" / "two-mrs-one-page.jsonl"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("ingest") / "store", create=True)
    for path in (SAMPLE, EXAMPLE):
        ingest_file(store, str(path))
    return store


def digest(store: Store) -> dict[str, str]:
    return {
        str(path.relative_to(store.path)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in store.path.rglob("*")
        if path.is_file() and ".staging" not in path.parts
    }


def test_stored_tables_have_the_declared_schemas(store: Store) -> None:
    for entry in store.traces():
        for table in TRACE_TABLES:
            assert pq.read_schema(entry.table(table.name)).remove_metadata() == table.arrow_schema()


def test_events_of_a_long_trace_are_in_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which differ in nothing from one, whoever reads them."""
    store, parted = (Store(tmp_path / name, create=True) for name in ("whole", "parted"))
    whole = ingest_file(store, str(SAMPLE)).entry
    assert [path.name for path in whole.files("events")] == ["events.parquet"]
    monkeypatch.setattr(tracecmd, "BATCH_ROWS", 5000)
    monkeypatch.setattr(lowering, "CHUNK_ROWS", 1)
    entry = ingest_file(parted, str(SAMPLE)).entry
    assert [path.name for path in entry.files("events")] == [f"events-{number}.parquet" for number in (1, 2, 3, 4)]
    assert entry.row == whole.row
    assert entry.manifest["found"] == whole.manifest["found"]
    for table in TRACE_TABLES:
        ours, theirs = ([pq.read_table(path) for path in one.files(table.name)] for one in (entry, whole))
        assert pa.concat_tables(ours).unify_dictionaries().to_pylist() == theirs[0].to_pylist(), table.name
    with Session(parted) as session:
        assert session.sql("SELECT count(*) AS n FROM events").rows() == [{"n": whole.row["events"]}]
    ours, theirs = (run(at, whole.id, ["lease"])[0].entry for at in (parted, store))
    assert pq.read_table(ours.table("conflicts")).equals(pq.read_table(theirs.table("conflicts")))
    with duckdb.connect() as anywhere:
        anywhere.execute(views_script(parted))
        assert anywhere.execute("SELECT count(*) FROM events").fetchall() == [(whole.row["events"],)]


def test_raw_tables_hold_every_record_once(store: Store) -> None:
    entry = store.resolve_trace("rdma-ext4.dat")
    seqs: list[int] = []
    for raw in entry.manifest["raw"]:
        table = pq.read_table(entry.path / "raw" / raw["file"])
        assert table.num_rows == raw["rows"]
        assert table.column_names[:4] == ["seq", "ts", "cpu", "buffer"]
        seqs += table["seq"].to_pylist()
    assert sorted(seqs) == list(range(entry.row["raw_events"]))


def test_events_lead_back_to_their_raw_records(store: Store) -> None:
    query = """
        SELECT count(*) AS n, count(*) FILTER (raw.ts = events.ts AND raw.cpu = events.cpu) AS same
        FROM raw_writeback_writeback_dirty_folio AS raw
        JOIN events ON events.trace = raw.trace AND events.seq = raw.seq AND op = 'dirty'
    """
    with Session(store) as session:
        (row,) = session.sql(query).rows()
    assert row["n"] > 0
    assert row["same"] == row["n"]


def test_catalog_counts_agree_with_the_tables(store: Store) -> None:
    with Session(store) as session:
        assert session.sql("""
            SELECT source FROM traces
            WHERE events <> (SELECT count(*) FROM events WHERE events.trace = traces.trace)
               OR pins <> (SELECT count(*) FROM pins WHERE pins.trace = traces.trace)
               OR ts_first <> (SELECT min(ts) FROM events WHERE events.trace = traces.trace)
               OR ts_last <> (SELECT max(ts) FROM events WHERE events.trace = traces.trace)
        """).rows() == []  # fmt: skip


def test_what_ingest_says(store: Store) -> None:
    again = ingest_file(store, str(SAMPLE))
    assert again.already
    assert ingested(again) == f"rdma-ext4.dat: already in the store as trace {again.trace}; nothing to do\n"
    text = ingested(pipeline.IngestSummary(again.entry, already=False))
    assert [line.split()[0] for line in text.splitlines()] == ["rdma-ext4.dat:", "format", "records", "events", "memory", "losses"]
    assert "of pin calls resolved" in text


def test_caveats_are_never_silent(store: Store) -> None:
    assert caveats([]) == []
    assert len(caveats(store.traces())) >= 1
    for line in caveats(store.traces()):
        assert line.endswith(".")


def test_ingesting_twice_gives_the_same_bytes(tmp_path: Path, store: Store) -> None:
    other = Store(tmp_path / "other", create=True)
    for path in (EXAMPLE, SAMPLE):
        ingest_file(other, str(path))
    assert digest(other) == digest(store)


def test_progress_goes_up_to_the_end(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    ingest_file(Store(tmp_path / "store", create=True), str(SAMPLE), lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1]


def test_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "growing.dat"
    path.write_bytes(SAMPLE.read_bytes())
    store = Store(tmp_path / "store", create=True)

    def grow(done: int, total: int) -> None:
        with open(path, "ab") as file:
            file.write(b"more")

    with pytest.raises(TraceError, match="changed while it was read"):
        ingest_file(store, str(path), grow)
    assert not store.path.exists()


@pytest.mark.parametrize("share", [0.001, 0.01, 0.3, 0.6, 0.9, 0.999])
def test_cut_trace_is_refused_or_counted_as_a_loss(tmp_path: Path, share: float) -> None:
    path = tmp_path / "cut.dat"
    path.write_bytes(SAMPLE.read_bytes()[: int(SAMPLE.stat().st_size * share)])
    store = Store(tmp_path / "store", create=True)
    refusal = None
    try:
        summary = ingest_file(store, str(path))
    except TraceError as error:
        refusal = str(error)
    if refusal is None:
        assert any(loss["severity"] == "data_loss" for loss in summary.found["losses"])
    else:
        assert refusal.startswith(f"{path}: byte ")
        assert not store.path.exists()


def test_killing_an_ingest_at_any_moment_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    ingest_file(store, str(EXAMPLE))
    before = digest(store)
    script = """
import sys
from replay.store import Store
from replay.ingest.pipeline import ingest_file
import replay.ingest.lowering, replay.ingest.tracecmd, pyarrow.parquet
store = Store(sys.argv[1])
print("go", flush=True)
ingest_file(store, sys.argv[2])
"""
    for delay in (0.0, 0.01, 0.03, 0.07, 0.13):
        with subprocess.Popen([sys.executable, "-c", script, str(store.path), str(LEASE)], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        if len(store.traces()) == 2:  # it was faster than the kill
            break
        assert digest(store) == before
    ingest_file(store, str(LEASE))
    assert len(store.traces()) == 2
    fresh = Store(tmp_path / "fresh", create=True)
    for path in (EXAMPLE, LEASE):
        ingest_file(fresh, str(path))
    assert digest(fresh) == digest(store)
    with store.stage("runs", "r1"):
        assert len(list((store.path / ".staging").iterdir())) == 2


def test_two_writers_of_the_same_content_end_with_one_trace(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "replay", "ingest", str(SAMPLE), "--store", str(tmp_path / "store")]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    results = [writer.communicate(timeout=60) for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert [err for _, err in results] == ["", "", ""]
    assert len(Store(tmp_path / "store").traces()) == 1
