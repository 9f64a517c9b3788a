"""What a compiled program says about itself: memory, operations, collectives, and faults.

XLA prints its optimised program as text. An instruction is `%name = type opcode(operands), ...`,
and a type is `f32[16,119]{1,0:T(8,128)}`, of which the last part is the tile that arrays are padded
to on a TPU.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
from jaxtyping import PyTree

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
SIZES = {"pred": 1, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "f16": 2, "bf16": 2, "c64": 8}
SIZES |= {"s32": 4, "u32": 4, "f32": 4, "s64": 8, "u64": 8, "f64": 8, "c128": 16}
LARGE = 2**24
"""The size of arrays whose padding matters, bytes."""
COLUMN = 2**21
"""The size of columns of a table that a step should not read whole, bytes."""
ROWS = frozenset({"gather", "dynamic-slice"})
"""The operations that read some rows of an array."""
VIEWS = frozenset({"bitcast", "get-tuple-element", "tuple", "parameter", "reshape"})
"""The operations that read nothing."""

_COMPUTATION = re.compile(r"^(?:(ENTRY) )?%(\S+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s*(?:ROOT )?%(\S+) = (.*?) ([a-z][a-z0-9-]*)\((.*)$")
_ARRAY = re.compile(r"\b([a-z]+\d*)\[([\d,]*)\](?:\{([\d,]*)(?::[^}]*?T\((\d+(?:,\d+)*)\))?)?")


class Instruction(NamedTuple):
    """An instruction of a program, and the computation that holds it (ENTRY for the outermost)."""

    computation: str
    name: str
    type: str
    opcode: str
    operands: list[str]
    rest: str


@dataclass(frozen=True)
class Findings:
    """What a program takes on each device, and what is wrong with it.

    Attributes:
        flops: floating-point operations; one iteration of every loop counts.
        accessed: bytes that its operations read and write, for the same iterations. An operation
            that gathers some rows counts with its whole array.
        arguments: bytes of the arguments, with their padding.
        unpadded: bytes of the arguments without it.
        temporaries: bytes of temporaries, outputs and code.
        collectives: bytes of each kind of collective.
        calls: number of collectives.
        faults: sentences about what should not be there.
    """

    flops: float
    accessed: float
    arguments: int
    unpadded: int
    temporaries: int
    collectives: dict[str, int]
    calls: int
    faults: list[str]


def findings(compiled: jax.stages.Compiled, arguments: PyTree, rows: int | None = None) -> Findings:
    """Return what is found in a compiled program.

    Args:
        compiled: the program.
        arguments: shapes of its arguments, with their sharding.
        rows: number of rows of the table, of which a step must not read all.
    """
    counts: Any = compiled.cost_analysis() or {}
    memory: Any = compiled.memory_analysis()
    program = list(instructions(compiled.as_text() or ""))
    moved: Counter[str] = Counter()
    calls = 0
    for each in program:
        kind = each.opcode.removesuffix("-start")
        if kind in COLLECTIVES:
            moved[kind] += sum(size for size, _ in arrays(each.type))
            calls += 1
    unpadded = sum(
        math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize
        for x in jax.tree.leaves(arguments)
    )
    return Findings(
        counts.get("flops", math.nan),
        counts.get("bytes accessed", math.nan),
        memory.argument_size_in_bytes,
        unpadded,
        memory.temp_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.generated_code_size_in_bytes,
        dict(moved),
        calls,
        [*faults(program), *(whole_reads(program, rows) if rows else [])],
    )


def instructions(text: str) -> Iterator[Instruction]:
    """Yield the instructions of a program; names are unique in it."""
    computation = ""
    for line in text.splitlines():
        if match := _COMPUTATION.match(line):
            computation = match[1] or match[2]
        elif match := _INSTRUCTION.match(line):
            name, kind, opcode, rest = match.groups()
            operands = re.findall(r"%([\w.\-]+)", rest.split("), ")[0])
            yield Instruction(computation, name, kind, opcode, operands, rest)


def arrays(kind: str) -> Iterator[tuple[int, int]]:
    """Yield the bytes of the arrays of a type, without and with padding."""
    for name, sizes, order, tile in _ARRAY.findall(kind):
        if name not in SIZES:
            continue
        shape = [int(n) for n in sizes.split(",") if n]
        padded = list(shape)
        minor = [int(n) for n in order.split(",") if n]
        for axis, size in zip(
            minor, reversed([int(n) for n in tile.split(",") if n]), strict=False
        ):
            padded[axis] = -(-shape[axis] // size) * size
        yield math.prod(shape) * SIZES[name], math.prod(padded) * SIZES[name]


def faults(program: list[Instruction]) -> Iterator[str]:
    """Yield what should be in no program: float64, calls of the host, and padded arrays."""
    double = [each.name for each in program if re.search(r"\b(f64|c128)\[", each.type)]
    if double:
        yield f"{len(double)} arrays are float64, such as {double[0]}"
    for each in program:
        target = re.search(r'custom_call_target="([^"]*)"', each.rest)
        if each.opcode in ("infeed", "outfeed", "send", "recv") or (
            target and re.search("callback|host", target[1], re.IGNORECASE)
        ):
            yield f"{each.name} calls the host"
    worst = max(
        (
            (padded, size)
            for each in program
            for size, padded in arrays(each.type)
            if padded > LARGE and padded > 2 * size
        ),
        default=None,
    )
    if worst:
        yield f"an array of {worst[1] / 1e6:.3g} MB is padded to {worst[0] / 1e6:.3g} MB"


def whole_reads(program: list[Instruction], rows: int) -> Iterator[str]:
    """Yield the columns of a table that an operation reads other than by rows."""
    users: dict[str, list[Instruction]] = {}
    for each in program:
        for operand in each.operands:
            users.setdefault(operand, []).append(each)
    parameters = [each for each in program if each.opcode == "parameter"]
    inside = {(p.computation, int(p.rest.split(")")[0])): p.name for p in parameters}

    def reads(name: str) -> Iterator[str]:
        for user in users.get(name, ()):
            body = re.search(r"calls=%([\w.\-]+)", user.rest)
            if user.opcode == "fusion" and body:
                yield from reads(inside[body[1], user.operands.index(name)])
            elif user.opcode in VIEWS:
                yield from reads(user.name)
            elif user.opcode not in ROWS:
                yield user.opcode

    for column in parameters:
        if column.computation != "ENTRY" or f"[{rows}," not in column.type:
            continue
        found = sorted(set(reads(column.name)))
        size = sum(padded for _, padded in arrays(column.type))
        if found and size > COLUMN:
            kind = column.type.split("{")[0]
            yield f"{' and '.join(found)} reads all {size / 1e6:.3g} MB of {kind} in the table"
