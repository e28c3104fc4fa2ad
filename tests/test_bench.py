"""The benchmarks' own arithmetic: what they say about speed must not depend on how fast this machine is."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import ANY

import numpy as np
import pytest
from bench.floor import decompress_seconds, encode_seconds
from bench.growth import growth_rows
from bench.measure import Contender, FailedError, Readings, by_turns
from bench.peers import cachesim, libtracecmd_walk
from bench.results import Row, compare, save
from bench.run import sizes
from bench.synthetic import OBJECTS, choose_objects, columns, replay_seconds, write_requests

from replay._ext.recording import Trace
from replay.ingest.pipeline import ingest_file
from replay.store import Store

SUBJECT = {"trace": "small.dat", "events": 7, "cpu": "Z80", "cores": 1}


def test_contenders_take_turns(tmp_path: Path) -> None:
    log = tmp_path / "log"

    def contender(name: str) -> Contender:
        command = [sys.executable, "-c", f"open({str(log)!r}, 'a').write({name!r}); print('3.25 seconds')"]
        return Contender(name, command, "printed")

    ours, peer = by_turns([contender("o"), contender("p")], 3, {})
    assert log.read_text() == "opopop"
    assert ours.seconds == [3.25, 3.25, 3.25]
    assert peer.peak_bytes > 1 << 20


def test_a_printed_rate_becomes_seconds_and_a_failure_is_no_reading() -> None:
    rate = Contender("rate", [sys.executable, "-c", "print('miss ratio 0.5, throughput 4.00 MQPS')"], "printed", work=10_000_000)
    assert by_turns([rate, replace(rate, scale=4.0)], 1, {}) == [Readings([2.5], ANY), Readings([10.0], ANY)]
    for code, message in (("print('nothing')", "printed no time"), ("import sys; sys.exit('broken')", "exit status 1\nbroken")):
        with pytest.raises(FailedError, match=message):
            by_turns([Contender("bad", [sys.executable, "-c", code], "printed")], 1, {})


def test_a_later_run_is_compared_with_the_last_of_its_size(tmp_path: Path) -> None:
    def rows(seconds: float) -> list[Row]:
        return [
            Row("ingest", Readings([seconds, 2 * seconds, seconds], 3 << 20), "walk", Readings([4.0, 4.0, 8.0]), "<= 1"),
            Row("report", Readings([0.5]), "", None, "< 2 s"),
        ]

    assert compare(tmp_path, SUBJECT, rows(2.0)).splitlines() == [
        "work       ours  peer           ratio  goal   spread  peak memory  before",
        "------  -------  ----  -------  -----  -----  ------  -----------  ------",
        "ingest  2.000 s  walk  4.000 s    0.5  <= 1     100%        3 MiB",
        "report  0.500 s                        < 2 s      0%        0 MiB",
    ]
    assert save(tmp_path, SUBJECT, rows(2.0)).name == "0001.json"
    assert save(tmp_path, {**SUBJECT, "events": 14}, rows(9.0)).name == "0002.json"
    assert "x 1.50" in compare(tmp_path, SUBJECT, rows(3.0)).splitlines()[2]
    kept = json.loads((tmp_path / "0001.json").read_text())
    assert (kept["trace"], kept["rows"][0]["ratio"], kept["rows"][1]["ratio"]) == ("small.dat", 0.5, None)


def test_growth_is_held_against_the_size_before() -> None:
    assert sizes("5M") == [5_000_000]
    events = sizes("5M,10M,40M")
    rows = growth_rows("ingest", events, [Readings([2.0]), Readings([4.0]), Readings([20.0])])
    assert [(row.work, row.peer, row.ratio, row.goal) for row in rows] == [
        ("ingest, 5 M", "", None, ""),
        ("ingest, 10 M", "5 M", 2.0, "<= 2.10"),
        ("ingest, 40 M", "10 M", 5.0, "<= 4.20"),
    ]


def test_a_missing_peer_says_how_to_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CACHESIM", "no-such-program")
    for peer in (cachesim(), libtracecmd_walk(tmp_path)):
        assert peer.program is None
        assert peer.hint


def test_made_up_loads_are_the_same_each_time_and_skewed(tmp_path: Path) -> None:
    objects = choose_objects(100_003)
    assert (objects == choose_objects(100_003)).all()
    assert 0 <= objects.min() <= objects.max() < OBJECTS
    counts = np.sort(np.bincount(objects, minlength=OBJECTS))[::-1]
    assert counts[0] > 50 * counts[999]
    write_requests(str(tmp_path / "requests.bin"), 1_009)
    assert (tmp_path / "requests.bin").stat().st_size == 24 * 1_009


def test_the_made_up_trace_is_one_that_the_engine_takes() -> None:
    made = columns(10_007)
    assert len(made["row_ts"]) == 10_007
    assert made["run_npages"].sum() == OBJECTS
    assert isinstance(Trace(made), Trace)
    _, conflicts = replay_seconds(10_007, "none")
    assert 0 < conflicts < 10_007


def test_the_floors_go_through_a_whole_trace(tmp_path: Path) -> None:
    sample = Path(__file__).parent.parent / "sample_traces" / "rdma-ext4.dat"
    ingest_file(Store(tmp_path / "store", create=True), str(sample))
    before = sorted(tmp_path.rglob("*"))
    assert decompress_seconds(str(sample)) > 0
    assert encode_seconds(str(tmp_path / "store")) > 0
    assert sorted(tmp_path.rglob("*")) == before
