"""Patterns of payloads: compiled from declared forms, or derived from a payload of an event that has none.

A derived pattern takes `key=value`, `key = value`, `key: value` and `key value` where the value is a number; the rest of the
payload is literal. What type a derived column has is settled when all of its values have been seen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from replay._ext import textfields
from replay.ingest.textforms import FLAGS

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FIELD = re.compile(r"\{(?:(\w+):(\w+))?\}")
_INTEGER_TYPE = re.compile(r"([iu])(8|16|32|64)([xo]?)")
_STEPS = {"": textfields.INTEGER, "x": textfields.HEX, "o": textfields.OCTAL}

# trace_kprobe.c and trace_uprobe.c print where the probe was hit, as a symbol in tracefs and as an address elsewhere.
_PROBES = (
    (re.compile(rb"\((?:0x)?[0-9a-f]+ <- (?:0x)?[0-9a-f]+\)"), "({__probe_func:u64x} <- {__probe_ret_ip:u64x})"),
    (re.compile(rb"\((?:0x)?[0-9a-f]+\)"), "({__probe_ip:u64x})"),
    (re.compile(rb"\([^()\s]+(?: \[\w+\])? <- [^()\s]+(?: \[\w+\])?\)"), "({return_symbol:str} <- {symbol:str})"),
    (re.compile(rb"\([^()\s]+(?: \[\w+\])?\)"), "({symbol:str})"),
)
_NAMED_VALUE = re.compile(rb"(?<![\w.>])([A-Za-z_][\w.]{0,63}) ?= ?")
_SPOKEN_VALUE = re.compile(rb"(?<![\w.>])([A-Za-z_][\w.]{0,63}):? (?=(\d+[:,]\d+|0x[0-9a-fA-F]+|-?\d+)(?:[\s,;)]|$))")
_ARGUMENT = re.compile(rb"([A-Za-z_]\w{0,63}): ([0-9a-f]+)(?=,|$)")
# trace_probe.c prints strings in quotes, and does not escape what is in them.
_QUOTED = re.compile(rb'"[^\n]*?"(?=\s|$)')
_NUMBER = re.compile(rb"(?:0x[0-9a-fA-F]+|-?\d+)(?=[\s,;)\]}]|$)")
_DEVICE = re.compile(rb"\(\d+[:,]\d+\)|(?:0x)?[0-9a-f]+[:,](?:0x)?[0-9a-f]+(?=[\s,;)]|$)")
_DEVICE_KEYS = frozenset({b"dev", b"s_dev"})
_OCTAL = re.compile(rb"-?0\d")
MOST_COLUMNS = 64
_SAMPLE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class FieldType:
    """How a field is read, and its type in the raw table; `names` is the table of names that stand for its bits or values."""

    step: int
    arrow: str
    wraps: bool = False
    names: str | None = None


GUESSED = FieldType(textfields.GUESS, "string")
STRING = FieldType(textfields.STRING, "string")
_OTHERS = {
    "str": STRING,
    "guess": GUESSED,
    "dev": FieldType(textfields.DEVICE, "uint32"),
    "pages": FieldType(textfields.BYTES_TO_PAGES, "uint64"),
    "ptr": FieldType(textfields.POINTER, "uint64"),
    **{name: FieldType(textfields.STRING, type_, names=name) for name, (type_, _) in FLAGS.items()},
}


def field_type(name: str) -> FieldType:
    match = _INTEGER_TYPE.fullmatch(name)
    if match is None:
        return _OTHERS[name]
    width = f"{'u' if match[1] == 'u' else ''}int{match[2]}"
    return FieldType(_STEPS[match[3]], width, wraps=match[3] == "x")


Part = bytes | tuple[str, FieldType]
"""A literal, or a field by name; a field without a name is passed over."""


def form_parts(form: str) -> list[Part]:
    parts: list[Part] = []
    at = 0
    for match in _FIELD.finditer(form):
        if match.start() > at:
            parts.append(form[at : match.start()].encode())
        parts.append((match[1], field_type(match[2])) if match[1] else ("", STRING))
        at = match.end()
    return [*parts, form[at:].encode()] if at < len(form) else parts


@dataclass(frozen=True, slots=True)
class Pattern:
    """Steps for `textfields.match`, over columns of a table by number. `whole`: it must tell the payload to its end."""

    steps: NDArray[np.int32]
    literals: NDArray[np.uint8]
    whole: bool


def compile_parts(parts: Sequence[Part], column: Callable[[str, FieldType], int], *, whole: bool) -> Pattern:
    """`column` gives the number of a field's column."""
    literals = bytearray()
    steps: list[tuple[int, int, int, int]] = []
    for place, part in enumerate(parts):
        if isinstance(part, bytes):
            steps.append((textfields.LITERAL, -1, len(literals), len(part)))
            literals += part
            continue
        name, type_ = part
        following = parts[place + 1] if place + 1 < len(parts) else b""
        stop = following if isinstance(following, bytes) else b" "
        steps.append((type_.step, column(name, type_) if name else -1, len(literals), len(stop)))
        literals += stop
    table = np.array(steps, np.int32).reshape(-1, 4)
    return Pattern(table, np.frombuffer(bytes(literals) or b"\0", np.uint8), whole)


def is_probe(payload: bytes) -> bool:
    return payload.startswith((b"(", b"__probe_"))


def derive(payload: bytes, *, bare_hex: bool = False) -> list[Part] | None:
    """The parts of a payload that has fields to speak of; None if it has none. `bare_hex`: its numbers are hex without 0x."""
    if len(payload) > _SAMPLE_BYTES:
        return None
    parts: list[Part] = []
    rest = payload
    for pattern, form in _PROBES:
        match = pattern.match(payload)
        if match:
            parts, rest = form_parts(form), payload[match.end() :]
            break
    if bare_hex:
        parts += _arguments(rest)
        rest = b""
    for part in _named(rest):
        parts += _spoken(part) if isinstance(part, bytes) else [part]
    parts = _joined(parts)
    fields = [part for part in parts if not isinstance(part, bytes)]
    return parts if 0 < len(fields) <= MOST_COLUMNS else None


def _named(text: bytes) -> list[Part]:
    """Split at `key=value`."""
    keys: list[re.Match[bytes]] = []
    quoted = 0
    for key in _NAMED_VALUE.finditer(text):
        if key.start() >= quoted:
            keys.append(key)
            string = _QUOTED.match(text, key.end())
            quoted = string.end() if string else 0
    parts: list[Part] = [text[: keys[0].start()] if keys else text]
    for place, key in enumerate(keys):
        end = keys[place + 1].start() if place + 1 < len(keys) else len(text)
        value = text[key.end() : end]
        begin, size = _value(key[1], value)
        name = _name(key[1])
        parts.append(text[key.start() : key.end()] + value[:begin])
        parts.append((name, _type(key[1], name, value[begin : begin + size])))
        parts.append(value[begin + size :])
    return parts


def _value(key: bytes, value: bytes) -> tuple[int, int]:
    """Where the value begins in what stands between a key and the next, and its size."""
    string = _QUOTED.match(value)
    if string:
        return 1, len(string[0]) - 2
    for pattern in (_DEVICE,) if key in _DEVICE_KEYS else ():
        match = pattern.match(value)
        if match:
            return 0, len(match[0])
    match = _NUMBER.match(value)
    return 0, len(match[0]) if match else len(value.rstrip(b" ,;"))


def _spoken(text: bytes) -> list[Part]:
    """Split at `key value` and `key: value` where the value is a number."""
    parts: list[Part] = []
    at = 0
    for match in _SPOKEN_VALUE.finditer(text):
        if match.start() < at:
            continue
        name = _name(match[1])
        type_ = _type(match[1], name, match[2])
        # A pair of numbers that is no device: only the first is this key's.
        value = match[2] if type_ is _OTHERS["dev"] or not re.search(rb"[:,]", match[2]) else b""
        if value:
            parts += [text[at : match.end()], (name, type_)]
            at = match.end() + len(value)
    return [*parts, text[at:]]


def _arguments(text: bytes) -> list[Part]:
    """`name: value, ...` of a system call, all hex (kernel/trace/trace_syscalls.c print_syscall_enter)."""
    parts: list[Part] = []
    at = 0
    for match in _ARGUMENT.finditer(text):
        parts += [text[at : match.start(2)], (_name(match[1]), field_type("u64x"))]
        at = match.end(2)
    return [*parts, text[at:]]


def _type(key: bytes, name: str, value: bytes) -> FieldType:
    if key in _DEVICE_KEYS and _DEVICE.fullmatch(value):
        return _OTHERS["dev"]
    if name.startswith("__probe_"):
        return field_type("u64x")
    return STRING if _OCTAL.match(value) else GUESSED


def _name(key: bytes) -> str:
    return key.decode("ascii").replace(".", "_")


def _joined(parts: Sequence[Part]) -> list[Part]:
    """Neighbouring literals as one; fields of one name told apart."""
    joined: list[Part] = []
    names: set[str] = set()
    for part in parts:
        if isinstance(part, bytes):
            if not part:
                continue
            if joined and isinstance(joined[-1], bytes):
                joined[-1] += part
            else:
                joined.append(part)
        else:
            name = part[0]
            while name in names:
                name += "_again"
            names.add(name)
            joined.append((name, part[1]))
    return joined
