"""Writing a Perfetto trace: tracks, slices, instants, flows and counters, by Perfetto's own protobuf definitions.

https://perfetto.dev/docs/reference/synthetic-track-event says what packets a timeline is made of.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any

from replay.errors import ReplayError

_SEQUENCE = 1
_FOREVER = (1 << 63) - 1
Notes = Mapping[str, str | int | None]


def _protobufs() -> Any:
    try:
        from perfetto.protos.perfetto.trace import perfetto_trace_pb2
    except ImportError:
        raise ReplayError("Perfetto's definitions are not installed", hint="pip install perfetto") from None
    return perfetto_trace_pb2


class TimelineWriter:
    """Writes packets as they come; numbers are given in order, so that the same rows make the same bytes.

    A reader sorts by time, and keeps the order of packets of one time: what ends at a time is written before what begins there.
    """

    def __init__(self, out: IO[bytes]) -> None:
        self._proto = _protobufs()
        self._out = out
        self._tracks = 0
        self._flows = 0
        first = self._packet()
        first.sequence_flags = self._proto.TracePacket.SEQ_INCREMENTAL_STATE_CLEARED
        first.first_packet_on_sequence = True
        self._write(first)

    def track(self, name: str, parent: int = 0, *, description: str = "") -> int:
        """A track, or a group of those that name it as their parent. Siblings of one name are shown as one."""
        packet, uuid = self._descriptor(parent)
        packet.track_descriptor.name = name
        if description:
            packet.track_descriptor.description = description
        self._write(packet)
        return uuid

    def thread(self, tid: int, process: int, name: str) -> int:
        packet, uuid = self._descriptor(0)
        thread = packet.track_descriptor.thread
        thread.pid, thread.tid, thread.thread_name = process, tid, name
        self._write(packet)
        return uuid

    def counter(self, name: str, unit: str, parent: int = 0) -> int:
        packet, uuid = self._descriptor(parent)
        packet.track_descriptor.name = name
        packet.track_descriptor.counter.unit_name = unit
        self._write(packet)
        return uuid

    def flow(self) -> int:
        """A new flow: an arrow between two slices that name it."""
        self._flows += 1
        return self._flows

    def slice(self, track: int, ts: int, dur: int | None, name: str, notes: Notes, flows: Iterable[int] = ()) -> None:
        """A slice; without a duration it never ends. Slices of one track must nest or follow each other: see Lanes."""
        self._event(track, ts, self._proto.TrackEvent.TYPE_SLICE_BEGIN, name, notes, flows)
        if dur is not None:
            self._event(track, ts + dur, self._proto.TrackEvent.TYPE_SLICE_END, "", {}, ())

    def instant(self, track: int, ts: int, name: str, notes: Notes, flows: Iterable[int] = ()) -> None:
        self._event(track, ts, self._proto.TrackEvent.TYPE_INSTANT, name, notes, flows)

    def value(self, counter: int, ts: int, value: float) -> None:
        packet = self._packet(ts)
        packet.track_event.type = self._proto.TrackEvent.TYPE_COUNTER
        packet.track_event.track_uuid = counter
        if isinstance(value, int):
            packet.track_event.counter_value = value
        else:
            packet.track_event.double_counter_value = value
        self._write(packet)

    def _event(self, track: int, ts: int, kind: int, name: str, notes: Notes, flows: Iterable[int]) -> None:
        packet = self._packet(ts)
        event = packet.track_event
        event.type = kind
        event.track_uuid = track
        if name:
            event.name = name
        event.flow_ids.extend(flows)
        for key, value in notes.items():
            if value is None:
                continue
            note = event.debug_annotations.add()
            note.name = key
            if isinstance(value, int):
                note.int_value = value
            else:
                note.string_value = value
        self._write(packet)

    def _descriptor(self, parent: int) -> tuple[Any, int]:
        packet = self._packet()
        self._tracks += 1
        packet.track_descriptor.uuid = self._tracks
        if parent:
            packet.track_descriptor.parent_uuid = parent
        return packet, self._tracks

    def _packet(self, ts: int | None = None) -> Any:
        packet = self._proto.TracePacket()
        packet.trusted_packet_sequence_id = _SEQUENCE
        if ts is not None:
            packet.timestamp = ts
        return packet

    def _write(self, packet: Any) -> None:
        """One element of the repeated field `packet` of message Trace: its tag, its length, its bytes."""
        data = packet.SerializeToString(deterministic=True)
        self._out.write(b"\x0a" + _varint(len(data)) + data)


class Lanes:
    """As many tracks of one name as it takes to keep slices that overlap apart. Slices must come in order of their beginning."""

    def __init__(self, writer: TimelineWriter, name: str, parent: int) -> None:
        self._writer = writer
        self._name = name
        self._parent = parent
        self._free: list[tuple[int, int]] = []

    def slice(self, ts: int, dur: int | None, name: str, notes: Notes, flows: Sequence[int] = ()) -> None:
        free = bool(self._free) and self._free[0][0] <= ts
        track = heapq.heappop(self._free)[1] if free else self._writer.track(self._name, self._parent)
        self._writer.slice(track, ts, dur, name, notes, flows)
        heapq.heappush(self._free, (_FOREVER if dur is None else ts + dur, track))


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
