"""The engine against the oracle, and what must hold whatever the scenario.

`python -m tests.oracle --scenarios 20000` is the long form of the first test.
"""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from oracle.command import POLICIES, explain, policy_of
from oracle.compare import Answer, difference, engine_answer, oracle_answer, recorded
from oracle.inodelock import begun_with_lock, possible
from oracle.scenarios import Event, scenario
from oracle.scenarios import settings as some_settings

from replay.policies import Policy

FEW = settings(max_examples=30, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow])
RANDOM = st.randoms(use_true_random=False)
NO_CLOCK = {"bounce.copy": "0", "mr.dirty": "0", "odp.invalidate": "0", "writeback.service": "0"}
# Classes that count pages, so that it does not matter into how many regions a range is cut.
BY_PAGE = frozenset(
    {
        *("wb_while_pinned", "dirty_after_clean", "fsync_misses_pinned", "torn_snapshot", "priv_released_pinned", "unmap_refused"),
        *("migrate_refused", "truncate_while_pinned", "layout_break", "lease_denied", "failed_fs_op", "space_held", "pin_refused"),
    }
)


def answer(events: list[Event], policy: Policy, params: dict[str, str] | None = None) -> Answer:
    return engine_answer(recorded(events), policy, params or {})


def pages(found: Answer) -> Counter[str]:
    """Pages by class, over all files."""
    total: Counter[str] = Counter()
    for (name, _), npages in found["conflicts"].items():
        total[name] += npages
    return total


# -- the oracle -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_engine_and_oracle_agree(seed: int) -> None:
    for number in range(12):
        rng = Random(f"suite/{seed}/{number}")
        events, params = scenario(rng), some_settings(rng)
        trace = recorded(events)
        for policy in map(policy_of, POLICIES):
            found = difference(engine_answer(trace, policy, params), oracle_answer(events, policy, params))
            assert not found, explain(events, policy, params, next(iter(found)))


def page_by_page(events: list[Event]) -> list[Event]:
    """The same, but what the engine does by a table where one page is concerned comes in rows of one page."""
    split: list[Event] = []
    for event in events:
        if event["op"] in ("dirty", "wb_start", "cache_add", "remote_write") and "index" in event and event.get("npages", 1) > 1:
            pages = range(event["index"], event["index"] + event["npages"])
            split += [{**event, "index": index, "npages": 1, **({"bytes": 4096} if "bytes" in event else {})} for index in pages]
        else:
            split.append(event)
    return split


@pytest.mark.parametrize("seed", range(4))
def test_engine_and_oracle_agree_page_by_page(seed: int) -> None:
    for number in range(12):
        rng = Random(f"pages/{seed}/{number}")
        events, params = page_by_page(scenario(rng, 60)), some_settings(rng)
        trace = recorded(events)
        for policy in map(policy_of, POLICIES):
            found = difference(engine_answer(trace, policy, params), oracle_answer(events, policy, params))
            assert not found, explain(events, policy, params, next(iter(found)))


@FEW
@given(rng=RANDOM, name=st.sampled_from(POLICIES))
def test_engine_and_oracle_agree_on_what_hypothesis_finds(rng: Random, name: str) -> None:
    events, params = scenario(rng, 12), some_settings(rng)
    policy = policy_of(name)
    assert difference(engine_answer(recorded(events), policy, params), oracle_answer(events, policy, params)) == {}


# -- properties -------------------------------------------------------------------------------------------------------


@FEW
@given(rng=RANDOM, name=st.sampled_from(("bounce", "lease+bounce", "busy-blocks+bounce")))
def test_bounce_never_writes_a_page_that_a_device_writes(rng: Random, name: str) -> None:
    assert "wb_while_pinned" not in pages(answer(scenario(rng, 30), policy_of(name), some_settings(rng)))


@FEW
@given(rng=RANDOM, name=st.sampled_from(POLICIES))
def test_no_pins_no_rows(rng: Random, name: str) -> None:
    """But for waits that the recorded kernel had: they are evidence of pins that no probe showed."""
    events = [event for event in scenario(rng, 30) if "mr" not in event and "pin" not in event and event["op"] != "layout_wait"]
    found = answer(events, policy_of(name), some_settings(rng))
    assert found == {"conflicts": {}, "breaks of no page": {}, "stalls": [], "refusals": {}, "revocations": {}, "costs": {}}


@FEW
@given(rng=RANDOM, name=st.sampled_from(POLICIES))
def test_when_a_trace_begins_does_not_matter(rng: Random, name: str) -> None:
    events, params, policy = scenario(rng, 30), some_settings(rng), policy_of(name)
    later = [{**event, "ts": event["ts"] + 7_000_000_000_001} for event in events]
    assert answer(later, policy, params) == answer(events, policy, params)


@FEW
@given(rng=RANDOM, name=st.sampled_from(POLICIES))
def test_names_do_not_matter(rng: Random, name: str) -> None:
    """Nor does the order in which tasks, MRs and pins are numbered."""
    events, params, policy = scenario(rng, 30), some_settings(rng), policy_of(name)

    def renamed(event: Event) -> Event:
        other = {key: 1000 - event[key] for key in ("tid", "tgid", "mr", "pin") if key in event}
        return {**event, **other}

    assert answer([renamed(event) for event in events], policy, params) == answer(events, policy, params)


def in_halves(event: Event, halves: dict[int, Event]) -> list[Event]:
    """The event for an MR of two halves, each an MR of its own, and what touches both cut in two."""
    mr = event.get("mr")
    if event["op"] == "mr_reg" and event["npages"] % 2 == 0:
        halves[event["mr"]] = event
    if mr not in halves:
        return [event]
    middle = halves[mr]["index"] + halves[mr]["npages"] // 2
    if event["op"] == "mr_dereg":
        return [event, {**event, "mr": -mr}]
    end = event["index"] + event["npages"]
    parts = []
    if event["index"] < middle:
        parts.append({**event, "npages": min(end, middle) - event["index"]})
    if middle < end:
        begin = max(event["index"], middle)
        parts.append({**event, "mr": -mr, "index": begin, "npages": end - begin})
    for part in parts:
        if "bytes" in event:
            part["bytes"] = part["npages"] * 4096
    return parts


# Not: lease and its like, where each MR has its price; immutable, where an MR is refused as a whole; odp, where runs count.
@FEW
@given(
    rng=RANDOM, name=st.sampled_from(("none", "hold-off", "bounce", "bounce-sync", "lease-exclusive", "busy-blocks", "deny", "mainline"))
)
def test_an_mr_in_two_halves_is_the_same_to_every_page(rng: Random, name: str) -> None:
    events, policy = scenario(rng, 30), policy_of(name)
    for event in events:
        if "bytes" in event:
            event["bytes"] = event["npages"] * 4096
    halves: dict[int, Event] = {}
    cut = [part for event in events for part in in_halves(event, halves)]
    whole, parted = answer(events, policy, NO_CLOCK), answer(cut, policy, NO_CLOCK)
    assert {name: n for name, n in pages(whole).items() if name in BY_PAGE} == {
        name: n for name, n in pages(parted).items() if name in BY_PAGE
    }
    assert whole["stalls"] == parted["stalls"]
    assert {k: v for k, v in whole["costs"].items() if k != "lost_remote_ops"} == {
        k: v for k, v in parted["costs"].items() if k != "lost_remote_ops"
    }


@FEW
@given(rng=RANDOM, name=st.sampled_from(("none", "bounce", "bounce-sync", "busy-blocks")), rate=st.sampled_from(("1/s", "200/s", "1GiB/s")))
def test_a_device_at_any_rate_does_less_than_one_that_is_always_at_work(rng: Random, name: str, rate: str) -> None:
    events, policy = scenario(rng, 30), policy_of(name)
    bound = answer(events, policy, {**NO_CLOCK, "remote.activity": "always"})
    assert at_risk(answer(events, policy, {**NO_CLOCK, "remote.activity": rate})) <= at_risk(bound)


@FEW
@given(rng=RANDOM, name=st.sampled_from(POLICIES))
def test_a_delay_that_nobody_has_reaches_nobody(rng: Random, name: str) -> None:
    """Operations that queue for an inode as they did in the recording run when they had it there; nothing else changes."""
    events = possible([event for event in scenario(rng, 30) if event["op"] not in ("layout_wait", "lease_break")])
    policy = policy_of(name)
    alone = answer(begun_with_lock(events), policy, NO_CLOCK)
    assume(not alone["stalls"] and "failed_fs_ops" not in alone["costs"])  # one that fails keeps nobody waiting
    assert answer(events, policy, {**NO_CLOCK, "propagate": "inode"}) == alone


def at_risk(found: Answer) -> int:
    """Page events that left the disk without what the device wrote."""
    return sum(n for name, n in pages(found).items() if name in ("wb_while_pinned", "torn_snapshot", "fsync_misses_pinned"))


@FEW
@given(rng=RANDOM, name=st.sampled_from(("hold-off", "bounce", "bounce-sync", "busy-blocks", "deny")))
def test_writing_as_nobody_was_there_is_the_worst_of_the_same_admissions(rng: Random, name: str) -> None:
    """Where a policy makes nobody wait and fails nothing, all see the same pages: what `none` risks bounds what it risks."""
    events, policy = scenario(rng, 30), policy_of(name)
    base = Policy("base", policy.admit, "write", "orphan", "orphan", "strip", "free")
    bound, found = answer(events, base, NO_CLOCK), answer(events, policy, NO_CLOCK)
    assume(not found["stalls"])
    assert at_risk(found) <= at_risk(bound)
    for name in ("dirty_after_clean", "truncate_while_pinned", "priv_released_pinned", "reuse_while_pinned"):
        assert pages(found)[name] <= pages(bound)[name], name
