"""Training on one device, on four (jit, pmap, in parts), and on one from half way gives one result.

The four devices are emulated ones of the CPU, in a separate process: `python test_parallel.py`
prints the largest relative difference of each way from one device. Reflections are learned in parts
of a batch, and patterns without, since batch statistics are those of a part.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from unittest.mock import Mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from cmed_jax.config import OptimizerConfig, StepConfig
from cmed_jax.data.augmentation import AugmentationConfig
from cmed_jax.model.published import PublishedConfig
from cmed_jax.physics.amplitude_errors import AmplitudeErrors
from cmed_jax.training.checkpoint import Checkpoints
from cmed_jax.training.optimizer import make_optimizer
from cmed_jax.training.parallel import DataParallel, Program
from cmed_jax.training.step import TrainState, initial_state, make_step
from cmed_jax.training.table import Table
from tests.networks import TINY, shorten_published
from tests.processes import COMPILED_FAST
from tests.synthetic import synthetic_examples

STEPS = 20
PARTIAL = AugmentationConfig(
    full=0.4, no_ratios=0.2, missing_element=0.2, none=0.2, errors=AmplitudeErrors()
)


@cache
def table_for(network, n=16):
    """Sixteen crystals, with reflections or with patterns."""
    if network is TINY:
        return Table.of_reflections(synthetic_examples(n, seed=2), TINY.recalled)
    rng = np.random.default_rng(0)
    density = rng.gamma(0.5, 1, (n, 10, 10, 10))
    return Table(
        np.float32(rng.dirichlet(np.full(119, 0.02), n)),
        np.float32(np.where(rng.random((n, 1024)) < 0.02, rng.random((n, 1024)), 0)),
        np.float16(density / density.max(axis=(1, 2, 3), keepdims=True)),
        np.float32(rng.uniform(1, 5, n)),
    )


class Training(NamedTuple):
    """The step of a run for its devices, the shapes of its state, and a function that makes it."""

    step: Program
    abstract: TrainState
    begin: Callable[[], TrainState]


def training(network, optimizer, config, parallel, dtype=np.float32):
    def begin():
        return initial_state(network.build(nnx.Rngs(0), parallel.axis_name), optimizer)

    graph, abstract = nnx.eval_shape(begin)
    step = parallel.compile(make_step(graph, optimizer, config, 0, parallel.axis_name))
    return Training(step, parallel.abstract(abstract), lambda: cast(begin()[1], dtype))


def cast(tree, dtype):
    return jax.tree.map(lambda x: x.astype(dtype) if x.dtype == np.float32 else x, tree)


def trained(training, table, parallel, steps, checkpoints=None):
    """Parameters, batch statistics and losses of a run of some steps of eight crystals.

    Half way the run saves a checkpoint, or continues from an existing one.
    """
    found = checkpoints and checkpoints.restore(training.abstract)
    first, state = found or (0, parallel.create(training.begin))
    table = parallel.place(table)
    losses = []
    for number in range(first, steps):
        rows = np.random.default_rng(number).permutation(16)[:8].astype(np.int32)
        state, metrics = training.step(state, table, parallel.divide(rows[None]), number)
        losses.append(float(metrics["loss"][0]))
        if checkpoints and number + 1 == steps // 2:
            checkpoints.save(number + 1, state, None)
            checkpoints.wait()
    weights = nnx.to_pure_dict(state.parameters), nnx.to_pure_dict(state.statistics)
    return {"losses": losses, "weights": jax.tree.map(np.asarray, weights)}


def difference(one, other):
    """The largest difference of two trees, relative to numbers of order one."""
    return max(
        float(np.max(np.abs(a - b) / np.maximum(1, np.abs(b))))
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    )


@cache
def base_training(parallel, parts):
    """Compile the step once for all runs on the same devices."""
    settings = OptimizerConfig(epsilon=1e-7, weight_decay=1e-2, clip=1.0)  # those of the presets
    config = StepConfig(PARTIAL, accumulate=parts)
    return training(TINY, make_optimizer(settings, STEPS), config, parallel)


def base_run(parallel, checkpoints=None, parts=1):
    run = base_training(parallel, parts)
    return trained(run, table_for(TINY), parallel, STEPS, checkpoints)


def published_run(parallel):
    """A run in float64: batch statistics of eight crystals magnify the rounding of float32."""
    network, config = PublishedConfig(), StepConfig(AugmentationConfig(), shared_voxels=False)
    with jax.enable_x64():
        run = training(network, optax.sgd(1e-2), config, parallel, np.float64)
        return trained(run, cast(table_for(network), np.float64), parallel, 3)


def compare_four_devices_with_one():
    one = DataParallel(devices=jax.devices()[:1])
    jit, pmap = DataParallel("jit"), DataParallel("pmap")
    with TemporaryDirectory() as folder, Checkpoints(Path(folder), {}) as checkpoints:
        runs = [base_run(jit, checkpoints, parts=2), base_run(pmap, parts=2)]
        runs.append(base_run(one, checkpoints))  # from half way on
    with pytest.MonkeyPatch.context() as patch:
        shorten_published(patch)
        # Under jit on four devices its program is that of one; pmap has its own statistics.
        published = largest_difference([published_run(pmap)], published_run(one))
    return {
        "devices": jax.device_count(),
        "steps": [len(run["losses"]) for run in runs],
        "base": largest_difference(runs, base_run(one)),
        "published": published,
    }


def largest_difference(runs, one):
    def end(run):
        return run | {"losses": run["losses"][-3:]}

    return max(difference(end(run), end(one)) for run in runs)


def test_four_devices_train_as_one_does():
    settings = {"JAX_NUM_CPU_DEVICES": "4", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", os.environ["PYTHONWARNINGS"], __file__],
        env=os.environ | settings | COMPILED_FAST,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["devices"] == 4
    assert found["steps"] == [STEPS, STEPS, STEPS // 2]
    # Adam divides by tiny gradients of layers that begin at zero, which magnifies their rounding.
    assert found["base"] < 1e-5
    assert found["published"] < 1e-9


def test_a_batch_is_divided_evenly():
    parallel = DataParallel(devices=jax.devices() * 3)
    parallel.check_batch(6)
    with pytest.raises(ValueError, match=r"a batch of 8 crystals .* over 3 devices: .* of 3"):
        parallel.check_batch(8)
    with pytest.raises(ValueError, match=r"of 9 crystals in 2 parts .* over 3 devices: .* of 6"):
        parallel.check_batch(9, parts=2)


def test_pmap_serves_one_process(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ValueError, match="pmap serves the devices of one process: use jit"):
        DataParallel("pmap")


def test_a_process_takes_one_stretch_of_the_batch_whatever_the_order_of_its_devices(monkeypatch):
    for name in ("Mesh", "NamedSharding"):
        monkeypatch.setattr(f"cmed_jax.training.parallel.{name}", Mock())
    wired = [Mock(spec=jax.Device, process_index=place % 2) for place in range(4)]
    assert [device.process_index for device in DataParallel(devices=wired).devices] == [0, 0, 1, 1]


def test_abstract_trees_say_where_arrays_will_lie():
    parallel = DataParallel()
    leaf = parallel.abstract({"w": jnp.ones((2, 3))})["w"]
    assert (leaf.shape, leaf.dtype, leaf.sharding) == ((2, 3), jnp.float32, parallel.whole)


if __name__ == "__main__":
    print(json.dumps(compare_four_devices_with_one()))
