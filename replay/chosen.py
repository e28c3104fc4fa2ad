"""Which runs a question is about: those of a trace, a policy and parameters, and of a policy with many settings only a few.

A sweep leaves hundreds of runs of one policy. A report that compares policies would show nothing else; it takes the run with the
default parameters then, and says what it leaves out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from replay.errors import ReplayError
from replay.humane import number
from replay.params import parse_params, show_params
from replay.store import Entry

MOST_SETTINGS = 8


@dataclass(frozen=True, slots=True)
class Chosen:
    """Runs, and a sentence for each policy of which some were left out."""

    runs: tuple[Entry, ...]
    notes: tuple[str, ...] = ()


def choose(
    runs: Sequence[Entry], trace: str | None, policy: str | None, params: Mapping[str, str] | None = None, *, every: bool = False
) -> Chosen:
    """Of these runs those of the trace (its id), the policy and the parameters. `every`: all settings, however many there are."""
    texts = {name: text for name, text in show_params(parse_params(params or {})).items() if name in (params or {})}
    found = [
        run
        for run in runs
        if (trace is None or run.row["trace"] == trace)
        and (policy is None or run.row["policy"] == policy)
        and texts.items() <= _params(run).items()
    ]
    if texts and runs and not found:
        given = " ".join(f"--param {name}={text}" for name, text in texts.items())
        of = f"of {policy} " if policy else ""
        raise ReplayError(f"no run {of}has these parameters", hint=f"first: replay run --policy {policy or 'POLICY'} {given}")
    return Chosen(tuple(found)) if every or texts else _few(found)


def _few(runs: Sequence[Entry]) -> Chosen:
    """At most MOST_SETTINGS for each policy."""
    kept, notes = [], []
    for policy in dict.fromkeys(str(run.row["policy"]) for run in runs):
        own = [run for run in runs if run.row["policy"] == policy]
        settings = sorted({str(run.row["params"]) for run in own}, key=_distance)
        if len(settings) <= MOST_SETTINGS:
            kept += own
            continue
        shown = settings[: 1 if _distance(settings[0])[0] == 0 else MOST_SETTINGS]
        kept += [run for run in own if run.row["params"] in shown]
        notes.append(_note(policy, len(settings), len(shown)))
    order = {run.id: place for place, run in enumerate(runs)}
    return Chosen(tuple(sorted(kept, key=lambda run: order[run.id])), tuple(notes))


def _distance(params: str) -> tuple[int, str]:
    """How many parameters are not the defaults; settings as far from them are in order of their texts."""
    defaults = show_params(parse_params({}))
    return sum(value != defaults.get(name) for name, value in json.loads(params).items()), params


def _note(policy: str, settings: int, shown: int) -> str:
    which = "the default parameters" if shown == 1 else f"{shown} choices of parameters"
    return (
        f"Of {policy} only {which} are shown, {number(settings - shown)} more choices are not: choose with --param NAME=VALUE, "
        f"or --all-settings; replay report sweep --policy {policy} compares them."
    )


def _params(run: Entry) -> Mapping[str, str]:
    params: Mapping[str, str] = json.loads(run.row["params"])
    return params
