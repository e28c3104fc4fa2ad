"""The HTML report: loads nothing, escapes everything, and has the numbers of the reports."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from builders.stores import TRACE, add_run, add_trace, answer

from replay import htmlcharts, reports
from replay.cli import main
from replay.htmldata import Request, gather
from replay.htmlpage import page
from replay.policies import BY_NAME
from replay.render import cell
from replay.store import Store

HOSTILE = "</script><script>alert(1)</script>\"'&<!--\x1b[31m\u202e"
VOID = {"meta", "br"}
KNOWN = (
    " a body caption code details div figcaption figure footer h1 h2 h3 head header html li line main meta nav"
    " noscript p script section span strong style summary svg table tbody td th thead title tr ul "
)


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]
    children: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    def all(self, tag: str = "") -> list[Element]:
        inner = [child for child in self.children if isinstance(child, Element)]
        return [self] * bool(self.tag and tag in ("", self.tag)) + [found for child in inner for found in child.all(tag)]


class Tree(HTMLParser):
    """The page as elements; an element that is not closed, or closed twice, is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open = [Element("", {})]
        self.feed(text)
        self.close()
        assert len(self.open) == 1, [element.tag for element in self.open]

    @property
    def root(self) -> Element:
        return self.open[0]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs))
        assert len(element.attributes) == len(attrs)
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


@pytest.fixture(scope="module")
def runtime() -> str:
    return htmlcharts.runtime()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store", create=True)
    tasks = [{"tid": tid, "comm": HOSTILE, "kthread": False, "events": 1} for tid in (10, 20)]
    mrs = [{"mr": 0, "label": HOSTILE, "tid": 10}]
    add_trace(store, source=HOSTILE, tables={"tasks": tasks, "mrs": mrs}, ts_last=1_000_000)
    row = {"ts": 5, "file": HOSTILE, "index": 3, "npages": 7, "pin": 0, "mr": 0, "op": "fsync"}
    conflict = {**row, "class": "wb_while_pinned", "risk": "corruption", "bytes": 28672, "culprit_tid": 10, "victim_tid": 20}
    stall = {**row, "dur": 5_000_000, "unbounded": True, "role": "app", "tid": 20}
    series = [{"metric": "bounce_bytes", "unit": "bytes", "ts": 0, "dur": 1_000_000, "value": 4096.0}]
    costs = [{"metric": "bounce_bytes", "unit": "bytes", "value": 4096.0}]
    tables = {"conflicts": [conflict], "stalls": [stall], "series": series, "costs": costs}
    add_run(store, "r1", "none", tables=tables)
    add_run(store, "r2", HOSTILE, params=json.dumps({"lease.app": "5ms"}), tables=tables)
    add_run(store, "r3", "odp")
    return store


def made(store: Store, runtime: str, trace: str | None = None, policy: str | None = None) -> str:
    return page(gather(store, Request(trace, policy)), htmlcharts.forms(), runtime)


def test_nothing_is_loaded(store: Store, runtime: str) -> None:
    root = Tree(made(store, runtime)).root
    for element in root.all():
        assert f" {element.tag} " in KNOWN
        assert not element.attributes.keys() & {"src", "srcset", "action", "formaction", "data", "poster", "background"}
        assert not any(name.startswith("on") for name in element.attributes)
        assert element.attributes.get("href", "#").startswith("#")
        assert "url(" not in (element.attributes.get("style") or "")
    (style,) = root.all("style")
    assert "url(" not in style.text
    assert "@import" not in style.text
    (policy,) = (meta.attributes["content"] for meta in root.all("meta") if "http-equiv" in meta.attributes)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy


def test_names_of_a_trace_stay_text(store: Store, runtime: str) -> None:
    text = made(store, runtime)
    assert "\x1b" not in text
    assert "\u202e" not in text
    root = Tree(text).root
    data, library, ours = root.all("script")
    assert (library.text, data.attributes["type"]) == (runtime, "application/json")
    assert "querySelectorAll" in ours.text
    drawn = json.loads(data.text)
    assert any(row["name"].startswith("</script>") for chart in drawn["charts"] for row in chart["rows"] if "name" in row)
    shown = [found.text for found in root.all("td") + root.all("th") if "alert(1)" in found.text]
    assert len(shown) >= 4
    assert all("</script><script>alert(1)</script>\"'&<!--\\x1b[31m\\u202e" in found for found in shown)


def test_headline_has_the_numbers_of_the_overview(store: Store, runtime: str) -> None:
    table = Tree(made(store, runtime)).root.all("table")[0]
    heads = {column.name: column.head for column in reports.load("overview").columns}
    names = ("at_risk_bytes", "lost_pages", "stalls", "longest_ns", "total_ns", "unbounded")
    rows = [row.all("td") for row in table.all("tbody")[0].all("tr")]
    assert [[found.text for found in row] for row in rows] == [
        [cell(row, name, heads[name]) for name in names] for row in answer(store, "overview")
    ]
    assert rows[0][3].text == ">= 5 ms (still open)"


def test_the_chart_of_waits_agrees_with_the_waits(tmp_path: Path, runtime: str) -> None:
    store = Store(tmp_path / "waits", create=True)
    add_trace(store, ts_last=10**12)
    lengths = [251_000, *[1_500_000] * 12, 32_000_000_000]
    stalls = [{"ts": 1, "dur": dur, "unbounded": False, "op": "fsync", "role": "app", "tid": 1} for dur in lengths]
    add_run(store, "r1", "lease", tables={"stalls": stalls})
    (chart,) = json.loads(Tree(made(store, runtime)).root.all("script")[0].text)["charts"][:1]
    points = [(row["ns"], row["n"]) for row in chart["rows"]]
    assert [count for _, count in points] == [14, 13, 13, 1, 1, 1]
    # Where a step begins it has the waits that are as long or longer; the last one ends where its interval does.
    assert all(count == sum(dur >= ns for dur in lengths) for ns, count in points[:-1])
    assert points[-1][0] > max(lengths)


def test_elements_that_a_screen_reader_needs(store: Store, runtime: str) -> None:
    root = Tree(made(store, runtime)).root
    assert root.all("html")[0].attributes["lang"] == "en"
    ids = [element.attributes["id"] for element in root.all() if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    assert {link.attributes["href"][1:] for link in root.all("a")} <= set(ids)
    assert len(root.all("main")) == len(root.all("h1")) == len(root.all("nav")) == 1
    levels = [int(element.tag[1]) for element in root.all() if element.tag in {"h1", "h2", "h3"}]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    for table in root.all("table"):
        assert table.all("caption")[0].text
        assert all(head.attributes["scope"] in {"col", "row"} for head in table.all("th"))
    charts = [element for element in root.all("div") if element.attributes.get("role") == "img"]
    assert len(charts) == len([element for element in root.all() if "data-chart" in element.attributes]) > 0
    assert all(len(chart.attributes["aria-label"] or "") > 20 for chart in charts)


def test_the_same_store_gives_the_same_bytes(store: Store, runtime: str) -> None:
    assert made(store, runtime) == made(store, htmlcharts.runtime())


def test_losses_come_before_everything_else(tmp_path: Path, runtime: str) -> None:
    store = Store(tmp_path / "lossy", create=True)
    lost = {"counter": "kernel_lost_events", "cpu": 0, "severity": "data_loss", "count": 5, "total": 10}
    lost |= {"meaning": "Records that the kernel dropped.", "advice": "Enlarge the buffer."}
    add_trace(store, losses=[lost], tables={"losses": [lost]})
    add_run(store, "r1", "none")
    root = Tree(made(store, runtime)).root
    (note,) = (element for element in root.all("div") if element.attributes.get("role") == "note")
    assert "kernel lost events 5 of 10 (50.0%)" in note.text
    text = root.text
    assert text.index("Enlarge the buffer") < text.index("What each policy costs")
    for number in range(9):
        add_run(store, f"s{number}", "lease", params=json.dumps({"lease.app": f"{number + 1}s"}))
    (note,) = (element for element in Tree(made(store, runtime)).root.all("div") if element.attributes.get("role") == "note")
    assert "more choice" not in note.text


def test_a_page_without_conflicts_stalls_and_costs(tmp_path: Path, runtime: str) -> None:
    store = Store(tmp_path / "calm", create=True)
    add_trace(store, ts_first=None, ts_last=None)
    add_run(store, "r1", "none")
    root = Tree(made(store, runtime)).root
    assert "No policy made any task wait" in root.text
    assert json.loads(root.all("script")[0].text)["charts"] == []


def test_parameters_of_which_there_are_several_values(tmp_path: Path, runtime: str) -> None:
    store = Store(tmp_path / "swept", create=True)
    add_trace(store)
    for number, (app, rounds, dur) in enumerate([("1ms", "2", 5), ("2s", "2", 7_000_000_000), ("0", "2", 3), ("2s", "3", 9)]):
        stall = {"ts": 1, "dur": dur, "unbounded": False, "op": "fsync", "role": "app", "tid": 1, "npages": 1}
        params = json.dumps({"lease.app": app, "lease.rounds": rounds})
        add_run(store, f"r{number}", "lease", params=params, tables={"stalls": [stall]})
    root = Tree(made(store, runtime)).root
    charts = json.loads(root.all("script")[0].text)["charts"]
    drawn = [[(row["name"], row["at"], row["value"]) for row in chart["rows"]] for chart in charts if chart["form"] == "outcomes"]
    by_app = [("lease", 1_000_000, 5e-9), ("lease", 2_000_000_000, 7.0)]  # a scale of powers of ten has no place for 0
    assert drawn == [by_app, by_app]  # the longest, and all together
    (counted, _) = ([(row["name"], row["at"]) for row in chart["rows"]] for chart in charts if chart["form"] == "counted")
    assert counted == [("lease lease.app=2s", 2), ("lease lease.app=2s", 3)]
    assert "The scale has no place for 0" in root.text
    add_run(store, "r9", "none")
    assert "replay sweep --policy lease" in Tree(made(store, runtime, policy="none")).root.text


def test_the_page_stays_small_however_many_conflicts_there_are(tmp_path: Path, runtime: str) -> None:
    store = Store(tmp_path / "large", create=True)
    add_trace(store, ts_last=10**12)
    rows = [
        {"ts": number * 10**8, "class": "wb_while_pinned", "risk": "corruption", "op": "fsync", "file": f"8:1:{number}", "index": 0}
        | {"npages": 1, "bytes": 4096, "pin": number, "mr": number, "culprit_tid": number, "victim_tid": number}
        for number in range(10_000)
    ]
    stalls = [{"ts": row["ts"], "dur": row["ts"], "unbounded": False, "op": "fsync", "role": "app", "tid": row["pin"]} for row in rows]
    for number, policy in enumerate(BY_NAME):
        add_run(store, f"r{number}", policy, tables={"conflicts": rows, "stalls": stalls})
    assert len(made(store, runtime)) - len(runtime) < 300_000


def test_a_page_of_one_trace_and_policy(store: Store, runtime: str) -> None:
    add_trace(store, "t2", "other.dat")
    add_run(store, "r9", "none", "t2")
    root = Tree(made(store, runtime, TRACE, "none")).root
    table = root.all("table")[0]
    assert [row.all("th")[0].text for row in table.all("tbody")[0].all("tr")] == ["none"]
    assert "other.dat" not in root.text


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_the_file_appears_whole_or_not_at_all(
    store: Store, tmp_path: Path, runtime: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(htmlcharts, "runtime", lambda: runtime)
    out = tmp_path / "out.html"
    assert run("report", "--store", store.path, "--html", out) == 0
    assert out.read_text(encoding="utf-8") == made(store, runtime)
    assert run("report", "--store", store.path, "--html", tmp_path / "missing" / "out.html") == 1
    assert run("report", "--store", store.path, "--html", tmp_path) == 2
    assert run("report", "stalls", "--store", store.path, "--html", out) == 2
    assert run("report", "--store", tmp_path / "none", "--html", out) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines[1:]] == ["replay"] * 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.html", "store"]


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "altair", None)
    assert run("report", "--store", store.path, "--html", store.path.parent / "out.html") == 1
    assert capsys.readouterr().err == "replay: charts need altair, which is not installed (pip install 'replay[html]')\n"
