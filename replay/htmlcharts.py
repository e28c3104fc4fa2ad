"""The forms of the report's charts, by Vega-Altair, and the one copy of the runtime that draws them.

A form has no data of its own: the page gives each chart its rows (dataset `rows`) and the values of its parameters. Colours are
CSS variables, so that a chart follows the page into the dark and onto paper.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from replay.errors import ReplayError

if TYPE_CHECKING:
    import altair as alt

_FONT = "system-ui, sans-serif"
_HEIGHT = 240
_CELL_HEIGHT = 56
_CONFIG: dict[str, Any] = {
    "aria": False,  # the figure has a text alternative and a table; a thousand named marks are of no help
    "background": "transparent",
    "font": _FONT,
    "padding": 2,
    "axis": {
        "domainColor": "var(--line)",
        "tickColor": "var(--line)",
        "gridColor": "var(--line)",
        "gridOpacity": 0.6,
        "labelColor": "var(--soft)",
        "titleColor": "var(--soft)",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "labelFont": _FONT,
        "titleFont": _FONT,
    },
    "view": {"stroke": None},
}
# Of the power of ten of a duration in ns, of a time in s, and of an amount.
_NS_LABEL = (
    "datum.value >= 9 ? format(pow(10, datum.value - 9), '~g') + ' s' : "
    "datum.value >= 6 ? format(pow(10, datum.value - 6), '~g') + ' ms' : "
    "datum.value >= 3 ? format(pow(10, datum.value - 3), '~g') + ' us' : format(pow(10, datum.value), '~g') + ' ns'"
)
_SECONDS_LABEL = "format(datum.value, '~g') + ' s'"
_AMOUNT_LABEL = "datum.value && abs(datum.value) < 1 ? format(datum.value, '.2~g') : format(datum.value, '.3~s')"


def runtime() -> str:
    """Vega-Embed with all that it needs as one script, which sets window.vegaEmbed."""
    script: str = _library("vl_convert").javascript_bundle("window.vegaEmbed = vegaEmbed;")
    if "</script" in script.lower() or "<!--" in script:
        raise ReplayError("this version of vl-convert-python has a runtime that cannot stand inside a page")
    return script


def forms() -> dict[str, Any]:
    """Every form by name, in Vega-Lite."""
    _library("altair")
    charts = {"stalls": _stalls(), "pages": _pages(), "amounts": _amounts(), "outcomes": _outcomes("ns")}
    charts["counted"] = _outcomes("")
    return {name: _without_schema(chart.properties(width="container").configure(**_CONFIG).to_dict()) for name, chart in charts.items()}


def _without_schema(spec: dict[str, Any]) -> dict[str, Any]:
    """The page loads nothing: not even an address may look as if it did."""
    return {name: value for name, value in spec.items() if name != "$schema"}


def _library(name: str) -> Any:
    """A library that only this report needs."""
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        missing = error.name or name
        raise ReplayError(f"charts need {missing}, which is not installed", hint="pip install 'replay[html]'") from None


def _hue() -> alt.Color:
    import altair as alt

    return alt.Color("hue:N", scale=None)


def _dash() -> alt.StrokeDash:
    import altair as alt

    return alt.StrokeDash("dash:N", scale=None)


def _stalls() -> alt.Chart:
    """How many waits last at least so long: both axes by powers of ten, a step line for each policy."""
    import altair as alt

    # Logarithms on linear scales: log scales label and draw every digit between two powers.
    powers = {"x": "log(datum.ns) / LN10", "y": "log(datum.n) / LN10"}
    x = alt.X("x:Q", title="waited at least", scale=alt.Scale(zero=False), axis=alt.Axis(labelExpr=_NS_LABEL, tickMinStep=1))
    y = alt.Y("y:Q", title="waits", axis=alt.Axis(labelExpr="format(pow(10, datum.value), '~s')", tickMinStep=1))
    line = alt.Chart(alt.NamedData("rows"), height=_HEIGHT).mark_line(interpolate="step-after", strokeWidth=2)
    chart: alt.Chart = line.transform_calculate(**powers).encode(x, y, _hue(), _dash(), detail="name:N", order="x:Q")
    return chart


def _seconds(**more: Any) -> alt.X:
    """The time of a trace, from its first event to the end that parameter `span` gives."""
    import altair as alt

    scale = alt.Scale(domain=[0, alt.ExprRef("span")], nice=False)
    return alt.X("from:Q", title=None, scale=scale, axis=alt.Axis(labelExpr=_SECONDS_LABEL, tickCount=4, grid=False), **more)


def _pages() -> alt.Chart:
    """Pages of conflicts in each interval of a trace, under one policy; the graver the risk the stronger the colour."""
    import altair as alt

    y = alt.Y("pages:Q", stack="zero", title=None, axis=alt.Axis(labelExpr=_AMOUNT_LABEL, tickCount=2, domain=False, minExtent=34))
    bars = alt.Chart(alt.NamedData("rows"), height=_CELL_HEIGHT).mark_bar(fill=alt.ExprRef("hue"), binSpacing=0)
    strength, order = alt.FillOpacity("strength:Q", scale=None), alt.Order("strength:Q", sort="descending")
    chart: alt.Chart = bars.encode(_seconds(bin="binned"), alt.X2("to:Q"), y, strength, order=order)
    return chart.add_params(alt.param(name="span", value=1), alt.param(name="hue", value="var(--soft)"))


def _amounts() -> alt.Chart:
    """One cost in each interval of a trace, a step line for each policy."""
    import altair as alt

    y = alt.Y("value:Q", title=None, axis=alt.Axis(labelExpr=_AMOUNT_LABEL, tickCount=3, domain=False, minExtent=34))
    line = alt.Chart(alt.NamedData("rows"), height=_CELL_HEIGHT * 2).mark_line(interpolate="step-after", strokeWidth=1.5)
    chart: alt.Chart = line.encode(_seconds(), y, _hue(), _dash(), detail="name:N", order="from:Q")
    return chart.add_params(alt.param(name="span", value=1))


def _outcomes(unit: Literal["ns", ""]) -> alt.Chart:
    """What becomes of an outcome as one parameter, a duration or a number, grows by powers of ten."""
    import altair as alt

    label = _NS_LABEL if unit else "format(pow(10, datum.value), '~s')"
    x = alt.X("x:Q", title=None, scale=alt.Scale(zero=False, nice=False), axis=alt.Axis(labelExpr=label, tickMinStep=1, grid=False))
    y = alt.Y("value:Q", title=None, axis=alt.Axis(labelExpr=_AMOUNT_LABEL, tickCount=3, domain=False, minExtent=34))
    line = alt.Chart(alt.NamedData("rows"), height=_CELL_HEIGHT * 2)
    points = line.mark_line(strokeWidth=1.5, point=alt.OverlayMarkDef(size=24, filled=True))
    powers = points.transform_calculate(x="log(datum.at) / LN10")
    chart: alt.Chart = powers.encode(x, y, _hue(), _dash(), detail="name:N", order="x:Q")
    return chart
