"""Prediction from Python: from a run and a pattern to a density and what it was predicted from."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from jaxtyping import Float, Real
from matplotlib.figure import Figure

from cmed_jax.config import Config
from cmed_jax.crystal.composition import Knowledge, anonymous_formula, parse_composition
from cmed_jax.crystal.lattice import CellParameters, cell_parameters, primitive_lattice
from cmed_jax.crystal.material import Material, Refusal
from cmed_jax.crystal.sources import open_source
from cmed_jax.data.familiar import Familiar, load_familiar
from cmed_jax.data.records import Recipe
from cmed_jax.evaluation.experts import Expert, Mixture, mix
from cmed_jax.evaluation.network import network_generator, numbers
from cmed_jax.evaluation.protocol import Query
from cmed_jax.evaluation.refinement import Refined
from cmed_jax.evaluation.solution import solve
from cmed_jax.evaluation.substitution import Templates
from cmed_jax.files import guard
from cmed_jax.files.analogues import Analogue, explain
from cmed_jax.files.cell_search import (
    LATTICE_TYPES,
    CellCandidate,
    MeasuredLines,
    best_cells_first,
    find_cell,
    lattice_types_of,
)
from cmed_jax.files.implied import Implied, imply
from cmed_jax.files.known import templates_of
from cmed_jax.files.measured import load_pattern, pattern_of_columns
from cmed_jax.files.patterns import check_grid_pattern
from cmed_jax.files.preparation import EVERY_STEP, Preparation, Prepared, prepare
from cmed_jax.files.verdict import Explanation, Verdict, judge
from cmed_jax.files.volumes import save_volume
from cmed_jax.files.whole import write_text
from cmed_jax.model.gate import Gate, load_gate
from cmed_jax.model.network import Network
from cmed_jax.physics.cell import cell_volume
from cmed_jax.released import folder as released
from cmed_jax.training.checkpoint import find_checkpoint, load_model, read_config, run_folder
from cmed_jax.training.damage import checksum
from cmed_jax.training.parallel import DataParallel

__all__ = [
    "Prediction",
    "Preparation",
    "load_pattern",
    "prepare",
    "primitive_lattice",
    "restore",
    "restore_and_predict",
]

Column = Sequence[float] | Real[np.ndarray, "..."]
Pattern = Column | Sequence[Column] | str | Path
STEPS = (
    "reading the pattern",
    "predicting the density",
    "comparing with known crystals",
    "finding the cell",
)
"""Of a prediction, in their order."""
SAME_CELL = 0.01
"""Cells whose edges and angles differ by a smaller share are the same."""
MOST_POINTS = 256**3
"""Of a grid, whose density takes 64 MiB then."""
Composition = str | Mapping[str, float | int] | Sequence[str] | None


@dataclass(frozen=True, eq=False)
class Prediction:
    """A predicted density, and what it was predicted from.

    Attributes:
        density: e/angstrom^3 on the fractional grid i/n, axes a, b, c; from the latent's mean, or
            the gate's mixture.
        std: deviation at each voxel, e/angstrom^3; None without samples, and where a known crystal
            answers for a measured pattern. Of a mixture it is that to expect of the truth: density
            +- 1.645 std holds the truth of 90 % of the voxels of validation crystals, and too few
            where a wrong crystal is believed, about one material in ten. Of a network alone it is
            the deviation of the samples, which promises nothing of the kind.
        candidates: the samples themselves; None likewise.
        pattern: what the network was shown, 1,024 bins of two-theta 0-180 degrees, Mo K-alpha.
        coverage: 1 in the bins that were measured, 0 in those that were not.
        composition: what the network was told, by atomic number.
        config: the configuration of the run that the network comes from.
        alarms: what is wrong with the question: the wavelength, the formula or the cell do not go
            together with the pattern; in sentences, as the two that follow.
        doubts: what is wrong with the answer, or may well be.
        notes: what is unusual, and not wrong.
        prepared: what was found in the measured pattern; None for one on the network's grid.
        lattice: rows a, b, c in angstrom of the cell that the density fills, as given or found;
            None where it is not known.
        cells: what the search for the cell found through the density and through known crystals,
            the best first; empty where there was none.
        implied: the pattern that the density implies in that cell, beside the measured one; None
            without a cell.
        analogues: known crystals with the elements of the composition that explain the measured
            pattern, the best first; empty where they were not sought.
        verdict: whether pattern, wavelength and formula go together; None where nothing tells.
        electrons: in the cell, of the whole formula units that it has room for; None where the
            cell or the formula is not known, or the volume leaves their number open.
        experts: whose answers the density is mixed from and how much each is worth; empty where it
            is the network's alone.
    """

    density: Float[np.ndarray, "a b c"]
    std: Float[np.ndarray, "a b c"] | None
    candidates: Float[np.ndarray, "k a b c"] | None
    pattern: Float[np.ndarray, "1024"]
    coverage: Float[np.ndarray, "1024"]
    composition: Float[np.ndarray, "119"]
    config: Config
    alarms: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    prepared: Prepared | None = None
    lattice: Float[np.ndarray, "3 3"] | None = None
    cells: tuple[CellCandidate, ...] = ()
    implied: Implied | None = None
    analogues: tuple[Analogue, ...] = ()
    verdict: Verdict | None = None
    electrons: float | None = None
    experts: tuple[Expert, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """All that the user should know, the gravest first."""
        return (*self.alarms, *self.doubts, *self.notes)

    def scaled(self) -> "Prediction":
        """Return the prediction with as many electrons as the cell holds.

        Networks predict the density's scale as well, and it stays as predicted unless it is asked
        for: where a network leaves atoms out, the others would be drawn too heavy for them.

        Raises:
            ValueError: the number of electrons is not known.
        """
        if self.electrons is None or self.lattice is None:
            raise ValueError(
                "the number of electrons is not known: give the formula, and the cell or auto"
            )
        factor = np.float32(self.electrons / (self.density.mean() * cell_volume(self.lattice)))
        return replace(
            self,
            density=factor * self.density,
            std=None if self.std is None else factor * self.std,
            candidates=None if self.candidates is None else factor * self.candidates,
        )

    def save(self, path: str | Path, lattice: Float[np.ndarray, "3 3"] | None = None) -> None:
        """Write the density in the format that the file's name tells (`cmed_jax.files.volumes`).

        Args:
            path: .npy; .npz, which holds the deviation as well; or a volume in its cell: .cube,
                .xsf, .ccp4, .map, .mrc, .chgcar, .vasp, or a name that begins with CHGCAR.
            lattice: rows a, b, c in angstrom of the cell that the density fills, as
                `primitive_lattice` gives them; the prediction's own where none is given. Needed by
                all but .npy and .npz.

        Raises:
            FileNotFoundError: there is no such folder.
            ValueError: the name tells no known format, or the lattice is missing or unusable.
        """
        save_volume(path, self.density, self.std, self.lattice if lattice is None else lattice)

    # What is told of a prediction is resolved on use: who only predicts loads no drawing.

    def results(self) -> dict[str, Any]:
        """Return its figures as JSON values (`cmed_jax.report.results`)."""
        from cmed_jax.report.results import results

        return results(self)

    def plot(self) -> Figure:
        """Return a matplotlib figure: slices, and the patterns (`cmed_jax.report.plot`)."""
        from cmed_jax.report.plot import plot

        return plot(self)

    def report(self, path: str | Path, command: str | None = None) -> None:
        """Write one page to look at, which opens without a network (`cmed_jax.report.page`).

        Args:
            path: of the HTML file.
            command: by which the prediction is repeated, where there is one.

        Raises:
            FileNotFoundError: there is no such folder.
        """
        from cmed_jax.report.page import page

        write_text(path, page(self, command))


class Restored(NamedTuple):
    """A trained network, the configuration of its run, and what it has seen, if that was kept.

    Where a gate was trained for it, refined crystals answer beside it (`cmed_jax.gate`).
    """

    config: Config
    network: Network
    familiar: Familiar | None = None
    gate: Gate | None = None


def restore(model: str | Path, *, alone: bool = False) -> Restored:
    """Return a network with its configuration.

    Args:
        model: a run's folder (its best checkpoint is taken), a checkpoint inside it, the name of a
            network that comes with the package, or the folder of a released network.
        alone: leave out its gate, whatever that was trained for.

    Raises:
        FileNotFoundError: there is no such network.
        Damaged: a file of it is not as it was written.
        ValueError: its gate is damaged, of an earlier version, or was trained for another network.
    """
    folder = released.find(model)
    if folder is None:
        found = find_checkpoint(model)
        folder, values, load = run_folder(found), read_config(found), partial(load_model, found)
    else:
        values, load = released.read_config(folder), partial(released.load_weights, folder)
    config = Config.from_json(values)
    abstract = nnx.eval_shape(lambda: config.network.build(nnx.Rngs(0)))
    graph, *trees = nnx.split(abstract, nnx.Param, ...)
    one_device = DataParallel(devices=jax.devices()[:1])
    network = nnx.merge(graph, *load(*one_device.abstract(tuple(trees))))
    gate = None if alone else load_gate(folder, int(checksum(nnx.state(network))))
    return Restored(config, network, load_familiar(folder), gate)


def restore_and_predict(
    model: str | Path | Restored,
    pattern: Pattern,
    composition: Composition = None,
    *,
    wavelength: str | float | None = None,
    preparation: Preparation = EVERY_STEP,
    cell: CellParameters | str | None = None,
    centring: str = "P",
    grid: tuple[int, int, int] = (50, 50, 50),
    samples: int = 0,
    seed: int = 0,
    analogues: int = 3,
    structures: str | None = None,
    progress: Callable[[str], object] = lambda step: None,
) -> Prediction:
    """Predict the electron density of the unit cell behind a powder pattern.

    Args:
        model: as `restore` takes it; or what `restore` made of it, for many patterns.
        pattern: 1,024 bins on the network's grid, a pair (two_theta in degrees, intensity) of peaks
            or of a profile, or the path of a file that `cmed_jax.files.load_pattern` reads.
        composition: a formula, amounts by element, the elements alone (ratios unknown), or None.
        wavelength: a radiation such as "CuKa", or angstroms; a pattern on the network's grid goes
            without, and so does a file that says it.
        preparation: which steps lead from a measured pattern to the network's.
        cell: a, b, c (angstrom), alpha, beta, gamma (degrees) of the conventional cell; or "auto",
            which seeks cubic, hexagonal and rhombohedral cells (`cmed_jax.files.find_cell`), and
            takes those of the known crystals into account.
        centring: of a cell that is given (`primitive_lattice`).
        grid: points along a, b, c.
        samples: how many densities to draw beside the plain one, from the latent and, where the
            model has a gate, of the crystals; none where a known crystal answers for a measured
            pattern.
        seed: of the samples.
        analogues: how many known crystals to seek beside the prediction that explain a measured
            pattern with the elements of a composition that is known in full
            (`cmed_jax.files.find_analogues`); 0 seeks none, and then there is no verdict on the
            question.
        structures: where these crystals are (`cmed_jax.crystal.sources.open_source`); None takes
            the embedded ones.
        progress: is told of each of the `STEPS` when it begins.

    Raises:
        FileNotFoundError: there is no such network or no file.
        ValueError: the pattern, the composition, the wavelength, or an option is unusable.
    """
    check_options(grid, samples, analogues, structures)
    progress(STEPS[0])
    told, knowledge = parse_composition(composition)
    restored = model if isinstance(model, Restored) else restore(model)
    config, network, familiar, _ = restored
    artefacts = config.step.augmentation.artefacts
    prepared = _prepared(pattern, wavelength, preparation, as_measured=artefacts is not None)
    if prepared is None:
        shown, notes = check_grid_pattern(np.asarray(pattern)), []
        coverage = np.ones_like(shown)
    else:
        shown, coverage = prepared.pattern, prepared.coverage
        notes = [*prepared.warnings, *guard.of_pattern(prepared, artefacts, familiar)]
    progress(STEPS[1])
    generator = network_generator(network, grid, samples=samples, seed=seed)
    query = Query(shown[None], told[None], np.array([knowledge], np.int32), coverage[None])
    densities = np.asarray(generator(query)[0])
    progress(STEPS[2])
    known = _analogues(prepared, told, knowledge, analogues, structures)
    answer = Mixture(densities, densities[1:].std(axis=0) if samples else None, ())
    if prepared is None and analogues and restored.gate is not None:
        answer = _mixed(restored, answer, query, structures, seed)
    formula = told if knowledge == Knowledge.FULL else None
    progress(STEPS[3])
    density = answer.densities[0]
    cells = _cells(density, prepared, cell, familiar, known, formula)
    given = None if cell is None or isinstance(cell, str) else primitive_lattice(cell, centring)
    lattice = cells[0].lattice if cells else given
    implied = _implied(density, lattice, prepared, familiar, cells)
    if formula is not None and analogues and prepared is not None and not known:
        notes.append(guard.without_template(formula))
    verdict = None if formula is None else _verdict(prepared, known, implied, lattice, formula)
    believed = None if restored.gate is None else _believed(verdict, known, given)
    if believed is not None:
        who = Expert(1.0, Refined(believed.crystal, believed.rwp))
        answer = Mixture(believed.density(grid)[None], None, (who,))
        lattice, implied = believed.crystal.lattice, believed.implied
    return Prediction(
        answer.densities[0],
        answer.deviation,
        answer.densities[1:] if len(answer.densities) > 1 else None,
        shown,
        coverage,
        told,
        config,
        tuple(_alarms(verdict, lattice, formula)),
        (*_doubts(cell, lattice, implied, known), *guard.of_composition(told, familiar)),
        tuple(notes),
        prepared,
        lattice,
        cells,
        implied,
        known,
        verdict,
        None if lattice is None or formula is None else guard.electrons(lattice, formula, known),
        answer.experts,
    )


def check_options(
    grid: tuple[int, int, int], samples: int, analogues: int, structures: str | None
) -> None:
    """Check options of `restore_and_predict` that say nothing of a pattern.

    Raises:
        ValueError: one of them is unusable.
    """
    if min(grid) < 1:
        raise ValueError(f"grid is {grid}: give three positive numbers of points")
    if (points := math.prod(grid)) > MOST_POINTS:
        raise ValueError(
            f"grid is {grid}, {points:,} points: give at most {MOST_POINTS:,}, such as 256 256 256"
        )
    for name, number in (("samples", samples), ("analogues", analogues)):
        if number < 0:
            raise ValueError(f"{name} is {number}: give 0 or more")
    if analogues:
        open_source(structures)


def _mixed(
    restored: Restored,
    own: Mixture,
    query: Query,
    structures: str | None,
    seed: int,
) -> Mixture:
    """Return the network's answer to one question on its grid, mixed with refined crystals'."""
    gate, familiar = restored.gate, restored.familiar
    if gate is None or familiar is None or familiar.b_factor is None:
        return own
    pattern, told, number, coverage = (np.asarray(column[0]) for column in query)
    knowledge, recipe = Knowledge(int(number)), Recipe(b_factor=familiar.b_factor)
    formula = anonymous_formula(told) if knowledge == Knowledge.FULL else None
    templates = _templates(structures, formula, recipe)
    found = [] if templates is None else solve(templates, pattern, told, knowledge, coverage)
    seeds = [seed, int(numbers(query)[0])]
    return mix(gate, own.densities, found, recipe, knowledge, coverage, seeds)


def _believed(
    verdict: Verdict | None,
    known: tuple[Analogue, ...],
    given: Float[np.ndarray, "3 3"] | None,
) -> Analogue | None:
    """Return the known crystal that the verdict believes, if it fills the cell that was given."""
    if verdict is None or verdict.by is None:
        return None
    named = [each for each in known if each.name == verdict.by]
    best = min(named, key=lambda each: each.rwp, default=None)
    if best is None or given is None:
        return best
    cells = cell_parameters(best.crystal.lattice), cell_parameters(given)
    return best if np.allclose(*cells, rtol=SAME_CELL) else None


def _cells(
    density: Float[np.ndarray, "a b c"],
    prepared: Prepared | None,
    cell: CellParameters | str | None,
    familiar: Familiar | None,
    known: tuple[Analogue, ...],
    formula: Float[np.ndarray, "119"] | None,
) -> tuple[CellCandidate, ...]:
    """Return the cells in which the density, or a known crystal, shows the lines, if asked for."""
    if not isinstance(cell, str):
        return ()
    if cell != "auto":
        raise ValueError(f"cell is {cell!r}: give six numbers, or auto")
    if prepared is None:
        raise ValueError(
            "the cell cannot be sought from a pattern on the network's grid: "
            "give the measured pattern, or the cell"
        )
    lines = MeasuredLines.of(prepared)
    types = LATTICE_TYPES if familiar is None else lattice_types_of(familiar.space_groups)
    found = find_cell(density, lines, types)
    if formula is not None:
        found = tuple(each._replace(room=guard.room(each.lattice, formula)) for each in found)
    return best_cells_first([*found, *(each.cell(lines) for each in known)])


def _implied(
    density: Float[np.ndarray, "a b c"],
    lattice: Float[np.ndarray, "3 3"] | None,
    prepared: Prepared | None,
    familiar: Familiar | None,
    cells: tuple[CellCandidate, ...],
) -> Implied | None:
    """Return the pattern that a density implies; valence densities do not imply what X-rays see."""
    if lattice is None or prepared is None:
        return None
    if familiar is not None and familiar.b_factor is None:
        return None
    return imply(density, lattice, prepared, cells[0].shift if cells else None)


def _verdict(
    prepared: Prepared | None,
    known: tuple[Analogue, ...],
    implied: Implied | None,
    lattice: Float[np.ndarray, "3 3"] | None,
    formula: Float[np.ndarray, "119"],
) -> Verdict | None:
    """Return whether the question is consistent; None without known crystals to hold it against."""
    if prepared is None or not known:
        return None
    heard = [Explanation(x.name, x.implied.rwp, x.room) for x in known if x.implied is not None]
    if implied is not None and lattice is not None:
        heard.append(Explanation("the prediction", implied.rwp, guard.room(lattice, formula)))
    return judge(heard, prepared.radiation.mean, anonymous_formula(formula))


def _alarms(
    verdict: Verdict | None,
    lattice: Float[np.ndarray, "3 3"] | None,
    formula: Float[np.ndarray, "119"] | None,
) -> list[str]:
    """Return what is wrong with the question."""
    if verdict is not None and not verdict.consistent:
        return [verdict.sentence]
    return [] if lattice is None or formula is None else guard.of_cell(lattice, formula)


def _doubts(
    cell: CellParameters | str | None,
    lattice: Float[np.ndarray, "3 3"] | None,
    implied: Implied | None,
    known: tuple[Analogue, ...],
) -> list[str]:
    """Return what is wrong with the answer."""
    if cell is not None and lattice is None:
        return ["no cell is found in which the density shows the lines"]
    return [] if implied is None else guard.of_agreement(implied, known)


def _analogues(
    prepared: Prepared | None,
    told: Float[np.ndarray, "119"],
    knowledge: Knowledge,
    most: int,
    structures: str | None,
) -> tuple[Analogue, ...]:
    """Return known crystals that explain a pattern, where it and the composition tell enough."""
    if not most or prepared is None or knowledge != Knowledge.FULL:
        return ()
    return explain(prepared, told, _known_crystals(structures), most)


@lru_cache(maxsize=4)
def _templates(structures: str | None, formula: str | None, recipe: Recipe) -> Templates | None:
    """Return known crystals as templates, made once for many patterns."""
    return templates_of(_known_crystals(structures), formula, recipe)


@cache
def _known_crystals(structures: str | None) -> list[Material | Refusal]:
    """Return the crystals of a source, read once for many patterns."""
    return list(open_source(structures))


def _prepared(
    pattern: Pattern, wavelength: str | float | None, options: Preparation, *, as_measured: bool
) -> Prepared | None:
    """Return what is found in a pattern; None where it is on the network's grid already."""
    if isinstance(pattern, str | Path):
        return prepare(load_pattern(pattern, wavelength), options, as_measured=as_measured)
    if not isinstance(pattern, tuple | list) or len(pattern) != 2:
        return None
    if wavelength is None:
        raise ValueError(
            "the wavelength is missing: give a radiation such as CuKa, or angstroms, "
            "for the angles mean nothing without it"
        )
    angle, intensity = (np.asarray(column, float) for column in pattern)
    measured = pattern_of_columns(angle, intensity, wavelength)
    return prepare(measured, options, as_measured=as_measured)
