"""What a report would need to answer in full: events that the traces do not hold, runs that were not made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from replay.reportheader import Need, Report
from replay.store import Entry

_MOST_NAMES = 4


def unmet(report: Report, traces: Sequence[Entry], runs: Sequence[Entry]) -> list[str]:
    """A sentence for each need that some of these traces do not meet: what is missing where, and how to get it."""
    return [line for need in report.needs if (line := _of_run(need, traces, runs) if need.of_run else _of_trace(need, traces))]


def _of_trace(need: Need, traces: Sequence[Entry]) -> str:
    lacking = [entry for entry in traces if not set(need.names) & set(_holds(entry))]
    if not lacking:
        return ""
    what = _either(need.names) + ("" if ":" in need.names[0] else " events")
    how = f"record with replay record, or enable {_either(need.tracepoints)} yourself"
    return f"needs {what}, of which {_sources(lacking, len(traces))}: {how}. {_sentence(need.doc)}"


def _of_run(need: Need, traces: Sequence[Entry], runs: Sequence[Entry]) -> str:
    done = {run.row["trace"] for run in runs if set(need.names) & set(str(run.row["policy"]).split("+"))}
    lacking = [entry for entry in traces if entry.id not in done]
    if not lacking:
        return ""
    where = f" --trace {lacking[0].id}" if len(traces) > 1 and len(lacking) == 1 else ""
    return f"needs a run, of which {_sources(lacking, len(traces))}: replay run --policy {need.names[0]}{where}. {_sentence(need.doc)}"


def _holds(entry: Entry) -> Iterator[str]:
    """The canonical operations of a trace, and its tracepoints."""
    yield from entry.manifest["found"]["operations"]
    for raw in entry.manifest["raw"]:
        yield f"{raw['system']}:{raw['event']}"


def _sources(lacking: Sequence[Entry], of: int) -> str:
    if len(lacking) == of and of > 1:
        return f"none of the {of} traces has any"
    names = ", ".join(str(entry.row["source"]) for entry in lacking[:_MOST_NAMES])
    return f"{names}{', ...' if len(lacking) > _MOST_NAMES else ''} {'has' if len(lacking) == 1 else 'have'} none"


def _either(names: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def _sentence(doc: str) -> str:
    return doc[:1].upper() + doc[1:]
