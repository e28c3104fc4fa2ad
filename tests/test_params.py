"""Parameters and their units."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.errors import UsageError
from replay.params import BY_NAME, PARAMS, numbers, parse_assignments, parse_params, show_changed, show_params
from replay.units import MAX_DURATION_NS, Cost, format_cost, format_duration, parse_cost, parse_duration


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        *(("0", 0), ("0s", 0), ("1ns", 1), ("10us", 10_000), ("10µs", 10_000), ("5ms", 5_000_000), ("45s", 45 * 10**9)),
        *(("2.048s", 2_048_000_000), ("0.5us", 500), ("600s", 600 * 10**9), ("3min", 180 * 10**9), ("2h", 7200 * 10**9), (" 1ms ", 10**6)),
    ],
)
def test_durations(text: str, ns: int) -> None:
    assert parse_duration(text) == ns


@pytest.mark.parametrize(
    "text",
    ["", "5", "-1s", "ms", "1 s", "1e3s", "0.0001ns", "1.5ns", "1sec", "\u0661s", "31min31", "999999h", "inf", "1.s", "9" * 5000 + "s"],
)
def test_bad_durations(text: str) -> None:
    with pytest.raises(UsageError):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "base_ps", "slope_ps"),
    [
        ("20us+0.09us/page", 20_000_000, 90_000),
        ("50us+0.375us/page", 50_000_000, 375_000),
        ("50us", 50_000_000, 0),
        ("0.78us/page", 0, 780_000),
        ("0", 0, 0),
        ("0+0/page", 0, 0),
        ("1ms + 1ns/page", 10**9, 1000),
    ],
)
def test_costs(text: str, base_ps: int, slope_ps: int) -> None:
    assert parse_cost(text) == Cost(base_ps, slope_ps)


@pytest.mark.parametrize("text", ["1us/page+2us", "1us+1us", "1us+1us/page+1us", "1us/pages", "", "+1us/page", "5s/page+", "2s/page"])
def test_bad_costs(text: str) -> None:
    with pytest.raises(UsageError):
        parse_cost(text)


def test_a_cost_is_exact_below_a_nanosecond() -> None:
    # 20 us + 3 x 0.09 us = 20 270 ns; 0.1265 us x 3 = 379.5 ns, rounded up.
    assert parse_cost("20us+0.09us/page").ns(3) == 20_270
    assert parse_cost("0.1265us/page").ns(3) == 380


@given(st.integers(0, MAX_DURATION_NS))
def test_durations_survive_printing(ns: int) -> None:
    assert parse_duration(format_duration(ns)) == ns


@given(st.integers(0, 10**15), st.integers(0, 10**12))
def test_costs_survive_printing(base_ps: int, slope_ps: int) -> None:
    cost = Cost(base_ps, slope_ps)
    assert parse_cost(format_cost(cost)) == cost


def test_defaults() -> None:
    values = parse_params({})
    assert values["lease.break_time"] == 45 * 10**9
    assert values["lease.on_timeout"] == "wait"
    assert values["mr.dereg"] == Cost(20_000_000, 90_000)
    assert len({param.name for param in PARAMS}) == len(PARAMS)
    assert all(param.default == param.choices[0] for param in PARAMS if param.choices)


def test_the_same_value_shows_the_same() -> None:
    assert show_params(parse_params({"lease.app": "1000us"})) == show_params(parse_params({"lease.app": "1ms"}))
    assert show_params(parse_params({}))["mr.reg"] == "50us+375ns/page"


def test_rates_and_versions() -> None:
    values = parse_params({"remote.activity": "2GiB/s", "mainline.version": "5.10"})
    assert (values["remote.activity"], show_params(values)["remote.activity"]) == (1 << 31, "2GiB/s")
    assert (values["mainline.version"], show_params(values)["mainline.version"]) == (5010, "5.10")
    # Pages of 4 KiB: 1000 a second are one a millisecond, and the fastest rate one in 4 ns.
    for text, same, period in (("1000/s", "4000KiB/s", 1_000_000), ("1 TiB/s", "1TiB/s", 4), ("1B/s", "1B/s", 4096 * 10**9)):
        values = parse_params({"remote.activity": text})
        assert show_params(values)["remote.activity"] == same
        assert numbers(values, ["remote.activity"]) == [period]


def test_what_was_changed_shows_without_the_defaults() -> None:
    assert show_changed(parse_params({"lease.app": "1000us", "mr.reg": "0", "hw.revoke": "device"})) == {
        "hw.revoke": "device",
        "mr.reg": "0",
    }


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("lease.ap", "1ms", "did you mean lease.app?"),
        ("lease.app", "1", "is not a duration"),
        ("lease.on_timeout", "kil", "did you mean kill?"),
        ("lease.rounds", "-1", "is not a whole number"),
        ("lease.rounds", "1001", "is not a whole number"),
        ("hw.revoke", "", "is not one of mr, ucontext, device, none"),
        ("remote.activity", "2GB/s", "is not a rate"),
        ("remote.activity", "0/s", "is not between 1B/s and 1TiB/s"),
        ("remote.activity", "2TiB/s", "is not between"),
        ("mainline.version", "6", "is not a kernel version"),
        ("writeback.service", "trase", "is not a duration"),
        ("zzz", "1", "no parameter is called 'zzz'"),
    ],
)
def test_wrong_requests(name: str, value: str, what: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_params({name: value})
    assert what in str(raised.value)


def test_assignments() -> None:
    assert parse_assignments(["lease.app=5ms", "mr.reg = 1us+1ns/page", "lease.app=6ms"]) == {"lease.app": "6ms", "mr.reg": "1us+1ns/page"}
    with pytest.raises(UsageError, match="expected NAME=VALUE"):
        parse_assignments(["lease.app"])
    with pytest.raises(UsageError, match="did you mean"):
        parse_assignments(["lease.ap=1ms"])


def test_numbers_for_the_engine() -> None:
    values = parse_params({"lease.on_timeout": "kill", "mr.reg": "1us+2ns/page"})
    assert numbers(values, ("lease.rounds", "lease.on_timeout", "mr.reg")) == [2, 2, 1_000_000, 2000]
    assert BY_NAME["hw.revoke"].choices.index("device") == 2
