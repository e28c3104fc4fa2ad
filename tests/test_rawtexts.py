"""Columns of texts: every row has its own, be the words few or many, sound or damaged, whatever batches they come in."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders import tracedat as make
from builders.events import START, opened, read_bytes, trace, wake

from replay._ext import columns
from replay._ext.vocabulary import Vocabulary
from replay.ingest import rawfiles, tracecmd
from replay.ingest.rawfiles import RawFiles
from replay.ingest.tracecmd import open_tracecmd

OUTSIDE = make.payload(1303, 19, struct.pack("<II", 16 | 9 << 16, 0))
# More than a vocabulary holds, each more than once.
MANY = [b"word %d" % (number % 1301) for number in range(2603)]
# Fewer, but longer: no two differ before their end.
LONG = [b"/mnt/" + b"x" * 601 + b"%d" % (number % 71) for number in range(211)]
TEXTS = {
    "one": [b"254:16"] * 211,
    "few": [random.Random(7).choice((b"254:16", b"254:0", b"", b"254:160")) for _ in range(1009)],
    "many": MANY,
    "long": LONG,
    "few, many and few again": [b"a", b"b"] * 211 + MANY + [b"b", b"c"] * 211,
    "a kilobyte more each": [b"x" * (97 * number) for number in range(29)],
    "damaged": [random.Random(11).choice((b"\xff", b"\xfe", b"caf\xc3\xa9", b"\xc3", b"a\0b", None)) for _ in range(503)],
    "many damaged": [b"\xff%d" % (number // 2) for number in range(1409)] + [None, b"\xffff", b"\xfeff"],
}


def pages(records: Sequence[bytes]) -> bytes:
    return b"".join(make.page(START + number, make.data(1, record)) for number, record in enumerate(records))


def expected(text: bytes | None) -> str | None:
    return None if text is None else text.split(b"\0")[0].decode("utf-8", "replace")


def read(folder: Path, records: Sequence[bytes]) -> tuple[pa.Table, int]:
    """The table as it stands in its Parquet file, and how many fields were no use; each batch is valid by itself."""
    path = folder / "made.dat"
    path.write_bytes(make.version_6(trace(pages(records))))
    reader = open_tracecmd(path)
    with RawFiles(folder / "raw", lambda _: None) as files:
        for batch in reader.batches():
            for rows in batch.tables.values():
                rows.validate(full=True)
            files.add(batch)
        files.end()
        (written,) = files.finish()
    return pq.ParquetFile(folder / "raw" / written.file).read(), reader.losses.count("undecodable_fields")


@pytest.mark.parametrize("batch_rows", [101, 1 << 18])
@pytest.mark.parametrize("texts", TEXTS.values(), ids=TEXTS)
def test_every_row_has_its_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: list[bytes | None], batch_rows: int) -> None:
    monkeypatch.setattr(tracecmd, "BATCH_ROWS", batch_rows)
    monkeypatch.setattr(rawfiles, "GROUP_ROWS", 503)
    table, lost = read(tmp_path, [OUTSIDE if text is None else opened(text, (7,)) for text in texts])
    assert table["path"].to_pylist() == [expected(text) for text in texts]
    assert table["ids"].to_pylist() == [[] if text is None else [7] for text in texts]
    assert lost == texts.count(None)


def test_texts_in_place_end_with_their_room(tmp_path: Path) -> None:
    """The rest of a text's room is no part of it, nor what follows the room of one that fills it."""
    comms = [b"app", b"app\0old", b"application", b"applicat", b"applicat", b"ap", b"", b"\0pp"]
    table, lost = read(tmp_path, [wake(number, comm[:8]) for number, comm in enumerate(comms)])
    assert table["comm"].to_pylist() == ["app", "app", "applicat", "applicat", "applicat", "ap", "", ""]
    assert lost == 0


def test_words_keep_their_numbers_from_batch_to_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only then does the writer take them as they are."""
    monkeypatch.setattr(tracecmd, "BATCH_ROWS", 100)
    path = tmp_path / "made.dat"
    words = [b"a", b"b", b"c", b"b"]
    path.write_bytes(make.version_6(trace(pages([opened(words[number // 100]) for number in range(400)]))))
    columns = [batch.tables["gup", "open"]["path"] for batch in open_tracecmd(path).batches()]
    assert [column.dictionary.to_pylist() for column in columns] == [["a"], ["a", "b"], ["a", "b", "c"], ["a", "b", "c"]]
    assert [set(column.indices.to_pylist()) for column in columns] == [{0}, {1}, {2}, {1}]


def test_a_file_says_string_and_repeats_few_words(tmp_path: Path) -> None:
    table, _ = read(tmp_path, [opened(b"/mnt/" + b"x" * 101 + b"%d" % (number % 2)) for number in range(2003)])
    (file,) = (tmp_path / "raw").iterdir()
    metadata = pq.ParquetFile(file).metadata
    columns = [metadata.row_group(0).column(number) for number in range(metadata.num_columns)]
    (path,) = (column for column in columns if column.path_in_schema == "path")
    assert path.physical_type == "BYTE_ARRAY"
    assert "PLAIN_DICTIONARY" in path.encodings or "RLE_DICTIONARY" in path.encodings
    assert path.total_uncompressed_size < 2003
    assert table["path"].type == pa.dictionary(pa.int32(), pa.string())


def damaged(chance: random.Random) -> bytes:
    """A record whose texts lie in place, elsewhere, on each other and outside."""
    near = chance.randrange(40) | chance.randrange(40) << 16
    words = [chance.choice((near, chance.getrandbits(32))) for _ in range(2)]
    texts = [bytes(chance.choice(b"\0ab\xff") for _ in range(size)) for size in (6, 4, chance.randrange(50))]
    return make.payload(1307, 3, texts[0] + struct.pack("<I", words[0]) + texts[1] + struct.pack("<I", words[1]) + texts[2])


def test_words_are_what_copies_of_the_texts_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of damaged records, whose texts take from each other."""
    texts = [("char a[6]", 8, 6, 0), ("__data_loc char[] b", 14, 4, 1), ("char c[4]", 18, 4, 0), ("__rel_loc char[] d", 22, 4, 1)]
    mixed = ("gup", make.format_text("mixed", 1307, [*texts, ("char rest[]", 26, 0, 0)]))
    chance = random.Random(13)
    made = make.Trace([mixed], [make.Instance("", [pages([damaged(chance) for _ in range(1301)])])])
    found = [read_bytes(tmp_path, make.version_6(made))[:2]]
    monkeypatch.setattr(columns, "words", lambda *_: -1)
    found.append(read_bytes(tmp_path, make.version_6(made))[:2])
    assert found[0] == found[1]
    assert found[0][1]["undecodable_fields"] > 101


def test_an_empty_vocabulary() -> None:
    vocabulary = Vocabulary()
    vocabulary.clear()
    assert vocabulary.count == 0
    assert vocabulary.words() == []
