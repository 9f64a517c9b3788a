"""Predictions from measured files: `python -m benchmarks.measured_predictions RUN --patterns DIR`.

Every file of a folder's `manifest.csv` (columns file, formula, spacegroup, wavelength_A, cell and
mp_id) goes through `restore_and_predict` as a user's file does. The output for each file is the
known cell, and the cell that was found (one that is wrong by more than 0.5 % counts as not found).
Cosine and Rwp of the pattern calculated from the prediction in that cell follow. SSIM compares it
with the independent-atom density of the known structure, which `--materials` holds (JSON lines, by
mp_id). The same figures are given for that density itself, in the cell of the known structure
fitted to the lines: no prediction can be expected to do better. The lines below give the method
that found the cell, the number of electrons of the density in it, the expected number, and SSIM of
the density scaled to that number. They also give the explanation of the pattern by the best known
crystal (`cmed_jax.solution.isostructural`), and the messages of the prediction.

`--wrong` repeats the queries with the wavelengths of other anodes and with the formula of the next
file. It counts the queries that raise an alarm: that pattern, wavelength and formula do not agree.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from jaxtyping import Float

from benchmarks.patterns import ListedPattern, listed_patterns
from cmed_jax.crystal.bravais import same_lattice
from cmed_jax.crystal.canonical import canonical_cell
from cmed_jax.crystal.composition import parse_composition
from cmed_jax.crystal.material import Material
from cmed_jax.crystal.sources import open_source
from cmed_jax.evaluation.metrics import ssim
from cmed_jax.physics.cell import cell_volume
from cmed_jax.physics.crystal import Crystal
from cmed_jax.physics.density import electron_density
from cmed_jax.prediction.predict import restore_and_predict
from cmed_jax.prediction.restore import Restored, restore
from cmed_jax.prediction.result import Prediction
from cmed_jax.solution.calculated import CalculatedPattern, calculate_pattern
from cmed_jax.solution.cell_ranking import CellCandidate
from cmed_jax.solution.isostructural import match_pattern

RIGHT = 0.005
"""The largest relative difference of lengths at which a cell counts as found."""


@dataclass(frozen=True)
class Options:
    """Predict densities from measured files, and compare them with known structures.

    Attributes:
        run: a run's folder, a checkpoint inside it, or a released model.
        patterns: a folder with `manifest.csv` and the files that it names.
        materials: files of JSON lines with the known structures.
        wrong: repeat the queries with a wrong wavelength and a wrong formula as well.
        wavelengths: the wrong wavelengths.
        structures: known crystals to explain the patterns with; by default the embedded ones.
        rietveld: refine the first structure on the whole profile; a note tells Rwp and goodness.
    """

    run: Annotated[Path, tyro.conf.Positional]
    patterns: Path
    materials: tuple[Path, ...] = ()
    wrong: bool = False
    wavelengths: tuple[str, ...] = ("CoKa", "MoKa")
    structures: str | None = None
    rietveld: bool = False


def structures(paths: tuple[Path, ...], wanted: set[str]) -> dict[str, Material]:
    """Return the wanted materials of files of JSON lines, in their canonical cells."""
    found: dict[str, Material] = {}
    for path in paths:
        for each in open_source(str(path)):
            if isinstance(each, Material) and each.material_id in wanted - set(found):
                found[each.material_id] = canonical_cell(each)
    return found


def independent_atoms(crystal: Material) -> Float[np.ndarray, "a b c"]:
    """Return the density of a crystal, made as in the dataset."""
    return electron_density(Crystal.of(crystal.lattice, crystal.numbers, crystal.frac_coords))


def verdict_of(lattice: Float[np.ndarray, "3 3"] | None, known: ListedPattern) -> str:
    """Return whether a primitive cell is the known one."""
    right = lattice is not None and same_lattice(lattice, known.lattice, RIGHT)
    return "yes" if right else "no"


def row_of(found: Prediction, known: ListedPattern, truth: Material | None) -> str:
    """Return the row of the table."""
    verdict = verdict_of(found.lattice, known)
    cells = f"{_edges(known.known_cell)} {_cell(found.cells)} {verdict:4}"
    row = f"{known.path.stem:24} {known.formula:9}{cells} {_agreement(found.calculated)}"
    if truth is None or found.prepared is None:
        return row
    exact = independent_atoms(truth)
    score = float(ssim(exact[None], found.density[None])[0])
    fits = match_pattern(found.prepared, parse_composition(known.formula)[0], [truth], 1)
    if not fits:
        return f"{row} {score:6.3f}   {'-':15} {_agreement(None)}"
    best = calculate_pattern(exact, fits[0].crystal.lattice, found.prepared)
    return f"{row} {score:6.3f}   {_edges(fits[0].parameters)} {_agreement(best)}"


def electrons_row(found: Prediction, truth: Material | None) -> str:
    """Return the method that found the cell, and the electrons of the density in it."""
    if found.lattice is None:
        return "    no cell"
    predicted = found.density.mean() * cell_volume(found.lattice)
    row = f"    cell by {found.cells[0].origin}; {predicted:.1f} electrons"
    if found.electrons is None or truth is None:
        return row
    score = ssim(independent_atoms(truth)[None], found.scaled().density[None])[0]
    return f"{row} of {found.electrons:g}, SSIM {float(score):.3f} if scaled to them"


def analogue_row(found: Prediction, known: ListedPattern) -> str:
    """Return the explanation of the pattern by the best of the known crystals."""
    if not found.analogues:
        return "    no known crystal of the formula's type"
    best = found.analogues[0]
    verdict = verdict_of(best.crystal.lattice, known)
    same = "same" if best.crystal.space_group == known.space_group else "another"
    name = f"{best.crystal.material_id}, {best.prototype}"
    return (
        f"    like {name}: {_edges(best.parameters)} {verdict}, {same} space group, cosine and Rwp "
        f"{_agreement(best.calculated).strip()}"
    )


def _edges(parameters: Float[np.ndarray, "6"]) -> str:
    return f"{parameters[0]:7.3f} {parameters[2]:7.3f}"


def _cell(cells: tuple[CellCandidate, ...]) -> str:
    return f"{cells[0].lattice_type:12}{_edges(cells[0].parameters)}" if cells else f"{'-':27}"


def _agreement(calculated: CalculatedPattern | None) -> str:
    return f"{'-':12}" if calculated is None else f"{calculated.cosine:6.3f} {calculated.rwp:5.3f}"


def predict(
    restored: Restored, common: Options, file: Path, formula: str, wavelength: str
) -> Prediction:
    """Predict from a file without its cell."""
    options: Any = {"wavelength": wavelength, "cell": "auto"}
    options |= {"structures": common.structures, "rietveld": common.rietveld}
    return restore_and_predict(restored, file, formula, **options)


def messages_of(answers: Sequence[Prediction]) -> str:
    """Return the number of queries with alarms, and of predictions with doubts."""
    alarms, doubts = (
        sum(bool(getattr(found, kind)) for found in answers) for kind in ("alarms", "doubts")
    )
    return f"alarms about {alarms} of {len(answers)} questions, doubts about {doubts} answers"


def main() -> None:
    """Run the command."""
    options = tyro.cli(Options)
    files = listed_patterns(options.patterns)
    truths = structures(options.materials, {known.mp_id for known in files})
    restored = restore(options.run)
    print(
        f"{'':24} {'':9}{'known a':>7} {'c':>7} {'found':12}{'a':>7} {'c':>7} {'':4} "
        f"{'cosine':>6} {'Rwp':>5} {'SSIM':>6}   {'exact a':>7} {'c':>7} "
        f"{'cosine':>6} {'Rwp':>5}"
    )
    right = []
    ask = partial(predict, restored, options)
    for known in files:
        found = ask(known.path, known.formula, str(known.wavelength))
        right.append(found)
        print(row_of(found, known, truths.get(known.mp_id)))
        print(electrons_row(found, truths.get(known.mp_id)))
        print(analogue_row(found, known), flush=True)
        for kind in ("alarms", "doubts", "notes"):
            for sentence in getattr(found, kind):
                print(f"    {kind.removesuffix('s')}: {sentence}")
    print(f"with the right questions: {messages_of(right)}")
    if not options.wrong:
        return
    others = [*files[1:], files[0]]
    wrong = {
        f"the wavelength of {name}": [ask(known.path, known.formula, name) for known in files]
        for name in options.wavelengths
    } | {
        "the formula of the next file": [
            ask(known.path, other.formula, str(known.wavelength))
            for known, other in zip(files, others, strict=True)
        ],
    }
    for what, answers in wrong.items():
        print(f"with {what}: {messages_of(answers)}")


if __name__ == "__main__":
    main()
