"""Exported networks against the networks themselves."""

import re

import jax.export
import numpy as np
import pytest

from cmed_jax.data.dataset import load_examples
from cmed_jax.data.query import full_query
from cmed_jax.export import main
from cmed_jax.model.generator import network_generator
from cmed_jax.physics.density import GRID
from cmed_jax.prediction.restore import restore


def test_the_exported_program_predicts_what_the_network_does(finished, dataset, tmp_path):
    out = tmp_path / "tiny.stablehlo"
    assert main([str(finished), "--out", str(out)]) == 0
    program = jax.export.deserialize(bytearray(out.read_bytes()))
    assert set(program.platforms) == {"cpu", "cuda", "tpu"}
    products = re.findall(r"dot_general .*xf32>", program.mlir_module())
    assert products  # a GPU or a TPU would round their factors by default
    assert all("precision = [HIGHEST, HIGHEST]" in product for product in products)
    query = full_query(load_examples(dataset, "validation"))
    arguments = query.composition, query.knowledge, query.lattice, query.amplitude, query.observed
    found = np.asarray(program.call(*arguments))
    expected = np.asarray(network_generator(restore(finished).network, GRID)(query))[:, 0]
    np.testing.assert_allclose(found, expected, atol=1e-5 * expected.max())


def test_a_network_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        main([str(tmp_path / "nothing"), "--out", str(tmp_path / "out")])
