"""Structures behind the patterns of a folder, as the product finds them: `benchmarks.solving`.

    python -m benchmarks.solving FOLDER --truth FILE --system cubic

The composition is given and the cell is not. Known crystals of the same formula are withheld, as if
the compound were new. The first answer is the known crystal that the assessment accepts, or the
structure that the search puts in its place. It is right if pymatgen's StructureMatcher accepts it
with loose tolerances (ltol 0.3, stol 0.5, angle 10) or tight ones (0.2, 0.3, 5). No network is
asked.
The folder holds `manifest.csv` (`benchmarks.patterns`).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table
from scipy.stats import binomtest

from benchmarks.patterns import KnownPattern, known_patterns
from benchmarks.structures import matchers
from cmed_jax.crystal.composition import anonymous_formula, format_composition
from cmed_jax.crystal.material import CRYSTAL_SYSTEMS, Material
from cmed_jax.prediction.assessment import assess, explanation_of
from cmed_jax.prediction.known_crystals import known_crystals
from cmed_jax.prediction.options import PredictionOptions
from cmed_jax.prediction.query import PredictionQuery
from cmed_jax.prediction.structures import search_for_structures, structure_answer
from cmed_jax.solution.isostructural import match_pattern


@dataclass(frozen=True)
class Options:
    """Solve the patterns of a folder.

    Attributes:
        patterns: a folder of patterns with a manifest.
        truth: file of JSON lines with their structures, by mp_id.
        system: crystal system of the patterns; empty for all.
        every: take every n-th pattern of each system.
    """

    patterns: tyro.conf.Positional[Path]
    truth: str
    system: str = ""
    every: int = 1


class Row(NamedTuple):
    """The outcome for one pattern: by what, whether it is right, and the seconds."""

    system: str
    by: str
    loose: bool
    tight: bool
    seconds: float


def solve(pattern: KnownPattern, known: Sequence[Material]) -> Row:
    """Return the outcome for one pattern."""
    assert pattern.truth is not None
    began = time.monotonic()
    formula = format_composition(pattern.composition)
    measured = pattern.measured
    options = PredictionOptions(
        wavelength=measured.radiation.mean, composition=formula, cell="auto"
    )
    columns = (measured.two_theta, measured.intensity)
    query = PredictionQuery.of(columns, formula, options, as_measured=False)
    assert query.prepared is not None
    new = [each for each in known if each.formula != pattern.truth.formula]
    found = match_pattern(query.prepared, pattern.composition, new, options.analogues)
    peaks = query.prepared.peaks
    explanations = [explanation_of(each, peaks) for each in found]
    kind = anonymous_formula(pattern.composition)
    assessment = assess(explanations, query.prepared.radiation.mean, kind, len(peaks.two_theta))
    accepted = None if assessment is None else assessment.accepted
    answer, by = None, "nothing"
    if accepted is not None and accepted.crystal is not None:
        answer, by = accepted.crystal.crystal, "a known crystal"
    lattices = [each.crystal.lattice for each in found[:1]]
    searched = search_for_structures(query, lattices, assessment)
    solved = structure_answer(searched, query, assessment)
    if solved is not None or (answer is None and searched is not None):
        assert searched is not None
        answer = searched.structures[0].material
        by = f"the search, {searched.verdict}"
    taken = time.monotonic() - began
    right = [
        answer is not None and each.fit(pattern.truth.structure, answer.structure)
        for each in matchers()
    ]
    return Row(pattern.system, by, *right, taken)


def main() -> None:
    """Solve the patterns, and print the numbers of each system."""
    options = tyro.cli(Options, prog="python -m benchmarks.solving")
    known = [each for each in known_crystals(None) if isinstance(each, Material)]
    patterns = [each for each in known_patterns(options.patterns, options.truth) if each.truth]
    table = Table("system", "patterns", "loose", "tight [95 %]", "median seconds", "accepted wrong")
    for system in CRYSTAL_SYSTEMS:
        if options.system not in ("", system):
            continue
        rows = []
        for pattern in [each for each in patterns if each.system == system][:: options.every]:
            rows.append(solve(pattern, known))
            said = "right" if rows[-1].tight else "loose" if rows[-1].loose else "wrong"
            print(f"{pattern.name:32} {said} {rows[-1].by}, {rows[-1].seconds:.0f} s", flush=True)
        if not rows:
            continue
        tight = sum(row.tight for row in rows)
        share = binomtest(tight, len(rows)).proportion_ci(method="wilson")
        wrong = sum(not row.loose and "not found" not in row.by for row in rows)
        table.add_row(
            system,
            str(len(rows)),
            str(sum(row.loose for row in rows)),
            f"{tight} [{share.low:.0%}, {share.high:.0%}]",
            f"{np.median([row.seconds for row in rows]):.0f}",
            str(wrong),
        )
    Console().print(table)


if __name__ == "__main__":
    main()
