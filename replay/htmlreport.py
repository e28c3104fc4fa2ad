"""What `replay report --html` does: ask the reports, draw the page, write it in one piece."""

from __future__ import annotations

import os

from replay import htmlcharts
from replay.console import output, say
from replay.errors import UsageError
from replay.htmldata import Request, gather
from replay.htmlpage import page
from replay.humane import size
from replay.store import Store


def write_page(store_path: str, request: Request, path: str) -> None:
    """Compare policies in one HTML file, which appears once it is whole."""
    if os.path.isdir(path):
        raise UsageError("is a directory", where=path, hint="name a file, such as out.html")
    forms = htmlcharts.forms()
    text = page(gather(Store(store_path), request), forms, htmlcharts.runtime()).encode()
    with output(path) as out:
        out.write(text)
    say(f"{path}: {size(len(text))}, open it in a browser")
