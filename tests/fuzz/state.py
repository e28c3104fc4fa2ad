"""FILE.state, what there was before a trace: its lines, and the lowering of a trace that depends on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from builders import raw

MODULES = ("replay.statefile", "replay.ingest.before", "replay.ingest.lowering")
_WORDS = "replay_state uname recorder missing skipped mrs_known mountinfo mr mrn pid comm threads maps"
TOKENS = (
    *(f'"{word}":'.encode() for word in _WORDS.split()),
    *(b"{}", b"[]", b"null", b"true", b"18446744073709551615", b"1e400", b"\\ud800", b"\\n", b"\n", b"rw-s", b"r--p", b"fe:10", b"00:00"),
    *(b"ffffffffffffffff-", b" - ext4 /dev/pmem0 rw,dax=always", f"{raw.BASE:x}-{raw.BASE + 8 * 4096:x} ".encode()),
)
_RECORDS = [
    raw.added(10, 0),
    *raw.pinned(10, raw.BASE + 4096, 2),
    raw.mmap(11, raw.BASE, 4),
    *raw.registered(11, raw.BASE + 4096, 3, 0xFF20_0000),
    *raw.pinned(12, raw.BASE + 7 * 4096, 2),
]


def decode(path: str, *, whole: bool = True) -> None:
    from replay.statefile import parse_state

    before = parse_state(path, Path(path).read_bytes())
    before.dax_devices()
    if whole:
        for table in raw.lower(_RECORDS, before=before)[0].tables.values():
            table.validate(full=True)


def seeds() -> Iterator[tuple[str, bytes]]:
    head = b'{"replay_state":1,"uname":"Linux lab 6.1.0 x86_64","recorder":"trace-cmd","missing":[],"skipped":0,"mrs_known":true}\n'
    mounts = (
        rb'{"mountinfo":"21 1 254:16 / /data rw shared:1 - ext4 /dev/vdb rw\n22 1 259:0 / /dax rw - ext4 /dev/pmem0 rw,dax=always\n"}'
        b"\n"
    )
    region = b'{"mr":{"ifindex":0,"ifname":"rxe0","mrn":3,"rkey":"0x1","mrlen":4096,"pid":10,"comm":"app"}}\n'
    heap = "55d0c0a00000-55d0c0a21000 rw-p 00000000 00:00 0 [heap]"
    shared = f"{raw.BASE:x}-{raw.BASE + 8 * 4096:x} rw-s 00003000 fe:10 13 /data/a b"
    private = f"{raw.BASE + 8 * 4096:x}-{raw.BASE + 10 * 4096:x} r--p 00000000 fe:10 14 /lib/x.so"
    last = "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]"
    processes = [
        f'{{"pid":{pid},"comm":"app","threads":[{pid},{pid + 5}],"maps":"{lines}"}}\n'.encode()
        for pid, lines in ((10, f"{heap}\\n{shared}\\n{private}\\n{last}\\n"), (12, f"{shared}\\n"), (13, ""))
    ]
    yield "whole", head + mounts + region + b"".join(processes)
    yield "no-regions", head.replace(b"true", b"false") + mounts + processes[0]
    yield "no-processes", head + mounts + region * 3
    yield "cut", head + mounts + processes[0][:-40]
    yield "one", head + processes[1]
    yield "two", head + processes[0] + processes[1]
