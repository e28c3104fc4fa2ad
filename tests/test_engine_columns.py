"""What goes into the engine and what comes out: numbers that mean the same on both sides, corrupt columns, determinism."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from replay import outcomes, policies
from replay._ext.engine import DECISIONS, PARAMS, replay
from replay._ext.history import KEPT
from replay._ext.recording import COLUMNS, Trace
from replay.params import BY_NAME, numbers, parse_params
from replay.policies import BUILTIN, find_policy
from replay.schema import OPS

SOURCES = Path(__file__).parent.parent / "_ext"
EXAMPLES = Path(__file__).parent / "examples"


def enumerations(name: str) -> list[list[str]]:
    """The members of every enumeration that a .pxd declares, in order."""
    text = re.sub(r"#.*", "", (SOURCES / name).read_text())
    return [re.findall(r"^    (\w+)", block, re.MULTILINE) for block in re.split(r"^cdef enum:", text, flags=re.MULTILINE)[1:]]


def test_operations_are_numbered_as_in_the_schema() -> None:
    (members,) = enumerations("ops.pxd")
    assert [member.removeprefix("OP_").lower() for member in members] == [*OPS, "n_ops", "evict", "writeback"]
    assert (*OPS, "evict", "writeback") == outcomes.OPS


def test_rows_are_kept_of_just_the_operations_that_the_engine_looks_at() -> None:
    text = (SOURCES / "engine.pyx").read_text()
    dispatch = text[text.index("cdef int dispatch(") : text.index("cdef int run_row(")]
    looked_at = {name.lower() for name in re.findall(r"op == o\.OP_(\w+)", dispatch)}
    assert {OPS[number] for number in KEPT} == looked_at


def test_choices_and_outcomes_are_numbered_as_they_are_named() -> None:
    found = enumerations("decisions.pxd")
    expected: list[tuple[str, Any]] = [
        ("ADMIT_", policies.ADMIT[1:]),
        ("WB_", policies.WRITEBACK),
        ("LAYOUT_", policies.LAYOUT),
        ("RECLAIM_", policies.RECLAIM),
        ("FREE_", policies.FREE),
        ("TIMEOUT_", BY_NAME["lease.on_timeout"].choices),
        ("SCOPE_", BY_NAME["lease.scope"].choices),
        ("REREGISTER_", BY_NAME["lease.reregister"].choices),
        ("REVOKE_", BY_NAME["hw.revoke"].choices),
        ("ACTIVITY_", BY_NAME["remote.activity"].choices),
        ("PROPAGATE_", BY_NAME["propagate"].choices),
        ("", outcomes.CLASSES),
        ("", [*outcomes.METRICS, "n_metrics"]),
        ("REFUSED_", ["dax", "shared_file", "unrevocable", "not_allocated", "torn_down", "not_refused"]),
        ("REVOKED_", ["lease_break", "collateral", "fail_io", "kill"]),
        ("ROLE_", outcomes.ROLES),
    ]
    assert [[name.removeprefix(prefix).lower() for name in names] for names, (prefix, _) in zip(found, expected, strict=True)] == [
        list(names) for _, names in expected
    ]
    assert len(outcomes.REFUSED) == 5
    assert len(outcomes.REVOKED) == 4


def test_the_engine_takes_every_parameter_that_an_outcome_depends_on() -> None:
    assert set(BY_NAME) == set(PARAMS)
    assert DECISIONS == ("admit", "writeback", "layout_cache", "layout_dax", "reclaim", "free")


# -- corrupt columns --------------------------------------------------------------------------------------------------


def columns() -> dict[str, np.ndarray[Any, Any]]:
    """Three rows on a file of five pages: register, write back, release; one MR with one pin."""
    values = {
        "row_ts": [0, 5, 9],
        "row_op": [OPS.index("pin"), OPS.index("wb_start"), OPS.index("unpin")],
        "row_task": [0, 1, 0],
        "row_file": [0, 0, 0],
        "row_slot": [1, 0, 1],
        "row_nslots": [3, 5, 3],
        "row_index": [1, 0, 1],
        "row_npages": [3, 5, 3],
        "row_dur": [-1] * 3,
        "row_bytes": [-1] * 3,
        "row_pin": [0, -1, 0],
        "row_region": [0, -1, 0],
        "row_flags": [0, 0, 0],
        "task_owner": [0, 1],
        "task_kworker": [0, 1],
        "file_slot": [0],
        "file_nslots": [5],
        "file_dax": [0],
        "file_memory": [0],
        "pin_slot": [1],
        "pin_npages": [3],
        "pin_file": [0],
        "pin_region": [0],
        "pin_task": [0],
        "pin_write": [1],
        "pin_longterm": [1],
        "pin_preexisting": [0],
        "pin_released": [0],
        "region_task": [0],
        "region_device": [-1],
        "region_write": [1],
        "run_slot": [0],
        "run_index": [0],
        "run_npages": [5],
        "reuse_row": [1],
        "reuse_slot": [0],
        "reuse_npages": [5],
    }
    types = {"i8": np.int8, "i32": np.int32, "i64": np.int64, "u8": np.uint8}
    return {name: np.array(values[name], types[COLUMNS[name]]) for name in COLUMNS}


def under(policy: str, trace: Trace, **params: str) -> Any:
    values = parse_params({name.replace("_", "."): value for name, value in params.items()})
    return replay(trace, np.array(find_policy(policy).numbers(), np.int64), np.array(numbers(values, PARAMS), np.int64))


def test_good_columns() -> None:
    rows = under("none", Trace(columns()))["conflicts"]
    assert (rows["index"].tolist(), rows["npages"].tolist()) == ([1], [3])


def test_a_release_in_parts_lets_go_of_so_many_pages_each() -> None:
    # 3 pages from 0 to 5, of which one stays until 9.
    parts = columns()
    parts["row_op"][1], parts["row_pin"][1] = OPS.index("unpin"), 0
    parts["row_slot"][1:], parts["row_nslots"][1:] = (1, 3), (2, 1)
    bins = under("none", Trace(parts))["bins"]
    for metric in ("pinned_page_seconds", "unreclaimable_page_seconds"):
        assert bins[list(outcomes.METRICS).index(metric)].sum() == 3 * 5 + 1 * 4


@pytest.mark.parametrize(
    ("column", "row", "value", "what"),
    [
        ("row_op", 1, 31, "operation of row 31 at position 1"),
        ("row_op", 0, -1, "operation of row -1"),
        ("row_ts", 1, 10, "order of time"),
        ("row_ts", 0, -1, "time of row"),
        ("row_task", 2, 2, "task of row 2"),
        ("row_file", 1, 1, "file of row 1"),
        ("row_slot", 1, 1, "row 1: slots 1 [+]5 lie outside"),
        ("row_slot", 1, -1, "lie outside"),
        ("row_slot", 1, -2, "slot of row -2"),
        ("row_slot", 1, 2**62, "slot of row"),
        ("row_nslots", 1, 6, "lie outside"),
        ("row_nslots", 1, -1, "slots of row -1"),
        ("row_nslots", 1, 2**62, "slots of row"),
        ("row_pin", 0, 1, "pin of row 1"),
        ("row_pin", 0, -2, "pin of row -2"),
        ("row_region", 0, 1, "region of row 1"),
        ("row_dur", 0, 2**62, "duration of row"),
        ("task_owner", 0, 2, "owner of task 2"),
        ("file_slot", 0, 1, "a file's slots end behind"),
        ("file_slot", 0, -1, "begin below 0"),
        ("file_nslots", 0, 6, "slots of file 6"),
        ("pin_slot", 0, 3, "pin 0: slots 3"),
        ("pin_npages", 0, 9, "pin 0: slots 1"),
        ("pin_npages", 0, -1, "pages of pin -1"),
        ("pin_file", 0, -1, "file of pin"),
        ("pin_region", 0, 1, "region of pin 1"),
        ("pin_region", 0, -1, "long-term pin belongs to no region"),
        ("pin_task", 0, -1, "task of pin -1"),
        ("region_task", 0, 2, "task of region 2"),
        ("reuse_row", 0, 3, "row of reuse 3"),
        ("reuse_slot", 0, -1, "slot of reuse -1"),
        ("reuse_slot", 0, 1, "end of reuse 6"),
        ("reuse_npages", 0, 0, "pages of reuse 0"),
        ("run_slot", 0, 1, "do not follow"),
        ("run_npages", 0, 0, "length of run 0"),
        ("run_npages", 0, 4, "a file's slots end behind|slots of file 5"),
    ],
)
def test_numbers_that_point_outside_of_a_table(column: str, row: int, value: int, what: str) -> None:
    bad = columns()
    bad[column][row] = value
    with pytest.raises(ValueError, match=what):
        Trace(bad)


def test_columns_of_a_wrong_shape() -> None:
    for name in COLUMNS:
        bad = columns()
        del bad[name]
        with pytest.raises(ValueError, match=f"column {name} is missing"):
            Trace(bad)
        bad[name] = columns()[name].astype(np.float64)
        with pytest.raises(ValueError, match=f"column {name}: expected"):
            Trace(bad)
    bad = columns()
    bad["row_pin"] = bad["row_pin"][:2]
    with pytest.raises(ValueError, match="differ in length"):
        Trace(bad)


def test_an_empty_trace() -> None:
    empty = {name: array[:0] for name, array in columns().items()}
    for policy in BUILTIN:
        assert len(under(policy.name, Trace(empty))["conflicts"]["ts"]) == 0


def test_policies_and_parameters_of_a_wrong_length() -> None:
    trace = Trace(columns())
    with pytest.raises(ValueError, match="wrong length"):
        replay(trace, np.zeros(5, np.int64), np.zeros(24, np.int64))


# -- rows that come in batches ----------------------------------------------------------------------------------------


def same(one: Any, other: Any) -> bool:
    tables = ("conflicts", "stalls", "refusals", "revocations")
    equal = all((one[table][name] == other[table][name]).all() for table in tables for name in one[table])
    return equal and bool((one["bins"] == other["bins"]).all())


def batches(whole: dict[str, Any], size: int) -> list[dict[str, Any]]:
    """Rows in parts."""
    own = {name: values for name, values in whole.items() if name.startswith("row_")}
    return [{name: values[begin : begin + size] for name, values in own.items()} for begin in range(0, len(whole["row_ts"]), size)]


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_rows_in_batches_are_the_same_rows(size: int) -> None:
    whole = disorder(size)
    parts = Trace(whole, batches(whole, size), 400, lambda: whole)
    for policy in BUILTIN:
        assert same(under(policy.name, Trace(whole)), under(policy.name, parts)), policy.name


def test_a_bad_row_is_found_in_a_later_batch() -> None:
    whole = columns()
    whole["row_ts"][2] = 4
    with pytest.raises(ValueError, match="order of time"):
        Trace(whole, batches(whole, 2), 3, lambda: whole)
    with pytest.raises(ValueError, match="more rows than were announced"):
        Trace(whole, batches(columns(), 2), 2, lambda: whole)


@pytest.mark.parametrize("seed", range(10))
def test_rows_that_no_decision_looks_at_change_nothing(seed: int) -> None:
    whole = disorder(seed)
    unseen = np.isin(whole["row_op"], [OPS.index(op) for op in ("wb_end", "wb_wait", "block_free", "lease_add", "mmap", "munmap")])
    waits = np.isin(whole["row_op"], [OPS.index("layout_wait"), OPS.index("lease_break")])
    whole["row_dur"][waits] = -1  # in a recorded wait they do count
    whole["row_ts"][0] = 0
    whole["row_op"][[0, -1]] = OPS.index("dirty")
    unseen[[0, -1]] = False
    whole["row_op"][whole["row_op"] == OPS.index("exit")] = OPS.index("dirty")  # the last event of a process counts
    left = {name: values[~unseen] if name.startswith("row_") else values for name, values in whole.items()}
    for name in ("reuse_row", "reuse_slot", "reuse_npages"):
        whole[name] = left[name] = whole[name][:0]
    for policy in BUILTIN:
        found = [under(policy.name, Trace(rows), writeback_service="0") for rows in (whole, left)]  # which comes from ends of writebacks
        assert same(*found), policy.name


def test_conflicts_in_blocks_are_the_same_conflicts() -> None:
    trace = Trace(disorder(4))
    choices, params = np.array(find_policy("none").numbers(), np.int64), np.array(numbers(parse_params({}), PARAMS), np.int64)
    whole, taken = replay(trace, choices, params)["conflicts"], []
    rest = replay(trace, choices, params, taken.append, 2)["conflicts"]
    assert len(taken) > 1
    assert all(len(block["ts"]) == 2 for block in taken)
    for name, values in whole.items():
        assert (np.concatenate([block[name] for block in (*taken, rest)]) == values).all()
        assert (replay(trace, choices, params, None, 2)["conflicts"][name] == values).all()
    with pytest.raises(ValueError, match="blocks of 0"):
        replay(trace, choices, params, None, 0)


def test_a_block_that_nobody_keeps_is_filled_again() -> None:
    trace = Trace(disorder(4))
    choices, params = np.array(find_policy("none").numbers(), np.int64), np.array(numbers(parse_params({}), PARAMS), np.int64)
    kept: list[dict[str, np.ndarray[Any, Any]]] = []
    places, copies = [], []

    def look(block: dict[str, np.ndarray[Any, Any]]) -> None:
        places.append(block["ts"].ctypes.data)
        copies.append(block["ts"].copy())
        if len(places) == 2:
            kept.append(block)

    replay(trace, choices, params, look, 2)
    assert places[0] == places[1] != places[2] == places[3]
    assert (kept[0]["ts"] == copies[1]).all()


def test_an_error_of_the_taker_ends_the_replay() -> None:
    trace = Trace(disorder(4))
    choices, params = np.array(find_policy("none").numbers(), np.int64), np.array(numbers(parse_params({}), PARAMS), np.int64)

    def fail(block: dict[str, np.ndarray[Any, Any]]) -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        replay(trace, choices, params, fail, 2)


# -- any order of any events ------------------------------------------------------------------------------------------


def disorder(seed: int) -> dict[str, np.ndarray[Any, Any]]:
    """Rows that no kernel would record: every operation on any range by any task, with any pin and MR. They replay all the
    same; under the sanitizers (make sanitize) any slip of the loop shows."""
    rng = random.Random(seed)
    n, n_slots, n_tasks, n_pins, n_regions = 400, 23, 5, 11, 6
    made = columns()
    slot = [rng.randrange(n_slots) for _ in range(n)]
    pin_slot = [rng.randrange(-1, n_slots) for _ in range(n_pins)]
    long_pins = [rng.randrange(2) for _ in range(n_pins)]
    files = [0 if at < 13 else 1 for at in slot]
    ends = (13, n_slots)
    reused = [rng.randrange(n_slots) for _ in range(60)]
    values = {
        "row_ts": sorted(rng.randrange(10**9) for _ in range(n)),
        "row_op": [rng.randrange(len(OPS)) for _ in range(n)],
        "row_task": [rng.randrange(n_tasks) for _ in range(n)],
        "row_file": files,
        "row_slot": slot,
        "row_nslots": [rng.randrange(ends[file] - at + 1) for at, file in zip(slot, files, strict=True)],
        "row_index": [rng.randrange(-1, 9) for _ in range(n)],
        "row_npages": [rng.randrange(-1, 9) for _ in range(n)],
        "row_dur": [rng.choice((-1, 0, rng.randrange(10**8))) for _ in range(n)],
        "row_bytes": [rng.randrange(-1, 9000) for _ in range(n)],
        "row_pin": [rng.randrange(-1, n_pins) for _ in range(n)],
        "row_region": [rng.randrange(-1, n_regions) for _ in range(n)],
        "row_flags": [rng.randrange(256) for _ in range(n)],
        "task_owner": [rng.randrange(n_tasks) for _ in range(n_tasks)],
        "task_kworker": [rng.randrange(2) for _ in range(n_tasks)],
        "file_slot": [0, 13],
        "file_nslots": [13, 10],
        "file_dax": [0, 1],
        "file_memory": [0, 0],
        "pin_slot": pin_slot,
        "pin_npages": [rng.randrange(ends[at >= 13] - at + 1) if at >= 0 else 5 for at in pin_slot],
        "pin_file": [-1 if at < 0 else int(at >= 13) for at in pin_slot],
        "pin_region": [rng.randrange(n_regions) if long else -1 for long in long_pins],
        "pin_task": [rng.randrange(n_tasks) for _ in range(n_pins)],
        "pin_write": [rng.randrange(2) for _ in range(n_pins)],
        "pin_longterm": long_pins,
        "pin_preexisting": [int(rng.randrange(4) == 0) for _ in range(n_pins)],
        "pin_released": [rng.randrange(2) for _ in range(n_pins)],
        "region_task": [rng.randrange(n_tasks) for _ in range(n_regions)],
        "region_device": [rng.randrange(-1, 2) for _ in range(n_regions)],
        "region_write": [rng.randrange(2) for _ in range(n_regions)],
        "run_slot": [0, 4, 13],
        "run_index": [0, 7, 0],
        "run_npages": [4, 9, 10],
        "reuse_row": sorted(rng.randrange(n) for _ in range(60)),
        "reuse_slot": reused,
        "reuse_npages": [rng.randrange(1, n_slots - at + 1) for at in reused],
    }
    return {name: np.array(values[name], made[name].dtype) for name in COLUMNS}


@pytest.mark.parametrize("seed", range(40))
def test_any_rows_replay_and_keep_the_invariants(seed: int) -> None:
    trace = Trace(disorder(seed))
    rng = random.Random(seed)
    for policy in (*BUILTIN, *(find_policy(name) for name in ("lease+bounce", "lease+hold-off", "busy-blocks+odp"))):
        given = {name: rng.choice(BY_NAME[name].choices) for name in BY_NAME if BY_NAME[name].choices}
        given |= {"lease.app": rng.choice(("0", "1ms", "500ms", "1h")), "lease.break_time": rng.choice(("0", "10ms", "45s"))}
        given |= {"writeback.interval": rng.choice(("0", "1ms", "5s")), "writeback.expire": rng.choice(("0", "10ms"))}
        params = np.array(numbers(parse_params(given), PARAMS), np.int64)
        choices = np.array(policy.numbers(), np.int64)
        outcome = replay(trace, choices, params)
        again = replay(trace, choices, params)
        for table in ("conflicts", "stalls", "refusals", "revocations"):
            for name, values in outcome[table].items():
                assert (values == again[table][name]).all(), (policy.name, table, name)
        assert (outcome["bins"] == again["bins"]).all()
        classes = {list(outcomes.CLASSES)[number] for number in outcome["conflicts"]["class"].tolist()}
        if policy.writeback in ("bounce", "bounce_sync", "hold"):
            assert "wb_while_pinned" not in classes
        if "bounce" not in policy.writeback:
            assert "torn_snapshot" not in classes
        assert (outcome["conflicts"]["npages"] >= 0).all()
        assert (np.diff(outcome["conflicts"]["ts"]) >= 0).all()
        assert (outcome["stalls"]["dur"] >= 0).all()
        # No integral ran below zero, which would show as an amount near 2**64.
        assert (outcome["bins"] < 2**60).all(), policy.name
