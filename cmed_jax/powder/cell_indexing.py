"""`index_lines`: the cells of all seven crystal systems that explain the lines of a pattern.

The cell is found from the positions of the lines alone, without known crystals and without a
density. Trial lattices of each system come from guessed indices of the first lines
(`cmed_jax.powder.trial_cells`); those that explain more lines than chance are refined together with
the zero shift (`cmed_jax.powder.line_matching`). Each is then described by its conventional cell,
and lattices that are equal count once.

The merit is the evidence, in nats, that the lines are not explained by accident: Fisher's sum over
all lines, tested against chance for the number of free parameters and of trial lattices. A
supercell has more lines, and so smaller gaps between them: it needs closer agreement for the same
evidence. A cell that is too small leaves lines unexplained. The composition adds the volume: whole
formula units in a primitive cell should have their usual volume.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.bravais import alike, bravais, lattice_lengths, reduced_cell
from cmed_jax.crystal.cell_contents import relative_cell_volume
from cmed_jax.crystal.lattice import PRIMITIVE, cell_parameters
from cmed_jax.physics.patterns import s_of_two_theta
from cmed_jax.powder.indexing import (
    FREE,
    UNSHIFTED,
    Axes,
    edges_and_volumes,
    first_of_each,
    reciprocal_metric,
)
from cmed_jax.powder.line_matching import (
    CENTRINGS,
    Fitted,
    NearTable,
    Trials,
    counted,
    refined,
)
from cmed_jax.powder.lines import MeasuredLines
from cmed_jax.powder.trial_cells import trial_metrics, volume_limits

SYSTEMS: tuple[Axes, ...] = (
    "cubic", "hexagonal", "tetragonal", "orthorhombic", "monoclinic", "triclinic",
)  # fmt: skip
WEAK = 0.004
"""The least area of a line that is used, as a share of the largest."""
CERTAIN = 0.05
"""The area, as a share of the largest, from which on a line has its full weight.

Weaker ones may be those of an impurity.
"""
PARAMETER = 7.0
"""The evidence that a free parameter of the metric costs, nats.

It is the logarithm of the number of its values that the lines tell apart.
"""
MOST_HIDDEN, UNSEEN = 2.0, 0.25
"""The usual number of lines of a cell for each one seen, and the cost of more.

The cost is in nats for each measured line and each factor e.
"""
FIRST = 20
"""The number of lines, from the lowest angle, that trial lattices are tested with."""
JUDGED = 40
"""The number of lines that the merit of the best lattices is counted with."""
NEAR = 0.1
"""The distance within which lines match trial lattices, degrees."""
STEPS, FINAL = (0.15, 0.12, 0.1, 0.08), (0.12, 0.08, 0.06, 0.06)
"""The distances within which lines match, degrees, for each step of the refinements."""
ERRORS = (0.01, 0.02, 0.04)
"""The errors of the angles that are tried, degrees."""
KEPT, DESCRIBED = 600, 12
"""The numbers of trial lattices of each system that are refined, and brought to standard cells."""
COARSELY = 0.01
"""The relative difference of edges below which trial lattices are not refined separately."""
LOOSENED = 3
"""The number of trial lattices of each system that are refined without their symmetry as well."""
EARLIEST = ("cubic", "hexagonal")
"""The systems after which the next one is tried in any case."""
DECISIVE_LINES, DECISIVE_INDEXED, DECISIVE_AREA, DECISIVE_SEEN = 14, 0.95, 0.98, 0.6
"""The least lines, shares of lines and of intensity explained, and share of its own lines seen, of
a cell that spares the trial of lower symmetry."""
GIVEN = 20
"""The number of cells that are returned."""
TOLERANCES = (0.05, 0.01)
"""The tolerances of the symmetry of a lattice, angstrom; all descriptions are compared."""
ALIKE = 0.006
"""The relative difference of edges and angles below which reduced cells are one."""
UNUSUAL = 0.15
"""The deviation of the logarithm of a relative volume that costs half a nat."""
MOST_UNUSUAL = 15.0
"""The largest cost of a volume, nats."""
MATCHED = 0.08
"""The distance within which a line counts as indexed, degrees."""

_SWAPPED_B = np.array([[1, 0, 1], [0, 2, 0], [-1, 0, 1]]) / 2
_PRIMITIVE = PRIMITIVE | {"B": _SWAPPED_B}


class IndexedCell(NamedTuple):
    """A cell that explains the lines of a pattern.

    Attributes:
        lattice_type: such as "cubic F", "hexagonal R" or "monoclinic C".
        parameters: a, b, c (angstrom), alpha, beta, gamma (degrees) of the conventional cell.
        lattice: rows a, b, c, angstrom, of the primitive cell.
        zero: the zero shift that was refined with it, degrees.
        merit: the evidence for the cell, nats; it ranks the cells.
        lines: the number of lines that were compared.
        indexed: the number of these lines that the cell explains.
        area: the share of the intensity of the lines that the cell explains.
        predicted: the number of lines that the cell has in their range.
        seen: the number of these that were measured.
        m20: de Wolff's figure of merit of the first 20 lines.
        f20: that of Smith and Snyder.
        relative_volume: the volume over the usual volume of whole formula units; 1 where the
            composition is not known.
    """

    lattice_type: str
    parameters: Float[np.ndarray, "6"]
    lattice: Float[np.ndarray, "3 3"]
    zero: float
    merit: float
    lines: int
    indexed: int
    area: float
    predicted: int
    seen: int
    m20: float
    f20: float
    relative_volume: float


def index_lines(
    lines: MeasuredLines,
    composition: Float[np.ndarray, "119"] | None = None,
    systems: Sequence[Axes] = SYSTEMS,
) -> tuple[IndexedCell, ...]:
    """Return the cells that explain measured lines, the best first.

    Args:
        lines: the measured lines.
        composition: the atom fractions by atomic number, where they are known in full.
        systems: the kinds of axes that are tried.
    """
    strong = lines.area >= WEAK * lines.area.max(initial=0)
    angle, area = lines.angle[strong], lines.area[strong]
    order = np.argsort(angle)
    shift = lines.shift or UNSHIFTED
    angle, area = shift.correct(angle[order]), area[order]
    weight = np.minimum(np.sqrt(area / (CERTAIN * area.max(initial=0))), 1)
    if not len(angle):
        return ()
    found: list[IndexedCell] = []
    for axes in systems:
        trials = _trials(axes, angle, weight, lines.wavelength, composition)
        if not len(trials.score):
            continue
        best = _distinct(axes, trials, DESCRIBED)
        found += _described(
            axes, trials.at(best), angle, area, weight, lines.wavelength, composition
        )
        if axes not in EARLIEST and any(_is_decisive(cell) for cell in found):
            break
    merged = islice(_merged(found), GIVEN)
    return tuple(cell._replace(zero=shift.zero + cell.zero) for cell in merged)


def _is_decisive(cell: IndexedCell) -> bool:
    """Return whether a cell explains so much that systems of lower symmetry need no trial."""
    return (
        cell.lines >= DECISIVE_LINES
        and cell.indexed >= DECISIVE_INDEXED * cell.lines
        and cell.area >= DECISIVE_AREA
        and cell.seen >= DECISIVE_SEEN * cell.predicted
        and abs(float(np.log(cell.relative_volume))) < 2 * UNUSUAL
    )


def _trials(
    axes: Axes,
    angle: Float[np.ndarray, " k"],
    weight: Float[np.ndarray, " k"],
    wavelength: float,
    composition: Float[np.ndarray, "119"] | None,
) -> Trials:
    """Return refined trial lattices of one system."""
    first = angle[:FIRST]
    squared = s_of_two_theta(first, wavelength) ** 2
    guessed = trial_metrics(axes, squared, volume_limits(axes, squared, composition))
    if not len(guessed):
        nothing = np.zeros(0)
        return Trials(guessed, nothing.astype(int), nothing, nothing)
    table = NearTable.of(first, wavelength, NEAR)
    trials = counted(axes, guessed, table, 0.0)
    fitted = refined(
        axes,
        trials.at(_different(axes, trials)[:KEPT]),
        angle[:FIRST],
        wavelength,
        STEPS,
        ERRORS,
        weight[:FIRST],
    )
    return fitted.trials


def _different(axes: Axes, trials: Trials) -> np.ndarray:
    """Return the rows of trial lattices by falling score, one for each volume and shape."""
    order = np.argsort(-trials.score, kind="stable")[: 20 * KEPT]
    edges, volumes = edges_and_volumes(axes, trials.metrics[order])
    sizes = np.log(np.column_stack([edges, volumes])) / COARSELY
    kinds = np.column_stack([np.rint(sizes), trials.centring[order]])
    return order[first_of_each(kinds)]


def _distinct(axes: Axes, trials: Trials, most: int) -> np.ndarray:
    """Return the rows of the best trial lattices, without equal ones."""
    order = np.argsort(-trials.score, kind="stable")
    order = order[np.isfinite(trials.score[order])][:400]
    kept: list[int] = []
    seen: list[np.ndarray] = []
    for row in order.tolist():
        tensor = reciprocal_metric(axes, trials.metrics[row])
        centring = CENTRINGS[axes][trials.centring[row]]
        try:
            identity = lattice_lengths(_primitive(tensor, centring))
        except (ValueError, np.linalg.LinAlgError):
            continue
        if any(alike(identity, each, ALIKE) for each in seen):
            continue
        seen.append(identity)
        kept.append(row)
        if len(kept) == most:
            break
    return np.array(kept, int)


def _primitive(tensor: Float[np.ndarray, "3 3"], centring: str) -> Float[np.ndarray, "3 3"]:
    """Return the rows of the primitive cell of a lattice with a reciprocal metric tensor."""
    conventional = np.linalg.cholesky(np.linalg.inv(tensor))
    return _PRIMITIVE[centring].T @ conventional


def _described(
    axes: Axes,
    trials: Trials,
    angle: Float[np.ndarray, " k"],
    area: Float[np.ndarray, " k"],
    weight: Float[np.ndarray, " k"],
    wavelength: float,
    composition: Float[np.ndarray, "119"] | None,
) -> Iterator[IndexedCell]:
    """Yield the conventional cells of trial lattices, refined with more lines."""
    for number, (metric, centring, zero) in enumerate(
        zip(trials.metrics, trials.centring, trials.zero, strict=True)
    ):
        primitive = _primitive(reciprocal_metric(axes, metric), CENTRINGS[axes][centring])
        done = set()
        described: list[tuple[Axes, str, Float[np.ndarray, "3 3"]]] = []
        if number < LOOSENED:
            described.append(("triclinic", "P", reduced_cell(primitive)))
        for tolerance in TOLERANCES:
            try:
                ideal = bravais(primitive, tolerance)
            except ValueError:
                continue
            kind = f"{_axes(ideal.system)} {ideal.centring}"
            if kind in done:
                continue
            done.add(kind)
            described.append((_axes(ideal.system), ideal.centring, ideal.conventional))
        for system, letter, conventional in described:
            cell = _assessed(
                system,
                letter,
                conventional,
                float(zero),
                weight,
                angle,
                area,
                wavelength,
                composition,
            )
            if cell is not None:
                yield cell


def _axes(system: str) -> Axes:
    return "hexagonal" if system == "trigonal" else system  # type: ignore[return-value]


def metric_of(axes: Axes, conventional: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, " p"]:
    """Return the metric of a conventional cell with rows a, b, c."""
    tensor = np.linalg.inv(conventional @ conventional.T)
    if axes == "cubic":
        return tensor[:1, 0]
    if axes in ("tetragonal", "hexagonal"):
        return np.array([tensor[0, 0], tensor[2, 2]])
    mixed = {"monoclinic": [(0, 2)], "triclinic": [(1, 2), (0, 2), (0, 1)]}.get(axes, [])
    return np.array([*np.diag(tensor), *(2 * tensor[place] for place in mixed)])


def _assessed(
    axes: Axes,
    centring: str,
    conventional: Float[np.ndarray, "3 3"],
    zero: float,
    weight: Float[np.ndarray, " k"],
    angle: Float[np.ndarray, " k"],
    area: Float[np.ndarray, " k"],
    wavelength: float,
    composition: Float[np.ndarray, "119"] | None,
) -> IndexedCell | None:
    """Return a conventional cell, refined and with its merits; None where the fit fails."""
    trial = Trials(
        metric_of(axes, conventional)[None],
        np.array([CENTRINGS[axes].index(centring)]),
        np.array([zero]),
        np.zeros(1),
    )
    trial = refined(axes, trial, angle[:FIRST], wavelength, FINAL, ERRORS, weight[:FIRST]).trials
    fit = refined(axes, trial, angle[:JUDGED], wavelength, FINAL, ERRORS, weight[:JUDGED])
    if not np.isfinite(fit.trials.score[0]):
        return None
    tensor = reciprocal_metric(axes, fit.trials.metrics[0])
    try:
        edges = np.linalg.cholesky(np.linalg.inv(tensor))
    except np.linalg.LinAlgError:
        return None
    lattice = PRIMITIVE[centring].T @ edges
    relative = 1.0 if composition is None else relative_cell_volume(lattice, composition)
    used = min(len(angle), JUDGED)
    evidence = float(fit.trials.score[0]) - PARAMETER * FREE[axes]
    hidden = fit.predicted[0] / max(MOST_HIDDEN * fit.seen[0], 1)
    evidence -= UNSEEN * used * max(float(np.log(hidden)), 0.0)
    cost = min((np.log(relative) / UNUSUAL) ** 2 / 2, MOST_UNUSUAL)
    matched = fit.gap[0] < MATCHED
    m20, f20 = _figures(axes, trial, angle[:FIRST], wavelength)
    return IndexedCell(
        f"{axes} {centring}",
        cell_parameters(edges),
        lattice,
        float(fit.trials.zero[0]),
        float(evidence - cost),
        used,
        int(matched.sum()),
        float(area[:used][matched].sum() / area[:used].sum()),
        int(fit.predicted[0]),
        int(fit.seen[0]),
        m20,
        f20,
        float(relative),
    )


def _figures(
    axes: Axes, trial: Trials, angle: Float[np.ndarray, " k"], wavelength: float
) -> tuple[float, float]:
    """Return M and F of the first lines, over the lines that are indexed."""
    fit: Fitted = refined(axes, trial, angle, wavelength, (), ERRORS, np.ones(len(angle)))
    indexed = fit.gap[0] < MATCHED
    if not indexed.any() or not fit.predicted[0]:
        return 0.0, 0.0
    gap = np.maximum(fit.gap[0][indexed], 1e-4)
    mean = float(gap.mean())
    corrected = UNSHIFTED._replace(zero=float(trial.zero[0])).correct(angle)
    squared = s_of_two_theta(corrected, wavelength) ** 2
    error = np.radians(gap) * np.sin(np.radians(corrected[indexed])) * 2 / wavelength**2
    count = int(indexed.sum())
    return (
        float(squared[-1] / (2 * error.mean() * fit.predicted[0])),
        count / (mean * int(fit.predicted[0])),
    )


def _merged(cells: Sequence[IndexedCell]) -> Iterator[IndexedCell]:
    """Yield cells by falling merit, with one description of each lattice."""
    seen: list[np.ndarray] = []
    for cell in sorted(cells, key=lambda each: -each.merit):
        identity = lattice_lengths(cell.lattice)
        if not any(alike(identity, each, ALIKE) for each in seen):
            seen.append(identity)
            yield cell
