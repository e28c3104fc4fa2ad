"""The engine's numbers as the outcome tables of schema.RUN_TABLES, with their names put back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from replay import schema

if TYPE_CHECKING:
    import pyarrow as pa

    from replay._ext.engine import Outcome
    from replay.columns import Recorded

# Names in the order of their numbers in _ext/decisions.pxd; a test holds the two together.
CLASSES = {
    "wb_while_pinned": "corruption",
    "dirty_after_clean": "corruption",
    "fsync_misses_pinned": "corruption",
    "torn_snapshot": "corruption",
    "priv_released_pinned": "corruption",
    "unmap_refused": "pressure",
    "migrate_refused": "pressure",
    "truncate_while_pinned": "corruption",
    "reuse_while_pinned": "corruption",
    "layout_break": "availability",
    "lease_break": "availability",
    "lease_break_timeout": "availability",
    "lease_denied": "availability",
    "lease_zombie": "pressure",
    "pin_refused": "availability",
    "collateral_revoke": "availability",
    "remote_op_failed": "availability",
    "killed": "availability",
    "space_held": "pressure",
    "enospc_induced": "availability",
    "cow_divergence": "corruption",
    "failed_fs_op": "availability",
}
RISKS = ("corruption", "availability", "pressure")
METRICS = {
    "bounce_bytes": "bytes",
    "rewrite_bytes": "bytes",
    "unreclaimable_page_seconds": "page seconds",
    "held_block_seconds": "block seconds",
    "pinned_page_seconds": "page seconds",
    "failed_fs_ops": "operations",
    "failed_remote_ops": "operations",
    "killed_tasks": "tasks",
    "refused_pages": "pages",
    "revoked_mrs": "mrs",
    "collateral_mrs": "mrs",
    "odp_faults": "faults",
    "odp_invalidations": "invalidations",
    "lost_remote_ops": "operations",
    "lost_remote_bytes": "bytes",
    "orphaned_write_bytes": "bytes",
}
INTEGRALS = frozenset({"unreclaimable_page_seconds", "held_block_seconds", "pinned_page_seconds"})
OPS = (*schema.OPS, "evict", "writeback")
ROLES = ("app", "kworker", "breaker", "remote")
REFUSED = (("refuse_dax", -95), ("refuse_shared_file", -14), ("refuse_unrevocable", -95), ("need_allocated", -22), ("torn_down", -5))
REVOKED = ("lease_break", "collateral", "timeout_fail_io", "timeout_kill")


@dataclass(frozen=True, slots=True)
class RunName:
    """The columns that say which run a row belongs to."""

    run: str
    policy: str
    trace: str


def _words(codes: Any, words: Sequence[str]) -> pa.Array:
    """A dictionary column; -1 is NULL."""
    import pyarrow as pa

    codes = np.asarray(codes, np.int32)
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), pa.array(words, pa.string()))


def _known(values: Any, limit: int | None = None) -> pa.Array:
    """A column of which negative numbers, and those from the limit on, are NULL."""
    import pyarrow as pa

    mask = values < 0 if limit is None else (values < 0) | (values >= limit)
    return pa.array(np.asarray(values, np.int64), mask=mask)


def _tids(tasks: Any, recorded: Recorded) -> pa.Array:
    """Thread ids; the last task is the unknown one."""
    import pyarrow as pa

    return pa.array(recorded.tids[tasks], mask=(tasks < 0) | (tasks == len(recorded.tids) - 1))


def _table(declared: schema.Table, name: RunName, rows: int, columns: Mapping[str, Any]) -> pa.Table:
    import pyarrow as pa

    same = np.zeros(rows, np.int32)
    given = {
        "run": _words(same, [name.run]),
        "policy": _words(same, [name.policy]),
        "trace": _words(same, [name.trace]),
        **columns,
    }
    target = declared.arrow_schema()
    arrays = [value if isinstance(value := given[field.name], pa.Array) else pa.array(value) for field in target]
    return pa.Table.from_arrays([array.cast(field.type) for array, field in zip(arrays, target, strict=True)], schema=target)


def _conflicts(rows: Mapping[str, Any], recorded: Recorded) -> dict[str, Any]:
    risk = np.array([RISKS.index(value) for value in CLASSES.values()], np.int32)
    return {
        "ts": rows["ts"],
        "class": _words(rows["class"], tuple(CLASSES)),
        "risk": _words(risk[rows["class"]], RISKS),
        "op": _words(rows["op"], OPS),
        "file": _words(rows["file"], recorded.files),
        "index": _known(rows["index"]),
        "npages": rows["npages"],
        "bytes": rows["npages"] * schema.PAGE_BYTES,
        "pin": _known(rows["pin"]),
        "mr": _known(rows["region"], recorded.mrs),
        "culprit_tid": _tids(rows["culprit"], recorded),
        "victim_tid": _tids(rows["victim"], recorded),
    }


def _stalls(rows: Mapping[str, Any], recorded: Recorded) -> dict[str, Any]:
    if (np.diff(rows["ts"]) < 0).any():  # the engine writes a stall when it ends
        order = np.argsort(rows["ts"], kind="stable")
        rows = {name: values[order] for name, values in rows.items()}
    return {
        "ts": rows["ts"],
        "dur": rows["dur"],
        "unbounded": rows["unbounded"] != 0,
        "op": _words(rows["op"], OPS),
        "role": _words(rows["role"], ROLES),
        "tid": _tids(rows["task"], recorded),
        "file": _words(rows["file"], recorded.files),
        "index": _known(rows["index"]),
        "npages": _known(rows["npages"]),
        "pin": _known(rows["pin"]),
        "mr": _known(rows["region"], recorded.mrs),
    }


def _refusals(rows: Mapping[str, Any], recorded: Recorded) -> dict[str, Any]:
    return {
        "ts": rows["ts"],
        "reason": _words(rows["reason"], [reason for reason, _ in REFUSED]),
        "errno": np.array([errno for _, errno in REFUSED], np.int32)[rows["reason"]],
        "tid": _tids(rows["task"], recorded),
        "file": _words(rows["file"], recorded.files),
        "index": _known(rows["index"]),
        "npages": rows["npages"],
        "pin": _known(rows["pin"]),
        "mr": _known(rows["region"], recorded.mrs),
    }


def _revocations(rows: Mapping[str, Any], recorded: Recorded) -> dict[str, Any]:
    return {
        "ts": rows["ts"],
        "reason": _words(rows["reason"], REVOKED),
        "op": _words(rows["op"], OPS),
        "tid": _tids(rows["task"], recorded),
        "breaker_tid": _tids(rows["breaker"], recorded),
        "file": _words(rows["file"], recorded.files),
        "npages": rows["npages"],
        "mr": _known(rows["region"], recorded.mrs),
    }


def _value(metric: str, amount: int) -> float:
    """Amounts are exact integers until here: integrals in page nanoseconds, the rest in their unit."""
    return amount / 10**9 if metric in INTEGRALS else float(amount)


def _costs(outcome: Outcome) -> dict[str, Any]:
    totals = [sum(intervals) for intervals in outcome["bins"].tolist()]
    return {
        "metric": _words(np.arange(len(METRICS)), tuple(METRICS)),
        "unit": _units(np.arange(len(METRICS))),
        "value": [_value(metric, total) for metric, total in zip(METRICS, totals, strict=True)],
    }


def _series(outcome: Outcome) -> dict[str, Any]:
    """Every metric in every interval of the trace."""
    n = (outcome["end"] - outcome["first"]) // outcome["bin_ns"] + 1
    metric = np.repeat(np.arange(len(METRICS)), n)
    return {
        "metric": _words(metric, tuple(METRICS)),
        "unit": _units(metric),
        "ts": np.tile(outcome["first"] + outcome["bin_ns"] * np.arange(n, dtype=np.int64), len(METRICS)),
        "dur": np.full(len(metric), outcome["bin_ns"], np.int64),
        "value": [
            _value(name, amount) for name, intervals in zip(METRICS, outcome["bins"].tolist(), strict=True) for amount in intervals[:n]
        ],
    }


def _units(metric: Any) -> pa.Array:
    units = tuple(dict.fromkeys(METRICS.values()))
    return _words(np.array([units.index(unit) for unit in METRICS.values()], np.int32)[metric], units)


def conflicts_table(rows: Mapping[str, Any], recorded: Recorded, name: RunName) -> pa.Table:
    """Some of the conflicts."""
    return _table(schema.CONFLICTS, name, len(rows["ts"]), _conflicts(rows, recorded))


def outcome_tables(outcome: Outcome, recorded: Recorded, name: RunName) -> dict[str, pa.Table]:
    """Every table of schema.RUN_TABLES, rows in order of ts, then of processing."""
    columns = {
        schema.CONFLICTS.name: _conflicts(outcome["conflicts"], recorded),
        schema.STALLS.name: _stalls(outcome["stalls"], recorded),
        schema.REFUSALS.name: _refusals(outcome["refusals"], recorded),
        schema.REVOCATIONS.name: _revocations(outcome["revocations"], recorded),
        schema.COSTS.name: _costs(outcome),
        schema.SERIES.name: _series(outcome),
    }
    return {
        table.name: _table(table, name, len(next(iter(columns[table.name].values()))), columns[table.name]) for table in schema.RUN_TABLES
    }
