"""Options that several commands take."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

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
TraceOption = Annotated[
    str | None,
    typer.Option("--trace", metavar="TRACE", help="A trace: id, its beginning, or source file name.", autocompletion=completion.traces),
]
JobsOption = Annotated[int | None, typer.Option("--jobs", "-j", min=1, metavar="N", help="Threads; default: one per CPU.")]
PolicyFileOption = Annotated[
    str | None, typer.Option("--policy-file", metavar="FILE", help="TOML with policies of your own: a table [policy.NAME] for each.")
]
PoliciesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--policy",
        metavar="NAME",
        help="A policy, or several joined by +; may be given again. Default: every built-in one.",
        autocompletion=completion.policies,
    ),
]
ParamsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        metavar="NAME=VALUE",
        help="A parameter, such as lease.app=5ms; may be given again.",
        autocompletion=completion.parameters,
    ),
]
ReplayedPolicyOption = Annotated[
    str | None,
    typer.Option("--policy", metavar="NAME", help="Only runs of this policy; default: all.", autocompletion=completion.replayed_policies),
]
SweptPoliciesOption = Annotated[
    list[str],
    typer.Option(
        "--policy",
        metavar="NAME",
        help="A policy, or several joined by +; may be given again.",
        autocompletion=completion.policies,
    ),
]
SweptParamsOption = Annotated[
    list[str],
    typer.Option(
        "--param",
        metavar="NAME=VALUES",
        help="Values, with commas; A..B:N is N values from A to B.",
        autocompletion=completion.swept_parameters,
    ),
]
ReplayedParamsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        metavar="NAME=VALUE",
        help="Only runs with this parameter; may be given again.",
        autocompletion=completion.parameters,
    ),
]
TracesOption = Annotated[
    list[str] | None,
    typer.Option("--trace", metavar="TRACE", help="A trace; may be given again.", autocompletion=completion.traces),
]


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
