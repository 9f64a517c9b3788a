"""Checkpoints: they hold the state of their step, are found again, and survive kills and errors."""

import gc
import itertools
import shutil
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cmed_jax.io.integrity import Damaged, checksum
from cmed_jax.training.checkpoint import Checkpoints, find_checkpoint, load_model, read_config
from cmed_jax.training.integrity import SaveFailed
from cmed_jax.training.parallel import DataParallel
from cmed_jax.training.step import TrainState

# Orbax leaves coroutines behind where a file is damaged.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module", autouse=True)
def swept():
    """Collect the coroutines that Orbax left behind here, where their warnings are ignored."""
    yield
    gc.collect()


ITEMS = ("_CHECKPOINT_METADATA", "model", "optimizer")
CONFIG = {"network": {"width": 16}, "seed": 3, "none": None}
ONE = DataParallel(devices=jax.devices()[:1])


def make(size=50_000):
    """A state in which every number is the step's."""
    weights = {f"layer{i}": {"kernel": jnp.zeros((size // 10, 10))} for i in range(4)}
    return TrainState(
        weights, {"mean": jnp.zeros(7)}, {"mu": jnp.zeros(size), "count": jnp.int32(0)}
    )


def abstract(size=100):
    return ONE.abstract(jax.eval_shape(lambda: make(size)))


def at(step):
    return ONE.place(jax.tree.map(lambda x: np.full(x.shape, step, x.dtype), abstract()))


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
    """The next steps reuse the memory of the state before it is written."""
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


def test_the_two_latest_and_the_best_are_kept(tmp_path):
    fill(tmp_path, {1: None, 2: 0.5, 3: 0.8, 4: 0.7, 5: None, 6: None})
    assert steps_in(tmp_path) == {3, 5, 6}


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
    assert half.exists()  # a reader changes nothing in the run
    with Checkpoints(tmp_path, CONFIG) as checkpoints:
        assert checkpoints.restore(abstract())[0] == 4
        checkpoints.save(5, at(5), None)
        checkpoints.wait()
        assert checkpoints.restore(abstract())[0] == 5
    assert not half.exists()


@pytest.mark.parametrize("days", [1, -1])
def test_a_clock_that_jumps_during_a_save_does_no_harm(tmp_path, monkeypatch, days):
    """Each reading of the wall clock shows another day."""
    looks, today = itertools.count(), time.time()
    with Checkpoints(tmp_path, CONFIG) as checkpoints, monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: today + 86_400 * days * next(looks))
        for step, score in ((4, 0.5), (5, None), (6, None)):
            checkpoints.save(step, at(step), score and {"ssim": score})
        checkpoints.wait()
    assert next(looks) > 100
    assert steps_in(tmp_path) == {4, 5, 6}
    assert restored(tmp_path) == (6, {6})


def test_a_missing_checkpoint_is_answered_with_what_to_give(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*nowhere: give the folder"):
        find_checkpoint(tmp_path / "nowhere")
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(FileNotFoundError, match="has not saved a checkpoint yet"):
        find_checkpoint(tmp_path)


def restored(run):
    with Checkpoints(run, CONFIG) as checkpoints:
        step, state = checkpoints.restore(abstract())
    return step, numbers(state)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, flip, Path.unlink])
def test_whichever_file_is_damaged_no_state_is_restored_that_was_not_saved(tmp_path, damage):
    fill(tmp_path / "run", {4: None, 7: None})
    names = [p.relative_to(tmp_path / "run") for p in (tmp_path / "run").rglob("*") if p.is_file()]
    latest = [name for name in names if "7" in name.parts]
    assert len(latest) > 15
    if damage is not flip:  # one file of each item, since flips go through all
        sizes = {name: (tmp_path / "run" / name).stat().st_size for name in latest}
        latest = [max((n for n in latest if item in n.parts), key=sizes.get) for item in ITEMS]
    before = set()
    for name in latest:
        run = tmp_path / "damaged"
        shutil.copytree(tmp_path / "run", run)
        damage(run / name)
        step, found = restored(run)
        assert found == {step}, name
        before |= {name.parts[2]} if step == 4 else set()
        shutil.rmtree(run)
    assert before == set(ITEMS)


@pytest.mark.parametrize("item", ["model", "optimizer"])
def test_the_one_before_is_used_and_the_fault_named(tmp_path, item, capsys):
    fill(tmp_path, {4: None, 7: None})
    folder = tmp_path / "checkpoints"
    for _ in range(2):  # a file set aside does not block the next one
        shutil.rmtree(folder / "7" / item)
        assert restored(tmp_path) == (4, {4})
        warning = capsys.readouterr().err
        assert warning.startswith(f"warning: {folder / '7'} cannot be read (")
        assert warning.endswith("); the run continues from step 4\n")
        assert not (folder / "7").exists()
        assert (folder / "7.damaged").is_dir()
        fill(tmp_path, {7: None})
    assert restored(tmp_path) == (7, {7})
    assert capsys.readouterr().err == ""


def test_a_run_without_a_whole_checkpoint_is_not_begun_again_in_silence(tmp_path):
    fill(tmp_path, {4: None, 7: None})
    for path in (tmp_path / "checkpoints").glob("*/model/_METADATA"):
        cut(path)
    for _ in range(2):
        with pytest.raises(Damaged, match=r"7 cannot be read .*4 cannot be read .*new folder"):
            restored(tmp_path)


def test_a_damaged_best_checkpoint_is_refused_and_others_are_named(tmp_path):
    """The figure of another checkpoint must not be mistaken for that of the best."""
    fill(tmp_path, {4: 0.5, 6: None, 7: None})
    best = find_checkpoint(tmp_path)
    cut(best / "model" / "manifest.ocdbt")
    others = f"give another one: {best.with_name('6')} or {best.with_name('7')}"
    with pytest.raises(Damaged, match=f"{best} cannot be read .*; {others}"):
        load_model(best, abstract().parameters, abstract().statistics)
    (best / "_CHECKPOINT_METADATA").write_bytes(b"{")
    with pytest.raises(Damaged, match=f"metadata cannot be read.*; {others}"):
        read_config(best)


def test_a_damaged_score_costs_the_score_and_no_weights(tmp_path, capsys):
    fill(tmp_path, {4: 0.5, 7: 0.4})
    score = tmp_path / "checkpoints" / "4" / "metrics" / "metrics"
    score.write_bytes(b"\xff{")
    with pytest.raises(Damaged, match=f"{score} is damaged: give the folder of a checkpoint"):
        find_checkpoint(tmp_path)
    assert restored(tmp_path) == (7, {7})
    assert f"warning: {score} is damaged" in capsys.readouterr().err
    assert find_checkpoint(tmp_path) == score.parents[2] / "7"


@pytest.mark.parametrize("on_host", [True, False])
def test_a_checksum_is_that_of_the_words_and_differs_for_each(monkeypatch, on_host):
    """The sum is the same where the arrays lie elsewhere than in the memory of the host."""
    monkeypatch.setattr("cmed_jax.io.integrity._is_on_host", lambda array: on_host)
    tree = {"a": jnp.array([[1.5, -2.0, 3.0]]), "b": jnp.int32(7)}
    words = np.array([1.5, -2, 3], np.float32).view(np.uint32).tolist()
    first = sum(word * odd for word, odd in zip(words, (1, 3, 5), strict=True))
    assert checksum(tree) == (31 * first + 7) % 2**32
    swapped = tree | {"a": tree["a"][:, ::-1]}
    negated = tree | {"a": tree["a"] * jnp.array([1, 1, -1])}
    assert len({checksum(other) for other in (tree, swapped, negated)}) == 3


def test_what_cannot_be_written_is_said_with_what_is_left(tmp_path):
    """A file takes the place of the folder, where even the superuser cannot write."""
    folder = tmp_path / "checkpoints"
    with Checkpoints(tmp_path, CONFIG) as checkpoints:
        checkpoints.save(4, at(4), None)
        checkpoints.wait()
        folder.rename(tmp_path / "elsewhere")
        folder.touch()
        message = rf"cannot write a checkpoint in {folder} \(.*Not a directory.*same command again"
        with pytest.raises(SaveFailed, match=message):
            checkpoints.save(5, at(5), None)
        folder.unlink()
        (tmp_path / "elsewhere").rename(folder)
    assert restored(tmp_path) == (4, {4})


def test_a_full_disk_is_named(small_disk):
    """Space is left for a line of the log, but not for a checkpoint."""
    weights = np.random.default_rng(0).random(1_000_000)
    large = ONE.place(TrainState({"w": weights}, {"mean": np.zeros(7)}, {"mu": weights}))
    filler = small_disk / "filler"

    def save_until_it_is_full():
        with Checkpoints(small_disk, CONFIG) as checkpoints:
            checkpoints.save(4, at(4), None)
            checkpoints.wait()
            filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - 100_000))
            checkpoints.save(5, large, None)
            checkpoints.wait()

    with pytest.raises(SaveFailed, match=r"\(No space left on device\).*same command again"):
        save_until_it_is_full()
    filler.unlink()
    assert restored(small_disk) == (4, {4})
