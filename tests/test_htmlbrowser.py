"""The HTML report as a browser shows it: every chart is drawn, nothing is asked of the network, nothing sticks out."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders.browser import chromium, find_chromium

from replay import runs
from replay.htmldata import Request
from replay.htmlreport import write_page
from replay.ingest.pipeline import ingest_file
from replay.store import Store

SAMPLES = Path(__file__).parent.parent / "sample_traces"
DRAWN = "document.documentElement?.classList.contains('drawn')"
WIDTHS = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
MARKS = "svg :is(.mark-line, .mark-rect) path"
EMPTY_CHARTS = f"[...document.querySelectorAll('[data-chart]')].filter(at => !at.querySelector('{MARKS}')).length"
WIDE_CHARTS = "[...document.querySelectorAll('[data-chart] svg')].filter(at => at.getBoundingClientRect().right > innerWidth).length"
SETTLED = "new Promise(done => setTimeout(done, 500))"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    store = Store(folder / "store", create=True)
    trace = ingest_file(store, SAMPLES / "rdma-ext4.dat").entry.id
    runs.run(store, trace)
    runs.run(store, trace, ["lease"], {"lease.app": "10ms", "writeback.service": "123us+1.234us/page"})  # a name that is hard to break
    write_page(str(store.path), Request(), str(folder / "out.html"))
    return folder / "out.html"


@pytest.mark.skipif(find_chromium() is None, reason="no chromium, which shows the page (Debian: apt install chromium)")
def test_the_page_in_a_browser(report: Path, tmp_path: Path) -> None:
    program = find_chromium()
    assert program is not None
    with chromium(program, tmp_path / "profile") as tab:
        tab.resize(1280)
        tab.open(report, DRAWN)
        assert tab.evaluate("document.querySelectorAll('[data-chart]').length") > 0
        for width in (1280, 360):
            tab.resize(width, mobile=width < 500)
            tab.evaluate(SETTLED)  # charts follow the window
            tab.evaluate("document.querySelectorAll('details').forEach(at => { at.open = true })")
            page_width, window_width = tab.evaluate(WIDTHS)
            assert page_width <= window_width <= width
            assert tab.evaluate(EMPTY_CHARTS) == 0
            assert tab.evaluate(WIDE_CHARTS) == 0
        light = tab.evaluate("getComputedStyle(document.body).color")
        tab.prefer("dark")
        assert tab.evaluate("getComputedStyle(document.body).color") != light
        tab.pdf(tmp_path / "out.pdf")
        assert (tmp_path / "out.pdf").read_bytes().startswith(b"%PDF")
        assert tab.problems == []
        assert tab.requests == [report.absolute().as_uri()]
