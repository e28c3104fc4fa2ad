"""The store: a folder of traces and runs, each whole or absent.

    <store>/store.json                    format version
    <store>/traces/trace=<id>/            events.parquet ... raw/<system>.<event>.parquet, trace.parquet, manifest.json;
                                          of a long trace events-1.parquet, events-2.parquet ...
    <store>/runs/run=<id>/                conflicts.parquet ... run.parquet, manifest.json
    <store>/.staging/<writer>/            work in progress, invisible to readers

A writer fills a staging folder and renames it into place; the rename is the commit. A writer that was killed leaves only
a staging folder, which the next writer removes once the lock beside it is free.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, NamedTuple

from replay.errors import StoreError, UsageError
from replay.staging import Syncing, fsync_path, fsync_tree, hold, remove_dead

# Raise it when what lies in a store reads otherwise than before.
STORE_VERSION = 2
Kind = Literal["traces", "runs"]
SINGULAR: dict[Kind, str] = {"traces": "trace", "runs": "run"}
_MARKER = "store.json"
_STAGING = ".staging"


def content_id(kind: Kind, *parts: str | bytes) -> str:
    """An id from what identifies the thing: a letter and 12 hex digits, so that no reader takes it for a number."""
    digest = blake2b(digest_size=6)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return SINGULAR[kind][0] + digest.hexdigest()


def file_names(table: str, files: int) -> list[str]:
    """The names of a table's files: one of several has a number, so that nobody takes it for the whole."""
    return [f"{table}-{number}.parquet" for number in range(1, files + 1)] if files > 1 else [f"{table}.parquet"]


class Entry(NamedTuple):
    """A committed trace or run. `row` is its row of table traces or runs."""

    kind: Kind
    id: str
    path: Path
    manifest: Mapping[str, Any]

    @property
    def row(self) -> Mapping[str, Any]:
        row: Mapping[str, Any] = self.manifest["row"]
        return row

    def table(self, name: str) -> Path:
        return self.path / f"{name}.parquet"

    def files(self, name: str) -> list[Path]:
        """The files of a table, whose rows follow each other."""
        return [self.path / file for file in file_names(name, self.manifest.get("files", {}).get(name, 1))]


class Stage:
    """A folder to write into; `commit` makes it visible, leaving the `with` block without it removes it.

    Large files that are whole may be told to `syncing`, so that the commit need not wait for them.
    """

    def __init__(self, store: Store, kind: Kind, entry_id: str, path: Path) -> None:
        self.store = store
        self.kind: Kind = kind
        self.id = entry_id
        self.path = path
        self.committed = False
        self.syncing = Syncing()

    def commit(self, manifest: Mapping[str, Any]) -> bool:
        """Publish the folder. False where another writer has published the same content first."""
        if "row" not in manifest:
            raise ValueError("a manifest needs its catalog row")
        whole = {"version": STORE_VERSION, "kind": SINGULAR[self.kind], "id": self.id, **manifest}
        _write_catalog(self.path / f"{SINGULAR[self.kind]}.parquet", self.kind, whole["row"])
        self.syncing.finish()
        fsync_tree(self.path)
        _write_json(self.path / "manifest.json", whole)
        self.store._initialise()
        self.committed = self.store._publish(self.kind, self.id, self.path)
        return self.committed


class Store:
    """A store on a local or shared file system. `create` allows a missing one, which the first commit makes."""

    def __init__(self, path: str | os.PathLike[str], *, create: bool = False) -> None:
        self.path = Path(path)
        self._check(create)

    def traces(self) -> list[Entry]:
        """Committed traces, in order of source name, then id."""
        return sorted(self._entries("traces"), key=lambda entry: (str(entry.row.get("source")), entry.id))

    def runs(self) -> list[Entry]:
        """Committed runs, in order of id."""
        return sorted(self._entries("runs"), key=lambda entry: entry.id)

    def find(self, kind: Kind, entry_id: str) -> Entry | None:
        """The committed entry of exactly this id."""
        return _read_entry(kind, self._place(kind, entry_id))

    def resolve_trace(self, name: str) -> Entry:
        """The one trace that an id, the beginning of an id, or a source file name means."""
        entries = self.traces()
        for matches in (
            [entry for entry in entries if entry.id == name],
            [entry for entry in entries if entry.row.get("source") == name],
            [entry for entry in entries if _base_name(entry) == source_name(name)],
            [entry for entry in entries if len(name) >= 2 and entry.id.startswith(name)],
        ):
            if len(matches) == 1:
                return matches[0]
            if matches:
                choices = ", ".join(f"{entry.id} ({_base_name(entry)})" for entry in matches[:5])
                raise UsageError(f"trace '{name}' is ambiguous", hint=f"it may mean {choices}")
        raise UsageError(f"no trace '{name}' in {self.path}", hint=_nearest(name, entries))

    @contextmanager
    def stage(self, kind: Kind, entry_id: str) -> Iterator[Stage]:
        """A staging folder for one entry; gone again on every way out but a commit."""
        root = self.path / _STAGING
        made = [folder for folder in (root, self.path) if not folder.exists()]
        with suppress(FileNotFoundError):  # also where another writer has just failed, and removed what it had made
            remove_dead(root)
        name = f"{entry_id}-{os.getpid()}-{secrets.token_hex(4)}"
        lock = hold(root / f"{name}.lock")
        folder = root / name
        folder.mkdir()
        stage = Stage(self, kind, entry_id, folder)
        try:
            yield stage
        finally:
            stage.syncing.close()
            shutil.rmtree(folder, ignore_errors=True)
            (root / f"{name}.lock").unlink(missing_ok=True)
            os.close(lock)
            # A first ingest that fails leaves no store behind; these fail, as they should, where anything is inside.
            for parent in () if stage.committed else made:
                with suppress(OSError):
                    parent.rmdir()

    def _check(self, create: bool) -> None:
        try:
            str(self.path.absolute()).encode()
        except UnicodeEncodeError:
            raise StoreError("the path of a store must be UTF-8, for Arrow and DuckDB", where=str(self.path)) from None
        if not self.path.exists():
            if create:
                return
            raise StoreError("there is no store here", where=str(self.path), hint="make one with: replay ingest TRACE")
        if not self.path.is_dir():
            raise StoreError("this is a file, not a store's folder", where=str(self.path))
        marker = self.path / _MARKER
        if not marker.exists():
            if any(name != _STAGING for name in os.listdir(self.path)):
                raise StoreError(f"this folder is not a store: it holds other files and no {_MARKER}", where=str(self.path))
            if not create:
                raise StoreError("this store is empty", where=str(self.path), hint="fill it with: replay ingest TRACE")
            return
        version = _marker_version(marker)
        if version > STORE_VERSION:
            raise StoreError(
                f"store of format version {version}; this program knows up to {STORE_VERSION}",
                where=str(self.path),
                hint="it was written by a newer release: upgrade, or use another --store",
            )
        if version < STORE_VERSION:
            raise StoreError(
                f"store of format version {version}; this program reads {STORE_VERSION}",
                where=str(self.path),
                hint="an earlier release wrote it: remove it, or use another --store, and ingest again",
            )

    def _entries(self, kind: Kind) -> Iterator[Entry]:
        folder = self.path / kind
        if not folder.is_dir():
            return
        for name in sorted(os.listdir(folder)):
            if name.startswith(SINGULAR[kind] + "="):
                entry = _read_entry(kind, folder / name)
                if entry is not None:
                    yield entry

    def _place(self, kind: Kind, entry_id: str) -> Path:
        return self.path / kind / f"{SINGULAR[kind]}={entry_id}"

    def _initialise(self) -> None:
        marker = self.path / _MARKER
        if not marker.exists():
            _write_json(marker, {"format": "replay store", "version": STORE_VERSION})

    def _publish(self, kind: Kind, entry_id: str, folder: Path) -> bool:
        place = self._place(kind, entry_id)
        place.parent.mkdir(exist_ok=True)
        if place.exists() and not (place / "manifest.json").exists():
            # Not ours: a folder without a manifest is no entry, and would block this id for ever.
            place.rename(folder.with_name(folder.name + "-aside"))
        try:
            folder.rename(place)
        except OSError as error:
            if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
                return False
            raise
        fsync_path(place.parent)
        return True


def source_name(path: str) -> str:
    """The name that a trace has by its file: what is not UTF-8 in it shows as escapes."""
    return os.fsencode(os.path.basename(path)).decode(errors="backslashreplace")


def is_store(folder: str | os.PathLike[str]) -> bool:
    """Whether the folder is one of a store's, by its marker."""
    return Path(folder, _MARKER).is_file()


def _base_name(entry: Entry) -> str:
    return os.path.basename(str(entry.row.get("source")))


def _nearest(name: str, entries: Iterable[Entry]) -> str:
    names = [known for entry in entries for known in (_base_name(entry), entry.id)]
    if not names:
        return "the store holds no traces: replay ingest TRACE"
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else "list them with: replay sql 'select trace, source from traces'"


def _marker_version(marker: Path) -> int:
    try:
        version = json.loads(marker.read_bytes())["version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        version = None
    if type(version) is not int or version < 1:
        raise StoreError(f"{_MARKER} names no format version: not a store of this program", where=str(marker))
    return version


def _read_entry(kind: Kind, folder: Path) -> Entry | None:
    try:
        manifest = json.loads((folder / "manifest.json").read_bytes())
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError):
        manifest = None
    if not _is_manifest(kind, manifest):
        raise StoreError("damaged manifest", where=str(folder / "manifest.json"), hint="remove this folder and do it again")
    return Entry(kind, folder.name.partition("=")[2], folder, manifest)


def _is_manifest(kind: Kind, value: object) -> bool:
    row = value.get("row") if isinstance(value, dict) else None
    return isinstance(row, dict) and all(
        isinstance(row.get(name), str) for name in (("source",) if kind == "traces" else ("policy", "trace"))
    )


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write whole or not at all: several writers may make the same file at once."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with open(draft, "w", encoding="utf-8") as out:
        json.dump(value, out, indent=1, sort_keys=True, ensure_ascii=False)
        out.write("\n")
        out.flush()
        os.fsync(out.fileno())
    draft.rename(path)
    fsync_path(path.parent)


def _write_catalog(path: Path, kind: Kind, row: Mapping[str, Any]) -> None:
    """The catalog row as Parquet too, so that SQL engines need no JSON to list traces and runs."""
    import pyarrow as pa

    from replay.parquet import write_table
    from replay.schema import RUNS, TRACES

    schema = (TRACES if kind == "traces" else RUNS).arrow_schema()
    write_table(path, pa.Table.from_pylist([{name: row.get(name) for name in schema.names}], schema=schema))
