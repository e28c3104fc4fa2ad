"""Tables for people and for programs."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal

import polars as pl
import pyarrow as pa
import pytest

from replay.humane import duration, instant, quantity, size
from replay.render import Head, Look, plain_table, printable, text_table, write, write_csv


def rendered(table: pa.Table, form: str) -> bytes:
    out = io.BytesIO()
    write(table, form, out)  # type: ignore[arg-type]
    return out.getvalue()


TABLE = pa.table(
    {
        "name": ["plain", 'with "quotes", and commas', None],
        "value": pa.array([1, -7, None], pa.int64()),
        "list": [[1, 2], [], None],
        "share": [0.5, float("nan"), None],
    }
)


def test_csv_is_what_a_csv_reader_expects() -> None:
    rows = list(csv.DictReader(io.StringIO(rendered(TABLE, "csv").decode())))
    assert [row["name"] for row in rows] == ["plain", 'with "quotes", and commas', ""]
    assert [row["value"] for row in rows] == ["1", "-7", ""]
    assert [row["list"] for row in rows] == ["[1, 2]", "[]", ""]


def test_csv_is_the_same_however_the_rows_come() -> None:
    whole = rendered(TABLE, "csv")
    assert (
        whole
        == b"""name,value,list,share
plain,1,"[1, 2]",0.5
"with ""quotes"", and commas",-7,[],nan
,,,
"""
    )
    out = io.BytesIO()
    write_csv(TABLE.column_names, (TABLE.slice(at, 1).to_batches()[0] for at in range(3)), out)
    assert out.getvalue() == whole


def test_csv_of_what_arrow_has_no_text_for() -> None:
    values = {
        "blob": pa.array([b"\xff\x00"]),
        "interval": pa.array([None], pa.month_day_nano_interval()),
        "huge": pa.array([Decimal(2**70)], pa.decimal128(38, 0)),
    }
    assert rendered(pa.table(values), "csv").splitlines()[1] == b"ff00,,1180591620717411303424"


def test_csv_without_special_characters_has_no_quotes() -> None:
    assert rendered(pa.table({"a": ["x"], "b": [2]}), "csv") == b"a,b\nx,2\n"


def test_json_is_one_array_with_plain_numbers() -> None:
    rows = json.loads(rendered(TABLE, "json"))
    assert rows[0] == {"name": "plain", "value": 1, "list": [1, 2], "share": 0.5}
    assert rows[1]["share"] is None
    assert json.loads(rendered(TABLE.slice(0, 0), "json")) == []
    wide = pa.table({"sum": pa.array([Decimal(2**70)], pa.decimal128(38, 0))})
    assert json.loads(rendered(wide, "json")) == [{"sum": 2**70}]


def test_parquet_round_trips_and_names_stay_unique() -> None:
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])
    assert pl.read_parquet(io.BytesIO(rendered(twice, "parquet"))).to_dicts() == [{"x": 1, "x_2": 2}]


def test_text_table_aligns_numbers_right_and_text_left() -> None:
    heads = {"name": Head("name"), "dur": Head("longest\nwait", "ns", "open")}
    rows = [{"name": "a", "dur": 1_500_000, "open": False}, {"name": "bcdefg", "dur": 23_400_000_000, "open": True}]
    assert text_table(heads, rows) == (
        "                       longest\n"
        "name                      wait\n"
        "------  ----------------------\n"
        "a                       1.5 ms\n"
        "bcdefg  >= 23.4 s (still open)\n"
    )


def test_wide_rows_stand_one_below_the_other_on_a_narrow_terminal() -> None:
    table = (["first", "second"], [("x" * 30, "y" * 30)])
    assert plain_table(*table, Look(40)) == f"-- row 1\nfirst   {'x' * 30}\nsecond  {'y' * 30}\n"
    assert plain_table(*table, Look(80)).startswith("first ")


def test_limit_says_what_it_hides() -> None:
    assert plain_table(["a"], ((number,) for number in range(23)), limit=7).endswith("\n6\n(the first 7 rows; --limit 0 shows all)\n")
    assert plain_table(["a"], [(number,) for number in range(7)], limit=7).endswith("\n6\n")


def test_names_of_columns_are_shown_as_they_are_on_one_line() -> None:
    table = (["wide\x1b[31m\n", "a/b"], [(1, 2)])
    assert plain_table(*table) == "wide\\x1b[31m\\n  a/b\n--------------  ---\n             1    2\n"
    assert plain_table(*table, Look(10)) == "-- row 1\nwide\\x1b[31m\\n  1\na/b             2\n"


def test_text_from_a_trace_cannot_steer_the_terminal() -> None:
    assert printable("evil\x1b[2Jname\n") == "evil\\x1b[2Jname\\n"
    assert "\x1b" not in plain_table(["comm"], [("\x1b[31m",)])


@pytest.mark.parametrize(
    ("ns", "text"),
    [(0, "0"), (999, "999 ns"), (1_500, "1.5 us"), (23_400_000_000, "23.4 s"), (599_000_000_000, "599 s"), (660_000_000_000, "11 min")],
)
def test_durations(ns: int, text: str) -> None:
    assert duration(ns) == text


def test_sizes_counts_and_instants() -> None:
    assert [size(value) for value in (0, 1023, 4096, 28 * 1024, 3 * 1024**3)] == ["0", "1023 B", "4 KiB", "28 KiB", "3 GiB"]
    assert quantity(132_863, "count") == "132,863"
    assert quantity(1.2, "block-s") == "1.2"
    assert quantity(None, "ns") == "-"
    assert [quantity(share, "share") for share in (1, 132_862 / 132_863, 0.99999999, 0.5)] == ["1", "0.999992", "0.999999", "0.500000"]
    assert instant(9_876_543_123_456_789) == "9876543.123456"
