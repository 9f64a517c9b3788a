"""Observed lines on densities of two small crystals, made through their records."""

import numpy as np
import pytest

from cmed_jax.crystal.composition import Knowledge
from cmed_jax.data.query import full_query, no_lines
from cmed_jax.evaluation.controls import wrong_pattern
from cmed_jax.model.observed_lines import with_observed_lines
from cmed_jax.physics.density import B_FACTOR
from tests.structures import CENTRE, ORIGIN, cubic, hexagonal, split


@pytest.fixture(scope="module")
def examples():
    made = [cubic("Fm-3m", 5.64, Na=ORIGIN, Cl=CENTRE), hexagonal(3.2, 1.62, "Mg")]
    return split(made)[0]


def densities(examples):
    """Candidates with right phases, and amplitudes that are wrong where s is large."""
    truths = examples.densities(slice(None))
    found = []
    for truth, lattice in zip(truths, examples.lattice, strict=True):
        modes = np.stack(np.meshgrid(*[np.fft.fftfreq(50, 1 / 50)] * 3, indexing="ij"), axis=-1)
        s = np.linalg.norm(modes @ np.linalg.inv(lattice).T, axis=-1)
        blurred = np.fft.ifftn(np.fft.fftn(truth) * np.exp(-(s**2))).real
        found.append(1.07 * blurred)
    return truths, np.stack(found).astype(np.float32)[:, None]


def test_densities_are_repaired_by_relative_intensities(examples):
    truths, blurred = densities(examples)
    query = full_query(examples)
    scale = np.array([1, 1e-4])
    found = np.asarray(
        with_observed_lines(query._replace(lines=query.lines * scale), blurred, B_FACTOR)
    )
    before, after = (np.abs(x[:, 0] - truths).mean(axis=(1, 2, 3)) for x in (blurred, found))
    assert (after < 0.2 * before).all()


def test_wrong_lines_and_unknown_contents_leave_densities_as_they_are(examples):
    _, blurred = densities(examples)
    query = full_query(examples)
    without = np.full(len(examples), Knowledge.NO_RATIOS, np.int32)
    for other in (
        wrong_pattern(examples),
        query._replace(lines=no_lines(len(examples))),
        query._replace(lattice=np.zeros_like(query.lattice)),
        query._replace(knowledge=without),
    ):
        found = with_observed_lines(other, blurred, B_FACTOR)
        np.testing.assert_array_equal(found, blurred)
