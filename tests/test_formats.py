"""Event formats, as tracefs shows them, to fields."""

from __future__ import annotations

import pyarrow as pa
import pytest
from builders.tracedat import format_text

from replay.ingest.formats import Place, parse_format
from replay.ingest.rawtables import Part, raw_table, unique_formats


def parse(*fields: tuple[str, int, int, int], long_bytes: int = 8):
    form = parse_format(format_text("probe", 1301, fields), "gup", long_bytes=long_bytes)
    assert form is not None
    return form


def schema_of(*fields: tuple[str, int, int, int], long_bytes: int = 8) -> dict[str, pa.DataType]:
    schema = raw_table(("test", "test"), [Part(0, parse(*fields, long_bytes=long_bytes).fields)]).schema
    return {field.name: field.type for field in list(schema)[8:]}


def test_common_fields_come_first_and_the_print_format_is_no_field() -> None:
    form = parse(("int n", 8, 4, 1))
    assert (form.system, form.name, form.id) == ("gup", "probe", 1301)
    assert [field.name for field in form.fields] == ["common_type", "common_flags", "common_preempt_count", "common_pid", "n"]
    assert form.need_bytes == 12


WORDS = pa.dictionary(pa.int32(), pa.string())


@pytest.mark.parametrize(
    ("declaration", "size", "signed", "expected"),
    [
        ("u8 kind", 1, 0, pa.uint8()),
        ("char state", 1, 1, pa.int8()),
        ("short s", 2, 1, pa.int16()),
        ("umode_t mode", 2, 0, pa.uint16()),
        ("pid_t pid", 4, 1, pa.int32()),
        ("unsigned int flags", 4, 0, pa.uint32()),
        ("loff_t pos", 8, 1, pa.int64()),
        ("unsigned long i_ino", 8, 0, pa.uint64()),
        ("const char * name", 8, 0, pa.uint64()),
        ("struct page *page", 8, 0, pa.uint64()),
        ("bool write", 1, 0, pa.bool_()),
        ("enum writeback_sync_modes mode", 4, 0, pa.uint32()),
        ("char comm[16]", 16, 0, WORDS),
        ("char name[TASK_COMM_LEN]", 16, 0, WORDS),
        ("const char name[32]", 32, 0, WORDS),
        ("char buf[]", 0, 0, WORDS),
        ("__data_loc char[] path", 4, 0, WORDS),
        ("__rel_loc char[] path", 4, 0, WORDS),
        ("__u8 uuid[16]", 16, 0, pa.list_(pa.uint8())),
        ("unsigned char addr[6]", 6, 0, pa.list_(pa.uint8())),
        ("unsigned long args[6]", 48, 0, pa.list_(pa.uint64())),
        ("int old[3]", 12, 1, pa.list_(pa.int32())),
        ("dma_addr_t list[4]", 32, 0, pa.list_(pa.uint64())),
        ("unsigned long caller[]", 0, 0, pa.list_(pa.uint64())),
        ("__data_loc u32[] ids", 4, 0, pa.list_(pa.uint32())),
        ("__data_loc unsigned long[] cpus", 4, 0, pa.list_(pa.uint64())),
        ("__data_loc cpumask_t cpus", 4, 0, pa.list_(pa.uint64())),
        ("struct sockaddr_storage where", 24, 0, pa.list_(pa.uint8())),
    ],
)
def test_types(declaration: str, size: int, signed: int, expected: pa.DataType) -> None:
    [kind] = schema_of((declaration, 8, size, signed)).values()
    assert kind == expected


def test_a_long_array_has_the_kernels_long() -> None:
    assert schema_of(("unsigned long args[3]", 8, 12, 0), long_bytes=4) == {"args": pa.list_(pa.uint32())}


def test_names_with_a_space_before_the_bracket_and_pointers_keep_their_name() -> None:
    assert list(schema_of(("char comm [16]", 8, 16, 0), ("struct page * page", 24, 8, 0))) == ["comm", "page"]


def test_places() -> None:
    form = parse(("__data_loc char[] a", 8, 4, 1), ("__rel_loc char[] b", 12, 4, 1))
    assert [field.place for field in form.fields[4:]] == [Place.DATA_LOC, Place.REL_LOC]


def test_a_field_that_clashes_with_our_columns_is_renamed() -> None:
    names = list(schema_of(("int cpu", 8, 4, 1), ("u64 ts", 16, 8, 0), ("int cpu_field", 24, 4, 1), ("int n", 28, 4, 1)))
    assert names == ["cpu_field_field", "ts_field", "cpu_field", "n"]


def test_fields_without_signed_take_it_from_the_type() -> None:
    text = 'name: old\nID: 7\nformat:\n\tfield:unsigned int a;\toffset:0;\tsize:4;\n\tfield:int b;\toffset:4;\tsize:4;\n\nprint fmt: ""\n'
    form = parse_format(text, "x", long_bytes=8)
    assert form is not None
    assert [field.signed for field in form.fields] == [False, True]


def test_a_trailing_array_may_be_cut_by_the_record() -> None:
    assert parse(("int size", 8, 4, 1), ("unsigned long caller[8]", 16, 64, 0)).need_bytes == 12


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name: x\n",
        "name: x\nID: 70000\nformat:\n\tfield:int a;\toffset:0;\tsize:4;\tsigned:1;\n",
        'name: x\nID: 5\nformat:\n\nprint fmt: ""\n',
        format_text("x", 5, [("int a", 8, 4, 1), ("int b", 10, 4, 1)]),
        format_text("x", 5, [("int a", 70000, 4, 1)]),
        format_text("x", 5, [("__data_loc char[] a", 8, 8, 1)]),
        format_text("x", 5, [("int a", 8, 99999999999, 1)]),
    ],
)
def test_what_cannot_be_decoded_is_refused(text: str) -> None:
    assert parse_format(text, "x", long_bytes=8) is None


def test_events_of_one_name_are_told_apart_by_their_id() -> None:
    texts = [format_text("probe", number, [("int n", 8, 4, 1)]) for number in (1301, 1303)]
    forms = [parse_format(text, "gup", long_bytes=8) for text in texts]
    unique = unique_formats([form for form in forms if form])
    assert [(form.name, form.id) for form in unique] == [("probe", 1301), ("probe_1303", 1303)]
