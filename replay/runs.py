"""Runs: one trace replayed under policies, all over the same columns, and the outcome stored.

A run's id comes from trace, policy, parameters and the engine's version: asking again finds the answer. Parameters at their
default leave no trace in it, so that one more parameter gives no run another id.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from replay._ext.engine import BLOCK_ROWS, DECISIONS, ENGINE_VERSION, PARAMS, replay
from replay.columns import Recorded, read_recorded
from replay.outcomes import RunName, conflicts_table, outcome_tables
from replay.params import Value, numbers, parse_params, show_changed, show_params
from replay.parquet import ROW_GROUP_ROWS, open_writer, write_table
from replay.policies import BUILTIN, Policy, find_policy
from replay.progress import Progress
from replay.schema import CONFLICTS
from replay.store import Entry, Store, content_id

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["BUILTIN", "DECISIONS", "RunSummary", "replay_tables", "run", "run_all"]


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A stored run. `already`: it was there before. `rows`: how many each outcome table has."""

    entry: Entry = field(repr=False)
    policy: str
    already: bool
    rows: Mapping[str, int]

    @property
    def run(self) -> str:
        return self.entry.id


@dataclass(frozen=True, slots=True)
class _Question:
    """What a run answers."""

    name: RunName
    policy: Policy
    values: Mapping[str, Value]

    def row(self) -> dict[str, str]:
        """Its row of table runs."""
        return {
            "run": self.name.run,
            "policy": self.name.policy,
            "trace": self.name.trace,
            "params": json.dumps(show_params(self.values)),
            "decisions": json.dumps(self.policy.decisions()),
            "engine": ENGINE_VERSION,
        }


def _ask(trace: str, policy: Policy, given: Mapping[str, str]) -> _Question:
    values = parse_params({**dict(policy.params), **given})
    texts = (json.dumps(show_changed(values)), json.dumps(policy.decisions()))
    run_id = content_id("runs", trace, policy.name, *texts, ENGINE_VERSION)
    return _Question(RunName(run_id, policy.name, trace), policy, values)


def _numbers(policy: Policy, values: Mapping[str, Value]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.array(policy.numbers(), np.int64), np.array(numbers(values, PARAMS), np.int64)


def replay_tables(recorded: Recorded, policy: Policy, values: Mapping[str, Value], name: RunName) -> dict[str, pa.Table]:
    """One replay, in memory: the outcome tables."""
    return outcome_tables(replay(recorded.trace, *_numbers(policy, values)), recorded, name)


class _ConflictWriter:
    """Collects blocks of conflicts as Arrow tables, which are half as large as they are in the making, until they fill a row group."""

    def __init__(self, path: Path, recorded: Recorded, name: RunName) -> None:
        self.recorded, self.name = recorded, name
        self.rows = 0
        self._waiting: list[pa.Table] = []
        self._writer = open_writer(path, CONFLICTS.arrow_schema())

    def take(self, block: Mapping[str, Any]) -> None:
        """The block is copied: its memory is the engine's, which fills it again."""
        self._waiting.append(conflicts_table({name: values.copy() for name, values in block.items()}, self.recorded, self.name))
        self.rows += self._waiting[-1].num_rows
        if sum(table.num_rows for table in self._waiting) >= ROW_GROUP_ROWS:
            self._write()

    def _write(self) -> None:
        import pyarrow as pa

        table = pa.concat_tables(self._waiting)
        self._waiting = []
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        if self._waiting and failure is None:
            self._write()
        self._writer.close()


def _store(store: Store, question: _Question, recorded: Recorded) -> RunSummary:
    """Replay and store. Conflicts, of which there may be as many as events, are written a row group at a time, as they come."""
    rows: dict[str, int] = {}
    with store.stage("runs", question.name.run) as stage:
        with _ConflictWriter(stage.path / f"{CONFLICTS.name}.parquet", recorded, question.name) as conflicts:
            outcome = replay(recorded.trace, *_numbers(question.policy, question.values), conflicts.take, BLOCK_ROWS)
            conflicts.take(outcome["conflicts"])
        rows[CONFLICTS.name] = conflicts.rows
        for name, table in outcome_tables(outcome, recorded, question.name).items():
            if name != CONFLICTS.name:
                write_table(stage.path / f"{name}.parquet", table)
                rows[name] = table.num_rows
        stage.commit({"row": question.row(), "rows": rows})
    entry = store.find("runs", question.name.run)
    assert entry is not None  # just committed, by us or by another writer with the same answer
    return RunSummary(entry, question.name.policy, False, rows)


def run(
    store: Store,
    trace_id: str,
    policies: Sequence[str] = (),
    params: Mapping[str, str] | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
    user: Mapping[str, Policy] | None = None,
) -> list[RunSummary]:
    """Replay a trace of the store under each policy (by default every built-in one), `jobs` at a time.

    Summaries come in the order of the policies, progress after each run. UsageError before anything runs if a name or a parameter
    is wrong.
    """
    names = dict.fromkeys(policies or [policy.name for policy in BUILTIN])
    return run_all(store, trace_id, [(name, params or {}) for name in names], jobs, progress, user)


def run_all(
    store: Store,
    trace_id: str,
    wanted: Iterable[tuple[str, Mapping[str, str]]],
    jobs: int | None = None,
    progress: Progress | None = None,
    user: Mapping[str, Policy] | None = None,
) -> list[RunSummary]:
    """The same for policies that have each their own parameters."""
    trace = store.resolve_trace(trace_id)
    questions = [_ask(trace.id, find_policy(name, user), params) for name, params in wanted]
    done: dict[str, RunSummary] = {}
    for question in questions:
        entry = store.find("runs", question.name.run)
        if entry is not None:
            done[question.name.run] = RunSummary(entry, question.name.policy, True, entry.manifest["rows"])
    missing = {question.name.run: question for question in questions if question.name.run not in done}
    total = len(done) + len(missing)
    if progress:
        progress(len(done), total)
    if missing:
        recorded = read_recorded(trace)
        with ThreadPoolExecutor(jobs or min(len(missing), os.cpu_count() or 1), thread_name_prefix="replay") as pool:
            for summary in pool.map(lambda question: _store(store, question, recorded), missing.values()):
                done[summary.run] = summary
                if progress:
                    progress(len(done), total)
    return [done[question.name.run] for question in questions]
