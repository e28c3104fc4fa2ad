"""Pinned writebacks: those that policy `none` finds, against those that the kernel's own counts show.

The probe of __folio_start_writeback that records the folio's `refs` gives the truth: GUP adds 1024 to the count of an
order-0 folio for each pin (include/linux/mm.h, GUP_PIN_COUNTING_BIAS). A folio of several pages counts its pins apart; a
probe that fetches `head` and `pincount` tells those too, without them such folios are left out, and so are those of which
the trace does not tell the size: of files on a file system with such folios, in the cache since before the trace. The replay
reads none of it.
"""

from __future__ import annotations

from typing import Any

from replay.humane import duration
from replay.session import Session
from replay.store import Entry
from replay.views import raw_view_name

PROBE = "folio_start_writeback"
# Writeback by iomap shows that a file may have folios of several pages (ext4 has them from Linux 6.16 on, and then says so as they enter
# the cache).
_IOMAP = ("iomap_writeback_folio", "iomap_writepage")
TOLERATED = 0.999
_LOSSY = frozenset({"kernel_lost_events", "kernel_lost_unknown", "truncated_bytes", "undecodable_bytes"})
# A pin call or release takes this long at most; within it the kernel's counts and the call's end may differ.
_NEAR_NS = 50_000_000

# Every writeback with the kernel's word (pinned; NULL if it cannot be told) and the replay's (found). A conflict row covers a range.
_COMPARED = """
    WITH large AS (SELECT file FROM files WHERE trace = $trace AND ino IN ({large})),
    added AS (
      SELECT file AS added_file, index AS added_index, seq AS added_seq, npages AS added_pages
      FROM events
      WHERE trace = $trace AND op = 'cache_add'
    ),
    started AS (
      SELECT raw.*, events.file, events.index AS first, coalesce(events.npages, 1) AS npages
      FROM (SELECT seq, ts, refs, {counts} FROM {probe} WHERE trace = $trace) AS raw
      LEFT JOIN events ON events.trace = $trace AND events.seq = raw.seq AND events.op = 'wb_start'
    ),
    truth AS (
      SELECT seq, ts, file, first AS index, npages, refs,
        CASE WHEN pins IS NOT NULL THEN pins > 0
          WHEN added_pages > 1 OR (added_pages IS NULL AND refs < 1024 AND file IN (SELECT file FROM large)) THEN NULL
          ELSE refs >= 1024 END AS pinned
      FROM started
      ASOF LEFT JOIN added ON started.file = added_file AND started.first = added_index AND started.seq >= added_seq
    ),
    predicted AS (
      SELECT ts, file, index, npages
      FROM conflicts
      WHERE run = $run AND class = 'wb_while_pinned'
    ),
    compared AS (
      SELECT truth.*, EXISTS (
        FROM predicted
        WHERE predicted.ts = truth.ts AND predicted.file = truth.file
          AND predicted.index < truth.index + truth.npages AND truth.index < predicted.index + predicted.npages
      ) AS found
      FROM truth
    )
"""


def probe_of(entry: Entry) -> str | None:
    """What stands for the truth of this trace in a query, if its writeback probe recorded reference counts."""
    import pyarrow.parquet as pq

    views = [raw_view_name(raw["system"], raw["event"]) for raw in entry.manifest["raw"] if raw["event"] in _IOMAP and raw["rows"]]
    large = " UNION ALL ".join(f"SELECT ino FROM {view} WHERE trace = $trace" for view in views) or "NULL"
    for raw in entry.manifest["raw"]:
        if raw["event"] == PROBE:
            fields = set(pq.read_schema(entry.path / "raw" / raw["file"]).names)
            if "refs" in fields:
                counts = "CASE WHEN head <> 0 THEN pincount END" if {"head", "pincount"} <= fields else "NULL::BIGINT"
                return _COMPARED.format(probe=raw_view_name(raw["system"], raw["event"]), counts=f"{counts} AS pins", large=large)
    return None


def counts(session: Session, entry: Entry, run: str, compared: str) -> dict[str, int]:
    query = f"""
        {compared}
        SELECT
          count(*) AS writebacks,
          count(*) FILTER (pinned IS NULL) AS untold,
          count(*) FILTER (file IS NULL) AS nowhere,
          count(*) FILTER (pinned) AS pinned,
          count(*) FILTER (found AND pinned IS NOT NULL) AS found,
          count(*) FILTER (pinned AND found) AS true_positives,
          count(*) FILTER (found AND NOT pinned) AS false_positives,
          count(*) FILTER (pinned AND NOT found) AS false_negatives
        FROM compared
    """
    rows: list[dict[str, int]] = session.sql(query, {"trace": entry.id, "run": run}).rows()
    return rows[0]


def misses(session: Session, entry: Entry, run: str, compared: str) -> list[dict[str, Any]]:
    """The writebacks on which the two differ, each with the pins of its page before and after."""
    query = f"""
        {compared},
        held AS (
          SELECT pin, pins.file AS pin_file, pins.index AS pin_index, pins.npages AS pin_npages, ts_pin, ts_unpin, ts_reg
          FROM pins LEFT JOIN mrs ON mrs.trace = $trace AND mrs.mr = pins.mr
          WHERE pins.trace = $trace
        )
        SELECT
          seq, compared.ts, file, index, refs, pinned, found,
          max(ts_unpin) FILTER (ts_unpin <= compared.ts) AS last_unpin,
          min(ts_pin) FILTER (ts_pin >= compared.ts) AS next_pin,
          bool_or(ts_pin >= compared.ts AND ts_reg <= compared.ts) AS registering,
          count(*) FILTER (coalesce(ts_pin <= compared.ts, pin IS NOT NULL) AND coalesce(ts_unpin > compared.ts, true)) AS live_pins,
          count(*) FILTER (ts_pin = ts_unpin AND ts_pin <= compared.ts) AS short_pins
        FROM compared
        LEFT JOIN held ON pin_file = file AND index BETWEEN pin_index AND pin_index + pin_npages - 1
        WHERE pinned <> found
        GROUP BY ALL
        ORDER BY seq
    """
    rows = session.sql(query, {"trace": entry.id, "run": run}).rows()
    return [{**row, "kind": "missed" if row["pinned"] else "invented", "why": _why(row, entry)} for row in rows]


def _why(miss: dict[str, Any], entry: Entry) -> str:
    """The most likely cause of a difference, as far as the trace tells."""
    since = miss["ts"] - miss["last_unpin"] if miss["last_unpin"] is not None else None
    until = miss["next_pin"] - miss["ts"] if miss["next_pin"] is not None else None
    if miss["file"] is None:
        return "the event's file could not be determined"
    if not miss["pinned"]:
        return (
            "the trace lost events: an unpin may be among them"
            if lossy(entry)
            else "a pin of the replay that the kernel had already dropped"
        )
    if miss["short_pins"]:
        return "a short pin (direct IO) whose release the trace does not tell"
    if since is not None and since < _NEAR_NS:
        return f"{duration(since)} after the release of its pin began: the kernel drops a region's pins one by one"
    if until is not None and (until < _NEAR_NS or miss["registering"]):
        return f"{duration(until)} before its pin call returned: the kernel takes a call's pins one by one"
    if lossy(entry):
        return "the trace lost events: a pin may be among them"
    if miss["live_pins"]:
        return "the replay holds the pin to be of an earlier instance of the page"
    if entry.row["pins_unresolved"]:
        return "no known pin; the trace has pin calls that could not be resolved"
    return "no known pin: perhaps a short one (direct IO), which the probes do not show"


def row(entry: Entry, found: dict[str, int] | None) -> dict[str, Any]:
    """The comparison of one trace."""
    if found is None:
        return {"kind": "pinned writebacks", "note": f"n/a: no {PROBE} probe with refs"}
    right, pinned, predicted = found["true_positives"], found["pinned"], found["found"]
    precision, recall = right / predicted if predicted else None, right / pinned if pinned else None
    judged = [share >= TOLERATED for share in (precision, recall) if share is not None]
    notes = []
    if lost := lossy(entry):
        notes.append(f"lossy: {lost}")
    if found["nowhere"]:
        notes.append(f"{found['nowhere']} of files that the trace does not tell")
    if found["untold"]:
        notes.append(f"left out: {found['untold']} of folios of several pages or of unknown size, whose refs do not count pins")
    if not notes and not pinned and not predicted:
        notes.append("nothing was pinned at a writeback")
    return {
        "kind": "pinned writebacks",
        "unit": "count",
        "items": found["writebacks"],
        "measured": pinned,
        "predicted": predicted,
        "agree": right,
        "precision": precision,
        "recall": recall,
        "within": None if lost or not judged or (found["nowhere"] and not all(judged)) else all(judged),
        "note": "; ".join(notes),
        **found,
    }


def lossy(entry: Entry) -> str:
    lost: dict[str, int] = {}
    for loss in entry.manifest["found"]["losses"]:
        if loss["counter"] in _LOSSY:
            lost[loss["counter"]] = lost.get(loss["counter"], 0) + loss["count"]
    return ", ".join(f"{counter.replace('_', ' ')} {count}" for counter, count in lost.items())
