"""Operations of a step against a count by hand, and the peak of devices."""

import jax
import numpy as np
import optax
import pytest

from cmed_jax.config import StepConfig
from cmed_jax.data.batches import QUERIES
from cmed_jax.model.base import BaseConfig
from cmed_jax.training.cost import flops_per_step, peak_flops, peak_of


def test_a_step_takes_the_products_of_the_network():
    """Each product takes 2 operations forward, and as many for each factor that has a gradient.

    The first layers and the decoder have constant inputs. Densities of series are products, too.
    """
    network = BaseConfig(width=1024, blocks=2, hidden=512, recalled=0)
    batch, read = 32, 973
    terms = 1 + 2 * read
    first = (2 * read + 10 + read + 1 + 119 + 4 + terms) * 1024
    inner = (2 * 2 + 1) * 1024**2 + 1024 * 512 + 512 * terms + 1024 * terms
    expected = 2 * batch * (2 * first + 3 * inner + (2 + 1) * terms * QUERIES)
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
