"""MRs and pins of an events.jsonl: gives them dense numbers, and makes explicit what a registration pins and a release unpins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from replay.ingest.canonical import Column, numbers, words

if TYPE_CHECKING:
    from replay.ingest.losses import Losses

Event = dict[str, Any]
Label = int | str


@dataclass(slots=True)
class Registrations:
    """State while events are read in order. A label may be used again once its MR or pin is gone; the latest one is meant."""

    losses: Losses
    mrs: list[Event] = field(default_factory=list)
    pins: list[Event] = field(default_factory=list)
    mr_of: dict[Label, int] = field(default_factory=dict)
    pin_of: dict[Label, int] = field(default_factory=dict)
    pins_of_mr: dict[int, list[int]] = field(default_factory=dict)
    loose: dict[tuple[int, int | None, int | None], list[int]] = field(default_factory=dict)

    def expand(self, event: Event) -> Iterator[Event]:
        """The rows that an input event stands for, in order; numbers in `mr` and `pin` are dense from here on."""
        op = event["op"]
        label = event.pop("pin", None)
        if op == "mr_reg":
            yield from self._register(event)
        elif op == "mr_dereg":
            yield from self._deregister(event)
        elif op == "pin":
            self._refer(event)
            yield self._pin(event, label)
        elif op == "unpin":
            yield from self._unpin(event, label)
        else:
            self._refer(event)
            event["pin"] = self.pin_of.get(label) if label is not None else None
            yield event

    def _refer(self, event: Event) -> None:
        """Number the MR that an event names; one that was never registered was so before the events begin."""
        label = event.get("mr")
        if label is not None:
            event["mr"] = self.mr_of[label] if label in self.mr_of else self._new_mr(event, label, preexisting=True)

    def _new_mr(self, event: Event, label: Label, *, preexisting: bool) -> int:
        number = self.mr_of[label] = len(self.mrs)
        self.pins_of_mr[number] = []
        told = {} if preexisting else event
        self.mrs.append(
            {
                "mr": number,
                "label": str(label),
                **{key: told.get(key) for key in ("device", "tid", "tgid", "comm", "addr", "bytes", "index")},
                "npages": 0,
                "file": told.get("file", -1),
                "write": bool(told.get("write")),
                "odp": bool(told.get("odp")),
                "result": told.get("result") or 0,
                "ts_reg": told.get("ts"),
                "ts_dereg": None,
                "preexisting": preexisting,
            }
        )
        return number

    def _register(self, event: Event) -> Iterator[Event]:
        event["mr"] = self._new_mr(event, event["mr"], preexisting=False)
        if event.get("npages") and event.get("bytes") is None:
            event["bytes"] = self.mrs[-1]["bytes"] = min(event["npages"] * 4096, (1 << 63) - 1)
        yield event
        if (event.get("result") or 0) >= 0 and not event.get("odp") and event.get("index") is not None and event["file"] >= 0:
            named = {
                key: event.get(key) for key in ("seq", "ts", "cpu", "tid", "tgid", "comm", "file", "index", "mr", "device", "write", "addr")
            }
            yield self._pin({**named, "op": "pin", "npages": event.get("npages") or 1, "longterm": True}, None)

    def _pin(self, event: Event, label: Label | None) -> Event:
        if (event.get("result") or 0) < 0:
            return event
        number = event["pin"] = len(self.pins)
        mr = event.get("mr")
        if label is not None:
            self.pin_of[label] = number
        if mr is not None:
            self.pins_of_mr[mr].append(number)
            self.mrs[mr]["npages"] += event.get("npages") or 0
        self.loose.setdefault((event["file"], event.get("index"), event.get("npages")), []).append(number)
        copied = {key: event.get(key) for key in ("pin", "mr", "tid", "tgid", "file", "index", "npages", "addr")}
        longterm = bool(event.get("longterm")) or mr is not None
        self.pins.append({**copied, "write": bool(event.get("write")), "longterm": longterm, "ts_pin": event["ts"], "ts_unpin": None})
        return event

    def _unpin(self, event: Event, label: Label | None) -> Iterator[Event]:
        """By the pin's label, else all pins of the MR, else the latest pin of exactly this range."""
        self._refer(event)
        if label is not None:
            numbers = [self.pin_of[label]] if label in self.pin_of else []
        elif event.get("mr") is not None and event.get("index") is None:
            numbers = self._take_pins(event["mr"])
        else:
            calls = self.loose.get((event["file"], event.get("index"), event.get("npages")), [])
            while calls and self.pins[calls[-1]]["ts_unpin"] is not None:
                calls.pop()
            numbers = calls[-1:]
        numbers = [number for number in numbers if self.pins[number]["ts_unpin"] is None]
        if not numbers:
            self.losses.add("ends_without_begin")
            yield event
        for number in numbers:
            yield self._release(event, number)

    def _take_pins(self, mr: int) -> list[int]:
        """The live pins of an MR, for the caller to end them all. Those that end alone stay in the lists until then."""
        numbers, self.pins_of_mr[mr] = self.pins_of_mr[mr], []
        return [number for number in numbers if self.pins[number]["ts_unpin"] is None]

    def _release(self, event: Event, number: int) -> Event:
        pin = self.pins[number]
        pin["ts_unpin"] = event["ts"]
        told = {key: event.get(key) for key in ("seq", "ts", "cpu", "tid", "tgid", "comm", "dirty")}
        return {**told, "op": "unpin", **{key: pin[key] for key in ("pin", "mr", "file", "index", "npages", "write", "longterm")}}

    def _deregister(self, event: Event) -> Iterator[Event]:
        if event["mr"] not in self.mr_of:
            self.losses.add("mr_release_without_reg")
        label = event["mr"]
        self._refer(event)
        mr = self.mrs[event["mr"]]
        for number in self._take_pins(event["mr"]):
            yield self._release({**event, "dirty": mr["write"]}, number)
        mr["ts_dereg"] = event["ts"]
        if event["file"] < 0 and mr["file"] >= 0:
            event |= {"file": mr["file"], "index": mr["index"], "npages": mr["npages"] or None}
        del self.mr_of[label]
        yield event

    def tables(self) -> tuple[dict[str, Column], dict[str, Column]]:
        """Columns of tables mrs and pins."""
        mrs, pins = self.mrs, self.pins
        numeric = ("mr", "tid", "tgid", "bytes", "index", "npages", "result", "ts_reg", "ts_dereg")
        mr_columns = {key: numbers([mr[key] for mr in mrs], np.int64) for key in numeric}
        mr_columns |= {key: numbers([mr[key] for mr in mrs], np.bool_) for key in ("write", "odp", "preexisting")}
        mr_columns |= {key: words([mr[key] for mr in mrs]) for key in ("label", "device", "comm")}
        mr_columns |= {
            "addr": numbers([mr["addr"] for mr in mrs], np.uint64),
            "file": Column(np.array([mr["file"] for mr in mrs], np.int64)),
        }
        pin_numeric = ("pin", "mr", "tid", "tgid", "index", "npages", "ts_pin", "ts_unpin")
        pin_columns = {key: numbers([pin[key] for pin in pins], np.int64) for key in pin_numeric}
        pin_columns |= {key: numbers([pin[key] for pin in pins], np.bool_) for key in ("write", "longterm")}
        pin_columns |= {
            "addr": numbers([pin["addr"] for pin in pins], np.uint64),
            "file": Column(np.array([pin["file"] for pin in pins], np.int64)),
        }
        pin_columns |= {
            "preexisting": Column(np.zeros(len(pins), bool)),
            "id_source": Column(np.array([0 if pin["file"] >= 0 else -1 for pin in pins], np.int32), words=("direct",)),
            "id_confidence": Column(np.ones(len(pins)), np.array([pin["file"] < 0 for pin in pins], bool)),
        }
        return mr_columns, pin_columns
