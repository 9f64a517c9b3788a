"""Learning rates against closed forms, and the optimizer against Adam written out."""

import math

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cmed_jax.config import OptimizerConfig
from cmed_jax.training.optimizer import learning_rate, make_optimizer


def cosine(done, high=1e-3, low=1e-6):
    return low + (high - low) * 0.5 * (1 + np.cos(np.pi * done))


def test_one_cosine_rises_for_its_warmup_and_falls_to_its_end():
    rate = learning_rate(OptimizerConfig(warmup=100), 5000)
    steps = np.array([0, 1, 50, 99])
    np.testing.assert_allclose(rate(steps), 1e-3 * steps / 100, rtol=1e-5, atol=1e-12)
    steps = np.array([100, 1000, 2550, 4999, 5000])
    np.testing.assert_allclose(rate(steps), cosine((steps - 100) / 4900), rtol=1e-4)


def test_a_short_run_spends_a_tenth_on_its_warmup():
    rate = learning_rate(OptimizerConfig(warmup=100), 50)
    assert float(rate(5)) == pytest.approx(1e-3)
    assert float(rate(4)) == pytest.approx(0.8e-3)


@pytest.mark.parametrize("steps", [1, 2, 9])
def test_the_shortest_runs_begin_at_the_highest_rate(steps):
    assert float(learning_rate(OptimizerConfig(), steps)(0)) == pytest.approx(1e-3)


def test_warm_restarts_come_after_one_three_and_seven_cycles():
    rate = learning_rate(OptimizerConfig(schedule="warm_restarts", first_cycle=100), 1500)
    for start, length in ((0, 100), (100, 200), (300, 400), (700, 800)):
        done = np.array([0, 0.25, 0.5, 0.75, (length - 1) / length])
        np.testing.assert_allclose(rate(start + done * length), cosine(done), rtol=1e-4)
    assert float(rate(1500)) == pytest.approx(1e-6)


def test_the_cycles_of_the_article_end_with_its_run():
    config = OptimizerConfig(schedule="warm_restarts")
    assert config.first_cycle == 100 * (16_378 // 128)
    steps = 15 * config.first_cycle
    assert float(learning_rate(config, steps)(steps - 1)) == pytest.approx(1e-6, rel=1e-2)


def steps_of(config, gradients, parameter=2.0):
    """The parameter after each gradient at a constant learning rate."""
    optimizer = make_optimizer(config, 10**9)
    parameters = jnp.array([parameter])
    moments = optimizer.init(parameters)
    for gradient in gradients:
        updates, moments = optimizer.update(jnp.array([gradient]), moments, parameters)
        parameters = optax.apply_updates(parameters, updates)
        yield float(parameters[0])


def adam(gradients, rate, decay, parameter=2.0, epsilon=1e-8):
    """Kingma and Ba, algorithm 1, with the decoupled decay of Loshchilov and Hutter."""
    m = v = 0.0
    for t, gradient in enumerate(gradients, start=1):
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        step = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + epsilon)
        parameter -= rate * (step + decay * parameter)
        yield parameter


@pytest.mark.parametrize(("decay", "epsilon"), [(0.0, 1e-8), (0.1, 1e-8), (0.0, 0.1)])
def test_it_is_adam_with_decoupled_decay(decay, epsilon):
    gradients = [0.3, -2.0, 0.01, 5.0]
    config = OptimizerConfig(learning_rate=1e-2, epsilon=epsilon, weight_decay=decay, warmup=0)
    expected = list(adam(gradients, 1e-2, decay, epsilon=epsilon))
    np.testing.assert_allclose(list(steps_of(config, gradients)), expected, rtol=1e-5)


def test_a_long_gradient_is_clipped_and_a_short_one_is_not():
    config = OptimizerConfig(learning_rate=1e-2, clip=1.0, warmup=0)
    found = list(steps_of(config, [100.0, 0.5, -0.2]))
    np.testing.assert_allclose(found, list(adam([1.0, 0.5, -0.2], 1e-2, 0.0)), rtol=1e-5)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_a_rate_that_is_not_positive_is_refused(rate):
    with pytest.raises(ValueError, match=f"learning_rate is {rate}"):
        OptimizerConfig(learning_rate=rate)


@pytest.mark.parametrize("epsilon", [0.0, -1e-8, float("nan")])
def test_an_epsilon_that_is_not_positive_is_refused(epsilon):
    with pytest.raises(ValueError, match=f"epsilon is {epsilon}"):
        OptimizerConfig(epsilon=epsilon)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        *((name, -1, "give 0 or more") for name in ("clip", "weight_decay", "warmup")),
        *((name, math.nan, "finite") for name in ("clip", "weight_decay", "final_rate")),
        *((name, math.inf, "finite") for name in ("clip", "learning_rate", "epsilon")),
        *(("final_rate", rate, "from 0 to the learning rate") for rate in (-1.0, 5.0)),
    ],
)
def test_a_number_that_would_spoil_the_training_is_refused(name, value, message):
    with pytest.raises(ValueError, match=f"{name} is {value}: .*{message}"):
        OptimizerConfig(**{name: value})


def test_a_rate_may_stay_where_it_is():
    rate = learning_rate(OptimizerConfig(learning_rate=1e-3, final_rate=1e-3, warmup=0), 100)
    np.testing.assert_allclose(rate(np.array([0, 50, 100])), 1e-3, rtol=1e-6)


def test_a_cycle_of_no_step_is_refused():
    with pytest.raises(ValueError, match="first_cycle is 0"):
        OptimizerConfig(schedule="warm_restarts", first_cycle=0)
