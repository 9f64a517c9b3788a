"""Checkpoints hold the state of their step, are found again, and survive what a kill leaves."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cmed_jax.training.checkpoint import Checkpoints, find_checkpoint, load_model, read_config
from cmed_jax.training.parallel import DataParallel
from cmed_jax.training.step import TrainState

CONFIG = {"network": {"width": 16}, "seed": 3, "none": None}
ONE = DataParallel(devices=jax.devices()[:1])


def make(size=50_000):
    """A state whose every number is the step's."""
    weights = {f"layer{i}": {"kernel": jnp.zeros((size // 10, 10))} for i in range(4)}
    return TrainState(
        weights, {"mean": jnp.zeros(7)}, {"mu": jnp.zeros(size), "count": jnp.int32(0)}
    )


def at(step):
    return ONE.create(lambda: jax.tree.map(lambda x: x + step, make(100)))


def abstract(size=100):
    return ONE.abstract(jax.eval_shape(lambda: make(size)))


def numbers(state):
    return {float(x) for leaf in jax.tree.leaves(state) for x in np.unique(leaf)}


def fill(run, scores):
    """Save a state for each step; steps without a score were not validated."""
    with Checkpoints(run, CONFIG) as checkpoints:
        for step, score in scores.items():
            checkpoints.save(step, at(step), None if score is None else {"ssim": score})
        checkpoints.wait()


def steps_in(run):
    return {int(path.name) for path in (run / "checkpoints").iterdir() if path.name.isdigit()}


def test_a_checkpoint_holds_the_weights_of_its_step_while_training_goes_on(tmp_path):
    """The state is handed to the next steps, which reuse its memory, before it is written."""
    advance = jax.jit(
        lambda state: jax.tree.map(lambda x: x + 1, state),
        donate_argnums=0,
        out_shardings=ONE.whole,
    )
    state = ONE.create(make)
    with Checkpoints(tmp_path, CONFIG) as checkpoints:
        for step in range(1, 41):
            state = advance(state)
            if step % 5 == 1:
                checkpoints.save(step, state, None)
            elif step % 5 == 0:
                checkpoints.wait()
                saved, restored = checkpoints.restore(abstract(50_000))
                assert saved == step - 4
                assert numbers(restored) == {saved}


def test_a_run_goes_on_from_its_latest_checkpoint(tmp_path):
    fill(tmp_path, {2: 0.9, 5: None, 7: None})
    with Checkpoints(tmp_path, CONFIG) as checkpoints:
        step, state = checkpoints.restore(abstract())
    assert step == 7
    assert numbers(state) == {7}


def test_a_run_that_saved_nothing_has_nothing_to_restore(tmp_path):
    with Checkpoints(tmp_path, CONFIG) as checkpoints:
        assert checkpoints.restore(abstract()) is None


def test_the_latest_and_the_best_are_kept(tmp_path):
    fill(tmp_path, {1: None, 2: 0.5, 3: 0.8, 4: 0.7, 5: None, 6: None})
    assert steps_in(tmp_path) == {3, 6}


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ({1: 0.5, 2: 0.8, 3: 0.7, 4: None}, 2),
        ({1: 0.5, 2: 0.5}, 2),
        ({1: -0.2, 2: -0.5, 3: None}, 1),
        ({1: None, 2: None}, 2),
    ],
)
def test_of_a_run_the_best_checkpoint_is_found(tmp_path, scores, best):
    fill(tmp_path, scores)
    assert find_checkpoint(tmp_path) == tmp_path / "checkpoints" / str(best)


def test_a_checkpoint_elsewhere_suffices(tmp_path):
    fill(tmp_path / "run", {4: 0.5})
    shutil.copytree(tmp_path / "run" / "checkpoints" / "4", tmp_path / "copy")
    shutil.rmtree(tmp_path / "run")
    found = find_checkpoint(str(tmp_path / "copy"))
    assert read_config(found) == CONFIG
    parameters, statistics = load_model(found, abstract().parameters, abstract().statistics)
    assert numbers((parameters, statistics)) == {4}


def test_what_a_kill_left_of_a_save_is_passed_over_and_removed(tmp_path):
    fill(tmp_path, {4: 0.5})
    folder = tmp_path / "checkpoints"
    half = folder / "5.orbax-checkpoint-tmp"
    shutil.copytree(folder / "4", half)
    (half / "commit_success.txt").unlink(missing_ok=True)
    assert find_checkpoint(tmp_path) == folder / "4"
    assert half.exists()  # a reader leaves a run alone
    with Checkpoints(tmp_path, CONFIG) as checkpoints:
        assert checkpoints.restore(abstract())[0] == 4
        checkpoints.save(5, at(5), None)
        checkpoints.wait()
        assert checkpoints.restore(abstract())[0] == 5
    assert not half.exists()


def test_a_missing_checkpoint_is_answered_with_what_to_give(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*nowhere: give the folder"):
        find_checkpoint(tmp_path / "nowhere")
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(FileNotFoundError, match="has not saved a checkpoint yet"):
        find_checkpoint(tmp_path)
