"""Reliability of the assessment of a query: `python -m benchmarks.verdicts`.

Embedded materials are measured as in `benchmarks/analogues.py`. The queries are posed correctly,
with the wavelengths of other anodes, and with the formula of the next material. Crystals of the
queried and of the true formula are removed from the known ones, as if the compound were new. Only
known crystals are considered, without a network. The output is how often the assessment is that the
query is consistent, that it is not, or that it is open. The same follows for limits of Rwp and
volume other than those of `cmed_jax.prediction.assessment`, which were chosen in this way.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from unittest.mock import patch

import jax
import numpy as np
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.analogues import Options as Drawn
from benchmarks.analogues import chosen, embedded, measured
from cmed_jax.crystal.composition import composition_vector
from cmed_jax.crystal.material import Material, Refusal
from cmed_jax.io.pattern import MeasuredPattern, pattern_of_columns
from cmed_jax.physics import Crystal
from cmed_jax.physics.patterns import RADIATIONS
from cmed_jax.powder.preparation import prepare
from cmed_jax.prediction import assessment
from cmed_jax.prediction.assessment import Explanation, assess, explanation_of
from cmed_jax.prediction.known_crystals import known_crystals
from cmed_jax.solution.isostructural import match_pattern

LISTED = 3
"""The number of isostructural crystals, the default of a prediction."""
LIMITS = (0.5, 0.6, 0.65, 0.7, 0.8)
"""The limits of Rwp."""
VOLUMES = ((0.8, 1.25), (0.72, 1.35), (0.6, 1.6))
"""The limits of the relative volume of a cell."""

Answers = dict[str, list[list[Explanation]]]
"""The possible explanations of the pattern for each kind of query and each material."""


@dataclass(frozen=True)
class Options:
    """Assess queries about simulated measurements, posed correctly and wrongly.

    Attributes:
        materials: number of materials.
        wavelengths: the wrong ones; the measurements are of copper.
        seed: seed of the choice and of the measurements.
    """

    materials: int = 28
    wavelengths: tuple[str, ...] = ("CoKa", "MoKa")
    seed: int = 1


def explanations(
    pattern: MeasuredPattern, wavelength: str, asked: Material, known: Sequence[Material]
) -> list[Explanation]:
    """Return the known crystals that explain a pattern with the formula of a material."""
    angle, intensity = pattern.two_theta, pattern.intensity
    try:
        prepared = prepare(pattern_of_columns(angle, intensity, wavelength))
        found = match_pattern(prepared, composition_vector(asked.numbers), known, LISTED)
    except ValueError:  # no peak stands out of the noise
        return []
    return [explanation_of(each, prepared.peaks) for each in found if each.calculated is not None]


def ask(options: Options) -> Answers:
    """Return the explanations of the measurements for each kind of query."""
    known = [each for each in known_crystals(None) if not isinstance(each, Refusal)]
    materials = chosen(embedded(), Drawn(materials=options.materials, seed=options.seed))
    keys = jax.random.split(jax.random.key(options.seed), len(materials))
    answers: Answers = defaultdict(list)
    others = [*materials[1:], materials[0]]
    rows = list(zip(materials, others, keys, strict=True))
    for material, other, key in track(rows, "asking", transient=True):
        pattern = measured(
            Crystal.of(material.lattice, material.numbers, material.frac_coords), key
        )
        new = [each for each in known if each.formula not in (material.formula, other.formula)]
        answers["right"].append(explanations(pattern, "CuKa", material, new))
        for wavelength in options.wavelengths:
            answers[wavelength].append(explanations(pattern, wavelength, material, new))
        answers["formula"].append(explanations(pattern, "CuKa", other, new))
    return answers


def counts(answers: Answers) -> dict[str, tuple[int, int, int]]:
    """Return how often each kind of query is consistent, inconsistent, and open."""
    found = {}
    for kind, each in answers.items():
        used = RADIATIONS.get(kind, RADIATIONS["CuKa"])
        verdicts = [assess(explanations, used, "") for explanations in each]
        consistent = sum(one is not None and one.consistent for one in verdicts)
        nothing = sum(one is None for one in verdicts)
        found[kind] = consistent, len(each) - consistent - nothing, nothing
    return found


def main() -> None:
    """Run the command."""
    options = tyro.cli(Options, prog="python -m benchmarks.verdicts")
    answers = ask(options)
    table = Table("", "consistent", "not", "open", "Rwp", "relative volume of the best")
    for kind, row in counts(answers).items():
        best = [min(each, key=lambda x: x.rwp) for each in answers[kind] if each]
        rwp, relative_volume = (
            np.percentile([getattr(x, name) for x in best], (10, 50, 90))
            for name in ("rwp", "relative_volume")
        )
        spread = (" ".join(f"{x:.2f}" for x in values) for values in (rwp, relative_volume))
        table.add_row(kind, *map(str, row), *spread)
    Console().print(f"{options.materials} materials; 10th, 50th and 90th percentiles", table)
    limits = Table("Rwp", "relative volume", *(f"not: {kind}" for kind in answers))
    for rwp, (least, most) in product(LIMITS, VOLUMES):
        with patch.multiple(assessment, EXPLAINED=rwp, SMALLEST_VOLUME=least, LARGEST_VOLUME=most):
            doubted = (str(row[1]) for row in counts(answers).values())
            limits.add_row(f"{rwp}", f"{least} to {most}", *doubted)
    Console().print(limits)


if __name__ == "__main__":
    main()
