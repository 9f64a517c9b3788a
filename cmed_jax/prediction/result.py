"""The result of a prediction, as plain data."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from cmed_jax.config import Config
from cmed_jax.crystal.material import Material
from cmed_jax.crystal.solid_solutions import UNSHARED
from cmed_jax.io.atomic import write_text
from cmed_jax.io.volumes import PLACEHOLDER, Atoms, save_volume
from cmed_jax.mixture.experts import Expert, Mixture
from cmed_jax.physics.cell import cell_volume
from cmed_jax.powder.preparation import Prepared
from cmed_jax.prediction.assessment import Assessment
from cmed_jax.prediction.diagnostics import Diagnostic, Severity
from cmed_jax.prediction.query import ConventionalCell
from cmed_jax.search.search import SearchResult
from cmed_jax.search.solved import SolvedStructure
from cmed_jax.solution.calculated import CalculatedPattern
from cmed_jax.solution.cell_ranking import CellCandidate
from cmed_jax.solution.isostructural import IsostructuralMatch
from cmed_jax.solution.rietveld import RietveldFit


class Answer(NamedTuple):
    """Densities, their primitive and conventional cell, and the pattern calculated from them."""

    mixture: Mixture
    lattice: Float[np.ndarray, "3 3"] | None
    conventional: ConventionalCell | None
    calculated: CalculatedPattern | None


NO_ELECTRONS = (
    "the number of electrons is not known: give the formula, and the cell or auto; in a cell of "
    "more than two formula units, a structure has to explain the pattern as well"
)
"""The sentence about a density that cannot be scaled."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """A predicted density, and its inputs.

    `cmed_jax.plot` draws a figure of it, `cmed_jax.write_report` writes a page of it, and
    `cmed_jax.prediction.results.results` returns its figures as JSON values.

    Attributes:
        density: e/angstrom^3 on the fractional grid i/n, axes a, b, c; from the latent's mean, or
            the gate's mixture.
        std: the deviation at each voxel, e/angstrom^3; None without samples, and where the density
            for a measured pattern is that of a known crystal. For a mixture it is the expected
            deviation of the truth: density +- 1.645 std contains the truth at 90 % of the voxels of
            validation crystals, and at too few where a wrong crystal is accepted, for about one
            material in ten. For a network alone it is the deviation of the samples, which has no
            such calibration.
        candidates: the samples themselves; None where there are none.
        pattern: the network's input, 1,024 bins of two-theta 0-180 degrees, Mo K-alpha.
        coverage: 1 in the bins that were measured, 0 in the others.
        composition: the known part of the composition, by atomic number.
        config: the configuration of the network's training run.
        diagnostics: the findings about the input and the prediction, the most severe first.
        prepared: the prepared measured pattern; None for a pattern on the network's grid.
        lattice: rows a, b, c in angstrom of the primitive cell, which the density fills: as given,
            as found, or as refined with the crystal that answers; None where it is not known.
        conventional: the conventional cell of that lattice; None where it is not known.
        cells: the cells found by the search, through the density and through known crystals, the
            best first; empty where there was no search.
        calculated: the pattern calculated from the density in that cell, for comparison with the
            measured one; None without a cell.
        analogues: the known crystals with the elements of the composition that explain the measured
            pattern, the best first; empty where they were not searched for.
        assessment: the assessment whether pattern, wavelength and formula are consistent; None
            without known crystals to compare with.
        electrons: the number of electrons in the cell, from whole formula units; None where the
            cell or the formula is not known, or neither a crystal nor the volume determines the
            number.
        experts: the experts that contributed, with their weights; empty where the density is the
            network's alone.
        searched: the result of the search for a structure, without structures where none was
            found; None where none was sought.
        structures: the structures that explain the measured pattern, known crystals and those of
            the search together. That of the density comes first where it is one of them, and then
            the best.
        rietveld: the refinement of the first structure on the whole profile; None where it was not
            asked for, or failed, which a note tells.
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
    searched: SearchResult | None = None
    structures: tuple[SolvedStructure, ...] = ()
    rietveld: RietveldFit | None = None

    @property
    def alarms(self) -> tuple[str, ...]:
        """The errors in the input, in sentences."""
        return self._messages("alarm")

    @property
    def doubts(self) -> tuple[str, ...]:
        """The certain and likely errors of the prediction, in sentences."""
        return self._messages("doubt")

    @property
    def notes(self) -> tuple[str, ...]:
        """What is unusual but not wrong, in sentences."""
        return self._messages("note")

    @property
    def warnings(self) -> tuple[str, ...]:
        """The messages of all diagnostics, the most severe first."""
        return (*self.alarms, *self.doubts, *self.notes)

    def _messages(self, severity: Severity) -> tuple[str, ...]:
        return tuple(each.message for each in self.diagnostics if each.severity == severity)

    def scaled(self) -> "Prediction":
        """Return the prediction, scaled to the number of electrons in the cell.

        Networks predict the scale of the density as well, and by default it stays as predicted.
        Where a network leaves atoms out, the scaling makes the other atoms too heavy.

        Raises:
            ValueError: if the number of electrons is not known.
        """
        if self.electrons is None or self.lattice is None:
            raise ValueError(NO_ELECTRONS)
        factor = np.float32(self.electrons / (self.density.mean() * cell_volume(self.lattice)))
        return replace(
            self,
            density=factor * self.density,
            std=None if self.std is None else factor * self.std,
            candidates=None if self.candidates is None else factor * self.candidates,
        )

    def save(self, path: str | Path, lattice: Float[np.ndarray, "3 3"] | None = None) -> None:
        """Write the density, or the first structure, in the format given by the file's name.

        Args:
            path: a file name that ends with .npy; with .npz, which holds the deviation as well;
                with the format of a volume in its cell (`cmed_jax.io.volumes`): .cube, .xsf,
                .ccp4, .map, .mrc, .chgcar or .vasp; or with .cif, for the first of the structures.
                Names that begin with CHGCAR are volumes too.
            lattice: rows a, b, c in angstrom of the cell that the density fills, as returned by
                `primitive_lattice`; by default that of the prediction. All formats but .npy, .npz
                and .cif need it.

        Raises:
            FileNotFoundError: if there is no such folder.
            ValueError: if the name has no known format, the lattice is missing or unusable, or no
                structure explains the pattern.
        """
        if Path(path).suffix.lower() == ".cif":
            if not self.structures:
                raise ValueError(
                    f"{path}: no structure is known for this pattern: give a measured pattern and "
                    "its formula, or save the density in another format"
                )
            write_text(path, self.structures[0].cif())
            return
        lattice = self.lattice if lattice is None else lattice
        save_volume(path, self.density, self.std, lattice, self._atoms)

    @property
    def crystal(self) -> Material | None:
        """The crystal whose density it is, in `lattice`; None for that of a network or a mixture.

        Its origin may differ from that of the conventional cell in a CIF.
        """
        if len(self.experts) != 1 or self.experts[0].refined is None:
            return None
        return self.experts[0].refined.crystal

    @property
    def _atoms(self) -> Atoms:
        """The atoms of that crystal; of elements that share a site, the most frequent one."""
        if self.crystal is None:
            return PLACEHOLDER
        shares = self.structures[0].shares if self.structures else UNSHARED
        filled = [shares.get(z, {z: 1.0}) for z in self.crystal.numbers.tolist()]
        numbers = np.array([max(each, key=each.__getitem__) for each in filled])
        return Atoms(numbers, self.crystal.frac_coords)
