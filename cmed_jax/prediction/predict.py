"""Prediction: the density behind a pattern, from a network and from known crystals."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.composition import Composition, anonymous_formula
from cmed_jax.crystal.lattice import cell_parameters
from cmed_jax.crystal.material import Material
from cmed_jax.crystal.solid_solutions import UNSHARED
from cmed_jax.data.domain import TrainingDomain
from cmed_jax.data.records import Recipe
from cmed_jax.mixture.experts import Mixture, combine, variance
from cmed_jax.mixture.gate import Gate
from cmed_jax.model.generator import network_generator, query_seeds
from cmed_jax.physics.density import GRID
from cmed_jax.prediction.answers import answered
from cmed_jax.prediction.arguments import check_pattern_type
from cmed_jax.prediction.cells import ASKED, find_cells
from cmed_jax.prediction.electrons import electrons_in_cell
from cmed_jax.prediction.known_crystals import known_crystals, known_memory, known_prototypes
from cmed_jax.prediction.messages import diagnostics_of
from cmed_jax.prediction.options import (
    DEFAULTS,
    PredictionOptions,
    changed,
    known_composition,
)
from cmed_jax.prediction.query import SAME_CELL, ConventionalCell, Pattern, PredictionQuery
from cmed_jax.prediction.restore import Restored, restore
from cmed_jax.prediction.result import Answer, Prediction
from cmed_jax.solution.calculated import calculate_pattern
from cmed_jax.solution.cell_ranking import CellCandidate
from cmed_jax.solution.isostructural import IsostructuralMatch, match_pattern
from cmed_jax.solution.refinement import Refined
from cmed_jax.solution.solve import solve

STEPS = (
    "reading the pattern",
    "comparing with known crystals",
    "finding the cell",
    "predicting the density",
    "searching for structures",
)
"""The steps of a prediction, in order."""


def restore_and_predict(
    model: str | Path | Restored,
    pattern: Pattern,
    composition: Composition = None,
    options: PredictionOptions = DEFAULTS,
    *,
    progress: Callable[[str], object] = lambda step: None,
    **changes: Any,
) -> Prediction:
    """Predict the electron density of the unit cell behind a powder pattern.

    Args:
        model: an argument of `restore`; or the result of `restore`, for many patterns.
        pattern: 1,024 bins on the network's grid, a pair (two_theta in degrees, intensity) of peaks
            or of a profile, or the path of a file that `cmed_jax.load_pattern` reads.
        composition: a formula, amounts by element, the elements alone (ratios unknown), or None,
            which takes the composition from the options. Not beside the elements of the options.
        options: the wavelength, the cell, the grid, and all else (`PredictionOptions`).
        progress: a function that is called with each of the `STEPS` at its beginning.
        **changes: the fields of `PredictionOptions` that differ from `options`.

    Raises:
        FileNotFoundError: if there is no such network or no such file.
        ValueError: if the pattern, the composition, the wavelength, or an option is unusable.

    Example:
        >>> angles, intensities = [27.4, 31.7, 45.5], [8.0, 100.0, 55.0]  # rock salt
        >>> found = restore_and_predict(
        ...     "cubic", (angles, intensities), "NaCl", wavelength="CuKa",
        ...     cell=(5.64, 5.64, 5.64, 90, 90, 90), centring="F", analogues=0,
        ... )
        >>> found.density.shape
        (50, 50, 50)
    """
    _check_call(model, options, progress)
    check_pattern_type(pattern)
    options = changed(options, changes)
    options.check()
    composition = known_composition(options, composition)
    progress(STEPS[0])
    restored = model if isinstance(model, Restored) else restore(model)
    query = PredictionQuery.of(
        pattern,
        composition,
        options,
        as_measured=restored.config.step.augmentation.artefacts is not None,
    )
    progress(STEPS[1])
    known = _matches(query)
    mixing = _mixing_of(query, restored)
    refined = _refined_crystals(query, mixing)
    mixed = _in_one_cell(query, refined)
    progress(STEPS[2])
    network = _AskedNetwork(restored, query)
    cells = find_cells(query, known, network.plain_densities)
    progress(STEPS[3])
    own = network.densities(_lattice(query, cells, mixed, known))
    mixture = _mixture(query, mixing, own, mixed)
    predicted = _in_cell(query, restored.domain, mixture, cells, _with_other_axes(query, mixed))
    progress(STEPS[4])
    lattices = [each.lattice for each in cells]
    found = answered(query, known, lattices, predicted)
    answer, known, assessment, searched, structures, refinement, notes = found
    assert answer is not None  # one was predicted
    return Prediction(
        density=answer.mixture.densities[0],
        std=answer.mixture.deviation,
        candidates=answer.mixture.densities[1:] if len(answer.mixture.densities) > 1 else None,
        pattern=query.pattern,
        coverage=query.coverage,
        composition=query.composition,
        config=restored.config,
        diagnostics=(
            *diagnostics_of(
                query, restored, answer, assessment, known, searched, structures, refined
            ),
            *notes,
        ),
        prepared=query.prepared,
        lattice=answer.lattice,
        conventional=answer.conventional,
        cells=cells,
        calculated=answer.calculated,
        analogues=known,
        assessment=assessment,
        electrons=electrons_in_cell(query, answer, known),
        experts=answer.mixture.experts,
        searched=searched,
        structures=structures,
        rietveld=refinement,
    )


def _check_call(model: object, options: object, progress: object) -> None:
    """Check the types of the arguments that are neither the question nor its options."""
    wanted = (
        ("model", model, isinstance(model, str | Path | Restored), "a name, a path, or a Restored"),
        ("options", options, isinstance(options, PredictionOptions), "PredictionOptions"),
        ("progress", progress, callable(progress), "a function of a text"),
    )
    for name, value, fits, words in wanted:
        if not fits:
            raise ValueError(f"{name} is {str(value)[:40]!r}: give {words}")


class _AskedNetwork:
    """A network that answers one query, in one cell or another, once in each."""

    def __init__(self, restored: Restored, query: PredictionQuery):
        self._restored, self._query = restored, query
        self._plain: dict[bytes, Float[np.ndarray, "1 a b c"]] = {}

    def plain_densities(
        self, lattices: Sequence[Float[np.ndarray, "3 3"]]
    ) -> Float[np.ndarray, "n a b c"]:
        """Return the plain density in each of some cells, on the grid of the datasets."""
        # Always as many cells: the last one fills up, so that one program serves all queries.
        filled = [*lattices, *[lattices[-1]] * (ASKED - len(lattices))]
        found = self._asked(filled, GRID, 0)
        self._plain |= {
            each.tobytes(): answer for each, answer in zip(lattices, found, strict=False)
        }
        return found[: len(lattices), 0]

    def densities(self, lattice: Float[np.ndarray, "3 3"] | None) -> Float[np.ndarray, "k a b c"]:
        """Return the plain density and its samples in a cell, on the grid of the options."""
        options = self._query.options
        if lattice is None or not self._plain or options.samples or options.grid != GRID:
            return self._asked([lattice], options.grid, options.samples)[0]
        if lattice.tobytes() not in self._plain:
            self.plain_densities([lattice])
        return self._plain[lattice.tobytes()]

    def _asked(
        self,
        lattices: Sequence[Float[np.ndarray, "3 3"] | None],
        grid: tuple[int, int, int],
        samples: int,
    ) -> Float[np.ndarray, "n k a b c"]:
        query, options, memory = self._query, self._query.options, None
        if self._restored.network.reads_reflections and options.analogues:
            kind = None if query.formula is None else anonymous_formula(query.formula)
            memory = known_memory(options.structures, kind)
        generator = network_generator(
            self._restored.network, grid, memory=memory, samples=samples, seed=options.seed
        )
        return np.asarray(generator(query.in_cells(lattices)))


def _lattice(
    query: PredictionQuery,
    cells: Sequence[CellCandidate],
    refined: Sequence[Refined],
    known: Sequence[IsostructuralMatch],
) -> Float[np.ndarray, "3 3"] | None:
    """Return the primitive cell in which the network is asked; None where none is known."""
    renamed = _with_other_axes(query, refined)
    if query.lattice is not None:
        return query.lattice if renamed is None else renamed.lattice
    found = [each.lattice for each in cells]
    found += [each.crystal.lattice for each in refined] + [each.crystal.lattice for each in known]
    return found[0] if found else None


class _Mixing(NamedTuple):
    """The gate that mixes a network with crystals, and the recipe of their densities."""

    gate: Gate
    recipe: Recipe


def _mixing_of(query: PredictionQuery, restored: Restored) -> _Mixing | None:
    """Return how the network is mixed with refined crystals; None where it answers alone.

    Densities of measured patterns are not mixed; there a crystal is accepted or not.
    """
    gate, domain = restored.gate, restored.domain
    if not query.options.analogues or query.prepared is not None:
        return None
    if gate is None or domain is None or domain.b_factor is None:
        return None
    return _Mixing(gate, Recipe(b_factor=domain.b_factor))


def _refined_crystals(query: PredictionQuery, mixing: _Mixing | None) -> list[Refined]:
    """Return refined crystals that explain a pattern and are mixed, the best first."""
    if mixing is None:
        return []
    formula = query.formula
    kind = None if formula is None else anonymous_formula(formula)
    prototypes = known_prototypes(query.options.structures, kind, mixing.recipe)
    asked = (query.pattern, query.composition, query.knowledge, query.coverage)
    return [] if prototypes is None else solve(prototypes, *asked)


def _in_one_cell(query: PredictionQuery, refined: Sequence[Refined]) -> list[Refined]:
    """Return the refined crystals that are in the given cell; all where none is given.

    Densities are mixed in fractional coordinates. Those of one cell mean the same place only with
    the same names of the axes, and so the axes are those of the best crystal.
    """
    if query.lattice is None:
        return list(refined)
    admitted = [each for each in refined if query.admits(each.crystal)]
    first = admitted[0].crystal.lattice if admitted else query.lattice
    return [each for each in admitted if _has_same_axes(each.crystal.lattice, first)]


def _with_other_axes(query: PredictionQuery, refined: Sequence[Refined]) -> Material | None:
    """Return the crystal whose axes have other names than those of the given cell, if there is one.

    Args:
        query: the query, with or without a cell.
        refined: the refined crystals that are mixed, all with the same axes where a cell is given.
    """
    if query.lattice is None or not refined:
        return None
    crystal = refined[0].crystal
    return None if _has_same_axes(crystal.lattice, query.lattice) else crystal


def _has_same_axes(one: Float[np.ndarray, "3 3"], other: Float[np.ndarray, "3 3"]) -> bool:
    return np.allclose(cell_parameters(one), cell_parameters(other), rtol=SAME_CELL)


def _mixture(
    query: PredictionQuery,
    mixing: _Mixing | None,
    own: Float[np.ndarray, "k na nb nc"],
    refined: Sequence[Refined],
) -> Mixture:
    """Return the network's densities, mixed with refined crystals where they are."""
    if mixing is None:
        return Mixture(own, np.sqrt(variance(own)) if len(own) > 1 else None, ())
    seeds = [query.options.seed, int(query_seeds(query.batch)[0])]
    return combine(mixing.gate, own, refined, mixing.recipe, query.knowledge, query.coverage, seeds)


def _matches(query: PredictionQuery) -> tuple[IsostructuralMatch, ...]:
    """Return known crystals that explain the pattern, where pattern and composition suffice."""
    options = query.options
    if not options.analogues or query.prepared is None or query.formula is None:
        return ()
    if not query.tells_cell:
        return ()
    crystals = known_crystals(options.structures)
    shares = UNSHARED if query.shared is None else query.shared.shares
    lattices = query.likely_lattices
    return match_pattern(
        query.prepared, query.formula, crystals, options.analogues, shares, lattices
    )


def _in_cell(
    query: PredictionQuery,
    domain: TrainingDomain | None,
    mixture: Mixture,
    cells: tuple[CellCandidate, ...],
    renamed: Material | None,
) -> Answer:
    """Return the mixture in its cell, with the pattern calculated there.

    That cell is given or found, or else that of a crystal that outweighs the network. No pattern is
    calculated from valence densities: X-rays are scattered by all electrons.

    Args:
        query: the query, with or without a cell.
        domain: the domain of the training crystals, where it is known.
        mixture: the densities and their experts.
        cells: the cells that were found, the best first.
        renamed: the crystal in whose axes the densities are, where those of the given cell have
            other names.
    """
    lattice, conventional, shift = query.lattice, query.given, None
    crystal = renamed
    if lattice is None:
        crystal = mixture.crystal
    if crystal is not None:
        lattice, conventional = crystal.lattice, ConventionalCell.of_crystal(crystal)
    if cells:
        lattice, shift = cells[0].lattice, cells[0].shift
        conventional = ConventionalCell(cells[0].parameters, cells[0].lattice_type[-1])
    valence = domain is not None and domain.b_factor is None
    if lattice is None or query.prepared is None or valence:
        return Answer(mixture, lattice, conventional, None)
    calculated = calculate_pattern(mixture.densities[0], lattice, query.prepared, shift)
    return Answer(mixture, lattice, conventional, calculated)
