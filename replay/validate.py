"""Policy `none` against the kernel: the writebacks that it finds pinned, and those that the reference counts show as pinned.

The probe of __folio_start_writeback that records the folio's `refs` gives the truth: GUP adds 1024 to the count of an
order-0 folio for each pin (include/linux/mm.h, GUP_PIN_COUNTING_BIAS). The replay never reads that column.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from replay.humane import duration
from replay.render import Head, text_table
from replay.session import Session
from replay.store import Entry, Store
from replay.summary import caveats
from replay.views import raw_view_name

if TYPE_CHECKING:
    import pyarrow as pa

PROBE = "folio_start_writeback"
_LOSSY = frozenset({"kernel_lost_events", "kernel_lost_unknown", "truncated_bytes", "undecodable_bytes"})
# A pin call or release takes this long at most; within it the kernel's counts and the call's end may differ.
_NEAR_NS = 50_000_000
_DURATION = re.compile(r"^[\d.]+ \w+|^0\b")

# Every writeback with the kernel's word (pinned) and the replay's (found). A conflict row covers a contiguous range.
_COMPARED = """
    WITH truth AS (
      SELECT raw.seq, raw.ts, events.file, events.index, raw.refs, raw.refs >= 1024 AS pinned
      FROM {probe} AS raw
      LEFT JOIN events ON events.trace = $trace AND events.seq = raw.seq AND events.op = 'wb_start'
      WHERE raw.trace = $trace
    ),
    predicted AS (
      SELECT ts, file, unnest(range(index, index + npages)) AS index
      FROM conflicts
      WHERE run = $run AND class = 'wb_while_pinned'
    ),
    compared AS (
      SELECT truth.*, EXISTS (
        FROM predicted
        WHERE predicted.ts = truth.ts AND predicted.file = truth.file AND predicted.index = truth.index
      ) AS found
      FROM truth
    )
"""

_HEADS = {
    "source": Head("trace"),
    "writebacks": Head("writebacks", "count"),
    "pinned": Head("pinned by\nkernel", "count"),
    "found": Head("found by\nreplay", "count"),
    "true_positives": Head("both", "count"),
    "false_positives": Head("replay\nonly", "count"),
    "false_negatives": Head("kernel\nonly", "count"),
    "precision": Head("precision", "share"),
    "recall": Head("recall", "share"),
    "note": Head("note"),
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


@dataclass(frozen=True, slots=True)
class Validation:
    """One row per trace, one per writeback on which the two differ, and what to say about them."""

    table: pa.Table
    misses: pa.Table
    notes: Sequence[str]


def validate(store: Store, entries: Sequence[Entry]) -> Validation:
    """Compare, replaying policy `none` where that has not been done yet."""
    import pyarrow as pa

    from replay import runs

    probes = {entry.id: _probe(entry) for entry in entries}
    none = {entry.id: runs.run(store, entry.id, ["none"])[0].run for entry in entries if probes[entry.id]}
    rows, misses = [], []
    with Session(store) as session:
        for entry in entries:
            differing = _misses(session, entry, none[entry.id], probes[entry.id]) if entry.id in none else []
            counts = _counts(session, entry, none[entry.id], probes[entry.id]) if entry.id in none else None
            rows.append(_row(entry, counts))
            misses += [{"source": entry.row["source"], **miss} for miss in differing]
    return Validation(
        pa.Table.from_pylist(rows, schema=_table_schema()),
        pa.Table.from_pylist(misses, schema=_miss_schema()),
        _notes(entries, rows, misses),
    )


def as_text(result: Validation, *, misses: bool = False) -> str:
    """For human eyes: the table, or the list of differences, and what to say about it."""
    heads, table = (_MISS_HEADS, result.misses) if misses else (_HEADS, result.table)
    return text_table(heads, table.to_pylist()) + "\n" + "".join(f"{note}\n" for note in result.notes)


def _probe(entry: Entry) -> str | None:
    """The view of this trace's writeback probe, if it recorded reference counts."""
    import pyarrow.parquet as pq

    for raw in entry.manifest["raw"]:
        if raw["event"] == PROBE and "refs" in pq.read_schema(entry.path / "raw" / raw["file"]).names:
            return raw_view_name(raw["system"], raw["event"])
    return None


def _counts(session: Session, entry: Entry, run: str, probe: str | None) -> dict[str, int]:
    query = f"""
        {_COMPARED.format(probe=probe)}
        SELECT
          count(*) AS writebacks,
          count(*) FILTER (pinned) AS pinned,
          count(*) FILTER (found) AS found,
          count(*) FILTER (pinned AND found) AS true_positives,
          count(*) FILTER (found AND NOT pinned) AS false_positives,
          count(*) FILTER (pinned AND NOT found) AS false_negatives
        FROM compared
    """
    counts: dict[str, int] = session.sql(query, {"trace": entry.id, "run": run}).rows()[0]
    return counts


def _misses(session: Session, entry: Entry, run: str, probe: str | None) -> list[dict[str, Any]]:
    """The writebacks on which replay and kernel differ, each with the pins of its page before and after."""
    query = f"""
        {_COMPARED.format(probe=probe)}
        SELECT
          seq, compared.ts, file, index, refs, pinned, found,
          max(ts_unpin) FILTER (ts_unpin <= compared.ts) AS last_unpin,
          min(ts_pin) FILTER (ts_pin >= compared.ts) AS next_pin,
          count(*) FILTER (coalesce(ts_pin <= compared.ts, pin IS NOT NULL) AND coalesce(ts_unpin > compared.ts, true)) AS live_pins
        FROM compared
        LEFT JOIN (SELECT pin, file AS pin_file, index AS pin_index, npages AS pin_npages, ts_pin, ts_unpin FROM pins WHERE trace = $trace)
          ON pin_file = file AND index BETWEEN pin_index AND pin_index + pin_npages - 1
        WHERE pinned <> found
        GROUP BY ALL
        ORDER BY seq
    """
    rows = session.sql(query, {"trace": entry.id, "run": run}).rows()
    lossy = bool(_lossy(entry))
    return [{**row, "kind": "missed" if row["pinned"] else "invented", "why": _why(row, entry, lossy)} for row in rows]


def _why(miss: dict[str, Any], entry: Entry, lossy: bool) -> str:
    """The most likely cause of a difference, as far as the trace tells."""
    since = miss["ts"] - miss["last_unpin"] if miss["last_unpin"] is not None else None
    until = miss["next_pin"] - miss["ts"] if miss["next_pin"] is not None else None
    if miss["file"] is None:
        return "the event's file could not be determined"
    if not miss["pinned"]:
        return "the trace lost events: an unpin may be among them" if lossy else "a pin of the replay that the kernel had already dropped"
    if since is not None and since < _NEAR_NS:
        return f"{duration(since)} after the release of its pin began: the kernel drops a region's pins one by one"
    if until is not None and until < _NEAR_NS:
        return f"{duration(until)} before its pin call returned: the kernel takes a call's pins one by one"
    if lossy:
        return "the trace lost events: a pin may be among them"
    if miss["live_pins"]:
        return "the replay holds the pin to be of an earlier instance of the page"
    if entry.row["pins_unresolved"]:
        return "no known pin; the trace has pin calls that could not be resolved"
    return "no known pin: perhaps a short one (direct IO), which the probes do not show"


def _row(entry: Entry, counts: dict[str, int] | None) -> dict[str, Any]:
    row: dict[str, Any] = {"trace": entry.id, "source": entry.row["source"]}
    if counts is None:
        return {**row, "note": f"n/a: no {PROBE} probe with refs"}
    right, found, pinned = counts["true_positives"], counts["found"], counts["pinned"]
    return {
        **row,
        **counts,
        "precision": right / found if found else None,
        "recall": right / pinned if pinned else None,
        "note": f"lossy: {_lossy(entry)}" if _lossy(entry) else "" if found or pinned else "nothing was pinned at a writeback",
    }


def _lossy(entry: Entry) -> str:
    lost: dict[str, int] = {}
    for loss in entry.manifest["found"]["losses"]:
        if loss["counter"] in _LOSSY:
            lost[loss["counter"]] = lost.get(loss["counter"], 0) + loss["count"]
    return ", ".join(f"{counter.replace('_', ' ')} {count}" for counter, count in lost.items())


def _notes(entries: Sequence[Entry], rows: Sequence[dict[str, Any]], misses: Sequence[dict[str, Any]]) -> list[str]:
    causes: dict[tuple[str, str, str], int] = {}
    for miss in misses:
        key = (miss["source"], miss["kind"], _DURATION.sub("shortly", miss["why"], count=1))
        causes[key] = causes.get(key, 0) + 1
    notes = [f"{source}: {count} {kind}: {why}" for (source, kind, why), count in causes.items()]
    if misses:
        notes.append("List each with: replay validate --misses")
    measured = [entry for entry, row in zip(entries, rows, strict=True) if row.get("writebacks") is not None]
    return [*notes, *caveats([entry for entry in measured if _lossy(entry)])]


def _table_schema() -> pa.Schema:
    import pyarrow as pa

    counts = ("writebacks", "pinned", "found", "true_positives", "false_positives", "false_negatives")
    shares = [(name, pa.float64()) for name in ("precision", "recall")]
    return pa.schema(
        [("trace", pa.string()), ("source", pa.string()), *((name, pa.int64()) for name in counts), *shares, ("note", pa.string())]
    )


def _miss_schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [
            ("source", pa.string()),
            ("kind", pa.string()),
            ("seq", pa.int64()),
            ("ts", pa.int64()),
            ("file", pa.string()),
            ("index", pa.int64()),
            ("refs", pa.int64()),
            ("why", pa.string()),
        ]
    )
