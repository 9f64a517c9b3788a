import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmed_jax.data.encoding import decode_density, encode_density
from cmed_jax.data.schema import FEATURES
from cmed_jax.physics.harmonics import harmonics
from cmed_jax.physics.log_series import TERMS


@given(st.integers(0, 2**32 - 1), st.floats(-6, 6))
def test_densities_lose_under_a_thousandth_of_their_maximum(seed, exponent):
    rng = np.random.default_rng(seed)
    density = rng.standard_exponential((5, 6, 7)) * 10**exponent * rng.choice([-0.1, 1], (5, 6, 7))
    stored, scale = encode_density(density)
    assert stored.dtype == np.float16
    restored = decode_density(stored, scale)
    assert restored.dtype == np.float32
    assert np.abs(restored - density).max() < 1e-3 * np.abs(density).max()


def test_many_densities_are_decoded_at_once():
    densities = np.random.default_rng(0).random((3, 4, 4, 4))
    encoded = [encode_density(density) for density in densities]
    stored, scales = (np.stack(column) for column in zip(*encoded, strict=True))
    np.testing.assert_allclose(decode_density(stored, scales), densities, atol=1e-3)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_a_density_without_a_finite_maximum_is_refused(value):
    with pytest.raises(ValueError, match="largest magnitude"):
        encode_density(np.full((4, 4, 4), value))


def test_records_are_serialised_without_tensorflow():
    rng = np.random.default_rng(1)
    record = {
        "material_id": "mp-1",
        "formula": "NaCl",
        "crystal_system": "cubic",
        "space_group": 225,
        "lattice": rng.random((3, 3)),
        "species": np.array([11, 17], np.uint8),
        "frac_coords": rng.random((2, 3)),
        "reflections": rng.random((7, 2)),
        "pattern": rng.random((1, 1024)).astype(np.float32),
        "amplitude": rng.random(len(harmonics())).astype(np.float16),
        "composition": rng.random(119).astype(np.float32),
        "density": rng.random((50, 50, 50)).astype(np.float16),
        "series": rng.random(TERMS).astype(np.float16),
        "density_scale": np.float32(3.5),
        "density_kind": "iam",
    }
    assert set(record) == set(FEATURES)
    serialised = FEATURES.serialize_example(record)
    assert len(serialised) < 270_000
    decoded = FEATURES.deserialize_example_np(serialised)
    for name, value in record.items():
        if isinstance(value, str):
            assert decoded[name].decode() == value
        else:
            np.testing.assert_array_equal(decoded[name], value)
            assert np.shape(decoded[name]) == np.shape(value)
    assert "tensorflow" not in sys.modules
