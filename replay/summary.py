"""Sentences about traces and runs: what an ingest found, and how far a result can be trusted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from replay.humane import duration, number
from replay.store import Entry

if TYPE_CHECKING:
    from replay.ingest.pipeline import IngestSummary

_MOST_OPERATIONS = 8


def ingested(summary: IngestSummary) -> str:
    """What an ingest found, as short lines."""
    entry, row, found = summary.entry, summary.entry.row, summary.found
    if summary.already:
        return f"{row['source']}: already in the store as trace {entry.id}; nothing to do\n"
    lines = [
        f"{row['source']}: trace {entry.id}",
        _line("format", _format(row)),
        _line("records", _records(row, found)),
        _line("events", _operations(found["operations"])),
        _line("memory", _memory(found, row)),
    ]
    losses = found["losses"]
    lines += [_line("losses" if number == 0 else "", _loss(loss)) for number, loss in enumerate(losses)]
    if not losses:
        lines.append(_line("losses", "none: every record was read, every page found"))
    return "".join(f"{line}\n" for line in lines)


def ingested_all(fresh: int, known: int, refused: int, others: int) -> str:
    """What became of many files; others are those in directories that hold no trace."""
    rest = (
        f"; {plural(others, 'other file')} in the directories {'holds' if others == 1 else 'hold'} no trace in a known format"
        if others
        else ""
    )
    return f"{number(fresh)} ingested, {number(known)} already there, {number(refused)} refused{rest}\n"


def caveats(traces: Sequence[Entry]) -> list[str]:
    """One sentence per trace on what could not be resolved or was lost, and what to do; one for all where nothing was."""
    lines = [
        f"{entry.row['source']}: its clock {entry.row['clock']} counts {entry.manifest['clock_unit']}, not ns: "
        "durations are shown as if it did."
        for entry in traces
        if entry.manifest.get("clock_unit", "ns") != "ns"
    ]
    clocks = len(lines)
    for entry in traces:
        losses = [loss for loss in entry.manifest["found"]["losses"] if loss["severity"] != "info"]
        if losses:
            worst = min(losses, key=lambda loss: (loss["severity"] != "data_loss", -loss["count"]))
            lines.append(f"{entry.row['source']}: {'; '.join(_short_loss(loss) for loss in _by_counter(losses))}. {worst['advice']}")
    if len(lines) > clocks:
        lines.append("What was lost or left unresolved takes part in no conflict: read the figures as lower bounds.")
    elif traces:
        lines.append("Nothing was lost or left unresolved: every pin and every page event was found, the kernel reported no lost events.")
    return lines


def subject(traces: Sequence[Entry]) -> str:
    """The traces that a report is about, in a line."""
    if len(traces) == 1:
        row = traces[0].row
        span = (row["ts_last"] or 0) - (row["ts_first"] or 0)
        found = traces[0].manifest["found"]
        return (
            f"{row['source']} ({duration(span)}; {plural(row['events'], 'event')}, {plural(found['mrs'], 'MR')}, "
            f"{plural(found['pinned_pages'], 'pinned page')})"
        )
    names = ", ".join(str(entry.row["source"]) for entry in traces[:4])
    return f"{len(traces)} traces ({names}{', ...' if len(traces) > 4 else ''})"


def plural(count: int, noun: str) -> str:
    return f"{number(count)} {noun}" if count == 1 else f"{number(count)} {noun}s"


def _line(title: str, text: str) -> str:
    return f"  {title:<8} {text}"


def _format(row: Mapping[str, Any]) -> str:
    kernel = f", {row['uname']}" if row["uname"] else ""
    return f"{row['format']}, clock {row['clock']}, {plural(row['cpus'], 'CPU')}{kernel}"


def _records(row: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    span = duration((row["ts_last"] or 0) - (row["ts_first"] or 0))
    mapped, kinds = found["mapped_records"], found["tracepoints"]
    if not kinds:
        return f"{number(row['events'])} over {span}"
    return (
        f"{number(row['raw_events'])} over {span}, of {plural(kinds, 'tracepoint')}; "
        f"{number(mapped)} have a meaning for the replay, {number(row['raw_events'] - mapped)} stay raw tables only"
    )


def _operations(operations: Mapping[str, int]) -> str:
    ordered = sorted(operations.items(), key=lambda item: (-item[1], item[0]))
    first = [f"{name} {number(count)}" for name, count in ordered[:_MOST_OPERATIONS]]
    rest = sum(count for _, count in ordered[_MOST_OPERATIONS:])
    return ", ".join([*first, f"other {number(rest)}"] if rest else first) or "none"


def _memory(found: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    refused = f" ({number(found['mrs_refused'])} refused)" if found["mrs_refused"] else ""
    share = ""
    if found["pin_calls"]:
        resolved = found["pin_calls"] - row["pins_unresolved"]
        share = f"; {resolved / found['pin_calls']:.1%} of pin calls resolved"
    return f"{plural(found['mrs'], 'MR')}{refused}, {plural(found['pinned_pages'], 'pinned page')}, {plural(found['files'], 'file')}{share}"


def _loss(loss: Mapping[str, Any]) -> str:
    cpu = "" if loss["cpu"] is None else f" on CPU {loss['cpu']}"
    share = f" of {number(loss['total'])}" if loss["total"] else ""
    return f"{loss['severity']}: {loss['counter']} {number(loss['count'])}{share}{cpu}. {loss['meaning']}"


def _by_counter(losses: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Sum over CPUs, in the order of first appearance."""
    merged: dict[str, dict[str, Any]] = {}
    for loss in losses:
        into = merged.setdefault(loss["counter"], {**loss, "count": 0})
        into["count"] += loss["count"]
    return list(merged.values())


def _short_loss(loss: Mapping[str, Any]) -> str:
    share = f" of {number(loss['total'])} ({loss['count'] / loss['total']:.1%})" if loss["total"] else ""
    return f"{loss['counter'].replace('_', ' ')} {number(loss['count'])}{share}"
