"""Writing a Perfetto trace: tracks, slices, instants, flows and counters, by Perfetto's own protobuf definitions.

https://perfetto.dev/docs/reference/synthetic-track-event says what packets a timeline is made of.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import IO, TYPE_CHECKING, Any

from replay.errors import ReplayError

if TYPE_CHECKING:
    import pyarrow as pa

_SEQUENCE = 1
_FOREVER = (1 << 63) - 1
_REMEMBERED = 1 << 16


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
        self._packet_tag = _tag(self._proto.Trace.PACKET_FIELD_NUMBER)
        self._event_tag = _tag(self._proto.TracePacket.TRACK_EVENT_FIELD_NUMBER)
        self._stamp = self._packet()
        # Most of what events say was said before. A message is its fields one after the other, so that they can be put together.
        self._note = lru_cache(_REMEMBERED)(self._new_note)
        self._head = lru_cache(_REMEMBERED)(self._new_head)
        first = self._packet()
        first.sequence_flags = self._proto.TracePacket.SEQ_INCREMENTAL_STATE_CLEARED
        first.first_packet_on_sequence = True
        self._write(first.SerializeToString(deterministic=True))

    def track(self, name: str, parent: int = 0, *, description: str = "") -> int:
        """A track, or a group of those that name it as their parent. Siblings of one name are shown as one."""
        packet, uuid = self._descriptor(parent)
        packet.track_descriptor.name = name
        if description:
            packet.track_descriptor.description = description
        self._write(packet.SerializeToString(deterministic=True))
        return uuid

    def thread(self, tid: int, process: int, name: str) -> int:
        packet, uuid = self._descriptor(0)
        thread = packet.track_descriptor.thread
        thread.pid, thread.tid, thread.thread_name = process, tid, name
        self._write(packet.SerializeToString(deterministic=True))
        return uuid

    def counter(self, name: str, unit: str, parent: int = 0) -> int:
        packet, uuid = self._descriptor(parent)
        packet.track_descriptor.name = name
        packet.track_descriptor.counter.unit_name = unit
        self._write(packet.SerializeToString(deterministic=True))
        return uuid

    def flow(self) -> int:
        """A new flow: an arrow between two slices that name it."""
        self._flows += 1
        return self._flows

    def slice(self, track: int, ts: int, dur: int | None, name: str, notes: bytes, flows: Sequence[int] = ()) -> None:
        """A slice; without a duration it never ends. Slices of one track must nest or follow each other: see Lanes."""
        self._event(track, ts, self._proto.TrackEvent.TYPE_SLICE_BEGIN, name, notes, flows)
        if dur is not None:
            self._event(track, ts + dur, self._proto.TrackEvent.TYPE_SLICE_END, "", b"", ())

    def instant(self, track: int, ts: int, name: str, notes: bytes, flows: Sequence[int] = ()) -> None:
        self._event(track, ts, self._proto.TrackEvent.TYPE_INSTANT, name, notes, flows)

    def notes(self, columns: Mapping[str, pa.Array]) -> pa.Array:
        """What many events shall say, each of its row in columns of text or integers, by their names."""
        return _joined(*(_each(column, partial(self._note, name)) for name, column in columns.items()))

    def instants(self, tracks: pa.Array, ts: pa.Array, names: pa.Array, notes: pa.Array) -> None:
        """Many at once."""
        kind = self._proto.TrackEvent.TYPE_INSTANT
        events = _joined(
            notes,
            _each(tracks, lambda track: self._head(kind, track, "")),
            _each(names, lambda name: self._proto.TrackEvent(name=name).SerializeToString(deterministic=True)),
        )
        packets = _joined(_each(ts, self._stamped), self._event_tag, _lengths(events), events)
        self._out.write(b"".join(_joined(self._packet_tag, _lengths(packets), packets).to_pylist()))

    def value(self, counter: int, ts: int, value: float) -> None:
        event = self._proto.TrackEvent(type=self._proto.TrackEvent.TYPE_COUNTER, track_uuid=counter)
        if isinstance(value, int):
            event.counter_value = value
        else:
            event.double_counter_value = value
        self._write_event(ts, event.SerializeToString(deterministic=True))

    def _event(self, track: int, ts: int, kind: int, name: str, notes: bytes, flows: Sequence[int]) -> None:
        event = notes + self._head(kind, track, name)
        if flows:
            event += self._proto.TrackEvent(flow_ids=flows).SerializeToString(deterministic=True)
        self._write_event(ts, event)

    def _write_event(self, ts: int, event: bytes) -> None:
        self._write(self._stamped(ts) + self._event_tag + _varint(len(event)) + event)

    def _stamped(self, ts: int) -> bytes:
        self._stamp.timestamp = ts
        encoded: bytes = self._stamp.SerializeToString(deterministic=True)
        return encoded

    def _new_note(self, name: str, value: str | int) -> bytes:
        event = self._proto.TrackEvent()
        note = event.debug_annotations.add(name=name)
        if isinstance(value, int):
            note.int_value = value
        else:
            note.string_value = value
        encoded: bytes = event.SerializeToString(deterministic=True)
        return encoded

    def _new_head(self, kind: int, track: int, name: str) -> bytes:
        event = self._proto.TrackEvent(type=kind, track_uuid=track)
        if name:
            event.name = name
        encoded: bytes = event.SerializeToString(deterministic=True)
        return encoded

    def _descriptor(self, parent: int) -> tuple[Any, int]:
        packet = self._packet()
        self._tracks += 1
        packet.track_descriptor.uuid = self._tracks
        if parent:
            packet.track_descriptor.parent_uuid = parent
        return packet, self._tracks

    def _packet(self) -> Any:
        return self._proto.TracePacket(trusted_packet_sequence_id=_SEQUENCE)

    def _write(self, packet: bytes) -> None:
        """One element of the repeated field `packet` of message Trace: its tag, its length, its bytes."""
        self._out.write(self._packet_tag + _varint(len(packet)) + packet)


class Lanes:
    """As many tracks of one name as it takes to keep slices that overlap apart. Slices must come in order of their beginning."""

    def __init__(self, writer: TimelineWriter, name: str, parent: int) -> None:
        self._writer = writer
        self._name = name
        self._parent = parent
        self._free: list[tuple[int, int]] = []

    def slice(self, ts: int, dur: int | None, name: str, notes: bytes, flows: Sequence[int] = ()) -> None:
        free = bool(self._free) and self._free[0][0] <= ts
        track = heapq.heappop(self._free)[1] if free else self._writer.track(self._name, self._parent)
        self._writer.slice(track, ts, dur, name, notes, flows)
        heapq.heappush(self._free, (_FOREVER if dur is None else ts + dur, track))


def _each(column: pa.Array, encode: Callable[[Any], bytes]) -> pa.Array:
    """Every value encoded, those that are the same once."""
    import pyarrow as pa
    import pyarrow.compute as pc

    coded = column if pa.types.is_dictionary(column.type) else pc.dictionary_encode(column)
    return pa.array(map(encode, coded.dictionary.to_pylist()), pa.binary()).take(coded.indices)


def _lengths(encoded: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    return _each(pc.binary_length(encoded), _varint)


def _joined(*parts: pa.Array | bytes) -> pa.Array:
    """Row by row one after the other; NULL is nothing."""
    import pyarrow.compute as pc

    return pc.binary_join_element_wise(*parts, b"", null_handling="replace", null_replacement=b"")


def _tag(field: int) -> bytes:
    """What stands before a field whose value begins with its length."""
    return _varint(field << 3 | 2)


@lru_cache(_REMEMBERED)
def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
