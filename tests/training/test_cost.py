"""Operations of a step against a count by hand, and the peak of devices."""

import jax
import numpy as np
import optax
import pytest

from cmed_jax.config import StepConfig
from cmed_jax.data.batches import QUERIES
from cmed_jax.model.base import BaseConfig, harmonics
from cmed_jax.training.cost import flops_per_step, peak_flops, peak_of


def test_a_step_takes_three_times_the_products_of_the_network():
    """Each product is done forward, and back to its inputs and weights: 2 operations each."""
    network = BaseConfig(width=1024, blocks=2, latent=256, hidden=256, harmonics=20)
    batch, terms = 32, 1 + 2 * len(harmonics(20))
    weights = 1024 * 1024 + 2 * 2 * 1024**2 + 2 * 1024 * 256 + 256 * 256 + 256 * terms
    expected = 3 * 2 * batch * (weights + terms * QUERIES)
    found = flops_per_step(network, optax.sgd(0.1), StepConfig(), batch)
    assert found == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize(
    ("kind", "precision", "peak"),
    [
        ("NVIDIA H200", "float32", 67e12),
        ("NVIDIA H100 80GB HBM3", "bfloat16", 989e12),
        ("NVIDIA H100 PCIe", "bfloat16", 756e12),
        ("NVIDIA H100 NVL", "tf32", 418e12),
        ("NVIDIA L40", "float32", 90.5e12),
        ("NVIDIA L4", "float32", 30.3e12),
        ("NVIDIA A100-SXM4-40GB", "tf32", 156e12),
        ("TPU v5 lite", "bfloat16", 197e12),
        ("TPU v5p", "bfloat16", 459e12),
        ("another", "float32", None),
    ],
)
def test_the_peak_of_a_device_is_found_by_its_kind(kind, precision, peak):
    assert peak_of(kind, precision) == peak


def test_the_peak_of_a_cpu_is_measured():
    found = peak_flops("float32", jax.devices("cpu")[:1])
    assert np.isfinite(found)
    assert found > 1e8
