"""Rates of alarms for correct and for wrong queries: `python -m benchmarks.alarms`.

Twenty textbook standards are simulated under `laboratory` conditions. The options `--measured` and
`--simulated` add folders with a manifest.csv, of measured files and of patterns from other
programs. The queries about each pattern are posed correctly, with the wavelength of another anode,
and with the next other formula of the list. They are answered as in a prediction, with a search
where no known crystal explains the pattern, but without a network. The known crystals are those of
a prediction and the standards. An alarm is an assessment that the query is not consistent. The
second number of each pair counts the other queries that nothing explains, which a doubt or a note
says. A file of answers (`--answers`) keeps what was computed, so that the command can be stopped
and run again.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import tyro
from pymatgen.core import Lattice, Structure
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.analogues import measured as simulated_measurement
from benchmarks.patterns import listed_patterns
from cmed_jax.crystal.composition import (
    anonymous_formula,
    composition_vector,
)
from cmed_jax.crystal.material import Material, Refusal
from cmed_jax.io.pattern import MeasuredPattern
from cmed_jax.physics import Crystal
from cmed_jax.prediction.answers import answered
from cmed_jax.prediction.known_crystals import known_crystals
from cmed_jax.prediction.options import PredictionOptions
from cmed_jax.prediction.query import PredictionQuery
from cmed_jax.solution.isostructural import match_pattern

KINDS = ("right", "wavelength", "formula")

STANDARDS = {
    "Si": ("F d -3 m:1", (5.431,), {"Si": (0, 0, 0)}),
    "LaB6": ("P m -3 m", (4.157,), {"La": (0, 0, 0), "B": (0.1993, 0.5, 0.5)}),
    "CeO2": ("F m -3 m", (5.411,), {"Ce": (0, 0, 0), "O": (0.25, 0.25, 0.25)}),
    "Al2O3": ("R -3 c:H", (4.759, 12.991), {"Al": (0, 0, 0.3522), "O": (0.3063, 0, 0.25)}),
    "Y2O3": (
        "I a -3",
        (10.604,),
        {"Y": (0.25, 0.25, 0.25), "Y ": (0.9676, 0, 0.25), "O": (0.3907, 0.1518, 0.3800)},
    ),
    "ZnO": ("P 63 m c", (3.250, 5.207), {"Zn": (1 / 3, 2 / 3, 0), "O": (1 / 3, 2 / 3, 0.382)}),
    "MgO": ("F m -3 m", (4.212,), {"Mg": (0, 0, 0), "O": (0.5, 0.5, 0.5)}),
    "NaCl": ("F m -3 m", (5.640,), {"Na": (0, 0, 0), "Cl": (0.5, 0.5, 0.5)}),
    "KCl": ("F m -3 m", (6.293,), {"K": (0, 0, 0), "Cl": (0.5, 0.5, 0.5)}),
    "CaF2": ("F m -3 m", (5.463,), {"Ca": (0, 0, 0), "F": (0.25, 0.25, 0.25)}),
    "TiO2": ("P 42/m n m", (4.594, 2.959), {"Ti": (0, 0, 0), "O": (0.305, 0.305, 0)}),
    "TiO2 ": ("I 41/a m d:1", (3.785, 9.514), {"Ti": (0, 0, 0), "O": (0, 0, 0.2081)}),
    "SiO2": (
        "P 32 2 1",
        (4.913, 5.405),
        {"Si": (0.4697, 0, 2 / 3), "O": (0.4135, 0.2669, 0.7858)},
    ),
    "CaCO3": (
        "R -3 c:H",
        (4.990, 17.061),
        {"Ca": (0, 0, 0), "C": (0, 0, 0.25), "O": (0.2569, 0, 0.25)},
    ),
    "Fe3O4": (
        "F d -3 m:2",
        (8.396,),
        {"Fe": (0.125, 0.125, 0.125), "Fe ": (0.5, 0.5, 0.5), "O": (0.2547, 0.2547, 0.2547)},
    ),
    "Cr2O3": ("R -3 c:H", (4.959, 13.594), {"Cr": (0, 0, 0.3475), "O": (0.3058, 0, 0.25)}),
    "C": ("F d -3 m:1", (3.567,), {"C": (0, 0, 0)}),
    "C ": ("P 63/m m c", (2.464, 6.711), {"C": (0, 0, 0.25), "C ": (1 / 3, 2 / 3, 0.25)}),
    "W": ("I m -3 m", (3.165,), {"W": (0, 0, 0)}),
    "Ag": ("F m -3 m", (4.086,), {"Ag": (0, 0, 0)}),
}
"""The space group, the edges (angstrom) and the sites of each formula, from textbooks.

A blank at the end distinguishes repeated formulas and elements.
"""
HEXAGONAL = ("P 6", "P 3", "R ")


@dataclass(frozen=True)
class Options:
    """Assess queries about textbook standards and about files, posed correctly and wrongly.

    Attributes:
        measured: a folder of measured patterns with a manifest.csv (file, formula, wavelength_A).
        simulated: such a folder of patterns of other programs; files may be packed (.gz).
        wavelength: the wrong wavelength.
        standards: number of standards, of the twenty.
        every: step between the simulated patterns that are used.
        search: search for structures as a prediction does.
        answers: a file of the answers, one a line as JSON; what it holds is not sought again.
        seed: seed of the conditions of measurement.
    """

    measured: Path | None = None
    simulated: Path | None = None
    wavelength: str = "CoKa"
    standards: int = 20
    every: int = 1
    search: bool = True
    answers: Path | None = None
    seed: int = 0


class Answer(NamedTuple):
    """Whether a query raises an alarm, the sentence of its assessment, and whether it explains."""

    alarm: bool
    sentence: str
    explained: bool


class Asked(NamedTuple):
    """A pattern by its name, the formula of its sample, and its radiation."""

    name: str
    pattern: MeasuredPattern
    formula: str
    radiation: str | float


def standard(name: str) -> Material:
    """Return a standard as a material."""
    symbol, edges, sites = STANDARDS[name]
    a, c = edges[0], edges[-1]
    cell = Lattice.hexagonal(a, c) if symbol.startswith(HEXAGONAL) else Lattice.tetragonal(a, c)
    species = [each.strip() for each in sites]
    crystal = Structure.from_spacegroup(symbol.replace(" ", ""), cell, species, [*sites.values()])
    return Material(
        f"standard {name.strip()}",
        cell.matrix,
        np.array([site.specie.Z for site in crystal]),
        crystal.frac_coords,
    )


def of_standards(options: Options) -> Iterator[Asked]:
    """Yield simulated measurements of the standards."""
    keys = jax.random.split(jax.random.key(options.seed), len(STANDARDS))
    for name, key in list(zip(STANDARDS, keys, strict=True))[: options.standards]:
        material = standard(name)
        crystal = Crystal.of(material.lattice, material.numbers, material.frac_coords)
        yield Asked(
            f"standard {name}",
            simulated_measurement(crystal, key),
            name.strip(),
            "CuKa",
        )


def of_files(folder: Path | None, every: int = 1) -> Iterator[Asked]:
    """Yield the patterns of a folder."""
    if folder is None:
        return
    for each in listed_patterns(folder)[::every]:
        yield Asked(each.path.name, each.load("CuKa"), each.formula, each.wavelength)


def answer(
    pattern: MeasuredPattern,
    formula: str,
    radiation: str | float,
    known: Mapping[str, list[Material]],
    *,
    search: bool,
) -> Answer:
    """Return the answer to a query; a pattern that cannot be prepared counts as an alarm.

    Args:
        pattern: the pattern; its radiation does not count.
        formula: the formula that is asked about.
        radiation: the radiation that is asked about.
        known: the known crystals by anonymous formula.
        search: whether structures are sought where no known crystal explains the pattern.
    """
    options = PredictionOptions(
        wavelength=radiation, composition=formula, cell="auto", search=None if search else 0
    )
    try:
        columns = pattern.two_theta, pattern.intensity
        query = PredictionQuery.of(columns, formula, options, as_measured=False)
    except ValueError as error:  # no line, or lines out of reach
        return Answer(True, str(error), explained=False)
    assert query.prepared is not None
    assert query.formula is not None
    crystals = known.get(anonymous_formula(query.formula), ())
    matches = match_pattern(query.prepared, query.formula, crystals, options.analogues)
    found = answered(query, matches, [each.crystal.lattice for each in matches[:1]])
    assessment, explained = found.assessment, found.answer is not None
    if assessment is None:
        return Answer(False, "nothing explains the pattern", explained)
    return Answer(not assessment.consistent, assessment.sentence, explained)


class Answers:
    """The answers so far, kept in a file where there is one.

    Args:
        path: the file; None for none.
        known: the known crystals.
        search: whether structures are sought.
    """

    def __init__(self, path: Path | None, known: Iterable[Material], *, search: bool):
        self.path, self.search = path, search
        lines = path.read_text(encoding="utf-8").splitlines() if path and path.exists() else []
        self.given = {tuple(key): Answer(*found) for key, found in map(json.loads, lines)}
        self.known: dict[str, list[Material]] = defaultdict(list)
        for material in known:
            self.known[anonymous_formula(composition_vector(material.numbers))].append(material)

    def of(self, asked: Asked, formulas: Sequence[str], radiation: str | float) -> list[Answer]:
        """Return the answers to queries with several formulas; what is known is not computed."""
        keys = [(asked.name, formula, str(radiation), self.search) for formula in formulas]
        missing = [key for key in keys if key not in self.given]
        for key in missing:
            self.given[key] = answer(
                asked.pattern, key[1], radiation, self.known, search=self.search
            )
            if self.path is not None:
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps([key, self.given[key]]) + "\n")
        return [self.given[key] for key in keys]


def other_formulas(questions: Sequence[Asked]) -> list[str]:
    """Return the next other formula of each question; questions of one formula stay as they are."""
    found = []
    for place, asked in enumerate(questions):
        following = [each.formula for each in (*questions[place:], *questions[:place])]
        others = (each for each in following if each != asked.formula)
        found.append(next(others, asked.formula))
    return found


def _numbers(answers: Sequence[Answer]) -> str:
    """Return the number of alarms, and of other answers that explain nothing."""
    alarms = sum(each.alarm for each in answers)
    others = sum(not each.alarm and not each.explained for each in answers)
    return f"{alarms}, {others}"


def main() -> None:
    """Run the command."""
    options = tyro.cli(Options, prog="python -m benchmarks.alarms")
    known = [each for each in known_crystals(None) if not isinstance(each, Refusal)]
    known += [standard(name) for name in STANDARDS]
    kinds = {
        "standards": list(of_standards(options)),
        "measured": list(of_files(options.measured)),
        "simulated": list(of_files(options.simulated, options.every)),
    }
    answers = Answers(options.answers, known, search=options.search)
    console, table = Console(), Table("patterns", "number", *KINDS)
    for name, questions in kinds.items():
        counted: dict[str, list[Answer]] = {kind: [] for kind in KINDS}
        false = []
        pairs = list(zip(questions, other_formulas(questions), strict=True))
        for asked, other in track(pairs, name, transient=True):
            right, formula = answers.of(asked, (asked.formula, other), asked.radiation)
            (wavelength,) = answers.of(asked, (asked.formula,), options.wavelength)
            for kind, given in zip(KINDS, (right, wavelength, formula), strict=True):
                counted[kind].append(given)
            false += [f"{asked.formula}: {right.sentence}"] if right.alarm else []
        table.add_row(name, str(len(questions)), *map(_numbers, counted.values()))
        console.print(f"{name}: alarms about the right question: {'; '.join(false) or 'none'}")
    console.print(table)


if __name__ == "__main__":
    main()
