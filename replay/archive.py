"""A store from Python: ingest, run, ask. The command line calls the same functions, and prints what they give."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from replay.errors import ReplayError, explained
from replay.store import Entry, Store

if TYPE_CHECKING:
    from replay.export import TableForm
    from replay.ingest.many import Outcome
    from replay.ingest.pipeline import IngestSummary
    from replay.progress import Progress
    from replay.reporting import Reported
    from replay.runs import RunSummary
    from replay.session import Answer
    from replay.sweep import Swept
    from replay.validate import Validation


class Archive:
    """What `replay.open` gives. Every question sees the store as it is then, runs that were added meanwhile included.

    A trace is named by its id, the beginning of it, or its source file. Whatever goes wrong is a ReplayError. `progress`
    is called now and then with how much is done, and of how much.
    """

    def __init__(self, path: str | os.PathLike[str], *, create: bool = False) -> None:
        with explained():
            self._store = Store(path, create=create)

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held open between questions."""

    def __repr__(self) -> str:
        return f"replay.open({os.fspath(self._store.path)!r})"

    @property
    def store(self) -> Store:
        return self._store

    @explained()
    def ingest(self, path: str | os.PathLike[str], *, progress: Progress | None = None) -> IngestSummary:
        """Read one trace into the store. TraceError where it cannot be read; the store is then as before."""
        from replay.ingest.pipeline import ingest_file

        return ingest_file(self._store, os.fspath(path), progress)

    def ingest_many(self, paths: Sequence[str | os.PathLike[str]], *, processes: int | None = 1) -> Iterator[Outcome]:
        """Read files, and what traces directories hold: what became of each, which may be a refusal.

        With `processes`, or None for as many as are worth it, the caller's main module must be safe to import (see
        multiprocessing, start method spawn).
        """
        from replay.ingest.many import Outcome, find_traces, ingest_many

        found = find_traces([os.fspath(path) for path in paths])
        for error in found.refused:
            yield Outcome(error.path, None, str(error))
        yield from ingest_many(self._store, found.traces, processes)

    @explained()
    def run(
        self,
        policies: str | Sequence[str] = (),
        *,
        params: Mapping[str, str] | None = None,
        trace: str | None = None,
        policy_file: str | os.PathLike[str] | None = None,
        jobs: int | None = None,
        progress: Progress | None = None,
    ) -> list[RunSummary]:
        """Replay under policies (by default all built-in ones and those of the file), on one trace or all.

        What the store holds already is not replayed again.
        """
        from replay import runs
        from replay.policies import BY_NAME, read_policies

        user = read_policies(os.fspath(policy_file)) if policy_file is not None else {}
        names = [policies] if isinstance(policies, str) else list(policies) or [*BY_NAME, *user]
        entries = self.chosen(trace, "replay")
        done: list[RunSummary] = []

        def step(now: int, of: int) -> None:
            if progress:
                progress(len(done) + now, of * len(entries))

        for entry in entries:
            done += runs.run(self._store, entry.id, names, params, jobs, step, user)
        return done

    @explained()
    def sweep(
        self,
        policies: str | Sequence[str],
        params: Mapping[str, str],
        *,
        traces: Sequence[str] = (),
        policy_file: str | os.PathLike[str] | None = None,
        jobs: int | None = None,
        progress: Progress | None = None,
    ) -> Swept:
        """Replay under every combination of parameters, each a list with commas of values and ranges A..B:N (N values, geometric)."""
        from replay.grid import parse_grid
        from replay.policies import read_policies
        from replay.sweep import sweep

        grid = parse_grid(params)
        user = read_policies(os.fspath(policy_file)) if policy_file is not None else {}
        names = [policies] if isinstance(policies, str) else policies
        entries = {entry.id: entry for name in traces or (None,) for entry in self.chosen(name, "replay")}
        return sweep(self._store, list(entries.values()), names, grid, user, jobs, progress)

    @explained()
    def chosen(self, trace: str | None, purpose: str) -> list[Entry]:
        """The trace of this name, or all; ReplayError where there is none to do something with."""
        entries = [self._store.resolve_trace(trace)] if trace is not None else self._store.traces()
        if not entries:
            raise ReplayError(f"there is no trace to {purpose}", where=str(self._store.path), hint="add one with: replay ingest TRACE")
        return entries

    def traces(self) -> Answer:
        """Table traces."""
        return self.sql("SELECT * FROM traces ORDER BY source, trace")

    def runs(self) -> Answer:
        """Table runs, in the order of policies."""
        return self.sql("SELECT runs.* FROM runs JOIN _labels USING (run) ORDER BY runs.trace, position, runs.policy, run")

    def reports(self) -> Answer:
        """All reports: title, questions, and the parameters that `report` takes."""
        from replay import reports
        from replay.session import Answer

        return Answer(reports.listing())

    @explained()
    def report(
        self, name: str = "overview", *, params: Mapping[str, str] | None = None, all_settings: bool = False, **values: str | int | None
    ) -> Reported:
        """Run a report; `values` are its parameters, such as policy="lease" or trace="trace.dat".

        `params`: only runs with these. `all_settings`: every run of a policy, also where a sweep has left many.
        """
        from replay.reporting import ask

        return ask(self._store, name, values, params, all_settings)

    @explained()
    def sql(self, query: str, params: Mapping[str, object] | None = None) -> Answer:
        """Run one SELECT; `params` are the values of $names in it."""
        from replay.session import Session

        with Session(self._store) as session:
            return session.sql(query, params)

    @explained()
    def validate(self, trace: str | None = None, *, progress: Progress | None = None) -> Validation:
        """Compare the replay with the recorded kernel, replaying policy `none` where that has not been done."""
        from replay.validate import validate

        return validate(self._store, self.chosen(trace, "validate"), progress)

    @explained()
    def export_perfetto(
        self, path: str | os.PathLike[str], *, trace: str | None = None, policy: str | None = None, progress: Progress | None = None
    ) -> None:
        """Draw one trace and its runs, or those of one policy, as a timeline for https://ui.perfetto.dev."""
        from replay.export import export_timeline

        export_timeline(self._store, trace, policy, os.fspath(path), progress)

    @explained()
    def export_tables(
        self,
        folder: str | os.PathLike[str],
        form: TableForm = "parquet",
        *,
        trace: str | None = None,
        policy: str | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Write every table, or what is of one trace and policy, as a file in a new folder."""
        from replay.export import export_tables

        export_tables(self._store, trace, policy, os.fspath(folder), form, progress)
