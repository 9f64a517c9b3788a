"""Prediction from Python: from a run and a pattern to a density and what it was predicted from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from jaxtyping import Float, Real
from matplotlib.figure import Figure

from cmed_jax.config import Config
from cmed_jax.crystal.composition import Knowledge, parse_composition
from cmed_jax.crystal.lattice import CellParameters, primitive_lattice
from cmed_jax.crystal.material import Material, Refusal
from cmed_jax.crystal.sources import open_source
from cmed_jax.data.familiar import Familiar, load_familiar
from cmed_jax.evaluation.network import network_generator
from cmed_jax.evaluation.protocol import Query
from cmed_jax.files import guard
from cmed_jax.files.analogues import Analogue, explain
from cmed_jax.files.cell_search import (
    LATTICE_TYPES,
    CellCandidate,
    MeasuredLines,
    find_cell,
    lattice_types_of,
)
from cmed_jax.files.implied import Implied, imply
from cmed_jax.files.measured import load_pattern, pattern_of_columns
from cmed_jax.files.patterns import check_grid_pattern
from cmed_jax.files.preparation import EVERY_STEP, Preparation, Prepared, prepare
from cmed_jax.files.volumes import save_volume
from cmed_jax.files.whole import write_text
from cmed_jax.model.network import Network
from cmed_jax.training.checkpoint import find_checkpoint, load_model, read_config, run_folder
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
Composition = str | Mapping[str, float | int] | Sequence[str] | None


@dataclass(frozen=True, eq=False)
class Prediction:
    """A predicted density, and what it was predicted from.

    Attributes:
        density: e/angstrom^3 on the fractional grid i/n, axes a, b, c; from the latent's mean.
        std: deviation of the samples at each voxel, e/angstrom^3; None without samples.
        candidates: the samples themselves; None without samples.
        pattern: what the network was shown, 1,024 bins of two-theta 0-180 degrees, Mo K-alpha.
        coverage: 1 in the bins that were measured, 0 in those that were not.
        composition: what the network was told, by atomic number.
        config: the configuration of the run that the network comes from.
        warnings: what the user should know, in sentences.
        prepared: what was found in the measured pattern; None for one on the network's grid.
        lattice: rows a, b, c in angstrom of the cell that the density fills, as given or found;
            None where it is not known.
        cells: what the search for the cell found, the best first; empty where there was none.
        implied: the pattern that the density implies in that cell, beside the measured one; None
            without a cell.
        analogues: known crystals with the elements of the composition that explain the measured
            pattern, the best first; empty where they were not sought.
    """

    density: Float[np.ndarray, "a b c"]
    std: Float[np.ndarray, "a b c"] | None
    candidates: Float[np.ndarray, "k a b c"] | None
    pattern: Float[np.ndarray, "1024"]
    coverage: Float[np.ndarray, "1024"]
    composition: Float[np.ndarray, "119"]
    config: Config
    warnings: tuple[str, ...]
    prepared: Prepared | None = None
    lattice: Float[np.ndarray, "3 3"] | None = None
    cells: tuple[CellCandidate, ...] = ()
    implied: Implied | None = None
    analogues: tuple[Analogue, ...] = ()

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
    """A trained network, the configuration of its run, and what it has seen, if that was kept."""

    config: Config
    network: Network
    familiar: Familiar | None = None


def restore(checkpoint: str | Path) -> Restored:
    """Return the configuration and the network of a run's folder or of a checkpoint in it.

    Raises:
        FileNotFoundError: there is no checkpoint.
    """
    found = find_checkpoint(checkpoint)
    config = Config.from_json(read_config(found))
    abstract = nnx.eval_shape(lambda: config.network.build(nnx.Rngs(0)))
    graph, *trees = nnx.split(abstract, nnx.Param, ...)
    one_device = DataParallel(devices=jax.devices()[:1])
    parts = load_model(found, *one_device.abstract(tuple(trees)))
    familiar = load_familiar(run_folder(found))
    return Restored(config, nnx.merge(graph, *parts), familiar)


def restore_and_predict(
    checkpoint: str | Path | Restored,
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
    analogues: int = 0,
    structures: str | None = None,
) -> Prediction:
    """Predict the electron density of the unit cell behind a powder pattern.

    Args:
        checkpoint: a run's folder (its best checkpoint is taken) or a checkpoint inside it; or what
            `restore` made of it, for many patterns.
        pattern: 1,024 bins on the network's grid, a pair (two_theta in degrees, intensity) of peaks
            or of a profile, or the path of a file that `cmed_jax.files.load_pattern` reads.
        composition: a formula, amounts by element, the elements alone (ratios unknown), or None.
        wavelength: a radiation such as "CuKa", or angstroms; a pattern on the network's grid goes
            without, and so does a file that says it.
        preparation: which steps lead from a measured pattern to the network's.
        cell: a, b, c (angstrom), alpha, beta, gamma (degrees) of the conventional cell; or "auto",
            which seeks cubic, hexagonal and rhombohedral cells (`cmed_jax.files.find_cell`).
        centring: of a cell that is given (`primitive_lattice`).
        grid: points along a, b, c.
        samples: how many densities to draw from the latent beside the plain one.
        seed: of the samples.
        analogues: how many known crystals to seek beside the prediction that explain a measured
            pattern with the elements of a composition that is known in full
            (`cmed_jax.files.find_analogues`).
        structures: where these crystals are (`cmed_jax.crystal.sources.open_source`); None takes
            the embedded ones.

    Raises:
        FileNotFoundError: there is no checkpoint or no file.
        ValueError: the pattern, the composition, the wavelength, or an option is unusable.
    """
    if min(grid) < 1:
        raise ValueError(f"grid is {grid}: give three positive numbers of points")
    for name, number in (("samples", samples), ("analogues", analogues)):
        if number < 0:
            raise ValueError(f"{name} is {number}: give 0 or more")
    told, knowledge = parse_composition(composition)
    restored = checkpoint if isinstance(checkpoint, Restored) else restore(checkpoint)
    config, network, familiar = restored
    artefacts = config.step.augmentation.artefacts
    prepared = _prepared(pattern, wavelength, preparation, as_measured=artefacts is not None)
    warnings = guard.of_composition(told, familiar)
    if prepared is None:
        shown = check_grid_pattern(np.asarray(pattern))
        coverage = np.ones_like(shown)
    else:
        shown, coverage = prepared.pattern, prepared.coverage
        unusual = guard.of_pattern(prepared, artefacts, familiar)
        warnings = [*prepared.warnings, *unusual, *warnings]
    generator = network_generator(network, grid, samples=samples, seed=seed)
    query = Query(shown[None], told[None], np.array([knowledge], np.int32), coverage[None])
    densities = np.asarray(generator(query)[0])
    candidates = densities[1:] if samples else None
    std = None if candidates is None else candidates.std(axis=0)
    in_full = knowledge == Knowledge.FULL
    lattice, cells, implied, doubts = _cell(
        densities[0], prepared, cell, centring, familiar, told, in_full=in_full
    )
    if lattice is not None:
        doubts += guard.of_cell(densities[0], lattice, told, familiar, in_full=in_full)
    return Prediction(
        densities[0],
        std,
        candidates,
        shown,
        coverage,
        told,
        config,
        (*warnings, *doubts),
        prepared,
        lattice,
        cells,
        implied,
        _analogues(prepared, told, knowledge, analogues, structures),
    )


def _cell(
    density: Float[np.ndarray, "a b c"],
    prepared: Prepared | None,
    cell: CellParameters | str | None,
    centring: str,
    familiar: Familiar | None,
    told: Float[np.ndarray, "119"],
    *,
    in_full: bool,
) -> tuple[Float[np.ndarray, "3 3"] | None, tuple[CellCandidate, ...], Implied | None, list[str]]:
    """Return the lattice given or found, all found, what is implied in it, and what to say."""
    if cell is None:
        return None, (), None, []
    cells: tuple[CellCandidate, ...] = ()
    if not isinstance(cell, str):
        lattice, shift = primitive_lattice(cell, centring), None
    elif cell != "auto":
        raise ValueError(f"cell is {cell!r}: give six numbers, or auto")
    elif prepared is None:
        raise ValueError(
            "the cell cannot be sought from a pattern on the network's grid: "
            "give the measured pattern, or the cell"
        )
    else:
        types = LATTICE_TYPES if familiar is None else lattice_types_of(familiar.space_groups)
        cells = find_cell(density, MeasuredLines.of(prepared), types)
        if not cells:
            return None, (), None, ["no cell is found in which the density shows the lines"]
        if in_full and familiar is not None:
            cells = guard.with_room_first(cells, told, familiar)
        lattice, shift = cells[0].lattice, cells[0].shift
    if prepared is None or (familiar is not None and familiar.b_factor is None):
        return lattice, cells, None, []  # valence densities do not imply what X-rays see
    implied = imply(density, lattice, prepared, shift)
    return lattice, cells, implied, guard.of_agreement(implied)


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
