"""Sweeps: replays under every combination of parameters, and one table of what came of them.

Each combination is a run like any other: asking again costs nothing, and every report can be asked about it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from replay import reports
from replay.errors import UsageError
from replay.grid import Axis, Grid
from replay.params import Value
from replay.render import Head
from replay.reportheader import Report, ReportColumn
from replay.reporting import Reported
from replay.session import Session
from replay.store import Entry, Store
from replay.summary import caveats, plural, subject
from replay.units import Cost, format_cost

if TYPE_CHECKING:
    import pyarrow as pa

    from replay.policies import Policy
    from replay.progress import Progress

MOST_RUNS = 1000


@dataclass(frozen=True, slots=True)
class Point:
    """A run of a sweep, and the values that it stands for. `already`: it was in the store before."""

    run: str
    values: Mapping[str, Value]
    already: bool


@dataclass(frozen=True, slots=True)
class Swept:
    """The table of a sweep, a row for each of its points."""

    reported: Reported
    grid: Grid
    points: tuple[Point, ...]


def sweep(
    store: Store,
    entries: Sequence[Entry],
    policies: Sequence[str],
    grid: Grid,
    user: Mapping[str, Policy],
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Swept:
    """Replay these traces at every point of the grid under each policy."""
    policies = list(dict.fromkeys(policies))
    _check_size(grid, policies, entries)
    points = _replay(store, entries, policies, grid, user, jobs, progress)
    report = reports.load("sweep")
    with Session(store, [entry for point in points if (entry := store.find("runs", point.run))]) as session:
        table = reports.run(session, report, {"runs": " ".join(point.run for point in points)})
    report, table = _by_point(report, table, grid, points)
    return Swept(Reported(report, table, subject(entries), (), tuple(caveats(entries))), grid, tuple(points))


def _check_size(grid: Grid, policies: Sequence[str], entries: Sequence[Entry]) -> None:
    runs = len(grid) * len(policies) * len(entries)
    if runs > MOST_RUNS:
        values = " x ".join(str(len(axis.values)) for axis in grid.swept)
        many = "y" if len(policies) == 1 else "ies"
        of = f"{values} choices of parameters, {len(policies)} polic{many}, {plural(len(entries), 'trace')}"
        raise UsageError(f"{of}: {runs:,} replays, of which {MOST_RUNS:,} are allowed", hint="take fewer values, or one --trace")


def _replay(
    store: Store,
    entries: Sequence[Entry],
    policies: Sequence[str],
    grid: Grid,
    user: Mapping[str, Policy],
    jobs: int | None,
    progress: Progress | None,
) -> list[Point]:
    """The runs of one trace after the other, each over one set of columns."""
    from replay import runs

    values = grid.points()
    wanted = [(policy, grid.shown(point)) for policy in policies for point in values]
    done: list[Point] = []

    def step(now: int, of: int) -> None:
        if progress:
            progress(len(done) + now, of * len(entries))

    for entry in entries:
        found = runs.run_all(store, entry.id, wanted, jobs, step, user)
        done += [Point(run.run, values[place % len(values)], run.already) for place, run in enumerate(found)]
    return done


def _by_point(report: Report, table: pa.Table, grid: Grid, points: Sequence[Point]) -> tuple[Report, pa.Table]:
    """The rows in the order of the points, whose values take the place of the settings in words."""
    import pyarrow as pa

    place = {run: row for row, run in enumerate(table["run"].to_pylist())}
    table = table.take(pa.array([place[point.run] for point in points]))
    at = table.column_names.index("settings")
    table = table.remove_column(at)
    columns = [column for column in report.columns if column.name != "settings"]
    for axis in reversed(grid.axes):
        column = _column(axis)
        table = table.add_column(at, column.name, pa.array([_plain(point.values[axis.param.name]) for point in points]))
        if axis in grid.swept:
            columns.insert(at, column)
    return replace(report, columns=tuple(columns)), table


def _column(axis: Axis) -> ReportColumn:
    name, kind = axis.param.name, axis.param.kind
    title = name.replace(".", ".\n")
    if kind == "duration":
        return ReportColumn(f"{name}_ns", Head(title, "ns"), axis.param.doc)
    return ReportColumn(name, Head(title, "count" if kind == "count" else ""), axis.param.doc)


def _plain(value: Value) -> Any:
    """Durations as nanoseconds, counts as numbers, the rest as it is written."""
    return format_cost(value) if isinstance(value, Cost) else value
