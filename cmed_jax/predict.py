"""Predict a density: `python -m cmed_jax.predict FILE --checkpoint RUN --wavelength CuKa ...`."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import jax
import numpy as np
import tyro
from flax import nnx
from jaxtyping import Float, Real

from cmed_jax.config import Config, run_command
from cmed_jax.crystal.composition import parse_composition
from cmed_jax.crystal.lattice import Centring, primitive_lattice
from cmed_jax.evaluation.network import network_generator
from cmed_jax.evaluation.protocol import Query
from cmed_jax.files.measured import load_pattern
from cmed_jax.files.patterns import check_grid_pattern, to_network_grid
from cmed_jax.files.volumes import check_output, save_volume
from cmed_jax.model.network import Network
from cmed_jax.physics.cell import cell_volume
from cmed_jax.physics.patterns import wavelength_in_angstrom
from cmed_jax.training.checkpoint import find_checkpoint, load_model, read_config
from cmed_jax.training.parallel import DataParallel

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
    """

    density: Float[np.ndarray, "a b c"]
    std: Float[np.ndarray, "a b c"] | None
    candidates: Float[np.ndarray, "k a b c"] | None
    pattern: Float[np.ndarray, "1024"]
    coverage: Float[np.ndarray, "1024"]
    composition: Float[np.ndarray, "119"]
    config: Config
    warnings: tuple[str, ...]

    def save(self, path: str | Path, lattice: Float[np.ndarray, "3 3"] | None = None) -> None:
        """Write the density in the format that the file's name tells (`cmed_jax.files.volumes`).

        Args:
            path: .npy; .npz, which holds the deviation as well; or a volume in its cell: .cube,
                .xsf, .ccp4, .map, .mrc, .chgcar, .vasp, or a name that begins with CHGCAR.
            lattice: rows a, b, c in angstrom of the cell that the density fills, as
                `primitive_lattice` gives them; needed by all but .npy and .npz.

        Raises:
            FileNotFoundError: there is no such folder.
            ValueError: the name tells no known format, or the lattice is missing or unusable.
        """
        save_volume(path, self.density, self.std, lattice)


def restore(checkpoint: str | Path) -> tuple[Config, Network]:
    """Return the configuration and the network of a run's folder or of a checkpoint in it.

    Raises:
        FileNotFoundError: there is no checkpoint.
    """
    found = find_checkpoint(checkpoint)
    config = Config.from_json(read_config(found))
    abstract = nnx.eval_shape(lambda: config.network.build(nnx.Rngs(0)))
    graph, *trees = nnx.split(abstract, nnx.Param, ...)
    one_device = DataParallel(devices=jax.devices()[:1])
    return config, nnx.merge(graph, *load_model(found, *one_device.abstract(tuple(trees))))


def restore_and_predict(
    checkpoint: str | Path,
    pattern: Pattern,
    composition: Composition = None,
    *,
    wavelength: str | float | None = None,
    grid: tuple[int, int, int] = (50, 50, 50),
    samples: int = 0,
    seed: int = 0,
) -> Prediction:
    """Predict the electron density of the unit cell behind a powder pattern.

    Args:
        checkpoint: a run's folder (its best checkpoint is taken) or a checkpoint inside it.
        pattern: 1,024 bins on the network's grid, a pair (two_theta in degrees, intensity) of peaks
            or of a profile, or the path of a file that `cmed_jax.files.load_pattern` reads.
        composition: a formula, amounts by element, the elements alone (ratios unknown), or None.
        wavelength: a radiation such as "CuKa", or angstroms; a pattern on the network's grid goes
            without, and so does a file that says it.
        grid: points along a, b, c.
        samples: how many densities to draw from the latent beside the plain one.
        seed: of the samples.

    Raises:
        FileNotFoundError: there is no checkpoint or no file.
        ValueError: the pattern, the composition, the wavelength, or an option is unusable.
    """
    if min(grid) < 1:
        raise ValueError(f"grid is {grid}: give three positive numbers of points")
    if samples < 0:
        raise ValueError(f"samples is {samples}: give 0 or more")
    told, knowledge = parse_composition(composition)
    config, network = restore(checkpoint)
    as_measured = config.step.augmentation.artefacts is not None
    shown, coverage, warnings = _shown(pattern, wavelength, as_measured)
    generator = network_generator(network, grid, samples=samples, seed=seed)
    query = Query(shown[None], told[None], np.array([knowledge], np.int32), coverage[None])
    densities = np.asarray(generator(query)[0])
    candidates = densities[1:] if samples else None
    std = None if candidates is None else candidates.std(axis=0)
    return Prediction(densities[0], std, candidates, shown, coverage, told, config, tuple(warnings))


def _shown(
    pattern: Pattern, wavelength: str | float | None, as_measured: bool
) -> tuple[Float[np.ndarray, "1024"], Float[np.ndarray, "1024"], list[str]]:
    if isinstance(pattern, str | Path):
        measured = load_pattern(pattern, wavelength)
        columns = (measured.two_theta, measured.intensity)
        used = measured.radiation.mean if wavelength is None else wavelength
        shown, coverage, warnings = _shown(columns, used, as_measured)
        return shown, coverage, [*measured.notes, *warnings]
    if not isinstance(pattern, tuple | list) or len(pattern) != 2:
        shown = check_grid_pattern(np.asarray(pattern))
        return shown, np.ones_like(shown), []
    if wavelength is None:
        raise ValueError(
            "the wavelength is missing: give a radiation such as CuKa, or angstroms, "
            "for the angles mean nothing without it"
        )
    angle, intensity = (np.asarray(column, float) for column in pattern)
    angstrom = wavelength_in_angstrom(wavelength)
    return to_network_grid(angle, intensity, angstrom, as_measured=as_measured)


@dataclass(frozen=True)
class Options:
    """Predict the electron density of the unit cell behind a measured powder pattern.

    Attributes:
        pattern: a file of a measured pattern: columns of two-theta and intensity (.xy, .csv, ...),
            .cif, .xrdml, .ras, .rasx, .brml, .raw, .uxd, .fxye, .gsas.
        checkpoint: a run's folder, or a checkpoint inside it.
        wavelength: a radiation such as CuKa, or angstroms; needed where the file does not say it.
        composition: a formula such as NaCl.
        elements: the elements alone, where their ratios are unknown.
        grid: points along a, b, c.
        samples: densities to draw beside the plain one; their deviation is saved in .npz.
        seed: of the samples.
        cell: a b c (angstrom) alpha beta gamma (degrees) of the conventional cell, for the formats
            that hold one.
        centring: of that cell; the density is written in its primitive cell. R means hexagonal
            axes, P takes the cell as primitive already.
        out: a file to write, .npy, .npz, .cube, .xsf, .ccp4, .map, .mrc, .chgcar, .vasp or CHGCAR*;
            density.npz where none is given.
    """

    pattern: Annotated[Path, tyro.conf.Positional]
    checkpoint: Path
    wavelength: str | None = None
    composition: str | None = None
    elements: tuple[str, ...] = ()
    grid: tuple[int, int, int] = (50, 50, 50)
    samples: int = 0
    seed: int = 0
    cell: tuple[float, float, float, float, float, float] | None = None
    centring: Centring = "P"
    out: tyro.conf.UseAppendAction[tuple[Path, ...]] = ()

    def lattice(self) -> Float[np.ndarray, "3 3"] | None:
        """Return the lattice that the density fills, where the cell is known.

        Raises:
            ValueError: the cell is none, or is missing where the centring is not.
        """
        if self.cell is not None:
            return primitive_lattice(self.cell, self.centring)
        if self.centring != "P":
            raise ValueError(f"centring {self.centring} is of no cell: give --cell as well")
        return None


def main(args: list[str] | None = None) -> int:
    """Run the command."""
    options = tyro.cli(Options, args=args, prog="python -m cmed_jax.predict")
    outputs = options.out or (Path("density.npz"),)
    lattice = options.lattice()
    for output in outputs:
        check_output(output, lattice)
    if options.composition and options.elements:
        raise ValueError("give either --composition or --elements, not both")
    prediction = restore_and_predict(
        options.checkpoint,
        options.pattern,
        options.composition or list(options.elements) or None,
        wavelength=options.wavelength,
        grid=options.grid,
        samples=options.samples,
        seed=options.seed,
    )
    for output in outputs:
        prediction.save(output, lattice)
    for warning in prediction.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{', '.join(map(str, outputs))}: {_summary(prediction.density, lattice)}")
    return 0


def _summary(density: Float[np.ndarray, "a b c"], lattice: Float[np.ndarray, "3 3"] | None) -> str:
    voxels = " x ".join(map(str, density.shape))
    mean = density.mean()
    summary = (
        f"{voxels} voxels, {density.min():.3g} to {density.max():.3g} e/angstrom^3, mean {mean:.3g}"
    )
    if lattice is None:
        return summary
    volume = cell_volume(lattice)
    return f"{summary}; {mean * volume:.4g} electrons in a cell of {volume:.4g} angstrom^3"


if __name__ == "__main__":
    run_command(main)
