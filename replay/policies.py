"""The decision table: a policy is five decisions, given as data. The engine knows the decisions and no policy's name."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from replay.errors import UsageError
from replay.params import parse_params, suggest

# Choices in the order of their numbers in _ext/decisions.pxd; a test holds the two together. `admit` is a set of rules:
# "allow" stands for none, the others are bits from 1 on.
ADMIT = ("allow", "refuse_dax", "refuse_shared_file", "refuse_unrevocable", "need_lease", "need_allocated", "no_pin")
WRITEBACK = ("write", "hold", "bounce", "bounce_sync", "invalidate")
LAYOUT = ("orphan", "wait", "break_lease", "fail", "proceed_busy", "invalidate")
RECLAIM = ("strip", "refuse", "invalidate")
FREE = ("free", "busy")


@dataclass(frozen=True, slots=True)
class Policy:
    """A name, five decisions (layout by kind of file), and who proposed it. `params`: values that differ from the defaults."""

    name: str
    admit: tuple[str, ...]
    writeback: str
    layout_cache: str
    layout_dax: str
    reclaim: str
    free: str
    proposed_by: str = ""
    params: tuple[tuple[str, str], ...] = field(default=())

    def decisions(self) -> dict[str, str]:
        """The five decisions in model order, readable."""
        return {
            "admit": ", ".join(self.admit),
            "writeback": self.writeback,
            "layout": f"{self.layout_cache} / {self.layout_dax}",
            "reclaim": self.reclaim,
            "free": self.free,
        }

    def numbers(self) -> list[int]:
        """As the engine takes them, in the order of its DECISIONS."""
        rules = 0
        for rule in self.admit:
            rules |= (1 << ADMIT.index(rule)) >> 1
        return [
            rules,
            WRITEBACK.index(self.writeback),
            LAYOUT.index(self.layout_cache),
            LAYOUT.index(self.layout_dax),
            RECLAIM.index(self.reclaim),
            FREE.index(self.free),
        ]


def _row(name: str, admit: str, writeback: str, layout: str, reclaim: str, free: str, proposed_by: str) -> Policy:
    cache, dax = layout.split("/")
    return Policy(name, tuple(admit.split()), writeback, cache, dax, reclaim, free, proposed_by)


BUILTIN = (
    _row("none", "allow refuse_dax", "write", "orphan/orphan", "strip", "free", "status quo of early 2019"),
    _row("hold-off", "allow", "hold", "orphan/wait", "refuse", "free", "seed option 1"),
    _row("bounce", "allow refuse_dax", "bounce", "orphan/wait", "refuse", "free", "seed option 2"),
    _row("bounce-sync", "allow refuse_dax", "bounce_sync", "orphan/wait", "refuse", "free", "Jan Kara's RFC, Feb 2023"),
    _row(
        "lease",
        "need_lease refuse_unrevocable",
        "write",
        "break_lease/break_lease",
        "refuse",
        "free",
        "seed option 3; Ira Weiny's RFC, June 2019",
    ),
    _row("lease-exclusive", "need_lease refuse_unrevocable", "write", "fail/fail", "refuse", "free", "RFC v2, Aug 2019"),
    _row("busy-blocks", "allow", "write", "proceed_busy/proceed_busy", "refuse", "busy", "seed option 4"),
    _row("deny", "refuse_dax refuse_unrevocable", "write", "orphan/wait", "refuse", "free", "the seed's closing rule"),
    _row("immutable", "need_allocated", "write", "fail/fail", "refuse", "free", "Dave Chinner, Jan Kara, 8-11 Feb 2019"),
    _row("odp", "no_pin", "invalidate", "invalidate/invalidate", "invalidate", "free", "MMU-notifier hardware"),
    _row("mainline", "refuse_dax refuse_shared_file", "write", "orphan/wait", "refuse", "free", "Linux 6.5 and later"),
)
BY_NAME = {policy.name: policy for policy in BUILTIN}
DEFAULT = BY_NAME["none"]
# Of a file of policies; a device has no end.
_MOST_BYTES = 1 << 20


def compose(left: Policy, right: Policy) -> Policy:
    """The right policy gives the decisions that the left one leaves at `none`'s default; layout is one decision."""
    keeps_layout = (left.layout_cache, left.layout_dax) != (DEFAULT.layout_cache, DEFAULT.layout_dax)
    layout = left if keeps_layout else right
    return replace(
        left,
        name=f"{left.name}+{right.name}",
        admit=left.admit if set(left.admit) != set(DEFAULT.admit) else right.admit,
        writeback=left.writeback if left.writeback != DEFAULT.writeback else right.writeback,
        layout_cache=layout.layout_cache,
        layout_dax=layout.layout_dax,
        reclaim=left.reclaim if left.reclaim != DEFAULT.reclaim else right.reclaim,
        free=left.free if left.free != DEFAULT.free else right.free,
        proposed_by=f"{left.name}, with what it leaves open from {right.name}",
        params=tuple({**dict(right.params), **dict(left.params)}.items()),
    )


def find_policy(name: str, user: Mapping[str, Policy] | None = None) -> Policy:
    """The policy of a name, or of several joined by +, from left to right. It keeps the name as given."""
    known = {**BY_NAME, **(user or {})}
    found: Policy | None = None
    for part in name.split("+"):
        key = part.strip()
        if key not in known:
            raise UsageError(f"no policy is called {key!r}", hint=suggest(key, known) or f"known: {', '.join(known)}")
        found = known[key] if found is None else compose(found, known[key])
    assert found is not None  # split() gives at least one part
    return replace(found, name=name)


def _choice(name: str, decision: str, value: object, choices: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in choices:
        hint = suggest(str(value), choices) or f"one of {', '.join(choices)}"
        raise UsageError(f"policy {name}: {value!r} is no choice for {decision}", hint=hint)
    return value


def _layout(name: str, value: object) -> tuple[str, str]:
    """One choice for all files, or a table with `cache` and `dax`."""
    if isinstance(value, Mapping):
        if set(value) != {"cache", "dax"}:
            raise UsageError(f"policy {name}: layout needs cache and dax, or one choice for both")
        return _choice(name, "layout.cache", value["cache"], LAYOUT), _choice(name, "layout.dax", value["dax"], LAYOUT)
    both = _choice(name, "layout", value, LAYOUT)
    return both, both


def _from_table(name: str, table: Mapping[str, object]) -> Policy:
    """A policy from its TOML table; what it does not name is as under `none`."""
    fields = ("admit", "writeback", "layout", "reclaim", "free", "proposed_by", "params")
    for key in table:
        if key not in fields:
            raise UsageError(f"policy {name}: {key!r} is no decision", hint=suggest(key, fields))
    if "+" in name or not name:
        raise UsageError(f"policy {name!r}: a name is not empty and has no +")
    if name in BY_NAME:
        raise UsageError(f"policy {name}: the name is that of a built-in policy", hint="choose another")
    admit = table.get("admit", list(DEFAULT.admit))
    rules = [admit] if isinstance(admit, str) else admit
    params = table.get("params", {})
    if not isinstance(rules, list) or not isinstance(params, Mapping):
        raise UsageError(f"policy {name}: admit is a list of rules and params a table")
    given = {str(key): str(value) for key, value in params.items()}
    parse_params(given)
    cache, dax = _layout(name, table.get("layout", {"cache": DEFAULT.layout_cache, "dax": DEFAULT.layout_dax}))
    return Policy(
        name,
        tuple(_choice(name, "admit", rule, ADMIT) for rule in rules),
        _choice(name, "writeback", table.get("writeback", DEFAULT.writeback), WRITEBACK),
        cache,
        dax,
        _choice(name, "reclaim", table.get("reclaim", DEFAULT.reclaim), RECLAIM),
        _choice(name, "free", table.get("free", DEFAULT.free), FREE),
        str(table.get("proposed_by", "user")),
        tuple(given.items()),
    )


def read_policies(path: str | Path) -> dict[str, Policy]:
    """User policies of a TOML file: one table [policy.NAME] each, naming decisions and parameters."""
    try:
        with open(path, "rb") as file:
            text = file.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise UsageError(f"{path}: expected a TOML file of at most {_MOST_BYTES} bytes")
        document = tomllib.loads(text.decode())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}") from error
    tables = document.get("policy")
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise UsageError(f"{path}: no policies", hint="one table [policy.NAME] for each")
    return {name: _from_table(name, table) for name, table in tables.items()}


def list_policies(user: Iterable[Policy] = ()) -> list[dict[str, str]]:
    """One row per policy: name, the five decisions, who proposed it."""
    return [{"policy": policy.name, **policy.decisions(), "proposed_by": policy.proposed_by} for policy in (*BUILTIN, *user)]
