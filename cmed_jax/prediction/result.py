"""The result of a prediction, as plain data."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from cmed_jax.config import Config
from cmed_jax.io.volumes import save_volume
from cmed_jax.mixture.experts import Expert, Mixture
from cmed_jax.physics.cell import cell_volume
from cmed_jax.powder.preparation import Prepared
from cmed_jax.prediction.assessment import Assessment
from cmed_jax.prediction.diagnostics import Diagnostic, Severity
from cmed_jax.prediction.query import ConventionalCell
from cmed_jax.solution.calculated import CalculatedPattern
from cmed_jax.solution.cell_search import CellCandidate
from cmed_jax.solution.isostructural import IsostructuralMatch


class Answer(NamedTuple):
    """Densities, the primitive and the conventional cell that they fill, and their pattern."""

    mixture: Mixture
    lattice: Float[np.ndarray, "3 3"] | None
    conventional: ConventionalCell | None
    calculated: CalculatedPattern | None


@dataclass(frozen=True, eq=False)
class Prediction:
    """A predicted density, and what it was predicted from.

    `cmed_jax.plot` draws it, `cmed_jax.write_report` writes a page of it, and
    `cmed_jax.prediction.results.results` gives its figures as JSON values.

    Attributes:
        density: e/angstrom^3 on the fractional grid i/n, axes a, b, c; from the latent's mean, or
            the gate's mixture.
        std: deviation at each voxel, e/angstrom^3; None without samples, and where a known crystal
            answers for a measured pattern. Of a mixture it is the expected deviation of the truth:
            density +- 1.645 std holds the truth of 90 % of the voxels of validation crystals, and
            too few where a wrong crystal is accepted, about one material in ten. Of a network alone
            it is the deviation of the samples, which promises nothing of the kind.
        candidates: the samples themselves; None likewise.
        pattern: the network's input, 1,024 bins of two-theta 0-180 degrees, Mo K-alpha.
        coverage: 1 in the bins that were measured, 0 in those that were not.
        composition: what is known of it, by atomic number.
        config: the configuration of the run that the network comes from.
        diagnostics: findings about the question and the answer, the gravest first.
        prepared: what was found in the measured pattern; None for one on the network's grid.
        lattice: rows a, b, c in angstrom of the primitive cell, which the density fills: as given,
            found, or refined with the crystal that answers; None where it is not known.
        conventional: the conventional cell of that lattice; None likewise.
        cells: cells that the search found through the density and through known crystals, the best
            first; empty where there was none.
        calculated: the calculated pattern of the density in that cell, beside the measured one;
            None without a cell.
        analogues: known crystals with the elements of the composition that explain the measured
            pattern, the best first; empty where they were not sought.
        assessment: whether pattern, wavelength and formula go together; None where nothing tells.
        electrons: in the cell, of the whole formula units in it; None where the cell or the formula
            is not known, or the volume leaves their number open.
        experts: the experts that contributed, with their weights; empty where the density is the
            network's alone.
    """

    density: Float[np.ndarray, "a b c"]
    std: Float[np.ndarray, "a b c"] | None
    candidates: Float[np.ndarray, "k a b c"] | None
    pattern: Float[np.ndarray, "1024"]
    coverage: Float[np.ndarray, "1024"]
    composition: Float[np.ndarray, "119"]
    config: Config
    diagnostics: tuple[Diagnostic, ...] = ()
    prepared: Prepared | None = None
    lattice: Float[np.ndarray, "3 3"] | None = None
    conventional: ConventionalCell | None = None
    cells: tuple[CellCandidate, ...] = ()
    calculated: CalculatedPattern | None = None
    analogues: tuple[IsostructuralMatch, ...] = ()
    assessment: Assessment | None = None
    electrons: float | None = None
    experts: tuple[Expert, ...] = ()

    @property
    def alarms(self) -> tuple[str, ...]:
        """What is wrong with the question, in sentences."""
        return self._messages("alarm")

    @property
    def doubts(self) -> tuple[str, ...]:
        """What is wrong with the answer, or may well be, in sentences."""
        return self._messages("doubt")

    @property
    def notes(self) -> tuple[str, ...]:
        """What is unusual, and not wrong, in sentences."""
        return self._messages("note")

    @property
    def warnings(self) -> tuple[str, ...]:
        """The messages of all diagnostics, the gravest first."""
        return (*self.alarms, *self.doubts, *self.notes)

    def _messages(self, severity: Severity) -> tuple[str, ...]:
        return tuple(each.message for each in self.diagnostics if each.severity == severity)

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
        """Write the density in the format that the file's name tells (`cmed_jax.io.volumes`).

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
