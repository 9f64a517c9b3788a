"""The figures of a prediction as JSON values: all of its data except the arrays.

`results` holds

composition
    The composition given to the network: a formula, elements with commas between them, or None.
density
    Its shape; minimum, maximum and mean, e/angstrom^3; deviation of the samples as a share of the
    mean density, None without samples.
cell
    None where the cell is not known. Else parameters of the primitive cell, which the density fills
    (a, b, c in angstrom, alpha, beta, gamma in degrees); its volume (angstrom^3); the electrons of
    the density in it; formula_units, the number of formula units with these electrons, None without
    a formula; electrons_known, the electrons of the whole formula units that fit into the cell,
    None where that is not known; and the conventional cell: parameters, volume, centring, and the
    number of the space_group, None where no crystal determines it.
cells
    The cells found by the search, the best first: lattice_type, parameters of the conventional
    cell, merit, origin (the predicted density, or a known crystal), and room, the relative volume:
    the volume over the usual one.
measured
    None for a pattern on the network's grid. Else file (None for columns), format, points, first
    and last two-theta (degrees), wavelengths (angstrom) and their weights, the options of the
    preparation, shift (zero in degrees, displacement as a share of the radius; None where the
    pattern does not determine them), and peaks: two_theta (degrees), d (angstrom), area, and width
    (degrees; None in a list of peaks).
implied
    The cosine and rwp of the pattern calculated from the density; None without a cell.
analogues
    The known crystals that explain the pattern, the best first: id and formula of the known
    crystal, number of the space_group, parameters of the conventional cell, volume of the primitive
    one (angstrom^3), merit, room (the relative volume), cosine and rwp.
structures
    The structures that explain the pattern, that of the density first where it is one of them, and
    then the best: formula, origin (the search, or a known crystal), structure_type (None where it
    has no name), number of the space_group, parameters of the conventional cell, sites (element,
    letter, multiplicity, coords), residual R of the amplitudes, rwp, the free_coordinates that were
    fitted, b_factor (angstrom^2), room (the relative volume), shortest (the elements of the nearest
    atoms, and their distance in angstrom), probability, and
    lacks_hydrogen, whether it is without the hydrogen atoms of the formula.
rietveld
    The refinement of the first structure on the whole profile: rwp, expected (the least that
    counting noise allows), goodness (their ratio), and parameters of the conventional cell. None
    where there was none.
search
    Its verdict ("found", "likely" or "not found"); outside, the share of the intensity outside the
    lines of the cell; the assignments that were tried; its seconds; whether it was complete; and
    the cells that the lines were indexed with, the best first (none for a given cell): lattice_type
    and parameters of the conventional cell, zero (degrees), merit (nats), lines and indexed (those
    that the cell explains), predicted and seen (its own lines), m20, f20, and room. None where
    no structure was sought.
verdict
    The assessment of pattern, wavelength and formula: consistent; a sentence; and by, the name of
    the accepted explanation (None where none is accepted, which an alarm or a doubt reports). None
    without known crystals to compare with.
experts
    The parts of the mixture: weight; name ("the network", or such as "NaCl after mp-22862" and
    "NaCl from the search"); and residual, the Rwp of the crystal's pattern (None for the network).
    Empty where the density is the network's alone.
alarms, doubts, notes
    The messages of the diagnostics: errors in the input, certain and likely errors of the
    prediction, and what is unusual.
diagnostics
    All of them, the most severe first: code, severity (alarm, doubt or note) and message.
network
    The folder of its run, its dataset, and what determines its weights.
software
    The versions of the package, JAX and Python.
"""

import dataclasses
import platform
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

import cmed_jax
from cmed_jax.crystal.composition import format_composition
from cmed_jax.crystal.lattice import cell_parameters, primitive_lattice
from cmed_jax.mixture.experts import Expert
from cmed_jax.physics.cell import cell_volume
from cmed_jax.powder.cell_indexing import IndexedCell
from cmed_jax.powder.preparation import PeakList, Prepared
from cmed_jax.prediction.assessment import Assessment
from cmed_jax.prediction.query import ConventionalCell
from cmed_jax.prediction.result import Prediction
from cmed_jax.search.search import SearchResult
from cmed_jax.search.solved import SEARCH, SolvedStructure
from cmed_jax.solution.cell_ranking import CellCandidate
from cmed_jax.solution.isostructural import IsostructuralMatch
from cmed_jax.solution.rietveld import RietveldFit


def results(prediction: Prediction) -> dict[str, Any]:
    """Return the figures of a prediction, as described in the module's docstring."""
    config, calculated = prediction.config, prediction.calculated
    return {
        "composition": format_composition(prediction.composition),
        "density": _density(prediction),
        "cell": _cell(prediction),
        "cells": [_candidate(cell) for cell in prediction.cells],
        "measured": None if prediction.prepared is None else _measured(prediction.prepared),
        "implied": None
        if calculated is None
        else {"cosine": calculated.cosine, "rwp": calculated.rwp},
        "analogues": [_match(analogue) for analogue in prediction.analogues],
        "structures": [_structure(each) for each in prediction.structures],
        "rietveld": _rietveld(prediction.rietveld),
        "search": _search(prediction.searched),
        "verdict": _assessment(prediction.assessment),
        "experts": [_expert(expert) for expert in prediction.experts],
        "alarms": list(prediction.alarms),
        "doubts": list(prediction.doubts),
        "notes": list(prediction.notes),
        "diagnostics": [each._asdict() for each in prediction.diagnostics],
        "network": {"run": config.run, "data": config.data} | config.identity(),
        "software": {
            "cmed_jax": cmed_jax.__version__,
            "jax": jax.__version__,
            "python": platform.python_version(),
        },
    }


def _density(prediction: Prediction) -> dict[str, Any]:
    density, std = prediction.density, prediction.std
    return {
        "shape": list(density.shape),
        "minimum": float(density.min()),
        "maximum": float(density.max()),
        "mean": float(density.mean()),
        "deviation": None if std is None else float(std.mean() / density.mean()),
    }


def _cell(prediction: Prediction) -> dict[str, Any] | None:
    if prediction.lattice is None:
        return None
    volume = cell_volume(prediction.lattice)
    electrons = float(prediction.density.mean() * volume)
    unit = _electrons(format_composition(prediction.composition))
    return {
        "parameters": _rounded(cell_parameters(prediction.lattice)),
        "volume": round(float(volume), 4),
        "electrons": electrons,
        "formula_units": None if unit is None else electrons / unit,
        "electrons_known": prediction.electrons,
        "conventional": _conventional(prediction.conventional),
    }


def _conventional(cell: ConventionalCell | None) -> dict[str, Any] | None:
    if cell is None:
        return None
    return {
        "parameters": _rounded(cell.parameters),
        "volume": round(float(cell_volume(primitive_lattice(cell.parameters))), 4),
        "centring": cell.centring,
        "space_group": cell.space_group,
    }


def _electrons(formula: str | None) -> float | None:
    """Return the number of electrons of a formula unit; None without ratios."""
    from pymatgen.core import Composition

    if formula is None or "," in formula:
        return None
    return float(Composition(formula).total_electrons)


def _candidate(cell: CellCandidate) -> dict[str, Any]:
    return {
        "lattice_type": cell.lattice_type,
        "parameters": _rounded(cell.parameters),
        "merit": float(cell.merit),
        "origin": cell.origin,
        "room": cell.relative_volume,
    }


def _structure(solved: SolvedStructure) -> dict[str, Any]:
    return {
        "formula": solved.formula,
        "origin": solved.origin,
        "structure_type": solved.structure_type,
        "space_group": solved.space_group,
        "parameters": _rounded(solved.cell),
        "sites": [dataclasses.asdict(site) for site in solved.sites],
        "residual": solved.residual,
        "rwp": solved.rwp,
        "free_coordinates": solved.free_coordinates,
        "b_factor": solved.b_factor,
        "room": solved.relative_volume,
        "shortest": list(solved.shortest_distance),
        "probability": solved.probability,
        "lacks_hydrogen": solved.lacks_hydrogen,
    }


def _rietveld(fit: RietveldFit | None) -> dict[str, Any] | None:
    if fit is None:
        return None
    return {
        "rwp": fit.rwp,
        "expected": fit.expected,
        "goodness": fit.goodness,
        "parameters": _rounded(fit.cell),
    }


def _search(searched: SearchResult | None) -> dict[str, Any] | None:
    if searched is None:
        return None
    return {
        "verdict": searched.verdict,
        "outside": searched.outside,
        "tried": searched.tried,
        "seconds": searched.seconds,
        "complete": searched.complete,
        "cells": [_indexed(cell) for cell in searched.cells],
    }


def _indexed(cell: IndexedCell) -> dict[str, Any]:
    return {
        "lattice_type": cell.lattice_type,
        "parameters": cell.parameters.tolist(),
        "zero": cell.zero,
        "merit": cell.merit,
        "lines": cell.lines,
        "indexed": cell.indexed,
        "predicted": cell.predicted,
        "seen": cell.seen,
        "m20": cell.m20,
        "f20": cell.f20,
        "room": cell.relative_volume,
    }


def _assessment(assessment: Assessment | None) -> dict[str, Any] | None:
    if assessment is None:
        return None
    accepted = assessment.accepted
    return {
        "consistent": assessment.consistent,
        "sentence": assessment.sentence,
        "by": None if accepted is None else accepted.name,
    }


def _match(analogue: IsostructuralMatch) -> dict[str, Any]:
    crystal, calculated = analogue.crystal, analogue.calculated
    return {
        "id": crystal.material_id,
        "formula": analogue.prototype,
        "space_group": crystal.space_group,
        "parameters": _rounded(analogue.parameters),
        "volume": round(crystal.volume, 4),
        "merit": analogue.merit,
        "room": analogue.relative_volume,
        "cosine": None if calculated is None else calculated.cosine,
        "rwp": None if calculated is None else calculated.rwp,
    }


def _expert(expert: Expert) -> dict[str, Any]:
    refined = expert.refined
    if refined is None:
        return {"weight": expert.weight, "name": "the network", "residual": None}
    formula, source = refined.crystal.formula, refined.crystal.material_id
    name = f"{formula} from the search" if source == SEARCH else f"{formula} after {source}"
    return {"weight": expert.weight, "name": name, "residual": refined.residual}


def _measured(prepared: Prepared) -> dict[str, Any]:
    measured, shift = prepared.measured, prepared.shift
    return {
        "file": measured.path.name if measured.path else None,
        "format": measured.format,
        "points": len(measured.two_theta),
        "first": float(measured.two_theta[0]),
        "last": float(measured.two_theta[-1]),
        "wavelengths": _rounded(prepared.radiation.wavelengths, 6),
        "weights": _rounded(prepared.radiation.weights, 6),
        "preparation": dataclasses.asdict(prepared.options),
        "shift": None if shift is None else {k: float(x) for k, x in shift._asdict().items()},
        "peaks": _peaks(prepared.peaks),
    }


def _peaks(peaks: PeakList) -> list[dict[str, float | None]]:
    return [
        {
            "two_theta": round(angle, 4),
            "d": round(1 / s, 5),
            "area": float(f"{area:.5g}"),
            "width": round(width, 4) if np.isfinite(width) else None,
        }
        for angle, s, area, width in zip(*(column.tolist() for column in peaks[:4]), strict=True)
    ]


def _rounded(values: Float[np.ndarray, " n"], digits: int = 4) -> list[float]:
    return np.round(np.asarray(values, float), digits).tolist()
