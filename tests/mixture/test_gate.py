"""The gate: weights that sum to one in any order of the experts, and its file."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st

from cmed_jax.mixture.gate import FILE, Gate, load_gate, save_gate, weighted_density

FEATURES, EXPERTS = 5, 4
NETWORK = 2**32 - 5
"""The checksum of the network that gates are for."""


def gate_of(seed):
    """A gate with unequal weights; a new one gives all experts equal weights."""
    gate = Gate(FEATURES, nnx.Rngs(seed))
    gate.score.kernel[...] = jax.random.normal(jax.random.key(seed), gate.score.kernel.shape)
    return gate


@pytest.fixture(scope="module")
def gate():
    return gate_of(0)


def question(seed, some=True):
    """The features of four experts, of which the first is always present."""
    drawn = np.random.default_rng(seed)
    present = np.arange(EXPERTS) < (drawn.integers(1, EXPERTS + 1) if some else EXPERTS)
    return jnp.asarray(drawn.normal(size=(EXPERTS, FEATURES)), jnp.float32), jnp.asarray(present)


@given(st.integers(0, 10**6))
def test_weights_sum_to_one_and_those_who_are_absent_have_none(gate, seed):
    features, present = question(seed)
    weights = np.asarray(gate(features, present))
    assert weights.sum() == pytest.approx(1, abs=1e-6)
    np.testing.assert_array_equal(weights > 0, present)


def test_it_has_an_opinion(gate):
    weights = gate(*question(0, some=False))
    assert np.ptp(weights) > 0.1


def test_a_new_gate_finds_all_experts_equally_good():
    weights = Gate(FEATURES, nnx.Rngs(0))(*question(1, some=False))
    np.testing.assert_allclose(weights, 1 / EXPERTS, rtol=1e-6)


@given(st.integers(0, 10**6), st.permutations(range(EXPERTS)))
def test_the_order_of_experts_does_not_matter(gate, seed, order):
    features, present = question(seed)
    expected = np.asarray(gate(features, present))[order]
    places = jnp.array(order)
    found = gate(features[places], present[places])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("garbage", [1e3, -1e30, np.inf, np.nan])
def test_what_stands_in_absent_places_does_not_matter(gate, garbage):
    features, _ = question(2)
    present = jnp.array([True, False, True, False])
    soiled = jnp.where(present[:, None], features, garbage)
    np.testing.assert_array_equal(gate(soiled, present), gate(features, present))


def test_those_who_are_absent_could_be_left_out(gate):
    features, _ = question(3)
    present = jnp.arange(EXPERTS) < 2
    alone = gate(features[:2], present[:2])
    np.testing.assert_allclose(gate(features, present)[:2], alone, rtol=1e-5)


def test_a_gradient_is_finite_where_experts_are_absent(gate):
    features, present = question(4)
    graph, parameters = nnx.split(gate)

    def loss(parameters):
        return nnx.merge(graph, parameters)(features, present)[0]

    for leaf in jax.tree.leaves(jax.grad(loss)(parameters)):
        assert np.isfinite(leaf).all()


@pytest.fixture(scope="module")
def densities():
    return np.random.default_rng(0).gamma(0.5, 3.0, (EXPERTS, 6, 5, 4)).astype(np.float32)


@pytest.mark.parametrize("expert", range(EXPERTS))
def test_the_mixture_of_one_expert_is_its_density(densities, expert):
    weights = np.eye(EXPERTS, dtype=np.float32)[expert]
    np.testing.assert_allclose(weighted_density(densities, weights), densities[expert], rtol=1e-6)


@given(st.lists(st.floats(0, 1), min_size=EXPERTS, max_size=EXPERTS).filter(any))
def test_a_mixture_lies_between_its_experts(densities, weights):
    share = np.array(weights) / sum(weights)
    found = np.asarray(weighted_density(densities, share.astype(np.float32)))
    used = densities[share > 0]
    assert (found >= used.min(axis=0) * (1 - 1e-5) - 1e-6).all()
    assert (found <= used.max(axis=0) * (1 + 1e-5)).all()
    roots = np.sqrt(densities.astype(float))
    expected = sum(w * root for w, root in zip(share, roots, strict=True)) ** 2
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_below_zero_a_density_counts_as_zero(densities):
    """Densities of long cells ripple about zero."""
    below = np.where(densities < 1, -densities, densities)
    weights = np.full(EXPERTS, 1 / EXPERTS, np.float32)
    expected = np.mean(np.sqrt(np.maximum(below, 0)), axis=0) ** 2
    np.testing.assert_allclose(weighted_density(below, weights), expected, rtol=1e-5, atol=1e-7)


def test_a_gate_comes_back_from_its_folder(gate, tmp_path):
    save_gate(tmp_path, gate, NETWORK)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    back = load_gate(tmp_path, NETWORK)
    leaves = (jax.tree.leaves(nnx.state(each)) for each in (back, gate))
    for found, expected in zip(*leaves, strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    features, present = question(5)
    np.testing.assert_array_equal(back(features, present), gate(features, present))


def test_a_gate_takes_the_place_of_another(gate, tmp_path):
    for each in (gate_of(1), gate):
        save_gate(tmp_path, each, NETWORK)
    features, present = question(6, some=False)
    np.testing.assert_array_equal(
        load_gate(tmp_path, NETWORK)(features, present), gate(features, present)
    )


def test_a_folder_without_a_gate_has_none(tmp_path):
    assert load_gate(tmp_path, NETWORK) is None


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99], ids="{:.0%} left".format)
def test_a_file_that_was_cut_off_is_named(gate, tmp_path, kept):
    save_gate(tmp_path, gate, NETWORK)
    content = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match=r"gate\.npz is damaged .*: train the gate again"):
        load_gate(tmp_path, NETWORK)


@pytest.mark.parametrize("place", ["inner/bias", "missing"])
def test_a_file_of_something_else_is_named(gate, tmp_path, place):
    save_gate(tmp_path, gate, NETWORK)
    with np.load(tmp_path / FILE) as opened:
        arrays = dict(opened)
    kept = {name: array for name, array in arrays.items() if name != "score/bias"}
    np.savez(tmp_path / FILE, **(kept if place == "missing" else arrays | {place: np.zeros(3)}))
    with pytest.raises(ValueError, match=r"gate\.npz is damaged .*: train the gate again"):
        load_gate(tmp_path, NETWORK)


def test_a_changed_byte_is_found(gate, tmp_path):
    save_gate(tmp_path, gate, NETWORK)
    content = bytearray((tmp_path / FILE).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(ValueError, match=r"gate\.npz is damaged"):
        load_gate(tmp_path, NETWORK)


def test_its_spread_comes_back(gate, tmp_path):
    spread = gate_of(2)
    spread.spread[...] = 3.5
    for each, expected in ((gate, 1.0), (spread, 3.5)):
        save_gate(tmp_path, each, NETWORK)
        assert load_gate(tmp_path, NETWORK).spread[...] == expected


def test_a_gate_of_another_network_is_refused(gate, tmp_path):
    save_gate(tmp_path, gate, NETWORK)
    with pytest.raises(
        ValueError, match=r"was trained for a network of other weights: run python "
    ):
        load_gate(tmp_path, NETWORK - 1)


@pytest.mark.parametrize("name", ["network", "spread"])
def test_a_gate_of_old_is_refused_with_what_to_do(gate, tmp_path, name):
    save_gate(tmp_path, gate, NETWORK)
    with np.load(tmp_path / FILE) as opened:
        np.savez(tmp_path / FILE, **{each: opened[each] for each in opened if each != name})
    again = rf"spread: run python -m cmed_jax\.train_gate {tmp_path} again"
    with pytest.raises(ValueError, match=again):
        load_gate(tmp_path, NETWORK)
