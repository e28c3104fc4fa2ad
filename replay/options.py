"""Options that several commands take."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any

import typer

from replay import completion
from replay.completion import DEFAULT_STORE


class FormatName(StrEnum):
    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"


StoreOption = Annotated[str | None, typer.Option("--store", metavar="DIR", help=f"The store [env REPLAY_STORE; default {DEFAULT_STORE}].")]
FormatOption = Annotated[FormatName, typer.Option("--format", help="How to print the table.")]
OutputOption = Annotated[str | None, typer.Option("--output", "-o", metavar="FILE", help="Write into this file instead of stdout.")]
JobsOption = Annotated[int | None, typer.Option("--jobs", "-j", min=1, metavar="N", help="Threads; default: one per CPU.")]
PolicyFileOption = Annotated[
    str | None, typer.Option("--policy-file", metavar="FILE", help="TOML with policies of your own: a table [policy.NAME] for each.")
]


def _offering(name: str, metavar: str, help_: str, offers: Callable[..., completion.Offers]) -> Any:
    """--policy, --param and --trace: commands differ in what they do with them and in what there is to offer."""
    return typer.Option(name, metavar=metavar, help=help_, autocompletion=offers)


_ONE_OR_JOINED = "A policy, or several joined by +; may be given again."
PoliciesOption = Annotated[
    list[str] | None, _offering("--policy", "NAME", f"{_ONE_OR_JOINED} Default: every built-in one.", completion.policies)
]
SweptPoliciesOption = Annotated[list[str], _offering("--policy", "NAME", _ONE_OR_JOINED, completion.policies)]
ReplayedPolicyOption = Annotated[
    str | None, _offering("--policy", "NAME", "Only runs of this policy; default: all.", completion.replayed_policies)
]
ParamsOption = Annotated[
    list[str] | None,
    _offering("--param", "NAME=VALUE", "A parameter, such as lease.app=5ms; may be given again.", completion.parameters),
]
SweptParamsOption = Annotated[
    list[str], _offering("--param", "NAME=VALUES", "Values, with commas; A..B:N is N values from A to B.", completion.swept_parameters)
]
ReplayedParamsOption = Annotated[
    list[str] | None, _offering("--param", "NAME=VALUE", "Only runs with this parameter; may be given again.", completion.parameters)
]
TraceOption = Annotated[str | None, _offering("--trace", "TRACE", "A trace: id, its beginning, or source file name.", completion.traces)]
TracesOption = Annotated[list[str] | None, _offering("--trace", "TRACE", "A trace; may be given again.", completion.traces)]


def _plain(wanted: bool) -> None:
    if wanted:
        from replay.console import PLAIN_WANTED

        PLAIN_WANTED.set(True)


PlainOption = Annotated[bool, typer.Option("--plain", callback=_plain, help="Print no more than ASCII, and no plots.")]


def _version(wanted: bool) -> None:
    if wanted:
        from replay import __version__

        typer.echo(f"replay {__version__}")
        raise typer.Exit


VersionOption = Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")]
