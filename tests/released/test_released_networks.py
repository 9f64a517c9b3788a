"""Every network of the package, and a tiny one that shows that these tests work.

The networks load, are small enough, and predict the same as at their release.
"""

import gzip
import json

import jax
import pytest
from flax import nnx

from cmed_jax.io import released
from cmed_jax.prediction.reference import TOLERANCE, largest_difference
from cmed_jax.prediction.restore import restore

NETWORKS = sorted({path.name for path in released.names().values()})

OF_TESTS = "of the tests, with a gate"
"""The tiny network; all that it records without its gate, one without a gate records, too."""


@pytest.fixture(scope="module", params=[OF_TESTS, *NETWORKS])
def network(request):
    """The folder of a released network."""
    if request.param == OF_TESTS:
        return request.getfixturevalue("made_with_gate")
    return released.PACKAGE / request.param


@pytest.fixture(scope="module")
def restored(network):
    """The network; a test that changes it restores its own."""
    return restore(network)


def test_it_reproduces_its_recorded_predictions(network, restored):
    recorded = json.loads((network / "predictions.json").read_text())
    alone, mixtures = recorded[:3], recorded[3:]
    assert len(mixtures) == (restored.gate is not None)
    for parts, voxels in ((alone, 48), (mixtures, 8)):
        assert all(len(each["density"]) == voxels for each in parts)
    for each in mixtures:
        assert sum(each["weights"]) == pytest.approx(1)
        assert each["material_id"] not in each["templates"]
        assert len(each["weights"]) > 1
    assert largest_difference(restored, recorded) < TOLERANCE


def test_neither_another_gate_nor_other_weights_would_reproduce_them(made_with_gate):
    restored = restore(made_with_gate)
    first, *_, mixture = json.loads((made_with_gate / "predictions.json").read_text())
    kernel = restored.gate.score.kernel
    kernel[...] = jax.random.normal(jax.random.key(0), kernel.shape)
    assert largest_difference(restored, [mixture]) > 10 * TOLERANCE
    state = nnx.state(restored.network, nnx.Param)
    nnx.update(restored.network, jax.tree.map(lambda x: x + 0.05, state))
    assert largest_difference(restored, [first]) > 10 * TOLERANCE  # the gate has no part in it


def test_it_is_what_its_manifest_says(network, restored):
    manifest = released.read_manifest(network)
    assert manifest["names"][0] == network.name
    parameters = jax.tree.leaves(nnx.state(restored.network, nnx.Param))
    assert sum(array.size for array in parameters) == manifest["parameters"]
    with gzip.open(network / "materials.txt.gz", "rt") as file:
        materials = file.read().split()
    assert len(set(materials)) == len(materials) == manifest["dataset"]["records"]["train"]
    for name, file in manifest["files"].items():
        assert (network / name).stat().st_size == file["bytes"] < 16e6


@pytest.mark.parametrize("name", NETWORKS)
def test_its_card_has_figures(name):
    said = (released.PACKAGE / name / "MODEL_CARD.md").read_text()
    assert "model, plain" in said
    assert "wrong pattern" in said


def test_all_together_are_small_and_have_names_of_their_own():
    total = sum(path.stat().st_size for path in released.PACKAGE.rglob("*") if path.is_file())
    assert total < 40e6
    claimed = [
        name
        for each in NETWORKS
        for name in released.read_manifest(released.PACKAGE / each)["names"]
    ]
    assert len(set(claimed)) == len(claimed)
