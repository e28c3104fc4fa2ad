"""Tables that fit their place, and small plots."""

from __future__ import annotations

import pytest

from replay.plot import Plot, Series, draw, spark
from replay.texttable import Head, Look, text_table

HEADS = {
    "policy": Head("policy"),
    "class": Head("class of\nconflict"),
    "op": Head("operation"),
    "pages": Head("pages", "count"),
    "bytes": Head("bytes", "bytes", spare=True),
    "first": Head("first at\ns", "ts", spare=True),
    "longest": Head("longest wait", "ns", "open"),
}
ROWS = [
    {"policy": policy, "class": name, "op": "fallocate", "pages": pages, "bytes": pages * 4096, "first": 22_559_820_414}
    | {"longest": 32_900_000_000, "open": pages > 1000}
    for policy, name, pages in (
        ("hold-off", "truncate_while_pinned", 92),
        ("lease-exclusive", "wb_while_pinned", 13_582),
        ("lease-exclusive", "dirty_after_clean", 3),
    )
]


def widest(text: str) -> int:
    return max(map(len, text.splitlines()))


def test_a_table_that_fits_is_left_as_it_is() -> None:
    whole = text_table(HEADS, ROWS)
    assert ">= 32.9 s (still open)" in whole
    assert text_table(HEADS, ROWS, Look(widest(whole))) == whole


@pytest.mark.parametrize("width", range(43, 130, 3))
def test_every_width_is_kept_and_no_number_is_cut(width: int) -> None:
    text = text_table(HEADS, ROWS, Look(width))
    assert widest(text) <= width
    for row in ROWS:
        assert f"{row['pages']:,}" in text
        assert "32.9 s" in text
    for title, shown in (("first at s", "22.559820"), ("bytes", "53.1 MiB")):
        assert (shown in text) != (f"{title}" in " ".join(text.partition("Left out")[2].split()))


def test_what_is_shared_stands_above_and_what_is_left_out_is_named() -> None:
    assert text_table(HEADS, ROWS, Look(62)).splitlines() == [
        "class of                                              longest",
        "conflict               operation   pages     bytes       wait",
        "---------------------  ---------  ------  --------  ---------",
        "hold-off:",
        "truncate_while_pinned  fallocate      92   368 KiB     32.9 s",
        "lease-exclusive:",
        "wb_while_pinned        fallocate  13,582  53.1 MiB  >= 32.9 s",
        "dirty_after_clean      fallocate       3    12 KiB     32.9 s",
        ">=: had not ended at the end of the trace.",
        "Left out to fit 62 columns: first at s. A wider terminal,",
        "  COLUMNS=200 or --format csv shows all.",
    ]


def test_sentences_go_over_lines_and_spare_columns_go_before_names_are_cut() -> None:
    heads = {"name": Head("name"), "text": Head("what it does"), "source": Head("source", spare=True)}
    rows = [{"name": "lease.timer_rounding", "text": "Added to a lease break's time-out.", "source": "timer wheel of the kernel"}]
    assert text_table(heads, rows, Look(60)).splitlines()[2:] == [
        "lease.timer_rounding  Added to a lease    timer wheel of the",
        "                      break's time-out.   kernel",
    ]
    assert text_table(heads, rows, Look(30)).splitlines()[2:5] == [
        "lease.t…unding  Added to a",
        "                lease break's",
        "                time-out.",
    ]
    assert "lease.t~unding  Added" in text_table(heads, rows, Look(30, unicode=False))


def test_exact_values_stand_row_by_row_where_they_do_not_fit() -> None:
    heads = {"text": Head("text"), "n": Head("n")}
    rows = [{"text": "some words in a row", "n": 7}]
    assert text_table(heads, rows, Look(12), exact=True) == "-- row 1\ntext  some words in a row\nn     7\n"
    assert "-- row" not in text_table(heads, rows, Look(16))


def test_text_for_ascii_has_no_other_bytes() -> None:
    assert Look(80, unicode=False).bytes("µs …") == b"\\xb5s \\u2026"
    assert Look(80).bytes("µs") == "µs".encode()


def test_sparks_show_nothing_known_nothing_and_the_highest() -> None:
    assert spark([0, None, 1, 50, 100], 100) == "· ▁▅█"
    assert spark([0, None, 1, 50, 100], 100, Look(unicode=False)) == ". :*@"
    assert spark([1, 2], 2, width=3) == "▅▅▅███"


def test_plots_share_a_scale_and_name_it() -> None:
    series = [Series("5s", [0, 30_000_000_000]), Series("45s", [15_000_000_000, None])]
    assert draw([Plot("Waits", "ns", series)], "lease.app", ("1ms", "600s"), Look(40)) == (
        "Waits, up to 30 s\n  5s         ······██████\n  45s        ▅▅▅▅▅▅\n  lease.app  1ms     600s\n"
    )
