"""What a sweep goes over: lists, ranges, and their combinations."""

from __future__ import annotations

from itertools import pairwise

import pytest

from replay.errors import UsageError
from replay.grid import Grid, parse_axes, parse_grid


def grid(*given: str) -> Grid:
    return parse_grid(parse_axes(given))


def texts(*given: str) -> list[list[str]]:
    return [axis.texts for axis in grid(*given).axes]


def test_lists_and_ranges_of_every_kind_of_parameter() -> None:
    assert texts("lease.break_time=5s, 45000ms") == [["5s", "45s"]]
    assert texts("lease.app=1ms..1s:4") == [["1ms", "10ms", "100ms", "1s"]]
    assert texts("lease.app=0,1us..1ms:4,45s") == [["0", "1us", "10us", "100us", "1ms", "45s"]]
    assert texts("lease.on_timeout=wait,kill") == [["wait", "kill"]]
    assert texts("free.reserve=1..1000000:3") == [["1", "1000", "1000000"]]
    assert texts("odp.invalidate=5us..500us:3") == [["5us", "50us", "500us"]]
    assert texts("mr.reg=10us+0.1us/page..1ms+10us/page:3") == [["10us+100ns/page", "100us+1us/page", "1ms+10us/page"]]


def test_a_range_is_geometric_with_exact_ends_and_three_figures_between() -> None:
    (values,) = (axis.values for axis in grid("lease.app=1ms..600s:20").axes)
    numbers = [value for value in values if isinstance(value, int)]
    assert (len(numbers), numbers[0], numbers[-1]) == (20, 10**6, 600 * 10**9)
    assert numbers[1:4] == [2_010_000, 4_060_000, 8_170_000]  # 600000 ** (1 / 19) = 2.01433...
    assert all(str(number).rstrip("0").isdigit() and len(str(number).rstrip("0")) <= 3 for number in numbers)
    ratio = 600_000 ** (1 / 19)
    assert all(after / before == pytest.approx(ratio, rel=0.01) for before, after in pairwise(numbers))
    assert texts("lease.app=600s..1ms:20")[0] == list(reversed(texts("lease.app=1ms..600s:20")[0]))


def test_values_that_are_the_same_count_once() -> None:
    assert texts("lease.app=1ms,1000us,2ms") == [["1ms", "2ms"]]
    assert texts("lease.rounds=1..3:9") == [["1", "2", "3"]]


def test_points_are_every_combination_and_the_last_parameter_changes_fastest() -> None:
    four = grid("lease.break_time=5s,45s", "lease.scope=range", "lease.app=1ms,1s")
    assert len(four) == 4
    assert [axis.param.name for axis in four.swept] == ["lease.break_time", "lease.app"]
    assert [tuple(four.shown(point).values()) for point in four.points()] == [
        ("5s", "range", "1ms"),
        ("5s", "range", "1s"),
        ("45s", "range", "1ms"),
        ("45s", "range", "1s"),
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["lease.ap=1ms,2ms"], "did you mean lease.app?"),
        (["lease.app"], "expected NAME=VALUES"),
        (["lease.app=1ms"], "no parameter has several values"),
        (["lease.app=1ms,1ms"], "no parameter has several values"),
        ([], "no parameter has several values"),
        (["lease.app=1ms,"], "'' is not a duration"),
        (["lease.app=1ms,5"], "'5' is not a duration"),
        (["lease.app=1ms..1s"], "A..B:N"),
        (["lease.app=1ms..1s:many"], "A..B:N"),
        (["lease.app=1ms..1s:1"], "from 2 to 1000 values, not 1"),
        (["lease.app=1ms..1s:1001"], "from 2 to 1000 values, not 1001"),
        (["lease.app=0..1s:5"], "list 0 beside it"),
        (["lease.app=..1s:5"], "'' is not a duration"),
        (["mr.reg=10us..1ms+1us/page:5"], "list 0 beside it"),
        (["lease.on_timeout=wait..kill:3"], "list them: wait,fail_io,kill"),
        (["lease.on_timeout=wait,kil"], "did you mean kill?"),
        (["lease.app=1ms,2ms", "lease.app=3ms"], "given twice"),
    ],
)
def test_what_is_no_grid_is_refused(given: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        grid(*given)
