"""Which probes and tracepoints a kernel can give, and how they are written for it: a function of what is known of the kernel."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from replay.btf import Layout, Member
from replay.probes import GROUP, PROBES, Form, Probe, Version
from replay.tracepoints import TRACEPOINTS, Tracepoints

# At a function's first instruction; $argN says the same where the kernel knows it.
_REGISTERS = {
    "x86_64": ("%di", "%si", "%dx", "%cx", "%r8", "%r9"),
    "aarch64": ("%x0", "%x1", "%x2", "%x3", "%x4", "%x5"),
}
# Calls that may be inside of a function at once; what goes beyond is not seen to return.
_MOST_RETURNS = 512
_EVER: Version = (1 << 16, 0)
# Where members lie in kernels that do not say so themselves: 64 bits, with the options that distributions choose. Those that
# are not here moved too often.
_KNOWN: tuple[tuple[str, str, int, str, Version, Version], ...] = (
    ("page", "mapping", 24, "address_space", (4, 18), _EVER),
    ("page", "index", 32, "", (4, 18), (6, 16)),
    ("page", "compound_head", 8, "", (4, 18), (6, 16)),
    ("page", "_refcount.counter", 52, "", (4, 18), _EVER),
    ("folio", "mapping", 24, "address_space", (5, 16), _EVER),
    ("folio", "index", 32, "", (5, 16), _EVER),
    ("folio", "_refcount.counter", 52, "", (5, 16), _EVER),
    ("folio", "flags", 0, "", (5, 16), (6, 18)),
    ("folio", "_folio_order", 81, "", (6, 1), (6, 2)),
    ("folio", "_pincount.counter", 88, "", (6, 1), (6, 2)),
    ("address_space", "host", 0, "inode", (4, 18), _EVER),
    ("inode", "i_sb", 40, "super_block", (4, 18), _EVER),
    ("inode", "i_ino", 64, "", (4, 18), _EVER),
    ("super_block", "s_dev", 16, "", (4, 18), _EVER),
    ("file", "f_inode", 32, "inode", (4, 18), (6, 5)),
)
_WITHOUT_PROBES = "pins, memory regions and writeback of single pages are not seen: such a trace gives the policies nothing to decide"
_TAGGED = "compound_head"
_KNOWN_HEAD_FLAG = (((6, 1), (6, 2), 16),)


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel as far as recording is concerned. `functions` are those of the probe table that can be probed."""

    release: str
    machine: str
    functions: frozenset[str] = frozenset()
    tracepoints: frozenset[str] = frozenset()
    layout: Layout | None = None
    kprobes: bool = True
    fprobes: bool = False
    named_arguments: bool = False
    numbered_arguments: bool = True

    @property
    def version(self) -> Version:
        match = re.match(r"(\d+)\.(\d+)", self.release)
        return (int(match[1]), int(match[2])) if match else (0, 0)


@dataclass(frozen=True, slots=True)
class Definition:
    """A probe event, and the lines for tracefs dynamic_events that make it: the first that the kernel accepts."""

    event: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Missing:
    """What is not enabled, why, and what that costs."""

    what: str
    why: str
    cost: str


@dataclass(slots=True)
class Plan:
    """What to enable."""

    definitions: list[Definition] = field(default_factory=list)
    tracepoints: list[str] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)


def make_plan(kernel: Kernel) -> Plan:
    plan = Plan()
    if not (kernel.kprobes or kernel.fprobes):
        plan.missing.append(Missing(f"{GROUP}:*", "the kernel was built without kprobe and fprobe events", _WITHOUT_PROBES))
    for probe in PROBES if not plan.missing else ():
        if kernel.version < probe.needed_since:
            continue
        found = _definitions(probe, kernel)
        if isinstance(found, Missing):
            plan.missing.append(found)
        else:
            plan.definitions += found
    for row in TRACEPOINTS:
        _add_tracepoints(plan, row, kernel)
    return plan


def lost(definition: Definition, why: str) -> Missing:
    """A definition that the kernel refused in all its forms."""
    probe = next(probe for probe in PROBES if definition.event in (probe.event, f"{probe.event}_ret"))
    return Missing(f"{GROUP}:{definition.event}", why, probe.without)


def known_layout(version: Version, machine: str) -> Layout:
    """What is known without BTF."""
    found = Layout()
    if machine not in _REGISTERS:
        return found
    for struct, member, offset, target, since, until in _KNOWN:
        if since <= version < until:
            found.members.setdefault(struct, {})[member] = Member(offset, target)
    found.values.update(("PG_head", bit) for since, until, bit in _KNOWN_HEAD_FLAG if since <= version < until)
    return found


def _add_tracepoints(plan: Plan, row: Tracepoints, kernel: Kernel) -> None:
    lacking = []
    for names in row.events:
        name = next((name for name in names.split("|") if f"{row.system}:{name}" in kernel.tracepoints), None)
        if name is None:
            lacking.append(names.partition("|")[0])
        else:
            plan.tracepoints.append(f"{row.system}:{name}")
    if lacking:
        present = any(name.startswith(f"{row.system}:") for name in kernel.tracepoints)
        why = "this kernel does not have it" if present else f"the kernel has no {row.system} events, or its module is not loaded"
        plan.missing.append(Missing(f"{row.system}:{', '.join(lacking)}", why, row.without))


def _definitions(probe: Probe, kernel: Kernel) -> list[Definition] | Missing:
    what = f"{GROUP}:{probe.event}"
    form = next((form for form in probe.forms if form.symbol in kernel.functions and form.since <= kernel.version < form.until), None)
    if form is None:
        strange = next((form.symbol for form in probe.forms if form.symbol in kernel.functions), None)
        absent = f"there is no function {probe.forms[0].symbol}: it was inlined, or its module is not loaded"
        return Missing(what, absent if strange is None else f"{strange} of Linux {kernel.release} is not known", probe.without)
    written = list(dict.fromkeys(filter(None, (_fields(form, kernel, named) for named in _styles(kernel)))))
    if not written:
        return Missing(what, "the kernel has no BTF, and where its structures have their members is not known", probe.without)
    entry = "p" if kernel.kprobes else "f"
    definitions = [Definition(probe.event, tuple(f"{entry}:{GROUP}/{probe.event} {form.symbol} {fields}" for fields in written))]
    if probe.returns:
        event = f"{probe.event}_ret"
        line = f"r{_MOST_RETURNS}:{GROUP}/{event} {form.symbol}" if kernel.kprobes else f"f:{GROUP}/{event} {form.symbol}%return"
        definitions.append(Definition(event, (f"{line} {probe.returns}",)))
    return definitions


def _styles(kernel: Kernel) -> Iterator[bool]:
    """The kernel's names of arguments first: it refuses a function that is another one than we think."""
    if kernel.named_arguments and kernel.layout is not None:
        yield True
    if kernel.numbered_arguments or kernel.machine in _REGISTERS:
        yield False


def _fields(form: Form, kernel: Kernel, named: bool) -> str:
    """The fields as the kernel reads them, "" where one that is necessary cannot be told."""
    written = []
    for word in form.fields.split():
        name, _, alternatives = word.partition("=")
        text = next(filter(None, (_field(form, kernel, each, named) for each in alternatives.split("|"))), "")
        if text:
            written.append(f"{name.rstrip('?')}={text}")
        elif not name.endswith("?"):
            return ""
    return " ".join(written)


def _field(form: Form, kernel: Kernel, source: str, named: bool) -> str:
    layout = kernel.layout or known_layout(kernel.version, kernel.machine)
    path, _, kind = source.partition(":")
    bit = re.search(r"@([A-Za-z]\w*)", kind)
    if bit is not None:
        if bit[1] not in layout.values:
            return ""
        kind = kind.replace(bit[1], str(layout.values[bit[1]]))
    argument, *members = path.split("->")
    fetched = _argument(form, kernel, layout, argument)
    struct, bias = dict(form.arguments)[argument], 0
    for name in members:
        member = layout.members.get(struct, {}).get(name)
        if member is None or not fetched:
            return ""
        fetched, struct, bias = f"+{member.offset - bias}({fetched})", member.struct, 0
        if name == _TAGGED and name != members[-1]:
            # A pointer to a page with bit 0 set: the kernel does not follow it by name.
            struct, bias, named = "page", 1, False
    return f"{path if named else fetched}:{kind}" if fetched else ""


def _argument(form: Form, kernel: Kernel, layout: Layout, name: str) -> str:
    """The argument of this name, by the kernel's own account of the function where there is one; "" where it is not there."""
    names: Sequence[str] = layout.arguments.get(form.symbol) or [name for name, _ in form.arguments]
    if name not in names:
        return ""
    place = names.index(name)
    if kernel.numbered_arguments:
        return f"$arg{place + 1}"
    registers = _REGISTERS.get(kernel.machine, ())
    return registers[place] if place < len(registers) else ""
