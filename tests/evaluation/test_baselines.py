import dataclasses

import numpy as np
import pytest
from scipy.spatial.distance import cosine

from cmed_jax.crystal.composition import Knowledge
from cmed_jax.data.examples import Examples, example_of
from cmed_jax.data.query import full_query
from cmed_jax.data.records import Recipe, make_record
from cmed_jax.evaluation.baselines import OF_PATTERN, PATTERN_WEIGHT, baselines
from cmed_jax.evaluation.controls import without_composition, without_pattern
from cmed_jax.evaluation.scoring import evaluate
from cmed_jax.physics.density import B_FACTOR
from cmed_jax.physics.harmonics import harmonics
from cmed_jax.solution.distances import BROADENING
from tests.structures import CENTRE, ORIGIN, cubic, hexagonal, material

B = 2.5
"""The isotropic B of the baselines, angstrom^2."""


@pytest.fixture(scope="module")
def generators(training_split):
    return baselines(training_split, B)


def answered_rows(densities, training):
    """The rows of the training densities that were copied, found by voxelwise comparison."""
    known = training.densities(slice(None))
    return [np.flatnonzero((known == d).all(axis=(1, 2, 3))).item() for d in densities[:, 0]]


def pattern_distance(a, b):
    """1 - cosine after broadening, with the Gaussian summed peak by peak."""

    def broadened(pattern):
        bins = np.arange(1024)
        peaks = [
            h * np.exp(-((bins - i) ** 2) / (2 * BROADENING**2)) for i, h in enumerate(pattern) if h
        ]
        return np.sum(peaks, axis=0)

    return cosine(broadened(a), broadened(b))


def composition_distance(a, b):
    return np.abs(a.astype(float) - b).sum() / 2


def both(a, b):
    return PATTERN_WEIGHT * pattern_distance(a[0], b[0]) + composition_distance(a[1], b[1])


def first_nearest(distances):
    distances = np.asarray(distances)
    return np.flatnonzero(distances < distances.min() + 1e-9)[0]


def test_constant_map_is_the_mean_of_the_training_densities(generators, test_split, training_split):
    answer = generators["constant map"](full_query(test_split))
    assert answer.shape == (len(test_split), 1, 50, 50, 50)
    expected = training_split.densities(slice(None)).mean(dtype=np.float64)
    np.testing.assert_allclose(answer, expected, rtol=1e-5)


def amounts(composition):
    """The amounts in the anonymous formula: two elements in synthetic crystals, in quarters."""
    return sorted(round(4 * share) for share in composition if share)


def test_mean_of_the_formula_is_the_mean_over_its_crystals(generators, test_split, training_split):
    answer = generators["mean of the formula"](full_query(test_split))
    formulas = {tuple(amounts(composition)) for composition in training_split.composition}
    assert formulas == {(1, 3), (2, 2)}
    for row, composition in enumerate(test_split.composition):
        alike = [
            i
            for i, c in enumerate(training_split.composition)
            if amounts(c) == amounts(composition)
        ]
        expected = training_split.densities(alike).mean(axis=0, dtype=np.float64)
        np.testing.assert_allclose(answer[row, 0], expected, rtol=1e-5)


def test_mean_of_an_unknown_formula_is_the_constant_map(generators, test_split):
    query = full_query(test_split)
    constant = generators["constant map"](query)
    third = np.zeros_like(query.composition)
    third[:, [3, 8]] = 2 / 3, 1 / 3
    elements_only = np.full_like(query.knowledge, Knowledge.NO_RATIOS)
    for unknown in (
        query._replace(composition=third),
        query._replace(knowledge=elements_only),
        without_composition(test_split),
    ):
        np.testing.assert_array_equal(generators["mean of the formula"](unknown), constant)


@pytest.mark.parametrize(
    ("name", "field", "distance"),
    [
        ("nearest in composition", "composition", composition_distance),
        ("nearest in pattern", "pattern", pattern_distance),
    ],
)
def test_nearest_is_what_a_loop_finds(
    generators, test_split, training_split, name, field, distance
):
    answer = generators[name](full_query(test_split))
    expected = [
        first_nearest([distance(a, b) for b in getattr(training_split, field)])
        for a in getattr(test_split, field)
    ]
    assert answered_rows(answer, training_split) == expected


def test_nearest_in_both_is_what_a_loop_finds(generators, test_split, training_split):
    answer = generators["nearest in both"](full_query(test_split))
    known = list(zip(training_split.pattern, training_split.composition, strict=True))
    expected = [
        first_nearest([both(a, b) for b in known])
        for a in zip(test_split.pattern, test_split.composition, strict=True)
    ]
    assert answered_rows(answer, training_split) == expected


def test_nearest_in_reflections_is_what_a_network_would_recall_first(generators, training_split):
    query = full_query(training_split)
    answer = generators["nearest in reflections"](query)
    assert answered_rows(answer, training_split) == list(range(len(training_split)))
    blind = generators["nearest in reflections"](without_pattern(training_split))
    assert answered_rows(blind, training_split) == [0] * len(training_split)


def test_its_phases_have_the_observed_amplitudes(generators, test_split):
    """Observed ones are damped by B and scaled to the power of the density; others stay."""
    query = full_query(test_split)
    half = np.float32(np.linalg.norm(harmonics(), axis=1) < 4)
    query = query._replace(observed=query.observed * half)
    own = generators["nearest in reflections"](query)[:, 0]
    found = generators["its phases"](query)[:, 0]
    for row, lattice in enumerate(test_split.lattice):
        before, after = (np.fft.fftn(each[row]) for each in (own, found))
        places = tuple(harmonics().T)
        seen = query.observed[row] > 0
        s = np.linalg.norm(harmonics() @ np.linalg.inv(lattice).T, axis=1)
        wanted = query.amplitude[row] * np.exp(-B * s**2 / 4)
        ratio = np.abs(after[places])[seen] / wanted[seen]
        np.testing.assert_allclose(ratio, ratio[0], rtol=0.02)
        power = [np.linalg.norm(each[places][seen]) for each in (before, after)]
        assert power[0] == pytest.approx(power[1], rel=1e-3)
        turned = after[places][seen] * before[places][seen].conj()
        assert np.abs(np.angle(turned[np.abs(turned) > 1e-3 * np.abs(turned).max()])).max() < 0.02
        untouched = np.ones(before.shape, bool)
        for vectors in (harmonics()[seen], -harmonics()[seen]):
            untouched[tuple(vectors.T)] = False
        gap = np.abs(after - before)[untouched].max()
        assert gap < 1e-4 * np.abs(before).max()


def test_its_density_is_modified_where_the_lines_agree():
    """The densities that are copied are blurred, and the lines restore what was lost, for the B."""
    crystals = [cubic("Fm-3m", 5.64, Na=ORIGIN, Cl=CENTRE), hexagonal(3.2, 1.62, "Mg")]
    records = [
        make_record(material(f"m{i}", crystal), Recipe(b_factor=B))
        for i, crystal in enumerate(crystals)
    ]
    asked = Examples.of([example_of(record) for record in records])
    truths = asked.densities(slice(None))
    modes = np.stack(np.meshgrid(*[np.fft.fftfreq(50, 1 / 50)] * 3, indexing="ij"), axis=-1)
    blurred = []
    for truth, lattice in zip(truths, asked.lattice, strict=True):
        s = np.linalg.norm(modes @ np.linalg.inv(lattice).T, axis=-1)
        blurred.append(np.fft.ifftn(np.fft.fftn(truth) * np.exp(-(s**2) / 2)).real)
    known = dataclasses.replace(
        asked, density=np.float16(blurred), density_scale=np.ones(len(truths), np.float32)
    )
    errors = {
        (b, name): np.abs(baselines(known, b)[name](full_query(asked))[:, 0] - truths).mean()
        for b in (B, B + 1.5)
        for name in ("nearest in reflections", "its density modified")
    }
    copied, modified = errors[B, "nearest in reflections"], errors[B, "its density modified"]
    assert modified < 0.3 * copied
    assert modified < 0.7 * errors[B + 1.5, "its density modified"]


def test_lines_that_do_not_agree_leave_its_density_as_it_is(test_split, training_split):
    """The lines of these crystals are not those of their compositions."""
    query, generators = full_query(test_split), baselines(training_split, B_FACTOR)
    np.testing.assert_array_equal(
        generators["its density modified"](query), generators["nearest in reflections"](query)
    )


def test_without_reflections_phases_are_those_of_the_density_itself(generators, test_split):
    query = without_pattern(test_split)
    np.testing.assert_array_equal(
        generators["its phases"](query), generators["nearest in reflections"](query)
    )


def test_peaks_two_bins_apart_still_match(generators, training_split):
    query = full_query(training_split)
    shifted = query._replace(pattern=np.roll(query.pattern, 2, axis=1))
    answer = generators["nearest in pattern"](shifted)
    assert answered_rows(answer, training_split) == list(range(len(training_split)))


def test_of_equal_compositions_the_first_id_wins(test_split, training_split):
    same = np.broadcast_to(training_split.composition[0], training_split.composition.shape)
    training = dataclasses.replace(training_split, composition=same)
    answer = baselines(training, B)["nearest in composition"](full_query(test_split))
    assert answered_rows(answer, training) == [0] * len(test_split)


def test_what_is_not_known_does_not_choose(generators, test_split, training_split):
    query = full_query(test_split)
    by_pattern = generators["nearest in pattern"](query)
    by_composition = generators["nearest in composition"](query)
    nearest_in_both = generators["nearest in both"]
    np.testing.assert_array_equal(nearest_in_both(without_composition(test_split)), by_pattern)
    np.testing.assert_array_equal(nearest_in_both(without_pattern(test_split)), by_composition)


def test_elements_without_ratios_count_in_equal_parts(generators, training_split):
    query = full_query(training_split)
    answer = generators["nearest in composition"](query)
    ones = (query.composition == 0.5).any(axis=1)
    unscaled = query._replace(composition=np.ceil(query.composition))
    np.testing.assert_array_equal(
        generators["nearest in composition"](unscaled)[ones], answer[ones]
    )


def test_training_materials_are_found_again(generators, training_split):
    scores = evaluate(generators["nearest in both"], training_split)
    np.testing.assert_array_equal(scores.plain["ssim"], 1)


def test_an_empty_training_split_is_refused(training_split):
    empty = {name: value[:0] for name, value in vars(training_split).items()}
    with pytest.raises(ValueError, match="training split, and it is empty"):
        baselines(type(training_split)(**empty), B)


def test_without_b_no_baseline_uses_the_lines(generators, training_split):
    assert set(generators) - set(baselines(training_split, None)) == OF_PATTERN
