"""The query behind a prediction: a pattern, and what is known of its crystal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Real

from cmed_jax.crystal.bravais import same_lattice
from cmed_jax.crystal.composition import Composition, Knowledge, parse_composition
from cmed_jax.crystal.lattice import cell_parameters, primitive_lattice
from cmed_jax.crystal.material import Material
from cmed_jax.crystal.solid_solutions import Shared, shared_sites
from cmed_jax.crystal.symmetry import centring_of, space_group
from cmed_jax.data.query import Query, no_lines
from cmed_jax.io.pattern import load_pattern, pattern_of_columns
from cmed_jax.physics.amplitudes import (
    Amplitudes,
    amplitudes_of_bins,
    amplitudes_of_lines,
    unobserved,
)
from cmed_jax.physics.patterns import lorentz_polarization, s_of_two_theta, two_theta
from cmed_jax.powder.cell_indexing import IndexedCell
from cmed_jax.powder.lines import LINE_WIDTH, MeasuredLines
from cmed_jax.powder.network_grid import check_grid_pattern
from cmed_jax.powder.preparation import Prepared, prepare
from cmed_jax.prediction.indexed import with_shift_of_cell
from cmed_jax.prediction.options import PredictionOptions

Column = Sequence[float] | Real[np.ndarray, "..."]
Pattern = Column | Sequence[Column] | str | Path

LEAST_LINES = 2
"""The least number of lines with which a cell is searched for."""

SAME_CELL = 0.01
"""The relative difference of lengths below which two cells count as the same."""

LIKELY = 5
"""The largest number of indexed lattices in which known crystals are tried."""


class ConventionalCell(NamedTuple):
    """A conventional cell.

    Attributes:
        parameters: a, b, c (angstrom), alpha, beta, gamma (degrees).
        centring: the centring of the cell.
        space_group: the number of the space group; None where no crystal determines it.
    """

    parameters: Float[np.ndarray, "6"]
    centring: str
    space_group: int | None = None

    @classmethod
    def of_crystal(cls, crystal: Material) -> "ConventionalCell":
        """Return the conventional cell of a crystal in its canonical primitive cell."""
        group = crystal.space_group
        to_primitive = space_group(group).cell.T
        parameters = cell_parameters(np.linalg.solve(to_primitive, crystal.lattice))
        return cls(parameters, centring_of(group), group)


@dataclass(frozen=True, eq=False)
class PredictionQuery:
    """A pattern in the form of the network's input, and what is known of its crystal.

    Attributes:
        prepared: the measured pattern; None for a pattern on the network's grid.
        pattern: 1,024 bins, the strongest 1.
        coverage: 1 in the bins that were measured, 0 in the others.
        composition: the known part of the composition, by atomic number.
        knowledge: how much of the composition is known.
        given: the given cell; None where none is given.
        options: the options of the prediction.
        shared: the parent of a solid solution, which replaces it in searches.
        indexed: the cells that the lines were indexed with for their zero shift, the best first;
            empty where the preparation found the shift.
    """

    prepared: Prepared | None
    pattern: Float[np.ndarray, "1024"]
    coverage: Float[np.ndarray, "1024"]
    composition: Float[np.ndarray, "119"]
    knowledge: Knowledge
    given: ConventionalCell | None
    options: PredictionOptions
    shared: Shared | None = None
    indexed: tuple[IndexedCell, ...] = ()

    @classmethod
    def of(
        cls,
        pattern: Pattern,
        composition: Composition,
        options: PredictionOptions,
        *,
        as_measured: bool,
    ) -> "PredictionQuery":
        """Read and prepare a pattern.

        Args:
            pattern: the pattern, in a form that `cmed_jax.restore_and_predict` accepts.
            composition: the composition, in a form that it accepts.
            options: the options of the prediction.
            as_measured: whether the network was trained on measured profiles and not on sticks.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if the pattern, the composition or the wavelength is unusable, or a cell
                cannot be found from such a pattern.
        """
        known, knowledge = parse_composition(composition)
        prepared = _prepared(pattern, options, as_measured=as_measured)
        if prepared is None:
            shown = check_grid_pattern(np.asarray(pattern))
            coverage = np.ones_like(shown)
        else:
            shown, coverage = prepared.pattern, prepared.coverage
        if options.cell == "auto" and prepared is None:
            raise ValueError(
                "the cell cannot be sought from a pattern on the network's grid: "
                "give the measured pattern, or the cell"
            )
        given = None
        if options.cell is not None and not isinstance(options.cell, str):
            given = ConventionalCell(np.asarray(options.cell, float), options.centring)
        shared = shared_sites(composition) if isinstance(composition, str | Mapping) else None
        query = cls(prepared, shown, coverage, known, knowledge, given, options, shared)
        if prepared is None:
            return query
        shifted, cells = with_shift_of_cell(prepared, query.formula, as_measured=as_measured)
        return replace(query, prepared=shifted, pattern=shifted.pattern, indexed=cells)

    @property
    def batch(self) -> Query:
        """The query as a batch of one, in the given cell if there is one."""
        return self.in_cells([self.lattice])

    def in_cells(self, lattices: Sequence[Float[np.ndarray, "3 3"] | None]) -> Query:
        """Return the query as a batch, the input of a generator, once in each of some cells.

        Args:
            lattices: primitive cells, rows a, b, c in angstrom; None for an unknown one.
        """
        read = [self.reflections(lattice) for lattice in lattices]
        cells = [np.zeros((3, 3)) if each is None else each for each in lattices]
        fixed = self.pattern, self.composition, np.int32(self.knowledge), self.coverage
        repeated = (np.stack([each] * len(cells)) for each in fixed)
        columns = (np.stack(each).astype(np.float32) for each in (cells, *zip(*read, strict=True)))
        return Query(*(*repeated, *columns, no_lines(len(cells))))

    def reflections(self, lattice: Float[np.ndarray, "3 3"] | None) -> Amplitudes:
        """Return the amplitudes of the pattern in a primitive cell.

        Lines of a measured pattern take the reflections within a line width.
        """
        if lattice is None:
            return unobserved()
        if self.prepared is None:
            return amplitudes_of_bins(lattice, self.pattern, self.coverage)
        peaks, wavelength = self.prepared.peaks, self.prepared.radiation.mean
        widths = np.where(np.isfinite(peaks.width), peaks.width, LINE_WIDTH)
        angle = two_theta(peaks.s, wavelength)
        lines = MeasuredLines.of(self.prepared)
        start, stop = s_of_two_theta(np.array([lines.start, lines.stop]), wavelength).tolist()
        factor = lorentz_polarization(angle, self.prepared.options.monochromator)
        return amplitudes_of_lines(
            lattice,
            peaks.s,
            peaks.area / factor,
            span=(start, stop),
            tolerance=np.cos(np.radians(angle / 2)) * np.radians(widths) / wavelength,
        )

    @property
    def formula(self) -> Float[np.ndarray, "119"] | None:
        """The composition where it is known in full, else None; for a solid solution its parent."""
        if self.shared is not None:
            return self.shared.parent
        return self.composition if self.knowledge == Knowledge.FULL else None

    @property
    def lattice(self) -> Float[np.ndarray, "3 3"] | None:
        """The given cell, made primitive; None where none is given."""
        return None if self.given is None else primitive_lattice(*self.given[:2])

    @property
    def likely_lattices(self) -> list[Float[np.ndarray, "3 3"]]:
        """The given primitive cell, or the best ones that the lines were indexed with."""
        cells = [each.lattice for each in self.indexed[:LIKELY]]
        return cells if self.lattice is None else [self.lattice]

    @property
    def cell_is_sought(self) -> bool:
        """Whether the cell is to be searched for."""
        return self.options.cell == "auto"

    @property
    def tells_cell(self) -> bool:
        """Whether the query has a measured pattern with enough lines to search for a cell."""
        return self.prepared is not None and len(self.prepared.peaks.two_theta) >= LEAST_LINES

    def admits(self, crystal: Material) -> bool:
        """Return whether the lattice of a crystal is the given one, if there is one.

        The axes may have other names: a crystal in Pnma may be given in the cell of Pbnm.
        """
        return self.lattice is None or same_lattice(crystal.lattice, self.lattice, SAME_CELL)


def _prepared(
    pattern: Pattern, options: PredictionOptions, *, as_measured: bool
) -> Prepared | None:
    """Return the prepared pattern; None for a pattern that is already on the network's grid."""
    wavelength, preparation = options.wavelength, options.preparation
    if isinstance(pattern, str | Path):
        return prepare(load_pattern(pattern, wavelength), preparation, as_measured=as_measured)
    if len(pattern) != 2:
        return None
    if wavelength is None:
        raise ValueError(
            "the wavelength is missing: give a radiation such as CuKa, or angstroms, "
            "for the angles mean nothing without it"
        )
    angle, intensity = (np.asarray(column, float) for column in pattern)
    measured = pattern_of_columns(angle, intensity, wavelength)
    return prepare(measured, preparation, as_measured=as_measured)
