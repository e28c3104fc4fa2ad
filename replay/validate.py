"""The replay against the kernel that was recorded: one row per trace and kind, with the error of each.

See replay/pinned.py for writebacks, replay/breaks.py for leases and replay/measured.py for everything else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from replay import pinned
from replay.humane import quantity
from replay.progress import Progress
from replay.render import PLAIN, Head, Look, text_table
from replay.session import Session
from replay.store import Entry, Store
from replay.summary import caveats

if TYPE_CHECKING:
    import pyarrow as pa

_DURATION = re.compile(r"^[\d.]+ \w+|^0\b")
_COUNTS = ("writebacks", "pinned", "found", "true_positives", "false_positives", "false_negatives")
_HEADS = {
    "source": Head("trace"),
    "kind": Head("kind"),
    "items": Head("of", "count"),
    "kernel": Head("kernel"),
    "replay": Head("replay"),
    "precision": Head("precision", "share"),
    "recall": Head("recall", "share"),
    "off": Head("error"),
    "verdict": Head("verdict"),
    "note": Head("note", spare=True),
}
_MISS_HEADS = {
    "source": Head("trace"),
    "kind": Head("kind"),
    "seq": Head("record"),
    "ts": Head("at\ns", "ts"),
    "file": Head("file"),
    "index": Head("page"),
    "refs": Head("refs"),
    "why": Head("why"),
}
_VERDICTS = {True: "agree", False: "DIFFER", None: "-"}


@dataclass(frozen=True, slots=True)
class Validation:
    """One row per trace and kind, one per writeback on which the two differ, and what to say about them."""

    table: pa.Table
    misses: pa.Table
    notes: Sequence[str]

    @property
    def failed(self) -> bool:
        """Something differs by more than is tolerated, in a trace without losses."""
        return False in self.table["within"].to_pylist()


def validate(store: Store, entries: Sequence[Entry], progress: Progress | None = None) -> Validation:
    """Compare, replaying policy `none` where that has not been done yet; progress after each trace."""
    import pyarrow as pa

    from replay import runs

    probes = {entry.id: pinned.probe_of(entry) for entry in entries}
    none = {}
    for number, entry in enumerate(entries, 1):
        if probes[entry.id]:
            none[entry.id] = runs.run(store, entry.id, ["none"])[0].run
        if progress:
            progress(number, 2 * len(entries))
    rows, misses = [], []
    with Session(store) as session:
        for number, entry in enumerate(entries, len(entries) + 1):
            probe, counts = probes[entry.id], None
            if probe is not None:
                counts = pinned.counts(session, entry, none[entry.id], probe)
                misses += [{"source": entry.row["source"], **miss} for miss in pinned.misses(session, entry, none[entry.id], probe)]
            own = {"trace": entry.id, "source": entry.row["source"]}
            rows += [own | row for row in (pinned.row(entry, counts), *_measured(session, entry))]
            if progress:
                progress(number, 2 * len(entries))
    return Validation(
        pa.Table.from_pylist(rows, schema=_table_schema()),
        pa.Table.from_pylist(misses, schema=_miss_schema()),
        _notes(entries, rows, misses),
    )


def _measured(session: Session, entry: Entry) -> list[dict[str, Any]]:
    """The other kinds; what a trace that lost records shows is not judged."""
    from replay.columns import read_recorded
    from replay.comparison import Subject
    from replay.measured import measure

    rows = measure(Subject(session, entry, read_recorded(entry)))
    return [{**row, "within": None} for row in rows] if pinned.lossy(entry) else rows


def as_text(result: Validation, look: Look = PLAIN, *, misses: bool = False) -> str:
    """For human eyes: the table, or the list of differences, and what to say about it."""
    if misses:
        text = text_table(_MISS_HEADS, result.misses.to_pylist(), look)
    else:
        rows = [
            {
                **row,
                "kind": ": ".join(filter(None, (row["kind"], row["item"]))),
                "kernel": _amount(row, "measured"),
                "replay": _amount(row, "predicted"),
                "off": None if row["error"] is None else f"{100 * row['error']:.2g} %",
                "verdict": _VERDICTS[row["within"]],
            }
            for row in result.table.to_pylist()
        ]
        heads = {name: head for name, head in _HEADS.items() if any(row[name] not in {None, ""} for row in rows)}
        text = text_table(heads, rows, look)
    return text + "\n" + "".join(look.fill(note, "  ") + "\n" for note in result.notes)


def _amount(row: dict[str, Any], name: str) -> str | None:
    return None if row[name] is None else quantity(row[name], row["unit"])


def _notes(entries: Sequence[Entry], rows: Sequence[dict[str, Any]], misses: Sequence[dict[str, Any]]) -> list[str]:
    causes: dict[tuple[str, str, str], int] = {}
    for miss in misses:
        key = (miss["source"], miss["kind"], _DURATION.sub("shortly", miss["why"], count=1))
        causes[key] = causes.get(key, 0) + 1
    notes = [f"{source}: {count} {kind}: {why}" for (source, kind, why), count in causes.items()]
    if misses:
        notes.append("List each with: replay validate --misses")
    differ = [f"{row['kind']} of {row['source']}" for row in rows if row.get("within") is False]
    if differ:
        notes.append(f"More than tolerated (0.999 of writebacks, 5 % or 5 ms of waits, everything else exactly): {', '.join(differ)}.")
    return [*notes, *caveats([entry for entry in entries if pinned.lossy(entry)])]


def _table_schema() -> pa.Schema:
    import pyarrow as pa

    text, count, share = pa.string(), pa.int64(), pa.float64()
    return pa.schema(
        [
            *((name, text) for name in ("trace", "source", "kind", "item", "unit")),
            *((name, count) for name in ("items", "measured", "predicted", "agree")),
            *((name, share) for name in ("error", "precision", "recall")),
            ("within", pa.bool_()),
            *((name, count) for name in _COUNTS),
            ("note", text),
        ]
    )


def _miss_schema() -> pa.Schema:
    import pyarrow as pa

    numbers = {"seq", "ts", "index", "refs"}
    return pa.schema([(name, pa.int64() if name in numbers else pa.string()) for name in _MISS_HEADS])
