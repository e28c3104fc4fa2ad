"""Traces as text: tracefs, trace-cmd report, perf script."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from builders import raw

from fuzz import reading
from fuzz.workloads import RECORDS

MODULES = ("replay.ingest.text", "replay.ingest.lowering", "replay.ingest.sniff")
TOKENS = (
    *(b"# tracer: nop\n", b"# entries-in-buffer/entries-written: 1/2   #P:2\n", b"cpus=2\n", b"version = 7\n"),
    *(b"CPU:0 [LOST 5 EVENTS]\n", b"CPU:0 [EVENTS DROPPED]\n", b"CPU 1 is empty\n", b" [000] ", b" d..1. ", b" 0d..1 ", b"(-----) "),
    *(b"<...>-", b"<idle>-0", b"0x", b"ffffffff8acdca30", b"18446744073709551615", b"-9223372036854775808", b"dev 8,13 ino 5 ", b"=-1 "),
    *(b": mmap_region: (", b": probes:pin_user_pages_fast: ", b"(mmap_region+0x0/0x7f0 <- ksys_mmap_pgoff)", b"ret=0x4 ", b"\xff", b"\r\n"),
)


def decode(path: str, *, whole: bool = True) -> None:
    from replay.ingest.text import open_text

    reading.read(open_text(path), whole=whole)


def seeds() -> Iterator[tuple[str, bytes]]:
    for name, records in RECORDS.items():
        for dialect, line in LINES.items():
            head = "# tracer: nop\n#\n# entries-in-buffer/entries-written: 9/12   #P:2\n#\n" if dialect == "tracefs" else ""
            yield f"{name}-{dialect}", (head + "".join(printed(records, line))).encode()
    yield from reading.recorded("*.txt")


LINES = {
    "tracefs": "{comm:>16}-{tid:<7} [{cpu:03}] d..1. {seconds:5}.{us:06}: {event}: {fields}\n",
    "tgid": "{comm:>16}-{tid:<7} (  17) [{cpu:03}] ..... {seconds:5}.{us:06}: {event}: {fields}\n",
    "old": "{comm:>16}-{tid:<5} [{cpu:03}] {seconds}.{us:06}: {event}: {fields}\n",
    "latency": "{comm:>8}-{tid:<7}  {cpu}d..1. {us}us : {event}: {fields}\n",
    "graph": "{seconds:5}.{us:06} |  {cpu:2})  {comm:.7}-{tid:<7} |               |  /* {event}: {fields} */\n",
    "report": "{comm:>16}-{tid:<5} [{cpu:03}] {seconds:5}.{us:06}: {event:<20} {fields}\n",
    "script": "{comm:>16} {tid:>5} [{cpu:03}] {seconds:5}.{us:06}: {system:>20}:{event}: {fields}\n",
}


def printed(records: Sequence[raw.Record], line: str) -> Iterator[str]:
    for seq, (event, tid, fields) in enumerate(records):
        shown = " ".join(
            f"{name}={value:#x}" if isinstance(value, int) and value > 4096 else f"{name}={value}" for name, value in fields.items()
        )
        facts = {"comm": "pinload", "tid": tid, "cpu": tid % 2, "seconds": 7, "us": seq, "event": event, "system": raw.system(event)}
        yield line.format(**facts, fields=shown)
