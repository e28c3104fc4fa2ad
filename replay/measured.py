"""What the recorded kernel did where it implements a policy, against what the replay says: waits, refusals, balances.

Each function gives the rows of one kind for one trace; none where the trace shows nothing of the kind.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from replay.breaks import lease_breaks
from replay.comparison import Row, Subject, count_row, wait_row
from replay.views import raw_view_name

_EOPNOTSUPP, _EFAULT = -95, -14


def measure(subject: Subject) -> list[Row]:
    return [row for kind in (lease_breaks, layout_waits, refusals, pin_balance, cache_balance) for row in kind(subject)]


# -- DAX --------------------------------------------------------------------------------------------------------------


def layout_waits(subject: Subject) -> Iterator[Row]:
    """Waits for busy DAX pages, task by task, against those of policy mainline."""
    waits: dict[tuple[int, str], list[Row]] = defaultdict(list)
    for row in subject.ask("SELECT tid, comm, dur, open FROM events WHERE trace = $trace AND op = 'layout_wait' ORDER BY seq"):
        waits[row["tid"], row["comm"]].append(row)
    if not waits:
        return
    stalls: dict[int, list[Row]] = defaultdict(list)
    for row in subject.replay("mainline", {})["stalls"]:
        if row["role"] == "breaker":
            stalls[row["tid"]].append(row)
    unexplained = _counts(subject, "waits_without_pin")
    note = "direct IO pins are in no probe: the recorded wait is its own evidence" if unexplained else ""
    for (tid, comm), recorded in waits.items():
        ended = [row["dur"] for row in recorded if not row["open"]]
        if ended:
            predicted = sum(row["dur"] for row in stalls[tid] if not row["unbounded"])
            yield wait_row("DAX layout wait", f"{comm}/{tid}, {len(ended)} in all", sum(ended), predicted, note)
    measured = {tid: sum(row["open"] for row in recorded) for (tid, _), recorded in waits.items()}
    predicted_open = {tid: sum(row["unbounded"] for row in stalls[tid]) for tid in measured}
    agree = sum(min(measured[tid], predicted_open[tid]) for tid in measured)
    items = sum(map(len, waits.values()))
    yield count_row("unbounded DAX waits", items, sum(measured.values()), sum(predicted_open.values()), agree, note)


def _counts(subject: Subject, counter: str) -> bool:
    losses: Sequence[Row] = subject.entry.manifest["found"]["losses"]
    return any(loss["counter"] == counter and loss["count"] for loss in losses)


# -- registrations, pins and pages ------------------------------------------------------------------------------------


def refusals(subject: Subject) -> Iterator[Row]:
    """Registrations that the kernel refused for what they map, against those that policy mainline, or none up to Linux 6.4, refuses."""
    found = subject.ask("SELECT mr, result FROM mrs WHERE trace = $trace")
    if not found:
        return
    refused = {row["mr"] for row in found if row["result"] in {_EOPNOTSUPP, _EFAULT}}
    policy = "mainline" if any(row["result"] == _EFAULT for row in found) else "none"
    predicted = {row["mr"] for row in subject.replay(policy, {})["refusals"] if row["mr"] is not None}
    row = count_row("refused registrations", len(found), len(refused), len(predicted), len(refused & predicted))
    yield {**row, "within": refused == predicted, **_shares(refused, predicted)}


def _shares(truth: set[int], found: set[int]) -> Row:
    both = len(truth & found)
    return {"precision": both / len(found) if found else None, "recall": both / len(truth) if truth else None}


def pin_balance(subject: Subject) -> Iterator[Row]:
    """Pages that are pinned at the end of the trace: what the probes of the pin and unpin calls add up to, and the replay's rows."""
    import pyarrow.parquet as pq

    from replay.ingest.mappings import find

    sums = {"pin_return": 0, "unpin": 0, "unpin_page": 0}
    steps = set()
    for raw in subject.entry.manifest["raw"]:
        fields = frozenset(pq.read_schema(subject.entry.path / "raw" / raw["file"]).names)
        mapping = find(raw["system"], raw["event"], fields)
        if mapping is None or mapping.step not in sums or not raw["rows"]:
            continue
        field = next((name for name in ("ret", "npages", "n") if name in fields), "1" if mapping.step == "unpin_page" else None)
        if field is None:
            continue
        steps.add(mapping.step)
        view = raw_view_name(raw["system"], raw["event"])
        query = f"""
            SELECT coalesce(sum({field}::HUGEINT) FILTER ({field} BETWEEN 1 AND 2147483647), 0)::BIGINT AS pages
            FROM {view} WHERE trace = $trace
        """
        sums[mapping.step] += subject.ask(query)[0]["pages"]
    if "pin_return" not in steps or len(steps) == 1 or ("unpin_page" not in steps and _counts(subject, "short_pins_unreleased")):
        return
    query = """
        SELECT coalesce(sum(npages) FILTER (op = 'pin' AND pin IS NOT NULL), 0)::BIGINT AS pinned,
          coalesce(sum(npages) FILTER (op = 'unpin'), 0)::BIGINT AS unpinned
        FROM events WHERE trace = $trace
    """
    (row,) = subject.ask(query)
    if subject.ask("SELECT count(*) AS found FROM mrs WHERE trace = $trace AND preexisting")[0]["found"]:
        return  # the calls let go pages that nobody saw pinned
    unpinned = sums["unpin"] + sums["unpin_page"]
    left, ours = sums["pin_return"] - unpinned, row["pinned"] - row["unpinned"]
    note = f"{sums['pin_return']:,} pages pinned and {unpinned:,} unpinned by the calls"
    yield {**count_row("pages pinned at the end", sums["pin_return"], left, ours, min(left, ours), note), "within": left == ours}


def cache_balance(subject: Subject) -> Iterator[Row]:
    """A page enters the cache, leaves it and enters again: two of a kind in a row show that the trace or its pages are wrong."""
    query = """
        WITH pages AS (
          SELECT file, seq, op, unnest(range(index, index + CASE WHEN npages BETWEEN 1 AND 4096 THEN npages ELSE 1 END)) AS page
          FROM events
          WHERE trace = $trace AND op IN ('cache_add', 'cache_del') AND file IS NOT NULL AND index IS NOT NULL
        ),
        followed AS (SELECT op, lag(op) OVER (PARTITION BY file, page ORDER BY seq) AS before FROM pages)
        SELECT count(*) AS items, count(before) AS known, count(*) FILTER (before <> op) AS right FROM followed
    """
    (row,) = subject.ask(query)
    if row["known"]:
        yield count_row("cache adds against deletes", row["items"], row["known"], row["right"], row["right"])
