"""Measures this program against its peers and against itself: make bench, make bench EVENTS=20M TRACE=large.dat.

Makes a trace of about EVENTS events and one of half as many by tiling TRACE, measures everything by turns, prints a table,
and keeps the figures in build/bench/results/, where the next run of the same size finds them. With several sizes, as in
make bench EVENTS=5M,10M,20M, it measures how time and memory grow from one to the next instead.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from bench.growth import growth
from bench.measure import Contender, FailedError, Readings, by_turns, event_count
from bench.peers import Peer, cachesim, libtracecmd_walk, trace_cmd
from bench.results import Row, compare, machine, save
from bench.sizes import ENVIRONMENT, PYTHON, REPLAY, Size, prepare, tiled

LOOP_EVENTS = 10_000_000
# libtracecmd 3.1 never frees most chunks that it has decompressed, and looks through all of them for each page: 10 M events
# take it ten times as long as 5 M. It is measured on so many events, and its time multiplied.
PEER_EVENTS = 5_000_000
CACHE_OBJECTS = 100_000


class Bench:
    """What is measured, group by group: the members of a group take turns."""

    def __init__(self, work: Path, source: str, events: int, rounds: int) -> None:
        self.work, self.rounds = work, rounds
        self.loop_events = min(events, LOOP_EVENTS)
        self.whole, self.half = (tiled(work, source, count) for count in (events, events // 2))
        self.peers = tiled(work, source, min(events, PEER_EVENTS))
        self.plain = tiled(work, source, events, "--plain")
        self.rows: list[Row] = []
        self.missing: list[Peer] = []

    def measure(self, *contenders: Contender) -> dict[str, Readings]:
        return dict(zip((c.name for c in contenders), by_turns(contenders, self.rounds, ENVIRONMENT), strict=True))

    def row(self, work: str, ours: Readings, peer: str = "", other: Readings | None = None, goal: str = "") -> None:
        self.rows.append(Row(work, ours, peer, other, goal))

    def need(self, peer: Peer) -> str | None:
        """Its program; where it is missing, that is noted."""
        if peer.program is None:
            self.missing.append(peer)
        return peer.program

    def ingest(self) -> None:
        whole, half, peers = self.whole, self.half, self.peers
        walk, report = libtracecmd_walk(self.work), trace_cmd()
        scale = whole.events / peers.events
        plain = f"{walk.name}, plain"
        contenders = [
            Contender("ingest", whole.replay("ingest", str(whole.trace)), before=lambda: whole.forget("")),
            Contender("half of it", half.replay("ingest", str(half.trace)), before=lambda: half.forget("")),
            Contender("Parquet encoding", [PYTHON, "-m", "bench.floor", "parquet", str(whole.store)], "printed"),
            Contender("page decompression", [PYTHON, "-m", "bench.floor", "pages", str(whole.trace)], "printed"),
        ]
        if program := self.need(walk):
            contenders += [
                Contender(walk.name, [program, str(peers.trace)], scale=scale),
                Contender(plain, [program, str(self.plain.trace)]),
            ]
        if program := self.need(report):
            contenders.append(Contender(report.name, [program, "report", str(peers.trace)], scale=scale))
        found = self.measure(*contenders)
        ours = found["ingest"]
        for name, goal in ((walk.name, "<= 1"), (plain, ""), (report.name, "<= 0.1")):
            self.row("ingest", ours, name, found.get(name), goal if name in found else "missing")
        self.row("ingest", ours, "half of it", found["half of it"], "<= 2.1")
        self.row("ingest, wall", ours, "Parquet encoding, CPU", found["Parquet encoding"])
        self.row("ingest, wall", ours, "page decompression, CPU", found["page decompression"])

    def loop(self) -> None:
        simulator = cachesim()
        program = self.need(simulator)
        requests = self.work / f"requests-{self.loop_events}.bin"
        if program and not requests.exists():
            prepare([PYTHON, "-m", "bench.synthetic", "requests", str(self.loop_events), str(requests)])
        ours = Contender("replay loop", [PYTHON, "-m", "bench.synthetic", "replay", str(self.loop_events), "none"], "printed")
        command = [str(program), str(requests), "oracleGeneral", "FIFO", str(CACHE_OBJECTS), "--ignore-obj-size=true", "-o", os.devnull]
        peer = Contender(simulator.name, command, "printed", work=self.loop_events)
        found = self.measure(*((ours, peer) if program else (ours,)))
        self.row("replay loop", found["replay loop"], simulator.name, found.get(simulator.name), "<= 0.125" if program else "missing")

    def runs(self) -> None:
        whole, half = self.whole, self.half
        alone = self._beside(whole)
        policy = self._slowest(alone)
        found = self.measure(
            Contender("run, all policies", whole.replay("run"), before=lambda: whole.forget("runs")),
            Contender("slowest policy", alone.replay("run", "--policy", policy), before=lambda: alone.forget("runs")),
            Contender("half of it", half.replay("run"), before=lambda: half.forget("runs")),
        )
        ours = found["run, all policies"]
        self.row("run, all policies", ours, f"{policy} alone", found["slowest policy"], "<= 6")
        self.row("run, all policies", ours, "half of it", found["half of it"], "<= 2.1")

    def _beside(self, size: Size) -> Size:
        """A store with the same traces, for runs of its own."""
        store = self.work / "alone.store"
        shutil.rmtree(store, ignore_errors=True)
        shutil.copytree(size.store, store, copy_function=os.link)
        return Size(size.events, size.trace, store)

    def _slowest(self, size: Size) -> str:
        from replay.policies import BUILTIN

        contenders = [
            Contender(policy.name, size.replay("run", "--policy", policy.name), before=lambda: size.forget("runs")) for policy in BUILTIN
        ]
        once = dict(zip((c.name for c in contenders), by_turns(contenders, 1, ENVIRONMENT), strict=True))
        return max(once, key=lambda name: once[name].median)

    def questions(self) -> None:
        from replay.reports import names

        whole, half = self.whole, self.half
        found = self.measure(*(Contender(name, whole.replay("report", name)) for name in names()))
        for name, readings in found.items():
            self.row(f"report {name}", readings, goal="< 2 s")
        slowest = max(found, key=lambda name: found[name].median)
        again = self.measure(Contender(slowest, whole.replay("report", slowest)), Contender("half of it", half.replay("report", slowest)))
        self.row(f"report {slowest}", again[slowest], "half of it", again["half of it"], "<= 2.1")
        count = Contender("count", whole.replay("sql", "select count(*) from events"), "cpu")
        usage = Contender("help", [REPLAY, "--help"], "cpu")
        found = self.measure(count, usage)
        self.row("sql count(*), CPU", found["count"], goal="< 0.4 s")
        self.row("--help, CPU", found["help"], goal="< 0.25 s")


def sizes(text: str) -> list[int]:
    """5M,10M is 5 and 10 million."""
    return [event_count(part) for part in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="where traces, stores and results are kept")
    parser.add_argument("--trace", required=True, help="the trace.dat that is tiled")
    parser.add_argument("--events", type=sizes, default=[2_000_000], help="how many events, such as 20M, or 5M,10M,20M")
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured")
    arguments = parser.parse_args()
    work = arguments.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    try:
        rows, missing = _measured(work, arguments.trace, arguments.events, arguments.rounds)
    except FailedError as error:
        sys.exit(f"bench: {error}")
    subject = {"trace": Path(arguments.trace).name, "events": arguments.events, **machine()}
    sys.stdout.write(compare(work / "results", subject, rows))
    for peer in missing:
        sys.stdout.write(f"missing: {peer.name}. It takes {peer.hint}\n")
    sys.stdout.write(f"kept in {save(work / 'results', subject, rows)}\n")


def _measured(work: Path, source: str, events: list[int], rounds: int) -> tuple[list[Row], list[Peer]]:
    """One size: everything, and the peers that are missing. Several: growth."""
    if len(events) > 1:
        return growth(work, source, events, rounds), []
    bench = Bench(work, source, events[0], rounds)
    for group in (bench.ingest, bench.loop, bench.runs, bench.questions):
        group()
    return bench.rows, bench.missing


if __name__ == "__main__":
    main()
