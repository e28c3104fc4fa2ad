"""A store from Python: ask it in SQL, take the rows as Polars or Arrow."""

from __future__ import annotations

import os
from collections.abc import Mapping

from replay import reports
from replay.session import Answer, Session
from replay.store import Store


class Archive:
    """What `replay.open` gives. Every question sees the store as it is then, runs that were added meanwhile included."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._store = Store(path)

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held open between questions."""

    def __repr__(self) -> str:
        return f"replay.open({os.fspath(self._store.path)!r})"

    @property
    def store(self) -> Store:
        return self._store

    @property
    def traces(self) -> Answer:
        """Table traces."""
        return self.sql("SELECT * FROM traces ORDER BY source, trace")

    @property
    def runs(self) -> Answer:
        """Table runs, in the order of policies."""
        return self.sql("SELECT runs.* FROM runs JOIN _labels USING (run) ORDER BY runs.trace, position, runs.policy, run")

    def sql(self, query: str, params: Mapping[str, object] | None = None) -> Answer:
        """Run one SELECT; `params` are the values of $names in it."""
        with Session(self._store) as session:
            return session.sql(query, params)

    def report(self, name: str = "overview", **values: str | int | None) -> Answer:
        """Run a report; `values` are its parameters, such as policy="lease" or trace="trace.dat"."""
        if values.get("trace") is not None:
            values["trace"] = self._store.resolve_trace(str(values["trace"])).id
        with Session(self._store) as session:
            return Answer(reports.run(session, reports.load(name), values))
