"""Rietveld refinement of a structure on the whole measured profile, by the library rietx.

The Rwp that is drawn beside a prediction compares a pattern with measured line widths and one
displacement factor. A refinement fits background, zero shift, cell, profile, coordinates and
displacement factors as well, and gives the figures that crystallographers know (H. M. Rietveld, J.
Appl. Cryst. 2, 65, 1969; B. H. Toby, Powder Diffr. 21, 67, 2006). rietx is an extra:
`pip install 'cmed-jax[rietveld]'`. It was chosen because pip installs it on all systems, it needs
no program beside Python, and its licence is MIT.
"""

import tempfile
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from cmed_jax.powder.noise import noise_of
from cmed_jax.powder.preparation import Prepared
from cmed_jax.search.solved import SolvedStructure

PLAN = "mccusker_structural"
"""The order in which rietx frees the parameters.

It is that of the guidelines of the IUCr (McCusker et al., J. Appl. Cryst. 32, 36, 1999).
"""
HYDROGENS = ("H", "D")
"""The symbols of the atoms that stay where they are."""
NEEDED = "a Rietveld refinement needs the library rietx: pip install 'cmed-jax[rietveld]'"
"""The sentence for users who have not installed it."""


@dataclass(frozen=True, eq=False)
class RietveldFit:
    """The refinement of a structure on the whole profile.

    Attributes:
        rwp: the weighted profile R factor, with the background in the measured intensities.
        expected: the least Rwp that the counting noise allows.
        goodness: the goodness of fit, Rwp over the expected one; 1 is perfect.
        cell: the refined edges in angstrom and angles in degrees of the conventional cell.
        cif: the refined structure with its standard deviations, and the fit, as a CIF.
    """

    rwp: float
    expected: float
    goodness: float
    cell: Float[np.ndarray, "6"]
    cif: str


def check_rietveld() -> None:
    """Check whether the library of the refinement is installed.

    Raises:
        ValueError: it is not.
    """
    if find_spec("rietx") is None:
        raise ValueError(NEEDED)


def refine_profile(structure: SolvedStructure, prepared: Prepared) -> RietveldFit:
    """Return the refinement of a structure on the measured profile.

    Hydrogen, which X-rays hardly see, stays where it is.

    Args:
        structure: a structure that explains the pattern.
        prepared: the prepared pattern, a profile.

    Raises:
        ValueError: rietx is not installed, the pattern is a list of peaks, or the refinement fails.
    """
    check_rietveld()
    if not prepared.measured.is_profile:
        raise ValueError(
            "a list of peaks has no profile to refine against: give the measured profile"
        )
    try:
        with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
            warnings.simplefilter("ignore")  # of its search for peaks of other phases
            return _refined(structure, prepared, Path(folder))
    except (ValueError, LookupError, TypeError, RuntimeError, ArithmeticError, OSError) as error:
        raise ValueError(f"the Rietveld refinement failed: {error}") from error


def _refined(structure: SolvedStructure, prepared: Prepared, folder: Path) -> RietveldFit:
    """Return the refinement of rietx, which exchanges structures as files of a folder."""
    import rietx

    measured = prepared.measured
    pattern = rietx.PatternData(
        two_theta=measured.two_theta.tolist(),
        intensity=measured.intensity.tolist(),
        sigma=noise_of(measured).tolist(),
    )
    begun, refined = folder / "begun.cif", folder / "refined.cif"
    begun.write_text(structure.cif(), encoding="utf-8")
    refinement = rietx.Refinement(
        rietx.Structure.from_cif(begun), _instrument(prepared), history=False
    )
    held = [
        f"phases.0.atoms.{at}.{name}"
        for at, atom in enumerate(refinement.fitted_structure.phases[0].atoms)
        if atom.species in HYDROGENS
        for name in ("x", "y", "z", "biso")
    ]
    if held:
        refinement.hold(held)
    found = refinement.fit(pattern, plan=PLAN, telemetry=False)
    refinement.write_cif(refined)
    cell, figures = refinement.fitted_structure.phases[0].cell, found.statistics
    sides = ("a", "b", "c", "alpha", "beta", "gamma")
    return RietveldFit(
        float(figures.rwp),
        float(figures.rexp),
        float(figures.gof),
        np.array([getattr(cell, side).value for side in sides]),
        refined.read_text(encoding="utf-8"),
    )


def _instrument(prepared: Prepared) -> Any:
    """Return the diffractometer of a pattern, with its wavelengths and its monochromator."""
    import rietx

    given, monochromator = prepared.radiation, prepared.options.monochromator
    instrument = rietx.Instrument.bragg_brentano(monochromator_two_theta=monochromator or None)
    weights = given.weights / given.weights[0]
    lines = [
        rietx.EmissionLine(wavelength=wavelength, weight=rietx.Parameter(value=weight))
        for wavelength, weight in zip(given.wavelengths.tolist(), weights.tolist(), strict=True)
    ]
    source = instrument.source.model_copy(update={"lines": lines})
    return instrument.model_copy(update={"source": source})
