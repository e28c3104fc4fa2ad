"""Text of the function_graph tracer: calls, and the events in its comments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from replay.errors import TraceError
from replay.ingest.sniff import sniff
from replay.ingest.text import TextReader, open_text

HEAD = """\
# tracer: function_graph
#
#     TIME        CPU  TASK/PID         DURATION                  FUNCTION CALLS
#      |          |     |    |           |   |                     |   |   |   |
"""
CALLS = """\
   61.000001 |   0)    sh-4802    |               |  ib_umem_get() {
   61.000002 |   0)    sh-4802    |   0.541 us    |    fput();
   61.000003 |   1)  <idle>-0     |               |  /* writeback_dirty_folio: bdi 254:16: ino=13 index=7 */
   61.000004 |   0)    sh-4802    | ! 110.500 us  |  } /* ib_umem_get */
   61.000005 |   0)    sh-4802    |               |    /* half way there */
"""
NO_TASKS = """\
  61.000001 |   0)               |  ib_umem_get() {
 ------------------------------------------
 0)   app-170     =>     cat-99
 ------------------------------------------

  61.000002 |   0)   0.541 us    |  fput();
  61.000003 |   1)   ==========> |
  61.000004 |   1) + 10.250 us   |  fget();
"""


def read(tmp_path: Path, text: str) -> tuple[dict[tuple[str, str], list[dict[str, Any]]], TextReader]:
    path = tmp_path / "trace.txt"
    path.write_text(text)
    assert sniff(str(path)) == "text"
    reader = open_text(path)
    tables: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for batch in reader.batches():
        for key, rows in batch.tables.items():
            tables.setdefault(key, []).extend(rows.to_pylist())
    return tables, reader


def placed(rows: list[dict[str, Any]]) -> list[tuple[int, int, int, str]]:
    return [(row["ts"], row["cpu"], row["common_pid"], row["text"]) for row in rows]


@pytest.mark.parametrize("head", [HEAD, ""], ids=["trace", "trace_pipe"])
def test_calls_returns_events_and_prints(tmp_path: Path, head: str) -> None:
    tables, reader = read(tmp_path, head + CALLS)
    assert placed(tables["ftrace", "funcgraph_entry"]) == [
        (61_000_001_000, 0, 4802, "|  ib_umem_get() {"),
        (61_000_002_000, 0, 4802, "0.541 us |    fput();"),
    ]
    assert placed(tables["ftrace", "funcgraph_exit"]) == [(61_000_004_000, 0, 4802, "! 110.500 us |  } /* ib_umem_get */")]
    (dirty,) = tables["writeback", "writeback_dirty_folio"]
    assert (dirty["ts"], dirty["cpu"], dirty["common_pid"], dirty["ino"], dirty["index"]) == (61_000_003_000, 1, 0, 13, 7)
    (said,) = tables["ftrace", "print"]
    assert "half way there" in said.values()
    assert (reader.survey.unparsed, reader.info.cmdlines) == (0, {0: "<idle>", 4802: "sh"})


def test_a_switch_tells_the_tasks_of_a_cpu_before_and_after(tmp_path: Path) -> None:
    tables, reader = read(tmp_path, HEAD + NO_TASKS)
    assert [row["common_pid"] for row in tables["ftrace", "funcgraph_entry"]] == [170, 99, 0]
    assert reader.survey.unparsed == 0


def test_losses_are_counted(tmp_path: Path) -> None:
    _, reader = read(tmp_path, HEAD + CALLS.replace("\n", "\nCPU:1 [LOST 13 EVENTS]\n", 1))
    assert reader.losses.count("kernel_lost_events") == 13


def test_without_times_it_is_refused(tmp_path: Path) -> None:
    lines = HEAD + " 0)               |  sys_open() {\n 0)   1.382 us    |    __might_sleep();\n"
    with pytest.raises(TraceError, match=rf"byte {len(HEAD)}: a call graph without times .*funcgraph-abstime"):
        read(tmp_path, lines)


def test_every_cut_gives_the_lines_before_it(tmp_path: Path) -> None:
    whole = HEAD + CALLS
    for size in range(len(HEAD) + 80, len(whole), 7):
        tables, _ = read(tmp_path, whole[:size])
        rows = [row for table in tables.values() for row in table]
        assert len(rows) in {whole[:size].count("\n") - HEAD.count("\n"), whole[:size].count("\n") - HEAD.count("\n") - 1}
