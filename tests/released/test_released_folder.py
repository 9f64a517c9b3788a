"""Released folders: found by name, checked, and equal to the network that they came from."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from cmed_jax.data.schema import VERSION
from cmed_jax.io import released
from cmed_jax.io.integrity import Damaged
from cmed_jax.prediction.predict import restore_and_predict
from cmed_jax.prediction.restore import restore

PATTERN = np.zeros(1024)
PATTERN[[69, 80, 113]] = [0.09, 1.0, 0.65]
"""The pattern of three lines of rock salt, on the network's grid."""


def parameters(model):
    return jax.tree.leaves(nnx.state(restore(model).network))


def predicted(model):
    return restore_and_predict(model, PATTERN, "NaCl", grid=(8, 8, 8))


def split(kernel):
    layer = nnx.Linear(2, 3, use_bias=False, rngs=nnx.Rngs(0))
    layer.kernel[...] = jnp.asarray(kernel, jnp.float32) * jnp.ones((2, 3))
    return nnx.split(layer, nnx.Param, ...)[1:]


def test_parameters_are_those_of_the_run_in_float16_and_computed_in_float32(finished, made):
    for ours, trained in zip(parameters(made), parameters(finished), strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_array_equal(ours, np.asarray(trained).astype(np.float16))


def test_a_released_network_predicts_like_its_run(finished, made):
    before, after = predicted(finished), predicted(made)
    scale = before.density.max()
    np.testing.assert_allclose(after.density, before.density, atol=1e-2 * scale)
    assert after.warnings == before.warnings
    assert after.config.network == before.config.network


def test_where_it_was_trained_is_not_stated(finished, dataset, made):
    for file in made.glob("*.*"):
        content = file.read_bytes()
        assert str(finished).encode() not in content
        assert str(dataset).encode() not in content
    assert restore(made).config.data == f"cmed/cubic/{VERSION}"


def test_it_is_found_by_each_of_its_names(package, made):
    """The command and the page that take one of them are in test_release.py."""
    for name in ("tiny", "small"):
        assert released.find(name) == made
    for named, placed in zip(parameters("small"), parameters(made), strict=True):
        np.testing.assert_array_equal(named, placed)


def test_a_folder_of_that_name_comes_first(package, finished, tmp_path):
    shutil.copytree(finished, tmp_path / "small")
    assert released.find("small") is None
    for found, trained in zip(parameters("small"), parameters(finished), strict=True):
        np.testing.assert_array_equal(found, trained)


def test_a_folder_that_only_hides_a_network_is_named(package, tmp_path):
    (tmp_path / "small").mkdir()
    with pytest.raises(FileNotFoundError, match=r"holds no run, and hides the released .* small"):
        restore("small")


def test_an_unknown_name_is_answered_with_the_names(package):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*large: .* \(tiny, small\)$"):
        restore("large")


def test_where_nothing_is_released_that_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(released, "PACKAGE", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"a released network \(none yet\)$"):
        restore("cubic")


@pytest.mark.parametrize("name", ["config.json", "familiar.json", "weights-1-of-1.npz"])
def test_a_changed_file_is_refused(made, tmp_path, name):
    copy = shutil.copytree(made, tmp_path / "copy")
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(Damaged, match=rf"{name} is not what was released \(its SHA-256 differs\)"):
        restore(copy)
    (copy / name).unlink()
    with pytest.raises(Damaged, match=f"{name} is missing"):
        restore(copy)


def test_a_damaged_manifest_is_refused(made, tmp_path):
    copy = shutil.copytree(made, tmp_path / "copy")
    (copy / "manifest.json").write_text('{"format": 1')
    with pytest.raises(Damaged, match=r"manifest\.json is damaged"):
        restore(copy)


def test_a_later_form_asks_for_a_later_package(made, tmp_path):
    copy = shutil.copytree(made, tmp_path / "copy")
    manifest = json.loads((copy / "manifest.json").read_text()) | {"format": 2, "package": "9.0"}
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"copy needs cmed_jax 9\.0 or later"):
        restore(copy)


def test_weights_of_another_network_are_refused(made):
    with pytest.raises(Damaged, match=r"does not hold parameters/kernel of shape \(2, 3\)"):
        released.load_weights(made, *split(1))


def test_weights_come_back_from_several_files(tmp_path, monkeypatch):
    monkeypatch.setattr(released, "LARGEST_SHARD", 7)  # a parameter of four bytes in each
    network = nnx.List([nnx.Linear(1, 2, use_bias=False, rngs=nnx.Rngs(k)) for k in range(3)])
    trees = nnx.split(network, nnx.Param, ...)[1:]
    released.write_weights(tmp_path, *trees)
    assert len(list(tmp_path.glob("weights-*-of-3.npz"))) == 3
    back = released.load_weights(tmp_path, *trees)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=5e-4), back, tuple(trees))


@pytest.mark.parametrize("value", [65_520, -1e6, np.inf, np.nan])
def test_what_float16_cannot_hold_is_refused(tmp_path, value):
    with pytest.raises(ValueError, match=r"parameters/kernel holds .*, and float16 ends at 65504"):
        released.write_weights(tmp_path, *split(value))
    assert not list(tmp_path.iterdir())


def test_too_many_parameters_are_refused_with_the_figure(tmp_path, monkeypatch):
    monkeypatch.setattr(released, "LARGEST", 11)
    with pytest.raises(ValueError, match=r"take 0\.0 MB as float16, and 0 MB are the most"):
        released.write_weights(tmp_path, *split(1))
