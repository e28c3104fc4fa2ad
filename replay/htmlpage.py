"""The HTML report's page: one file that loads nothing, whatever the names in a trace are."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from replay import __version__
from replay.htmldata import Findings, hues
from replay.htmlfigures import Drawing
from replay.htmlmarkup import Html, el, join, script_json
from replay.htmlsections import SECTIONS, Section


def page(found: Findings, forms: Mapping[str, Any], runtime: str) -> str:
    """The whole page. The same findings make the same bytes: it has neither dates nor random names."""
    drawing = Drawing(hues([str(row["policy"]) for row in found.rows("overview")]))
    chapters = [(section, section.make(found, drawing)) for section in SECTIONS]
    used = {chart["form"] for chart in drawing.charts}
    drawn = {"forms": {name: form for name, form in forms.items() if name in used}, "charts": drawing.charts}
    style, script = (Html(_resource(name)) for name in ("report.css", "report.js"))
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=_content_policy(runtime, script)),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", name="generator", content=f"replay {__version__}"),
        el("title", f"{found.overview.report.title}: {found.overview.about}"),
        el("style", style),
    )
    links = (el("li", el("a", section.title, href=f"#{section.name}")) for section, _ in chapters)
    contents = el("nav", el("ul", *links), aria_label="Contents")
    body = el(
        "body",
        el("a", "Skip to the comparison", href="#main", class_="skip"),
        el("header", el("h1", found.overview.report.title), el("p", found.overview.about, class_="subject"), _trust(found), contents),
        el("noscript", el("p", "Charts need JavaScript; the tables below each of them have the same numbers.", class_="alert")),
        el("main", *(_chapter(section, content) for section, content in chapters), id="main"),
        el(
            "footer",
            el("p", f"Made by replay {__version__}. The numbers are those of ", el("code", "replay report"), " on the same store."),
        ),
        el("script", script_json(drawn), type="application/json", id="charts"),
        el("script", Html(runtime)),
        el("script", script),
    )
    return "<!DOCTYPE html>\n" + el("html", head, body, lang="en") + "\n"


def _chapter(section: Section, content: Html) -> Html:
    return el("section", el("h2", section.title, id=section.name), content, aria_labelledby=section.name)


def _trust(found: Findings) -> Html:
    """How far to trust it: where something was lost, that comes before everything else."""
    doubts = [el("p", line) for line in found.caveats]
    if found.is_lossy:
        shown = el("div", el("h2", "This comparison has losses"), *doubts, class_="alert", role="note")
    else:
        shown = el("div", *doubts, class_="note")
    return join([shown, *(el("p", line, class_="note") for line in found.notes)])


def _resource(name: str) -> str:
    return files("replay").joinpath(name).read_text(encoding="utf-8")


def _content_policy(*scripts: str) -> str:
    """Nothing is loaded, and no script runs but these: not even one that a name in a trace were to smuggle in."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{text}'" for text in hashes)
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
