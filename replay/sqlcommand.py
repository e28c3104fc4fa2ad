"""`replay sql`, which is the shortest of commands: what other commands need is not imported here."""

from __future__ import annotations

import sys

from replay.console import output as opened
from replay.console import show_batches, show_rows
from replay.errors import UsageError
from replay.render import Format
from replay.session import Session, views_script
from replay.store import Store


def sql(store_path: str, query: str | None, form: Format, output: str | None, limit: int | None) -> None:
    """Run a SELECT from the argument, or from stdin for "-"."""
    if query is None:
        raise UsageError("no query", hint="replay sql 'select ...', or - to read it from stdin")
    if query == "-":
        query = sys.stdin.read()
    with Session(Store(store_path)) as session:
        if form in ("table", "json"):
            show_rows(*session.rows(query), form, output, limit)
        elif form in ("csv", "parquet"):
            show_batches(*session.batches(query, plain=form == "parquet"), form, output)


def print_views(store_path: str, output: str | None) -> None:
    """The views as SQL text."""
    text = views_script(Store(store_path))
    with opened(output) as out:
        out.write(text.encode())
