"""Exports, read back: Perfetto's own protobufs, Parquet and CSV hold what the tables hold."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from builders.stores import add_trace
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent

from replay import runs
from replay.cli import main
from replay.errors import ReplayError, UsageError
from replay.export import export_tables, export_timeline
from replay.ingest.pipeline import ingest_file
from replay.session import Session
from replay.store import Store

SAMPLES = Path(__file__).parent.parent / "sample_traces"


@dataclass
class Slice:
    track: tuple[str, ...]
    ts: int
    name: str
    notes: dict[str, Any]
    flows: list[int]
    dur: int | None = None


@dataclass
class Timeline:
    """What a reader of the trace sees: slices (an instant has no length), and values of counters, by names of tracks from the top."""

    slices: list[Slice] = field(default_factory=list)
    counters: dict[tuple[str, ...], list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))

    def under(self, *track: str) -> list[Slice]:
        return [piece for piece in self.slices if piece.track[: len(track)] == track]


def read(path: Path) -> Timeline:
    """Packets in order of time; of one time in the order of the file. An end closes the slice of its track that began last."""
    trace = Trace()
    trace.ParseFromString(path.read_bytes())
    names: dict[int, tuple[str, ...]] = {}
    timeline, open_slices = Timeline(), defaultdict(list)
    for packet in trace.packet:
        if packet.HasField("track_descriptor"):
            track = packet.track_descriptor
            assert track.uuid not in names
            name = f"{track.thread.thread_name}" if track.HasField("thread") else track.name
            names[track.uuid] = (*names[track.parent_uuid], name) if track.HasField("parent_uuid") else (name,)
    for packet in sorted((packet for packet in trace.packet if packet.HasField("track_event")), key=lambda packet: packet.timestamp):
        event = packet.track_event
        track = event.track_uuid
        if event.type == TrackEvent.TYPE_COUNTER:
            timeline.counters[names[track]].append((packet.timestamp, event.counter_value or event.double_counter_value))
            continue
        if event.type == TrackEvent.TYPE_SLICE_END:
            piece = open_slices[track].pop()
            piece.dur = packet.timestamp - piece.ts
            continue
        notes = {note.name: note.int_value if note.HasField("int_value") else note.string_value for note in event.debug_annotations}
        piece = Slice(names[track], packet.timestamp, event.name, notes, list(event.flow_ids))
        timeline.slices.append(piece)
        if event.type == TrackEvent.TYPE_INSTANT:
            piece.dur = 0
        else:
            assert not open_slices[track], "slices of one lane overlap"
            open_slices[track].append(piece)
    return timeline


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("export") / "store", create=True)
    trace = ingest_file(store, SAMPLES / "rdma-ext4.dat").entry.id
    runs.run(store, trace, ["none", "hold-off", "lease"])
    trace = ingest_file(store, SAMPLES / "lease-dax.dat").entry.id
    runs.run(store, trace, ["hold-off"])
    return store


def exported(store: Store, folder: Path, trace: str, policy: str | None = None) -> Timeline:
    export_timeline(store, trace, policy, str(folder / "out.pftrace"))
    return read(folder / "out.pftrace")


def rows(store: Store, trace: str, query: str) -> list[dict[str, Any]]:
    with Session(store) as session:
        return session.sql(query, {"trace": store.resolve_trace(trace).id}).rows()


@pytest.mark.parametrize("trace", ["rdma-ext4.dat", "lease-dax.dat"])
def test_timeline_has_a_slice_for_every_row(store: Store, tmp_path: Path, trace: str) -> None:
    timeline = exported(store, tmp_path, trace)
    counted = {row["op"]: row["n"] for row in rows(store, trace, "SELECT op, count(*) AS n FROM events WHERE trace = $trace GROUP BY op")}
    drawn = Counter(piece.name for piece in timeline.under("files"))
    assert drawn.pop("writeback") == counted["wb_start"]
    assert drawn == {op: counted[op] for op in ("truncate", "punch", "fallocate", "fsync") if op in counted}
    (totals,) = rows(
        store,
        trace,
        "SELECT (SELECT count(*) FROM mrs WHERE trace = $trace) AS mrs, (SELECT count(*) FROM pins WHERE trace = $trace) AS pins",
    )
    regions = Counter(piece.name for piece in timeline.under("memory regions"))
    assert (regions["registered"] + regions["refused"], regions["pinned"]) == (totals["mrs"], totals["pins"])
    query = "SELECT policy, class, count(*) AS n FROM conflicts WHERE trace = $trace GROUP BY ALL"
    for row in rows(store, trace, query):
        assert len(timeline.under(f"policy {row['policy']}", f"conflicts: {row['class']}")) == row["n"]
    for row in rows(
        store, trace, "SELECT policy, list(dur ORDER BY ts, dur) AS durs FROM stalls WHERE trace = $trace AND NOT unbounded GROUP BY ALL"
    ):
        stalls = [piece for piece in timeline.under(f"policy {row['policy']}") if piece.track[1].startswith("stalls of ")]
        assert sorted(piece.dur for piece in stalls if piece.dur is not None) == sorted(row["durs"])


def test_a_wait_that_never_ends_is_a_slice_without_an_end(store: Store, tmp_path: Path) -> None:
    timeline = exported(store, tmp_path, "lease-dax.dat")
    (recorded,) = (piece for piece in timeline.under("daxload/214") if piece.name == "layout_wait")
    (stall,) = (piece for piece in timeline.under("policy hold-off", "stalls of daxload/214"))
    assert (recorded.ts, recorded.dur) == (stall.ts, stall.dur) == (38_410_581_172, None)


def test_an_arrow_leads_from_a_pin_to_each_stall_that_it_causes(store: Store, tmp_path: Path) -> None:
    timeline = exported(store, tmp_path, "rdma-ext4.dat", "hold-off")
    assert {piece.track[0] for piece in timeline.slices if piece.track[0].startswith("policy")} == {"policy hold-off"}
    ends: dict[int, list[Slice]] = defaultdict(list)
    for piece in timeline.slices:
        for flow in piece.flows:
            ends[flow].append(piece)
    assert len(ends) == 9  # all nine stalls are for a pin that the trace shows
    for pin, stall in ends.values():
        assert (pin.track[0], stall.track[0]) == ("memory regions", "policy hold-off")
        assert pin.notes["pin"] == stall.notes["pin"]
        assert pin.ts <= stall.ts


def test_counters_follow_the_series_and_the_pins(store: Store, tmp_path: Path) -> None:
    timeline = exported(store, tmp_path, "rdma-ext4.dat", "lease")
    pinned = timeline.counters["memory regions", "pinned pages"]
    assert max(pages for _, pages in pinned) == 1024 + 16
    assert pinned[-1][1] == 0
    (revoked,) = rows(
        store, "rdma-ext4.dat", "SELECT max(value) AS n FROM series WHERE policy = 'lease' AND metric = 'revoked_mrs' AND trace = $trace"
    )
    drawn = timeline.counters["policy lease", "revoked_mrs"]
    assert max(value for _, value in drawn) == revoked["n"]
    held = timeline.counters["policy lease", "pinned_page_seconds"]
    assert 0 < max(pages for _, pages in held) <= 1024 + 16
    assert all(before[1] != after[1] for before, after in pairwise(drawn))


def test_the_same_rows_make_the_same_bytes(store: Store, tmp_path: Path) -> None:
    for name in ("a", "b"):
        export_timeline(store, "lease-dax.dat", None, str(tmp_path / name))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_tables_of_one_trace_and_policy(store: Store, tmp_path: Path) -> None:
    export_tables(store, "rdma-ext4.dat", "lease", str(tmp_path / "p"), "parquet")
    export_tables(store, "rdma-ext4.dat", "lease", str(tmp_path / "c"), "csv")
    assert {path.stem for path in (tmp_path / "p").iterdir()} == {path.stem for path in (tmp_path / "c").iterdir()}
    assert pl.read_parquet(tmp_path / "p" / "traces.parquet")["source"].to_list() == ["rdma-ext4.dat"]
    assert set(pl.read_parquet(tmp_path / "p" / "stalls.parquet")["policy"]) == {"lease"}
    (events,) = rows(store, "rdma-ext4.dat", "SELECT count(*) AS n FROM events WHERE trace = $trace")
    assert pl.read_parquet(tmp_path / "p" / "events.parquet").height == events["n"]
    assert len((tmp_path / "c" / "events.csv").read_text().splitlines()) == events["n"] + 1


def test_what_cannot_be_exported_is_refused(store: Store, tmp_path: Path) -> None:
    empty = Store(tmp_path / "empty", create=True)
    with pytest.raises(ReplayError, match="no store here"):
        export_timeline(Store(empty.path), None, None, str(tmp_path / "x"))
    with pytest.raises(UsageError, match=r"one trace.*--trace: lease-dax.dat, rdma-ext4.dat"):
        export_timeline(store, None, None, str(tmp_path / "x"))
    (tmp_path / "full").mkdir()
    with pytest.raises(ReplayError, match="there already"):
        export_tables(store, None, None, str(tmp_path / "full"), "csv")
    with pytest.raises(ReplayError, match=r"'odp' has not been replayed.*so far: hold-off, lease, none"):
        export_timeline(store, "rdma-ext4.dat", "odp", str(tmp_path / "x"))
    with pytest.raises(SystemExit):
        main(["--store", str(store.path), "export"])
    assert {path.name for path in tmp_path.iterdir()} == {"full"}


def test_writeback_without_an_end_is_an_instant(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    page = {"tid": 1, "file": "8:1:42", "index": 3, "npages": 1, "open": False}
    rows = [(10, "wb_start"), (20, "wb_start"), (25, "wb_end"), (30, "wb_start")]
    add_trace(store, tables={"events": [{"seq": ts, "ts": ts, "op": op, **page} for ts, op in rows]})
    export_timeline(store, None, None, str(tmp_path / "x"))
    found = read(tmp_path / "x").under("files", "8:1:42")
    assert [(piece.track[2], piece.ts, piece.dur) for piece in found] == [
        ("writeback without an end", 10, 0),
        ("writeback", 20, 5),
        ("writeback without an end", 30, 0),
    ]
