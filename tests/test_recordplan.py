"""Which probes a kernel gets: fabricated kernels in, lines for tracefs and commands out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from replay.btf import Layout, Member
from replay.ingest.mappings import MAPPINGS, find
from replay.kernel import describe
from replay.probes import GROUP, PROBES, Version
from replay.recorder import Request, arguments, script
from replay.recordplan import Kernel, Plan, make_plan
from replay.tracepoints import TRACEPOINTS

LAB = Path(__file__).parent.parent / "sample_traces" / "lab"
TRACING = Path("/sys/kernel/tracing")
VERSIONS = ((5, 10), (6, 1), (6, 5), (6, 12), (6, 18))
# Where members of these kernels' structures lie, as their own BTF tells it (pahole).
FOLIO = {"flags": Member(0, ""), "mapping": Member(24, "address_space"), "index": Member(32, ""), "_refcount.counter": Member(52, "")}
FILE_INODE = {(5, 10): 32, (6, 1): 32, (6, 5): 168, (6, 12): 40, (6, 18): 32}
FIRST_PAGE = {
    (6, 1): {"_folio_order": Member(81, ""), "_pincount.counter": Member(88, "")},
    (6, 5): {"_flags_1": Member(64, ""), "_pincount.counter": Member(92, "")},
    (6, 12): {"_flags_1": Member(64, ""), "_pincount.counter": Member(92, "")},
    (6, 18): {"_flags_1": Member(64, ""), "_pincount.counter": Member(92, ""), "flags.f": Member(0, "")},
}


def layout(version: Version) -> Layout:
    members = {
        "page": {**FOLIO, "compound_head": Member(8, "")},
        "address_space": {"host": Member(0, "inode")},
        "inode": {"i_sb": Member(40, "super_block"), "i_ino": Member(64, "")},
        "super_block": {"s_dev": Member(16, "")},
        "file": {"f_inode": Member(FILE_INODE[version], "inode")},
    }
    if version in FIRST_PAGE:
        members["folio"] = {**FOLIO, **FIRST_PAGE[version]}
    return Layout(members, {"PG_head": 16 if version < (6, 10) else 6})


def kernel(version: Version, machine: str = "x86_64", *, btf: bool = True, **more: object) -> Kernel:
    """A kernel that has all that its version can have."""
    has = [form.symbol for probe in PROBES for form in probe.forms if form.since <= version < form.until]
    newer = version >= (5, 18)
    events = {f"{row.system}:{names.split('|')[0 if newer else -1]}" for row in TRACEPOINTS for names in row.events}
    facts = {
        "functions": frozenset(has),
        "tracepoints": frozenset(events),
        "layout": layout(version) if btf else None,
        "fprobes": version >= (6, 5),
        "named_arguments": btf and version >= (6, 6),
        **more,
    }
    return Kernel(f"{version[0]}.{version[1]}.0-test", machine, **facts)  # type: ignore[arg-type]


def lines(plan: Plan) -> dict[str, str]:
    return {definition.event: definition.lines[0] for definition in plan.definitions}


def fields(line: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in line.split()[2:])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("btf", [True, False])
def test_ingest_knows_every_probe_and_tracepoint(version: Version, machine: str, btf: bool) -> None:
    plan = make_plan(kernel(version, machine, btf=btf))
    for event, line in lines(plan).items():
        assert line.split()[0].partition(":")[2] == f"{GROUP}/{event}"
        assert find(GROUP, event, frozenset(fields(line))) is not None, line
    assert {name.partition(":")[0] for name in plan.tracepoints} == {row.system for row in TRACEPOINTS}
    if btf:
        assert not plan.missing
        assert set(lines(plan)) >= {"mmap_region", "pin_user_pages_fast_ret", "ib_umem_get", "folio_start_writeback", "folio_end_writeback"}


def test_every_tracepoint_with_a_meaning_is_enabled() -> None:
    """But for what old kernels alone have beside others, what perf tells, and what each read and write through iomap would add."""
    enabled = {(row.system, name) for row in TRACEPOINTS for names in row.events for name in names.split("|")}
    meant = {(system, event) for mapping in MAPPINGS for system in mapping.systems for event in mapping.events if system != "perf"}
    assert meant - enabled == {("fs_dax", "dax_insert_mapping"), ("fs_dax", "dax_pmd_insert_mapping"), ("iomap", "iomap_iter")}


@pytest.mark.parametrize(
    ("version", "machine", "btf", "line"),
    [
        (
            (5, 10),
            "x86_64",
            True,
            "__test_set_page_writeback page=$arg1:x64 ino=+64(+0(+24($arg1))):u64 index=+32($arg1):u64 refs=+52($arg1):s32",
        ),
        (
            (6, 1),
            "aarch64",
            False,
            (
                "__folio_start_writeback folio=$arg1:x64 ino=+64(+0(+24($arg1))):u64 index=+32($arg1):u64 refs=+52($arg1):s32 "
                "head=+0($arg1):b1@16/32 order=+81($arg1):u8 pincount=+88($arg1):s32"
            ),
        ),
        (
            (6, 5),
            "x86_64",
            True,
            (
                "__folio_start_writeback folio=$arg1:x64 ino=+64(+0(+24($arg1))):u64 index=+32($arg1):u64 refs=+52($arg1):s32 "
                "head=+0($arg1):b1@16/32 order=+64($arg1):b8@0/64 pincount=+92($arg1):s32"
            ),
        ),
        (
            (6, 12),
            "aarch64",
            True,
            (
                "__folio_start_writeback folio=folio:x64 ino=folio->mapping->host->i_ino:u64 index=folio->index:u64 "
                "refs=folio->_refcount.counter:s32 head=folio->flags:b1@6/32 order=folio->_flags_1:b8@0/64 "
                "pincount=folio->_pincount.counter:s32"
            ),
        ),
        (
            (6, 18),
            "x86_64",
            True,
            (
                "__folio_start_writeback folio=folio:x64 ino=folio->mapping->host->i_ino:u64 index=folio->index:u64 "
                "refs=folio->_refcount.counter:s32 head=folio->flags.f:b1@6/32 order=folio->_flags_1:b8@0/64 "
                "pincount=folio->_pincount.counter:s32"
            ),
        ),
    ],
)
def test_the_kernel_decides_how_a_folio_is_read(version: Version, machine: str, btf: bool, line: str) -> None:
    plan = make_plan(kernel(version, machine, btf=btf))
    assert lines(plan)["folio_start_writeback"] == f"p:{GROUP}/folio_start_writeback {line}"


@pytest.mark.parametrize(("version", "btf"), [((6, 5), True), ((6, 5), False), ((6, 12), True)])
def test_a_page_of_a_folio_is_read_through_its_first_one(version: Version, btf: bool) -> None:
    """compound_head is its address with bit 0 set, which the kernel follows by offsets only."""
    found = fields(lines(make_plan(kernel(version, btf=btf)))["unpin_user_page"])
    assert found["head_mapping"] == "+23(+8($arg1)):x64"
    assert found["head_dev"] == "+16(+40(+0(+23(+8($arg1))))):u32"
    assert found["head_index"] == "+31(+8($arg1)):u64"
    assert found["compound"] == ("page->compound_head:x64" if version >= (6, 6) else "+8($arg1):x64")
    assert "unpin_user_page" not in lines(make_plan(kernel((6, 1))))
    assert [version for version in VERSIONS if "unpin_user_folio" in lines(make_plan(kernel(version)))] == [(6, 12), (6, 18)]


def test_registers_where_arguments_have_no_numbers() -> None:
    for machine, registers in (("x86_64", "%di %si %dx %cx"), ("aarch64", "%x0 %x1 %x2 %x3")):
        plan = make_plan(kernel((6, 1), machine, btf=False, numbered_arguments=False))
        found = fields(lines(plan)["ib_umem_get"])
        assert [text.partition(":")[0] for text in found.values()] == registers.split()
    assert not make_plan(kernel((6, 1), "riscv64", btf=False, numbered_arguments=False)).definitions


def test_names_come_with_offsets_in_case_the_kernel_refuses_them() -> None:
    plan = make_plan(kernel((6, 12)))
    mapped = next(definition for definition in plan.definitions if definition.event == "mmap_region")
    assert [fields(line)["ino"] for line in mapped.lines] == ["file->f_inode->i_ino:u64", "+64(+40($arg1)):u64"]


def test_an_argument_that_moved_is_found_by_its_name() -> None:
    moved = layout((6, 1))
    moved.arguments["ib_umem_get"] = ("udata", "device", "addr", "size", "access")
    found = fields(lines(make_plan(kernel((6, 1), layout=moved)))["ib_umem_get"])
    assert found == {"dev": "$arg2:x64", "addr": "$arg3:x64", "size": "$arg4:u64", "access": "$arg5:x32"}
    moved.arguments["ib_umem_get"] = ("attributes",)
    plan = make_plan(kernel((6, 1), layout=moved))
    assert "ib_umem_get" not in lines(plan)
    assert [missing.what for missing in plan.missing] == [f"{GROUP}:ib_umem_get"]


def test_function_probes_where_there_are_no_kprobes() -> None:
    found = lines(make_plan(kernel((6, 12), kprobes=False)))
    assert found["ib_umem_get"].startswith(f"f:{GROUP}/ib_umem_get ib_umem_get dev=device:x64 ")
    assert found["ib_umem_get_ret"] == f"f:{GROUP}/ib_umem_get_ret ib_umem_get%return umem=$retval:x64"
    plan = make_plan(kernel((6, 1), kprobes=False))
    assert not plan.definitions
    assert [(missing.what, "without kprobe" in missing.why) for missing in plan.missing] == [(f"{GROUP}:*", True)]


def test_what_is_missing_is_told_with_its_cost() -> None:
    whole = kernel((6, 1))
    plan = make_plan(
        kernel(
            (6, 1),
            functions=whole.functions - {"mmap_region", "rxe_mr_copy"},
            tracepoints={name for name in whole.tracepoints if not name.startswith("xfs:")} - {"filemap:mm_filemap_fault"},
        )
    )
    told = {missing.what: f"{missing.why}; {missing.cost}" for missing in plan.missing}
    assert "no function mmap_region" in told[f"{GROUP}:mmap_region"]
    assert "no page identity" in told[f"{GROUP}:mmap_region"]
    assert "its module is not loaded" in told[f"{GROUP}:rxe_mr_copy"]
    assert told["filemap:mm_filemap_fault"].startswith("this kernel does not have it; pins count from")
    assert "module is not loaded" in next(text for what, text in told.items() if what.startswith("xfs:"))
    assert len(told) == 4
    # Without BTF a structure that moved is unknown, which costs the same as the function itself.
    assert "no BTF" in next(m.why for m in make_plan(kernel((6, 5), btf=False)).missing if m.what == f"{GROUP}:mmap_region")


def test_the_labs_probes_are_the_same() -> None:
    """probes.sh is what a lab needs that has no Python: the table's probes for Linux 6.1 on x86_64, with registers and offsets."""
    written = re.findall(r"^add '([pr]):gup/(\w+) (\w+) (.*)'$", (LAB / "probes.sh").read_text(), re.MULTILINE)
    own = {
        definition.event: definition.lines[0] for definition in make_plan(kernel((6, 1), btf=False, numbered_arguments=False)).definitions
    }
    assert written
    for kind, event, symbol, rest in written:
        place, found, *_ = own[event].split()
        assert (place[0], found) == (kind, symbol)
        assert re.sub(r"0x([0-9a-f]+)", lambda number: str(int(number[1], 16)), rest).split() == own[event].split()[2:]


def test_the_script_makes_records_and_removes() -> None:
    plan = make_plan(kernel((6, 1)))
    argv = arguments(Request(command=("./work load", "-x")), "trace-cmd", plan)
    text = script(plan, argv, TRACING)
    made = re.findall(r"^echo '(?:p|r512):replay/(\w+) .*' >> /sys/kernel/tracing/dynamic_events$", text, re.MULTILINE)
    undone = re.findall(r"^echo -:replay/(\w+) >> /sys/kernel/tracing/dynamic_events$", text, re.MULTILINE)
    assert made == undone == [definition.event for definition in plan.definitions]
    assert "trace-cmd record -q -C mono -b 8192 -o trace.dat -e replay -e filemap:mm_filemap_add_to_page_cache" in text
    assert " './work load' -x\n" in text
    assert max(map(len, text.splitlines())) < 400


def test_commands_of_each_recorder() -> None:
    plan = make_plan(kernel((6, 1)))
    perf = arguments(Request(pid=12, seconds=1.5, buffer_kb=3000, output="x.data"), "perf", plan)
    assert perf[:11] == ["perf", "record", "-q", "-a", "-d", "-k", "CLOCK_MONOTONIC", "-m", "4096K", "-o", "x.data"]
    assert perf[11:13] == ["-e", "replay:*"]
    assert perf[-7:] == ["--", "timeout", "1.5", "tail", "--pid=12", "-f", "/dev/null"]
    assert arguments(Request(everything=True, seconds=10), "trace-cmd", plan)[-2:] == ["sleep", "10"]
    assert arguments(Request(everything=True), "trace-cmd", plan, clocks=["local"])[:4] == ["trace-cmd", "record", "-q", "-b"]


def test_functions_that_kallsyms_does_not_tell_tracefs_does(tmp_path: Path) -> None:
    (tmp_path / "README").write_text("$arg<N> name->field\n\t   f[:[GRP1/][EVENT1]] SYM\n")
    (tmp_path / "available_events").write_text("ext4:ext4_punch_hole\n")
    (tmp_path / "kallsyms").write_text("")
    (tmp_path / "available_filter_functions").write_text("mmap_region\nib_umem_get [ib_uverbs]\nib_umem_get.cold\n")
    found = describe(tmp_path, tmp_path / "none", tmp_path / "kallsyms")
    assert found.functions == {"mmap_region", "ib_umem_get"}
    assert (found.kprobes, found.fprobes, found.named_arguments, found.numbered_arguments) == (False, True, True, True)
    (tmp_path / "kallsyms").write_text("ff00 t mmap_region\nff10 T ib_umem_release\t[ib_core]\n")
    assert describe(tmp_path, tmp_path / "none", tmp_path / "kallsyms").functions == {"mmap_region", "ib_umem_release"}


def test_the_docs_have_every_row_of_the_table() -> None:
    text = (LAB.parent.parent / "docs" / "record.md").read_text()
    for probe in PROBES:
        returned = f", `{probe.event}_ret`" if probe.returns else ""
        assert f"| `{probe.event}`{returned} | {probe.gives} | {probe.without} |" in text
    for row in TRACEPOINTS:
        names = ", ".join(f"`{names.replace('|', '` or `')}`" for names in row.events)
        assert f"| {row.system}: {names} | {row.gives} | {row.without} |" in text
