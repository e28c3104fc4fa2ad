"""The long run: the engine held against the oracle over many scenarios, agreement counted by policy."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from random import Random

from oracle.compare import difference, engine_answer, oracle_answer, recorded, shrink
from oracle.scenarios import Event, scenario, settings
from replay.policies import BUILTIN, Policy, find_policy

COMPOSED = ("lease+bounce", "lease+bounce-sync", "hold-off+busy-blocks", "busy-blocks+bounce-sync", "lease-exclusive+hold-off")
# What no built-in policy does: let everything in, DAX too, and protect nothing.
OWN = {"open": Policy("open", ("allow",), "write", "orphan", "orphan", "strip", "free")}
POLICIES = (*(policy.name for policy in BUILTIN), *COMPOSED, *OWN)


def policy_of(name: str) -> Policy:
    return find_policy(name, OWN)


def differing(events: Sequence[Event], policy: Policy, params: dict[str, str]) -> dict[str, object]:
    """What differs in one scenario under one policy."""
    if not events:
        return {}
    return dict(difference(engine_answer(recorded(events), policy, params), oracle_answer(events, policy, params)))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.oracle", description=__doc__)
    parser.add_argument("--scenarios", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="another seed, other scenarios")
    parser.add_argument("--size", type=int, default=20, help="the most steps of a scenario")
    parser.add_argument("--policy", action="append", default=[], help="one of several; default: all built-in ones and some compositions")
    parser.add_argument("--show", type=int, default=3, help="how many differences are made small and shown")
    options = parser.parse_args(arguments)
    policies = [policy_of(name) for name in options.policy or POLICIES]
    wrong: Counter[str] = Counter()
    for number in range(options.scenarios):
        rng = Random(f"{options.seed}/{number}")
        events, params = scenario(rng, options.size), settings(rng)
        trace = recorded(events)
        for policy in policies:
            found = difference(engine_answer(trace, policy, params), oracle_answer(events, policy, params))
            if found:
                wrong[policy.name] += 1
                if wrong.total() <= options.show:
                    say(f"scenario {number}, {explain(events, policy, params, next(iter(found)))}")
    for policy in policies:
        say(f"{policy.name:24} {options.scenarios - wrong[policy.name]:>8,} of {options.scenarios:,} scenarios agree")
    return 1 if wrong else 0


def explain(events: Sequence[Event], policy: Policy, params: dict[str, str], part: str) -> str:
    """The smallest scenario found in which this part of the answer still differs."""
    short = shrink(events, lambda tried: part in differing(tried, policy, params))
    few = dict(params)
    for name in params:
        fewer = {other: value for other, value in few.items() if other != name}
        if part in differing(short, policy, fewer):
            few = fewer
    lines = [f"{policy.name} {few}"]
    lines += [f"  {name}: engine {ours}, oracle {theirs}" for name, (ours, theirs) in differing(short, policy, few).items()]  # type: ignore[misc]
    lines += ["  " + json.dumps({key: value for key, value in event.items() if key not in ("comm", "tgid")}) for event in short]
    return "\n".join(lines)


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
