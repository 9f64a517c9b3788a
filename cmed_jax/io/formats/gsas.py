"""Reader of GSAS' .fxye, .gsas, .gsa and .gss (GSAS manual, LAUR 86-748, "Powder data")."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from cmed_jax.io.formats.scan import Column, Scan, even_steps
from cmed_jax.io.formats.text import decode, numbered_lines, to_numbers

BANK = re.compile(r"BANK\s+\d{1,9}\s+(\d{1,9})\s+\d{1,9}\s+([A-Z_]+)(.*)", re.IGNORECASE)
LEAST_END = 2.0
"""The two-theta, degrees, below which no pattern ends; programs confuse degrees and hundredths."""
FIELD = 8
"""The number of characters of a number in data of the types STD and ESD."""
Lines = Sequence[tuple[int, str]]
Columns = tuple[Column, Column, Column | None]
Kind = Callable[[Lines, float, float], Columns]


def read_gsas(data: bytes) -> Scan:
    """Return the first bank; its angles are hundredths of a degree in the file.

    Raises:
        ValueError: there is no bank, it is of time of flight or of another type than STD, ESD, FXY
            and FXYE, points are missing, or a line is not numbers (the line is named).
    """
    lines = _lines(decode(data))
    banks = [(i, match) for i, (_, line) in enumerate(lines) if (match := BANK.match(line))]
    if not banks:
        raise ValueError("it has no line BANK, as GSAS' data do")
    (begin, match), *others = banks
    body = lines[begin + 1 : others[0][0] if others else None]
    number, points = lines[begin][0], int(match.group(1))
    angle, intensity, sigma = _bank(match, body, number)
    if len(angle) < points:
        raise ValueError(
            f"it is truncated: line {number} promises {points} points, {len(angle)} are there"
        )
    if points > 1 and 0 < angle[points - 1] < LEAST_END:
        raise ValueError(
            f"line {number} and what follows end at {angle[points - 1]:.4g} degrees, for GSAS "
            "counts in hundredths: write hundredths of a degree"
        )
    sigma = None if sigma is None else sigma[:points]
    notes = (f"the first of {len(banks)} banks is read",) if others else ()
    return Scan(angle[:points], intensity[:points], sigma, notes=notes)


def _lines(text: str) -> Lines:
    """Return the lines without comments; leading blanks are kept, because columns are fixed."""
    lines = numbered_lines(text, margin=True)
    return [(number, line) for number, line in lines if not line.startswith("#")]


def _bank(match: re.Match[str], body: Lines, number: int) -> Columns:
    binning, rest = match.group(2).upper(), match.group(3).upper().split()
    if not binning.startswith("CONS"):
        raise ValueError(f"line {number} says {binning} bins, of time of flight: give angles")
    kind = rest.pop() if rest and rest[-1].isalpha() else "STD"
    if kind not in KINDS:
        raise ValueError(f"line {number} says data of type {kind}: give STD, ESD, FXY or FXYE")
    bins = to_numbers(rest, f"line {number}")
    if len(bins) < 2:
        raise ValueError(f"line {number} does not say where the angles begin, and their step")
    return KINDS[kind](body, bins[0] / 100, bins[1] / 100)


def _std(body: Lines, start: float, step: float) -> Columns:
    """Return ten points a line: two characters of the number of detectors, six of mean counts."""
    fields = list(_fields(body))
    counts = _numbers((number, field[2:]) for number, field in fields)
    detectors = _numbers((number, field[:2].strip() or "1") for number, field in fields)
    sigma = np.sqrt(np.maximum(counts, 1) / np.maximum(detectors, 1))
    return even_steps(start, step, len(counts)), counts, sigma


def _esd(body: Lines, start: float, step: float) -> Columns:
    """Return five points a line, each an intensity and a standard deviation."""
    values = _numbers(_fields(body))
    if len(values) % 2:
        raise ValueError("its last standard deviation is missing: the file is truncated")
    intensity, sigma = values[::2], values[1::2]
    return even_steps(start, step, len(intensity)), intensity, sigma


def _free(width: int) -> Kind:
    """Return a reader of one point a line: angle, intensity and, with width 3, deviation."""

    def columns(body: Lines, start: float, step: float) -> Columns:
        rows = [to_numbers(line.split(), f"line {number}") for number, line in body]
        for (number, line), row in zip(body, rows, strict=True):
            if len(row) < width:
                raise ValueError(f"line {number} is not {width} numbers: {line[:40]!r}")
        table = np.array([row[:width] for row in rows]).reshape(-1, width)
        return table[:, 0] / 100, table[:, 1], table[:, 2] if width == 3 else None

    return columns


def _fields(body: Lines) -> Iterator[tuple[int, str]]:
    for number, line in body:
        for begin in range(0, len(line), FIELD):
            yield number, line[begin : begin + FIELD]


def _numbers(fields: Iterable[tuple[int, str]]) -> Column:
    return np.array(
        [to_numbers([field.strip()], f"line {number}")[0] for number, field in fields], float
    )


KINDS: dict[str, Kind] = {
    "STD": _std,
    "ESD": _esd,
    "FXY": _free(2),
    "FXYE": _free(3),
}
