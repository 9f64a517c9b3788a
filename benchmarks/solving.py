"""Structures behind patterns, as the product finds them: `python -m benchmarks.solving`.

Questions are the patterns of a folder with `manifest.csv` (`benchmarks.patterns`):

    python -m benchmarks.solving --patterns FOLDER --truth FILE --systems cubic

or peaks that pymatgen calculates (copper K-alpha 1, 10 to 80 degrees) for materials of a file of
JSON lines, drawn at random for each crystal system:

    python -m benchmarks.solving --materials FILE --split mp20 --count 300 --withheld compound

The composition is given and the cell is not. Known crystals are withheld, as if the compound were
new: of the same formula, of the same formula and space group ("compound"), or of the same type of
formula, such as AB2 ("type"). The first structure is that of a known crystal that the assessment
accepts, or that of the search. It is right if pymatgen's StructureMatcher accepts it with loose
tolerances (ltol 0.3, stol 0.5, angle 10) or tight ones (0.2, 0.3, 5). SSIM compares its density
with that of the true structure. A structure is accepted if it answers without an alarm, and without
a doubt about its probability. No network is asked.

Two controls show what follows without the pattern. With `--control shuffled` the intensities of
calculated peaks are permuted. With `--control wrong` each composition meets the pattern of another
material of the same crystal system: no structure should be accepted.
"""

import itertools
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import tyro
from pymatgen.analysis.diffraction.xrd import WAVELENGTHS, XRDCalculator
from rich.console import Console
from rich.table import Table
from scipy.stats import binomtest

from benchmarks.patterns import known_patterns
from benchmarks.structures import matchers, materials_of
from cmed_jax.crystal.composition import composition_vector, format_composition
from cmed_jax.crystal.material import CRYSTAL_SYSTEMS, Material
from cmed_jax.crystal.symmetry import either_hand
from cmed_jax.data.records import density_of
from cmed_jax.evaluation.metrics import ssim
from cmed_jax.prediction.answers import Answered, answered
from cmed_jax.prediction.checks import UNLIKELY
from cmed_jax.prediction.known_crystals import known_crystals
from cmed_jax.prediction.options import PredictionOptions
from cmed_jax.prediction.query import PredictionQuery
from cmed_jax.search.solved import SEARCH
from cmed_jax.solution.isostructural import match_pattern

RADIATION = "CuKa1"
"""The radiation of calculated peaks."""
SPAN = (10.0, 80.0)
"""The range of two-theta of calculated peaks, degrees."""

Withheld = Literal["formula", "compound", "type"]


@dataclass(frozen=True)
class Options:
    """Solve patterns whose structures are known.

    Attributes:
        patterns: a folder of patterns with a manifest.
        truth: file of JSON lines with the structures of its patterns, by mp_id.
        materials: file of JSON lines with materials whose peaks are calculated.
        split: split of those materials; empty for all.
        count: number of patterns or materials of each system; 0 for all.
        atoms: largest number of atoms in the given cell of a material.
        systems: crystal systems.
        withheld: which known crystals are withheld.
        control: what is put in place of the pattern.
        seed: seed of the draw and of the permutation.
    """

    patterns: Path | None = None
    truth: str | None = None
    materials: str | None = None
    split: str = ""
    count: int = 0
    atoms: int = 60
    systems: tuple[str, ...] = tuple(CRYSTAL_SYSTEMS)
    withheld: Withheld = "formula"
    control: Literal["none", "shuffled", "wrong"] = "none"
    seed: int = 0


class Question(NamedTuple):
    """A pattern, and the material behind it."""

    name: str
    two_theta: np.ndarray
    intensity: np.ndarray
    wavelength: float
    composition: np.ndarray
    truth: Material


class Row(NamedTuple):
    """The outcome for one pattern: the first structure, and how far it is trusted."""

    by: str
    loose: bool
    tight: bool
    accepted: bool
    probability: float
    ssim: float
    seconds: float


def of_folder(options: Options, folder: Path) -> dict[str, list[Question]]:
    """Return the patterns of a folder by crystal system."""
    found: dict[str, list[Question]] = {system: [] for system in options.systems}
    for each in known_patterns(folder, options.truth):
        if each.truth is not None and each.system in found:
            measured = each.measured
            columns = measured.two_theta, measured.intensity, measured.radiation.mean
            question = Question(each.name, *columns, each.composition, each.truth)
            found[each.system].append(question)
    return {system: part[: options.count or None] for system, part in found.items()}


def materials_by_system(options: Options) -> dict[str, list[Material]]:
    """Return the materials of a source by crystal system."""
    found: dict[str, list[Material]] = {system: [] for system in options.systems}
    for each in materials_of(options.materials):
        usable = options.split in ("", each.split) and len(each.numbers) <= options.atoms
        if usable and each.crystal_system in found:
            found[each.crystal_system].append(each)
    return found


def of_materials(
    materials: Mapping[str, Sequence[Material]], options: Options
) -> dict[str, list[Question]]:
    """Return the calculated peaks of materials that are drawn from each crystal system."""
    found = {}
    for system, alike in materials.items():
        drawn = np.random.default_rng(options.seed).permutation(len(alike))
        questions = (_calculated(alike[row]) for row in drawn)
        found[system] = list(islice(questions, options.count or None))
    return found


def _calculated(material: Material) -> Question:
    peaks = XRDCalculator(RADIATION).get_pattern(material.structure, two_theta_range=SPAN)
    name = f"{material.formula} {material.material_id}"
    composition = composition_vector(material.numbers)
    columns = np.array(peaks.x), np.array(peaks.y), WAVELENGTHS[RADIATION]
    return Question(name, *columns, composition, material)


def asked(questions: Sequence[Question], options: Options) -> Iterator[Question]:
    """Yield the questions, or those of a control."""
    rng = np.random.default_rng(options.seed)
    for number, each in enumerate(questions):
        if options.control == "shuffled":
            yield each._replace(intensity=rng.permutation(each.intensity))
        elif options.control == "wrong":
            later = [*questions[number + 1 :], *questions[:number]]
            others = (other for other in later if other.truth.formula != each.truth.formula)
            if (other := next(others, None)) is not None:
                columns = other.two_theta, other.intensity, other.wavelength
                yield Question(each.name, *columns, each.composition, each.truth)
        else:
            yield each


def is_withheld(known: Material, truth: Material, withheld: Withheld) -> bool:
    """Return whether a known crystal is withheld from a question."""
    if withheld == "type":
        return known.anonymous_formula == truth.anonymous_formula
    if known.formula != truth.formula:
        return False
    groups = {either_hand(each.space_group or 0) for each in (known, truth)}
    return withheld == "formula" or len(groups) == 1


def solve(question: Question, known: Sequence[Material], withheld: Withheld) -> Row:
    """Return the outcome for one pattern."""
    began = time.monotonic()
    formula = format_composition(question.composition)
    options = PredictionOptions(wavelength=question.wavelength, composition=formula, cell="auto")
    columns = (question.two_theta, question.intensity)
    query = PredictionQuery.of(columns, formula, options, as_measured=False)
    assert query.prepared is not None
    new = [each for each in known if not is_withheld(each, question.truth, withheld)]
    matches = match_pattern(
        query.prepared,
        question.composition,
        new,
        options.analogues,
        lattices=query.likely_lattices,
    )
    found = answered(query, matches, [each.crystal.lattice for each in matches[:1]])
    by, taken = _origin(found), time.monotonic() - began
    if not found.structures:
        return Row(by, False, False, False, 0.0, 0.0, taken)
    first = found.structures[0]
    loose, tight = (each.fit(question.truth.structure, first.structure) for each in matchers())
    likeness = _likeness(question.truth, first.material)
    alarm = found.assessment is not None and not found.assessment.consistent
    accepted = found.answer is not None and not alarm and first.probability >= UNLIKELY
    return Row(by, loose, tight, accepted, first.probability, likeness, taken)


def _origin(found: Answered) -> str:
    """Return what the answer comes from."""
    if found.answer is None:
        return "nothing"
    searched = found.searched is not None and found.structures[0].origin == SEARCH
    return "the search" if searched else "a known crystal"


def _likeness(truth: Material, answer: Material) -> float:
    """Return the plain SSIM of the densities of two crystals in their canonical cells."""
    try:
        return float(ssim(density_of(truth)[None], density_of(answer)[None])[0])
    except ValueError:  # atoms too close
        return np.nan


def report(rows: Sequence[Row], system: str) -> list[str]:
    """Return the numbers of a crystal system, for the table."""
    tight = sum(row.tight for row in rows)
    share = binomtest(tight, len(rows)).proportion_ci(method="wilson")
    return [
        system,
        str(len(rows)),
        str(sum(row.loose for row in rows)),
        f"{tight} [{share.low:.0%}, {share.high:.0%}]",
        f"{np.nanmean([row.ssim for row in rows]):.3f}",
        f"{np.median([row.seconds for row in rows]):.0f}",
        str(sum(row.accepted for row in rows)),
        str(sum(row.accepted and not row.loose for row in rows)),
    ]


def weighted(rows: Mapping[str, Sequence[Row]], materials: Mapping[str, Sequence[Material]]) -> str:
    """Return the shares of right structures with the crystal systems as frequent as in a source."""
    weights = [len(materials[system]) for system in rows]
    shares = [np.mean([(row.loose, row.tight) for row in part], axis=0) for part in rows.values()]
    loose, tight = np.average(shares, axis=0, weights=weights)
    return f"weighted by the systems of the source: loose {loose:.1%}, tight {tight:.1%}"


def reliability(rows: Sequence[Row]) -> Iterator[str]:
    """Yield how many first structures are right, by the probability that is given."""
    yield "probability: right of"
    for low, high in pairwise((0, 0.2, 0.4, 0.6, 0.8, 0.95, 1.01)):
        part = [row.loose for row in rows if low <= row.probability < high]
        if part:
            yield f"{low:.2f} to {min(high, 1):.2f}: {sum(part)} of {len(part)}"


def main() -> None:
    """Solve the patterns, and print the numbers of each system."""
    options = tyro.cli(Options, prog="python -m benchmarks.solving")
    if options.control == "shuffled" and options.patterns is not None:
        sys.exit("--control shuffled permutes calculated peaks: give --materials")
    known = [each for each in known_crystals(None) if isinstance(each, Material)]
    folder = options.patterns
    materials = materials_by_system(options) if folder is None else {}
    questions = of_folder(options, folder) if folder else of_materials(materials, options)
    counts = ("accepted", "accepted, wrong")
    figures = ("loose", "tight [95 %]", "SSIM", "median seconds", *counts)
    table = Table("system", "patterns", *figures)
    every: dict[str, list[Row]] = {}
    for system, part in questions.items():
        rows: list[Row] = []
        for question in asked(part, options):
            row = solve(question, known, options.withheld)
            rows.append(row)
            said = "right" if row.tight else "loose" if row.loose else "wrong"
            figures = f"{row.by}, p {row.probability:.2f}, SSIM {row.ssim:.3f}, {row.seconds:.0f} s"
            print(f"{question.name:32} {said} {figures}", flush=True)
        if rows:
            table.add_row(*report(rows, system))
            every[system] = rows
    Console(width=120).print(table)
    if materials and every:
        print(weighted(every, materials))
    print("\n".join(reliability(list(itertools.chain(*every.values())))))


if __name__ == "__main__":
    main()
