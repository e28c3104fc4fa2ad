"""What the shell offers for a word that is half typed: policies, parameters, reports, and what the store holds.

A store that cannot be read offers nothing: this is not the moment to say why.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import typer

from replay.errors import ReplayError

DEFAULT_STORE = "./replay-store"
Offers = list[tuple[str, str]]


def store_path(context: typer.Context, store: str | None) -> str:
    """The command's own --store, else the one before the command, else the environment's, else the default."""
    return store or context.find_root().params.get("store") or os.environ.get("REPLAY_STORE") or DEFAULT_STORE


def policies(context: typer.Context, incomplete: str) -> Offers:
    """Built-in policies and those of --policy-file; after a + the next of a composition."""
    from replay.policies import BUILTIN, read_policies

    known = {policy.name: policy.proposed_by for policy in BUILTIN}
    file = context.params.get("policy_file")
    if file:
        try:
            known |= {name: policy.proposed_by for name, policy in read_policies(file).items()}
        except ReplayError:
            return []
    given, plus, _ = incomplete.rpartition("+")
    used = given.split("+") if plus else []
    return _beginning(incomplete, ((f"{given}{plus}{name}", doc) for name, doc in known.items() if name not in used))


def replayed_policies(context: typer.Context, incomplete: str) -> Offers:
    """Policies of the runs in the store."""
    return _beginning(incomplete, ((name, "") for name in sorted({str(row["policy"]) for row in _rows(context, "runs")})))


def parameters(incomplete: str) -> Offers:
    """NAME=VALUE: every choice where there are some, else the default, which shows the unit."""
    from replay.params import PARAMS

    return _beginning(incomplete, ((f"{param.name}={value}", param.doc) for param in PARAMS for value in param.choices or (param.default,)))


def swept_parameters(incomplete: str) -> Offers:
    """NAME=VALUES: all choices, or the default."""
    from replay.params import PARAMS

    return _beginning(incomplete, ((f"{param.name}={','.join(param.choices) or param.default}", param.doc) for param in PARAMS))


def report_names(incomplete: str) -> Offers:
    from replay import reports

    return _beginning(incomplete, ((name, reports.load(name).title) for name in reports.names()))


def traces(context: typer.Context, incomplete: str) -> Offers:
    """Source files, and ids once one is begun or two files have the same name."""
    rows = list(_rows(context, "traces"))
    sources = [str(row["source"]) for row in rows]
    ids = [(str(row["trace"]), str(row["source"])) for row in rows]
    unique = [(source, trace) for (trace, source) in ids if sources.count(source) == 1]
    begun = [offer for offer in ids if incomplete and offer[0].startswith(incomplete)]
    return _beginning(incomplete, unique) + begun or [offer for offer in ids if not incomplete]


def _rows(context: typer.Context, kind: str) -> Iterator[dict[str, object]]:
    from replay.store import Store

    try:
        store = Store(store_path(context, context.params.get("store")))
        entries = store.traces() if kind == "traces" else store.runs()
    except (ReplayError, OSError):
        return
    yield from (dict(entry.row) for entry in entries)


def _beginning(incomplete: str, offers: Iterable[tuple[str, str]]) -> Offers:
    return [(name, doc) for name, doc in offers if name.startswith(incomplete)]
