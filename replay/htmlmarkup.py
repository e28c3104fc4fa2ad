"""Elements of an HTML page. Whatever is not markup already is text, which may come from a trace: it is escaped here."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable

from replay.render import printable


class Html(str):
    """Text that is markup."""

    __slots__ = ()


_VOID = frozenset({"meta", "br"})


def el(tag: str, *children: str | None, **attributes: object) -> Html:
    """An element. In names of attributes `_` stands for `-`, one at the end is dropped; False and None leave an attribute out."""
    opened = "".join(
        f" {name.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escape(str(value))}"')
        for name, value in attributes.items()
        if value is not None and value is not False
    )
    if tag in _VOID:
        return Html(f"<{tag}{opened}>")
    return Html(f"<{tag}{opened}>{join(children)}</{tag}>")


def join(parts: Iterable[str | None], separator: str = "") -> Html:
    """Markup of text and markup; None is nothing."""
    return Html(separator.join(part if isinstance(part, Html) else escape(part) for part in parts if part is not None))


def escape(text: str) -> str:
    """Text as markup; what cannot be printed, or would turn the direction of reading, is shown escaped."""
    return html.escape(printable(text))


def script_json(value: object) -> Html:
    """JSON for a script element, which no text within may end."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return Html(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
