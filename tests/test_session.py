"""SQL over the store: every view there, nothing else in reach."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from builders.stores import TRACE, add_run, add_trace

import replay
from replay.errors import ReplayError, UsageError
from replay.schema import DERIVED_TABLES, RUN_TABLES, TRACE_TABLES
from replay.session import Session, views_script
from replay.store import Store
from replay.views import declared_tables, named_views

SAMPLES = Path(__file__).parent.parent / "sample_traces"
OTHER = "t000000000012"
CONFLICT = {"ts": 5, "class": "wb_while_pinned", "risk": "corruption", "file": "8:1:42", "index": 3, "npages": 7, "bytes": 28672}


def raw(**columns: list[object]) -> pa.Table:
    return pa.table({"seq": [0, 1], "ts": [10, 20], "cpu": pa.array([0, 1], pa.int32()), "buffer": ["", ""], **columns})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store", create=True)
    add_trace(
        store,
        tables={"events": [{"seq": 0, "ts": 10, "op": "dirty", "file": "8:1:42", "index": 3, "npages": 1}]},
        raw={("gup", "probe"): raw(refs=[1025, 1])},
    )
    add_trace(store, OTHER, "other.dat", raw={("gup", "probe"): raw(ino=[5, 7]), ("sched", "switch"): raw()})
    add_run(store, "r1", "none", tables={"conflicts": [CONFLICT, {**CONFLICT, "npages": 11}]})
    return store


@pytest.fixture
def session(store: Store) -> Iterator[Session]:
    with Session(store) as session:
        yield session


def test_every_declared_table_is_a_view_with_its_columns_and_comments(session: Session) -> None:
    for table in (*declared_tables(), *DERIVED_TABLES):
        found = session.sql(f"DESCRIBE {table.name}").rows()
        assert [row["column_name"] for row in found] == [column.name for column in table.columns]
        comments = session.sql(f"SELECT comment FROM duckdb_columns() WHERE table_name = '{table.name}' ORDER BY column_index").rows()
        assert all(row["comment"].startswith(column.doc) for row, column in zip(comments, table.columns, strict=True))


def test_an_empty_store_has_the_same_views(tmp_path: Path, session: Session) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "store.json").write_text('{"version": 2}')
    with Session(Store(tmp_path / "empty")) as empty:
        for table in (*TRACE_TABLES, *RUN_TABLES, *DERIVED_TABLES):
            assert empty.sql(f"DESCRIBE {table.name}").rows() == session.sql(f"DESCRIBE {table.name}").rows()
            assert empty.sql(f"SELECT * FROM {table.name}").rows() == []


def test_trace_views_know_the_trace_as_text(session: Session) -> None:
    assert session.sql("SELECT trace, op FROM events").rows() == [{"trace": TRACE, "op": "dirty"}]
    assert session.sql("SELECT trace, source FROM traces ORDER BY source").rows() == [
        {"trace": OTHER, "source": "other.dat"},
        {"trace": TRACE, "source": "work.dat"},
    ]


def test_raw_views_unite_traces_by_column_name(session: Session) -> None:
    rows = session.sql("SELECT trace, seq, refs, ino FROM raw_gup_probe ORDER BY trace, seq").rows()
    assert rows == [
        {"trace": TRACE, "seq": 0, "refs": 1025, "ino": None},
        {"trace": TRACE, "seq": 1, "refs": 1, "ino": None},
        {"trace": OTHER, "seq": 0, "refs": None, "ino": 5},
        {"trace": OTHER, "seq": 1, "refs": None, "ino": 7},
    ]
    names = {row["name"] for row in session.sql("SHOW TABLES").rows()}
    assert {"raw_gup_probe", "raw_sched_switch", "events", "series"} <= names


def test_pages_pinned_over_time_rise_and_fall_with_the_pins(tmp_path: Path) -> None:
    store = Store(tmp_path / "pinned", create=True)
    own = {"tid": 10, "file": "8:1:42", "index": 3, "write": True, "longterm": True}
    pins = [
        {**own, "pin": 0, "npages": 5, "ts_pin": 100, "ts_unpin": 900, "preexisting": False},
        {**own, "pin": 1, "npages": 2, "ts_pin": 500, "ts_unpin": 900, "preexisting": False},
        {**own, "pin": 2, "npages": 7, "ts_pin": None, "ts_unpin": None, "preexisting": True},
        {**own, "pin": 3, "npages": 4, "ts_pin": 900, "ts_unpin": 950, "preexisting": False},
    ]
    add_trace(store, ts_last=1_000, tables={"pins": pins})
    with Session(store) as session:
        rows = session.sql("SELECT ts, pages FROM pinned ORDER BY ts").rows()
    assert [(row["ts"], row["pages"]) for row in rows] == [(0, 7), (100, 12), (500, 14), (900, 11), (950, 7)]


def test_pins_of_unknown_size_pin_no_pages(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"ts": 1, "op": "pin", "pin": 1, "tid": 5}\n{"ts": 2, "op": "pin", "file": "f", "index": 0, "npages": 3, "tid": 5}\n')
    with replay.open(tmp_path / "store", create=True) as archive:
        archive.ingest(path)
        assert archive.sql("SELECT ts, pages FROM pinned").rows() == [{"ts": 2, "pages": 3}]
        archive.export_perfetto(tmp_path / "timeline")


def test_pins_let_go_in_parts_or_with_their_process_are_pinned_no_longer(tmp_path: Path) -> None:
    """By hand: +8 and +5 pages, and so on; at 700 the process of threads 10 and 11 is gone, at 800 that of 20."""
    store = Store(tmp_path / "parts", create=True)
    own = {"file": "8:1:42", "index": 3, "write": True, "longterm": True, "preexisting": False, "ts_unpin": None}
    pins = [
        {**own, "pin": 0, "tid": 10, "npages": 8, "ts_pin": 100, "ts_unpin": 400},  # -3 at 200, -1 at 300, the other 4 at 400
        {**own, "pin": 1, "tid": 11, "npages": 5, "ts_pin": 150},  # -5 with the process at 700, not with the thread at 500
        {**own, "pin": 2, "tid": 20, "npages": 7, "ts_pin": 250},  # forked at 260: the child may hold it
        {**own, "pin": 3, "tid": 20, "npages": 2, "ts_pin": 270},  # taken after the fork: -2 at 800
        {**own, "pin": 4, "tid": 20, "npages": 1, "ts_pin": None, "preexisting": True},
        {**own, "pin": 5, "tid": 30, "npages": 16, "ts_pin": 300},  # exits at 600 and then dirties a page: not gone
        {**own, "pin": 6, "tid": 10, "npages": 9, "ts_pin": 350},  # -4 at 450, the other 5 with the process at 700
    ]
    steps = [
        ("unpin", 200, 10, 0, 3),
        ("unpin", 300, 10, 0, 1),
        ("unpin", 400, 10, 0, 4),
        ("unpin", 450, 10, 6, 4),
        ("fork", 260, 20, None, None),
    ]
    steps += [(op, ts, tid, None, None) for op, ts, tid in (("exit", 500, 11), ("exit", 600, 30), ("dirty", 650, 30), ("exit", 700, 10))]
    steps += [("exit", 800, 20, None, None)]
    events = [
        {"seq": ts, "ts": ts, "op": op, "tid": tid, "pin": pin, "npages": npages, "open": False}
        for op, ts, tid, pin, npages in sorted(steps, key=lambda step: step[1])
    ]
    tasks = [{"tid": tid, "tgid": tgid, "kthread": False, "events": 1} for tid, tgid in ((10, 10), (11, 10), (20, 20), (30, None))]
    add_trace(store, ts_last=1_000, tables={"pins": pins, "events": events, "tasks": tasks})
    with Session(store) as session:
        rows = session.sql("SELECT ts, pages FROM pinned ORDER BY ts").rows()
    assert [(row["ts"], row["pages"]) for row in rows] == [
        (0, 1),
        (100, 9),
        (150, 14),
        (200, 11),
        (250, 18),
        (270, 20),
        (300, 35),
        (350, 44),
        (400, 40),
        (450, 36),
        (700, 26),
        (800, 24),
    ]


def test_pages_pinned_are_those_of_a_policy_that_lets_everything_be(tmp_path: Path) -> None:
    with replay.open(tmp_path / "store", create=True) as archive:
        archive.ingest(SAMPLES / "rdma-ext4.dat")
        archive.run("busy-blocks")
        lasting = (
            "SELECT pages, lead(ts, 1, ts_last) OVER (PARTITION BY trace ORDER BY ts) - ts AS dur FROM pinned JOIN traces USING (trace)"
        )
        recorded = archive.sql(f"SELECT sum(pages * dur) / 1e9 AS value FROM ({lasting})").rows()
        replayed = archive.sql("SELECT value FROM costs WHERE metric = 'pinned_page_seconds'").rows()
    assert recorded[0]["value"] == pytest.approx(replayed[0]["value"], rel=1e-12)


def test_lifetimes_are_within_the_trace_and_end_with_the_last_use(tmp_path: Path) -> None:
    store = Store(tmp_path / "lives", create=True)
    own = {"tid": 10, "tgid": None, "file": "8:1:42", "index": 3, "npages": 5, "write": True, "longterm": True}
    pins = [
        {**own, "pin": 0, "mr": 0, "ts_pin": 100, "ts_unpin": 900, "preexisting": False},
        {**own, "pin": 1, "mr": 0, "ts_pin": 500, "ts_unpin": 550, "preexisting": False},  # let go before the region is
        {**own, "pin": 2, "mr": 1, "ts_pin": None, "ts_unpin": None, "preexisting": True},
        {**own, "pin": 3, "mr": None, "ts_pin": 20, "ts_unpin": 43, "preexisting": False},
        {**own, "pin": 4, "mr": 2, "ts_pin": 200, "ts_unpin": 300, "preexisting": False},
    ]
    uses = [("remote_write", 0, 510), ("remote_read", 0, 550), ("remote_write", 0, 877), ("remote_read", 1, 7), ("dirty", 0, 899)]
    uses += [("remote_write", 2, 150), ("remote_write", 2, 350)]  # of a region that was pinned anew: neither within the life
    events = [{"seq": ts, "ts": ts, "op": op, "mr": mr, "open": False} for op, mr, ts in uses]
    tasks = [{"tid": 10, "tgid": 9, "comm": "app", "kthread": False, "events": 1}]
    add_trace(store, ts_last=1_000, tables={"pins": pins, "events": events, "tasks": tasks})
    with Session(store) as session:
        rows = session.sql("SELECT * FROM lifetimes ORDER BY pin").rows()
    assert [(row["ts"], row["dur"], row["preexisting"], row["alive"]) for row in rows] == [
        (100, 800, False, False),
        (500, 50, False, False),
        (0, 1_000, True, True),
        (20, 23, False, False),
        (200, 100, False, False),
    ]
    assert [(row["ts_used"], row["idle"]) for row in rows] == [(877, 23), (550, 0), (7, 993), (None, None), (None, None)]
    assert {(row["comm"], row["tid"], row["tgid"], row["npages"]) for row in rows} == {("app", 10, 9, 5)}


def test_a_view_is_made_when_a_query_names_it(store: Store) -> None:
    (store.path / "runs" / "run=r1" / "series.parquet").write_bytes(b"PAR1 and then nothing of it")
    with Session(store) as session:
        assert session.sql("SELECT position FROM _labels").rows() == [{"position": 0}]
    with Session(store) as session, pytest.raises(ReplayError, match=r"series\.parquet"):
        session.sql("SELECT count(*) FROM series")


def test_views_are_made_behind_those_that_they_are_made_of_and_words_of_comments_are_none() -> None:
    pending = {
        "upper": lambda: "CREATE VIEW upper AS SELECT '-- none' AS n FROM lower /* not other */",
        "lower": lambda: "CREATE VIEW lower AS\n-- Of upper.\nSELECT 1 AS n",
        "other": lambda: "CREATE VIEW other AS SELECT 'it''s upper' AS n",
    }
    assert list(named_views(pending, "SELECT * FROM lower")) == ["lower"]
    assert list(named_views(pending, "SELECT * FROM lower JOIN upper USING (n)")) == ["lower", "upper"]
    assert list(named_views(pending, "SELECT * FROM other")) == ["other"]


def test_a_name_that_the_query_does_not_spell_out_is_found_or_the_nearest_one_named(session: Session) -> None:
    assert session.sql("SELECT count(*) AS n FROM query('FROM eve' || 'nts')").rows() == [{"n": 1}]
    with pytest.raises(UsageError, match='Did you mean "conflicts"'):
        session.sql("SELECT * FROM conflict")


def test_rows_come_as_they_are_fetched(session: Session) -> None:
    names, rows = session.rows("SELECT range AS number, sum(range) OVER () AS whole FROM range(23456)")
    assert names == ["number", "whole"]
    assert [next(rows), *rows][-1] == (23455, 23455 * 23456 // 2)
    _, failing = session.rows("SELECT CASE WHEN range = 60000 THEN error('bad') END FROM range(70000)")
    with pytest.raises(ReplayError, match="bad"):
        list(failing)


def test_batches_come_as_they_are_fetched(session: Session) -> None:
    query = "SELECT range AS number, 'a,b' AS text, range::HUGEINT AS wide FROM range(300000)"
    schema, batches = session.batches(query)
    fetched = list(batches)
    assert len(fetched) > 1
    assert pa.Table.from_batches(fetched, schema).column("number").to_pylist() == list(range(300_000))
    _, failing = session.batches("SELECT CASE WHEN range = 60000 THEN error('bad') END FROM range(70000)")
    with pytest.raises(ReplayError, match="bad"):
        list(failing)
    _, wrong = session.batches("SELECT (CASE WHEN range = 60000 THEN 'x' ELSE '1' END)::INTEGER FROM range(70000)")
    with pytest.raises(UsageError, match="Could not convert"):
        list(wrong)


def test_sums_come_as_plain_integers(session: Session) -> None:
    answer = session.sql("SELECT class, sum(npages) AS pages FROM conflicts GROUP BY class")
    assert answer.arrow().schema.field("pages").type == pa.int64()
    assert answer.pl().equals(pl.DataFrame({"class": ["wb_while_pinned"], "pages": [18]}))
    assert session.sql("SELECT sum(x::HUGEINT) AS s FROM (VALUES (9223372036854775807), (1)) t(x)").rows()[0]["s"] == 2**63


def test_python_access(store: Store) -> None:
    archive = replay.open(store.path)
    assert archive.sql("SELECT count(*) AS n FROM runs WHERE policy = $p", {"p": "none"}).rows() == [{"n": 1}]
    assert archive.traces().pl()["source"].to_list() == ["other.dat", "work.dat"]
    assert archive.runs().arrow()["run"].to_pylist() == ["r1"]
    add_run(store, "r2", "lease")
    assert archive.runs().arrow()["run"].to_pylist() == ["r1", "r2"]
    assert archive.report("overview", policy="none").pl()["at_risk_pages"].to_list() == [18]


@pytest.mark.parametrize(
    "query",
    [
        "INSERT INTO runs VALUES (1)",
        "DELETE FROM runs",
        "DROP VIEW runs",
        "CREATE TABLE x AS SELECT 1",
        "COPY (SELECT 1) TO '/tmp/out.csv'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '/tmp/out.csv'",
        "ATTACH '/tmp/x.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET threads = 1",
        "PRAGMA database_list",
        "CALL pragma_version()",
        "EXPORT DATABASE '/tmp/x'",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP VIEW runs",
        "",
        "-- nothing",
        "SELEC 1",
        "SELECT '\udcff'",
    ],
)
def test_only_one_select(session: Session, query: str) -> None:
    with pytest.raises(UsageError) as refusal:
        session.sql(query)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_csv('{outside}')",
        "SELECT * FROM '{outside}'",
        "SELECT * FROM read_text('{outside}')",
        "SELECT * FROM read_blob('{outside}')",
        "SELECT * FROM read_json('{outside}')",
        "SELECT * FROM read_parquet('{outside}')",
        "SELECT * FROM read_text('{store}/../outside.csv')",
        "SELECT * FROM sniff_csv('{outside}')",
        "SELECT * FROM glob('{folder}/*')",
        "SELECT * FROM parquet_metadata('{outside}')",
        "SELECT * FROM query('COPY (SELECT 1) TO ''{folder}/x.csv''')",
        "SELECT * FROM read_csv('http://localhost/x.csv')",
        "SELECT getenv('HOME')",
        "SELECT * FROM answer",
    ],
)
def test_nothing_outside_of_the_store_is_in_reach(session: Session, store: Store, tmp_path: Path, query: str) -> None:
    answer = pa.table({"secret": [1]})
    assert answer.num_rows == 1  # a Python local that SQL must not see
    outside = tmp_path / "outside.csv"
    outside.write_text("secret\n1\n")
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(ReplayError):
        session.sql(query.format(outside=outside, folder=tmp_path, store=store.path))
    assert sorted(os.listdir(tmp_path)) == before


def test_session_is_locked_against_loosening(session: Session) -> None:
    with pytest.raises(UsageError):
        session.sql("SET enable_external_access = true")
    settings = session.sql("SELECT name, value FROM duckdb_settings()").rows()
    values = {row["name"]: row["value"] for row in settings}
    assert values["enable_external_access"] == "false"
    assert values["lock_configuration"] == "true"


def test_store_in_a_folder_with_a_difficult_name(tmp_path: Path) -> None:
    store = Store(tmp_path / "it's a [store]*" / "a=b", create=True)
    add_trace(store, raw={("gup", "probe"): raw()})
    with Session(store) as session:
        assert session.sql("SELECT trace FROM traces").rows() == [{"trace": TRACE}]
        assert session.sql("SELECT trace, count(*) AS n FROM raw_gup_probe GROUP BY trace").rows() == [{"trace": TRACE, "n": 2}]


def test_views_script_serves_a_plain_duckdb(store: Store) -> None:
    script = views_script(store)
    add_run(store, "r2", "lease", tables={"conflicts": [CONFLICT]})  # a run added later is seen, too
    with duckdb.connect() as plain:
        plain.execute(script)
        assert plain.execute("SELECT policy, sum(npages)::INT FROM conflicts GROUP BY policy ORDER BY policy").fetchall() == [
            ("lease", 7),
            ("none", 18),
        ]
        assert plain.execute("SELECT count(*) FROM raw_gup_probe").fetchone() == (4,)
        assert plain.execute("SELECT policy FROM _labels ORDER BY position").fetchall() == [("none",), ("lease",)]


@pytest.mark.skipif(shutil.which("duckdb") is None, reason="needs the duckdb shell")
def test_views_script_serves_the_duckdb_shell(store: Store, tmp_path: Path) -> None:
    (tmp_path / "views.sql").write_text(views_script(store))
    command = ["duckdb", "-init", str(tmp_path / "views.sql"), "-csv", "-c", "SELECT trace, op FROM events"]
    shell = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert f"{TRACE},dirty" in shell.stdout
