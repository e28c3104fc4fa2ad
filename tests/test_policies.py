"""The decision table and composition."""

from __future__ import annotations

from pathlib import Path

import pytest

from replay.errors import UsageError
from replay.policies import ADMIT, BUILTIN, FREE, LAYOUT, RECLAIM, WRITEBACK, find_policy, list_policies, read_policies


def test_the_table() -> None:
    assert [policy.name for policy in BUILTIN] == [
        "none",
        "hold-off",
        "bounce",
        "bounce-sync",
        "lease",
        "lease-exclusive",
        "busy-blocks",
        "deny",
        "immutable",
        "odp",
        "mainline",
    ]
    assert list_policies()[1] == {
        "policy": "hold-off",
        "admit": "allow",
        "writeback": "hold",
        "layout": "orphan / wait",
        "reclaim": "refuse",
        "free": "free",
        "proposed_by": "seed option 1",
    }
    for policy in BUILTIN:
        assert set(policy.admit) <= set(ADMIT)
        assert policy.writeback in WRITEBACK
        assert {policy.layout_cache, policy.layout_dax} <= set(LAYOUT)
        assert policy.reclaim in RECLAIM
        assert policy.free in FREE


def test_numbers_follow_the_choices() -> None:
    # need_lease is rule 4 of ADMIT (bit 8), refuse_unrevocable rule 3 (bit 4); break_lease is choice 2 of LAYOUT.
    assert find_policy("lease").numbers() == [8 | 4, 0, 2, 2, 1, 0]
    assert find_policy("none").numbers() == [1, 0, 0, 0, 0, 0]
    assert find_policy("odp").numbers() == [32, 4, 5, 5, 2, 0]
    assert find_policy("busy-blocks").numbers() == [0, 0, 4, 4, 1, 1]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # bounce's writeback, lease's other four
        ("lease+bounce", ("need_lease, refuse_unrevocable", "bounce", "break_lease / break_lease", "refuse", "free")),
        # bounce leaves admission at none's default; its layout differs from none's on DAX, so it keeps it
        ("bounce+lease", ("need_lease, refuse_unrevocable", "bounce", "orphan / wait", "refuse", "free")),
        ("none+odp", ("no_pin", "invalidate", "invalidate / invalidate", "invalidate", "free")),
        ("odp+none", ("no_pin", "invalidate", "invalidate / invalidate", "invalidate", "free")),
        ("lease+busy-blocks", ("need_lease, refuse_unrevocable", "write", "break_lease / break_lease", "refuse", "busy")),
        # left to right
        ("deny+hold-off+busy-blocks", ("refuse_dax, refuse_unrevocable", "hold", "orphan / wait", "refuse", "busy")),
    ],
)
def test_composition(name: str, expected: tuple[str, ...]) -> None:
    policy = find_policy(name)
    assert policy.name == name
    assert tuple(policy.decisions().values()) == expected


@pytest.mark.parametrize(
    ("name", "hint"),
    [("leese", "did you mean lease?"), ("lease+bonce", "did you mean bounce?"), ("", "known: none, hold-off"), ("none+", "known: none")],
)
def test_unknown_names(name: str, hint: str) -> None:
    with pytest.raises(UsageError, match=hint.replace("?", r"\?")) as raised:
        find_policy(name)
    assert "\n" not in str(raised.value)


def test_policies_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        """
        [policy.patient]
        writeback = "bounce_sync"
        layout = { cache = "orphan", dax = "break_lease" }
        admit = ["need_lease"]
        params = { "lease.break_time" = "90s" }

        [policy.plain]
        layout = "wait"
        """
    )
    mine = read_policies(path)
    assert tuple(mine["patient"].decisions().values()) == ("need_lease", "bounce_sync", "orphan / break_lease", "strip", "free")
    assert mine["patient"].params == (("lease.break_time", "90s"),)
    assert mine["plain"].decisions()["layout"] == "wait / wait"
    assert find_policy("patient+hold-off", mine).decisions()["reclaim"] == "refuse"
    assert [row["policy"] for row in list_policies(mine.values())][-2:] == ["patient", "plain"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[policy.x]\nwriteback = 'bouncing'", "did you mean bounce"),
        ("[policy.x]\nlayout = {cache = 'wait'}", "layout needs cache and dax"),
        ("[policy.x]\nwritback = 'hold'", "did you mean writeback"),
        ("[policy.x]\nadmit = ['refuse_all']", "no choice for admit"),
        ("[policy.x]\nadmit = 3", "admit is a list"),
        ("[policy.x.params]\n'lease.ap' = '1ms'", "did you mean lease.app"),
        ("[policy.x.params]\n'lease.app' = '1 fortnight'", "is not a duration"),
        ("[policy.'a+b']\nwriteback = 'hold'", "has no +"),
        ("[policy.none]\nwriteback = 'hold'", "is that of a built-in policy"),
        ("#" * (1 << 20) + "\n", "at most 1048576 bytes"),
        ("policy = 3", "no policies"),
        ("[policy", "mine.toml: "),
    ],
)
def test_bad_files(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as raised:
        read_policies(path)
    assert what in str(raised.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_policies(tmp_path / "none.toml")
