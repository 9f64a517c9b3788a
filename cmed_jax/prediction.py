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
from cmed_jax.crystal.solid_solutions import UNSHARED, Shared, shared_sites
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
    lattice_type_of,
    lattice_types_of,
)
from cmed_jax.files.implied import Implied, imply
from cmed_jax.files.known import templates_of
from cmed_jax.files.measured import load_pattern, pattern_of_columns
from cmed_jax.files.patterns import check_grid_pattern
from cmed_jax.files.preparation import EVERY_STEP, Preparation, Prepared, prepare
from cmed_jax.files.verdict import Explanation, Verdict, judge, unexplained
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


class Conventional(NamedTuple):
    """A conventional cell: a, b, c (angstrom), alpha, beta, gamma (degrees), and its centring.

    The number of the space group is None where no crystal tells it.
    """

    parameters: Float[np.ndarray, "6"]
    centring: str
    space_group: int | None = None


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
        lattice: rows a, b, c in angstrom of the primitive cell, which the density fills: as given,
            found, or refined with the crystal that answers; None where it is not known.
        conventional: the conventional cell of that lattice; None likewise.
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
    conventional: Conventional | None = None
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


@dataclass(frozen=True, eq=False)
class _Question:
    """What is asked.

    Attributes:
        prepared: the measured pattern; None for one on the network's grid.
        pattern: what the network is shown.
        coverage: where that was measured.
        composition: what the network is told.
        knowledge: how much of the composition that is.
        given: the cell; None where none is given.
        sought: whether the cell is to be found.
        most: known crystals that are to explain the pattern.
        structures: where these are.
        shared: the parent of a solid solution, which is sought instead of it.
    """

    prepared: Prepared | None
    pattern: Float[np.ndarray, "1024"]
    coverage: Float[np.ndarray, "1024"]
    composition: Float[np.ndarray, "119"]
    knowledge: Knowledge
    given: Conventional | None
    sought: bool
    most: int
    structures: str | None
    shared: Shared | None = None

    @property
    def query(self) -> Query:
        """As a generator takes it."""
        knowledge = np.array([self.knowledge], np.int32)
        return Query(self.pattern[None], self.composition[None], knowledge, self.coverage[None])

    @property
    def formula(self) -> Float[np.ndarray, "119"] | None:
        """The composition where it is known in full; of a solid solution its parent."""
        if self.shared is not None:
            return self.shared.parent
        return self.composition if self.knowledge == Knowledge.FULL else None

    @property
    def tells_cell(self) -> bool:
        """Whether a measured pattern has the lines that a cell can be sought by."""
        return self.prepared is not None and not guard.of_lines(self.prepared)

    @property
    def lattice(self) -> Float[np.ndarray, "3 3"] | None:
        """Of the primitive cell that is given."""
        return None if self.given is None else primitive_lattice(*self.given[:2])

    def admits(self, crystal: Analogue) -> bool:
        """Whether a crystal fills the cell that is given."""
        if self.lattice is None:
            return True
        cells = cell_parameters(crystal.crystal.lattice), cell_parameters(self.lattice)
        return bool(np.allclose(*cells, rtol=SAME_CELL))


class _Answer(NamedTuple):
    """Densities, the primitive and the conventional cell that they fill, and what they imply."""

    mixture: Mixture
    lattice: Float[np.ndarray, "3 3"] | None
    conventional: Conventional | None
    implied: Implied | None


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
    as_measured = restored.config.step.augmentation.artefacts is not None
    prepared = _prepared(pattern, wavelength, preparation, as_measured=as_measured)
    shown = check_grid_pattern(np.asarray(pattern)) if prepared is None else prepared.pattern
    coverage = np.ones_like(shown) if prepared is None else prepared.coverage
    question = _Question(
        prepared=prepared,
        pattern=shown,
        coverage=coverage,
        composition=told,
        knowledge=knowledge,
        given=_given(cell, centring, prepared),
        sought=isinstance(cell, str),
        most=analogues,
        structures=structures,
        shared=shared_sites(composition) if isinstance(composition, str | Mapping) else None,
    )
    progress(STEPS[1])
    own = _of_network(restored.network, question, grid, samples, seed)
    progress(STEPS[2])
    known = _analogues(question)
    mixture = _mixed(question, restored, own, seed)
    progress(STEPS[3])
    cells = _cells(question, restored.familiar, mixture.densities[0], known)
    answer = _in_cell(question, restored.familiar, mixture, cells)
    verdict = _verdict(question, answer, known)
    believed = _believed(verdict, known)
    if believed is not None and restored.gate is not None and question.admits(believed):
        answer = _of_crystal(believed, grid)
    densities, deviation, experts = answer.mixture
    return Prediction(
        density=densities[0],
        std=deviation,
        candidates=densities[1:] if len(densities) > 1 else None,
        pattern=shown,
        coverage=coverage,
        composition=told,
        config=restored.config,
        alarms=tuple(_alarms(question, verdict, believed)),
        doubts=tuple(_doubts(question, restored.familiar, answer, verdict, known)),
        notes=tuple(_notes(question, restored, answer, known)),
        prepared=prepared,
        lattice=answer.lattice,
        conventional=answer.conventional,
        cells=cells,
        implied=answer.implied,
        analogues=known,
        verdict=verdict,
        electrons=_electrons(question, answer, known),
        experts=experts,
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


def _given(
    cell: CellParameters | str | None, centring: str, prepared: Prepared | None
) -> Conventional | None:
    """Return the cell that is given, if it can be one; whether it can be sought is checked too."""
    if cell is None:
        return None
    if not isinstance(cell, str):
        primitive_lattice(cell, centring)
        return Conventional(np.asarray(cell, float), centring)
    if cell != "auto":
        raise ValueError(f"cell is {cell!r}: give six numbers, or auto")
    if prepared is None:
        raise ValueError(
            "the cell cannot be sought from a pattern on the network's grid: "
            "give the measured pattern, or the cell"
        )
    return None


def _of_network(
    network: Network, question: _Question, grid: tuple[int, int, int], samples: int, seed: int
) -> Mixture:
    """Return the network's own answer, and the deviation of its samples."""
    generator = network_generator(network, grid, samples=samples, seed=seed)
    densities = np.asarray(generator(question.query)[0])
    return Mixture(densities, densities[1:].std(axis=0) if samples else None, ())


def _mixed(question: _Question, restored: Restored, own: Mixture, seed: int) -> Mixture:
    """Return the network's answer to a pattern on its grid, mixed with refined crystals'."""
    gate, familiar = restored.gate, restored.familiar
    if not question.most or question.prepared is not None:
        return own
    if gate is None or familiar is None or familiar.b_factor is None:
        return own
    recipe, formula = Recipe(b_factor=familiar.b_factor), question.formula
    kind = None if formula is None else anonymous_formula(formula)
    templates = _templates(question.structures, kind, recipe)
    asked = (question.pattern, question.composition, question.knowledge, question.coverage)
    found = [] if templates is None else solve(templates, *asked)
    seeds = [seed, int(numbers(question.query)[0])]
    return mix(gate, own.densities, found, recipe, *asked[2:], seeds)


def _analogues(question: _Question) -> tuple[Analogue, ...]:
    """Return known crystals that explain a pattern, where it and the composition tell enough."""
    if not question.most or question.prepared is None or question.formula is None:
        return ()
    if not question.tells_cell:
        return ()
    crystals = _known_crystals(question.structures)
    shares = UNSHARED if question.shared is None else question.shared.shares
    return explain(question.prepared, question.formula, crystals, question.most, shares)


def _cells(
    question: _Question,
    familiar: Familiar | None,
    density: Float[np.ndarray, "a b c"],
    known: tuple[Analogue, ...],
) -> tuple[CellCandidate, ...]:
    """Return the cells in which the density, or a known crystal, shows the lines, if asked for."""
    if question.prepared is None or not question.sought or not question.tells_cell:
        return ()
    lines, formula = MeasuredLines.of(question.prepared), question.formula
    types = LATTICE_TYPES if familiar is None else lattice_types_of(familiar.space_groups)
    found = find_cell(density, lines, types)
    if formula is not None:
        found = tuple(each._replace(room=guard.room(each.lattice, formula)) for each in found)
    return best_cells_first([*found, *(each.cell(lines) for each in known)])


def _in_cell(
    question: _Question,
    familiar: Familiar | None,
    mixture: Mixture,
    cells: tuple[CellCandidate, ...],
) -> _Answer:
    """Return an answer in the cell that was given or found, with what it implies there.

    Valence densities do not imply what X-rays see.
    """
    lattice, conventional, shift = question.lattice, question.given, None
    if cells:
        lattice, shift = cells[0].lattice, cells[0].shift
        conventional = Conventional(cells[0].parameters, cells[0].lattice_type[-1])
    valence = familiar is not None and familiar.b_factor is None
    if lattice is None or question.prepared is None or valence:
        return _Answer(mixture, lattice, conventional, None)
    implied = imply(mixture.densities[0], lattice, question.prepared, shift)
    return _Answer(mixture, lattice, conventional, implied)


def _of_crystal(believed: Analogue, grid: tuple[int, int, int]) -> _Answer:
    """Return the answer of a known crystal alone."""
    crystal, group = believed.crystal, believed.crystal.space_group
    conventional = Conventional(believed.parameters, lattice_type_of(group)[-1], group)
    who = Expert(1.0, Refined(crystal, believed.rwp))
    mixture = Mixture(believed.density(grid)[None], None, (who,))
    return _Answer(mixture, crystal.lattice, conventional, believed.implied)


def _verdict(question: _Question, answer: _Answer, known: tuple[Analogue, ...]) -> Verdict | None:
    """Return whether the question is consistent; None without known crystals to hold it against."""
    prepared, formula = question.prepared, question.formula
    if prepared is None or formula is None or not known:
        return None
    named = [(each.name, each.implied, each.room) for each in known]
    if answer.lattice is not None:
        room = guard.room(answer.lattice, formula)
        named.append(("the prediction", answer.implied, room))
    heard = [
        Explanation(name, its.rwp, room, unexplained(prepared.peaks, its))
        for name, its, room in named
        if its is not None
    ]
    return judge(heard, prepared.radiation.mean, anonymous_formula(formula))


def _believed(verdict: Verdict | None, known: tuple[Analogue, ...]) -> Analogue | None:
    """Return the known crystal that the verdict believes."""
    named = [each for each in known if verdict is not None and each.name == verdict.by]
    return min(named, key=lambda each: each.rwp, default=None)


def _alarms(question: _Question, verdict: Verdict | None, believed: Analogue | None) -> list[str]:
    """Return what is wrong with the question."""
    if verdict is not None and not verdict.consistent:
        return [verdict.sentence]
    if question.lattice is None or question.formula is None:
        return []
    centred = [] if believed is None else guard.of_centring(question.lattice, believed)
    return [*guard.of_cell(question.lattice, question.formula), *centred]


def _doubts(
    question: _Question,
    familiar: Familiar | None,
    answer: _Answer,
    verdict: Verdict | None,
    known: tuple[Analogue, ...],
) -> list[str]:
    """Return what is wrong with the answer."""
    found = []
    if verdict is not None and verdict.consistent and verdict.by is None:
        found.append(verdict.sentence)
    if question.prepared is not None and question.formula is not None:
        found += guard.of_lines(question.prepared)
    if question.sought and answer.lattice is None:
        found.append("no cell is found in which the density shows the lines")
    if question.sought and answer.lattice is not None and question.formula is not None:
        found += guard.of_cell(answer.lattice, question.formula)
    if answer.implied is not None:
        found += guard.of_agreement(answer.implied, known)
    return found + guard.of_composition(question.composition, familiar)


def _notes(
    question: _Question, restored: Restored, answer: _Answer, known: tuple[Analogue, ...]
) -> list[str]:
    """Return what is unusual, and not wrong."""
    prepared, formula, found = question.prepared, question.formula, []
    if prepared is not None:
        artefacts = restored.config.step.augmentation.artefacts
        found += [*prepared.warnings, *guard.of_pattern(prepared, artefacts, restored.familiar)]
    if question.shared is not None:
        found.append(question.shared.sentence)
    asked = question.most and question.tells_cell
    if asked and formula is not None and not known:
        found.append(guard.without_template(formula))
    used = restored.gate if prepared is None else formula
    if question.most and question.structures is not None and used is not None:
        found += guard.of_structures(_known_crystals(question.structures))
    given, filled = question.given, answer.conventional
    if given is not None and filled is not None and filled is not given:
        found += guard.of_refinement(given.parameters, filled.parameters, filled.centring)
    return found


def _electrons(question: _Question, answer: _Answer, known: tuple[Analogue, ...]) -> float | None:
    """Return the electrons of the whole formula units in the cell, where they are known."""
    if answer.lattice is None or question.formula is None:
        return None
    electrons = guard.electrons(answer.lattice, question.formula, known)
    if electrons is None or question.shared is None:
        return electrons
    return question.shared.electrons * electrons


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
    if len(pattern) != 2:
        return None
    if wavelength is None:
        raise ValueError(
            "the wavelength is missing: give a radiation such as CuKa, or angstroms, "
            "for the angles mean nothing without it"
        )
    angle, intensity = (np.asarray(column, float) for column in pattern)
    measured = pattern_of_columns(angle, intensity, wavelength)
    return prepare(measured, options, as_measured=as_measured)
