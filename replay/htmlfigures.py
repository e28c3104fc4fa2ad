"""Charts of the HTML page: their places, legends, captions, and what they say to those who do not see them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from replay.htmldata import Row, label
from replay.htmlmarkup import Html, el

# Policies of one chart differ in colour, and those next to each other in their dashes.
_DASHES = ([1, 0], [7, 3], [2, 2], [9, 3, 2, 3])
SOFT = "var(--soft)"


@dataclass(frozen=True, slots=True)
class Line:
    """How the runs of one label are drawn."""

    name: str
    hue: str
    dash: Sequence[int]

    @property
    def fields(self) -> dict[str, Any]:
        return {"name": self.name, "hue": self.hue, "dash": self.dash}


@dataclass(frozen=True, slots=True)
class Drawing:
    """The colours of policies, and what the script draws: for each chart its form, rows and parameters, in the order of the places."""

    hues: Mapping[str, str]
    charts: list[dict[str, Any]] = field(default_factory=list)

    def place(self, form: str, rows: Sequence[Mapping[str, Any]], alternative: str, **values: Any) -> Html:
        """An element that the chart is drawn into, with a text in its place for screen readers."""
        inner = el("div", "", class_="plot", data_chart=len(self.charts))
        self.charts.append({"form": form, "rows": rows, "values": values})
        return el("div", inner, class_=f"chart {form}", role="img", aria_label=alternative)

    def hue(self, policy: object) -> str:
        return self.hues.get(str(policy), SOFT)

    def lines(self, rows: Sequence[Row]) -> dict[str, Line]:
        """One line for each label, in order of appearance."""
        names = {label(row): str(row["policy"]) for row in rows}
        return {line.name: line for line in self.named(names.items())}

    def named(self, names: Iterable[tuple[str, str]]) -> list[Line]:
        """A line for each name and its policy."""
        return [Line(name, self.hue(policy), _DASHES[number % len(_DASHES)]) for number, (name, policy) in enumerate(names)]


def legend(lines: Sequence[Line]) -> Html:
    keys = []
    for line in lines:
        dash = " ".join(map(str, line.dash))
        stroke = el("line", "", x1=0, y1=5, x2=28, y2=5, stroke=line.hue, stroke_width=2, stroke_dasharray=dash)
        keys.append(el("li", el("svg", stroke, width=28, height=10, aria_hidden="true", focusable="false"), line.name))
    return el("ul", *keys, class_="legend")


def strengths(names: Mapping[str, float]) -> Html:
    """A legend of how strong a colour is."""
    keys = [
        el("li", el("span", "", class_="swatch", style=f"opacity:{strength}", aria_hidden="true"), name) for name, strength in names.items()
    ]
    return el("ul", *keys, class_="legend")


def figure(title: str | Html, *content: Html | None, note: str | None = None) -> Html:
    """A chart under its caption."""
    caption = el("figcaption", el("strong", title), el("span", note, class_="note") if note else None)
    return el("figure", caption, *content)


def data(summary: str | Html, *tables: Html) -> Html:
    """Numbers for whoever wants or needs them; on paper only their summary."""
    return el("details", el("summary", summary), *tables, class_="data")


def steps(rows: Sequence[Row], value: str, scale: int = 10**9) -> list[tuple[float, float]]:
    """Points of a step line over intervals of a trace (columns after_ns and width_ns), down to zero between those that have nothing."""
    points: list[tuple[float, float]] = []
    end = 0
    for row in rows:
        if row["after_ns"] > end:
            points.append((end / scale, 0))
        points.append((row["after_ns"] / scale, float(f"{row[value]:.6g}")))
        end = row["after_ns"] + row["width_ns"]
    return [*points, (end / scale, 0)]


def listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
