"""The command that trains: a stopped run ends bit for bit like an uninterrupted one."""

import contextlib
import gc
import json
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial

import jax
import numpy as np
import pytest

from cmed_jax import train
from cmed_jax.cli import PRESETS, parse
from cmed_jax.config import StepConfig
from cmed_jax.data.augmentation import AugmentationConfig
from cmed_jax.data.batches import Rows
from cmed_jax.data.dataset import fingerprint, load_examples
from cmed_jax.data.measured_query import measured_query
from cmed_jax.physics.amplitude_errors import AmplitudeErrors
from cmed_jax.physics.artefact_ranges import LABORATORY
from cmed_jax.predict import main as predict
from cmed_jax.prediction.predict import restore_and_predict
from cmed_jax.train import main
from cmed_jax.training.checkpoint import Checkpoints, find_checkpoint
from cmed_jax.training.folder import locked
from tests import diverging
from tests.networks import shorten_published
from tests.processes import (
    PYTHON,
    ROOT,
    lines_logged,
    start,
    step_logged,
    steps_saved,
    wait_for,
    weights,
)

# Orbax leaves coroutines behind where a file is damaged.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module", autouse=True)
def swept():
    """Collect the coroutines that Orbax left behind here, where their warnings are ignored."""
    yield
    gc.collect()


STEPS = 16


def what_was_learned(folder):
    """The metrics without the speed of the machine."""
    speed = {"voxel_queries_per_second", "share_waiting", "share_of_peak"}
    return [
        {name: x for name, x in line.items() if name not in speed} for line in lines_logged(folder)
    ]


def test_a_run_that_was_stopped_ends_with_the_same_weights(finished, tmp_path, answer, tiny):
    """Test the signal of Ctrl-C; training/test_stop.py holds that SIGTERM is treated alike."""
    number = signal.SIGINT
    process = start(*PYTHON, "cmed_jax.train", "demo", *tiny, "--run", tmp_path)
    wait_for(lambda: step_logged(tmp_path) >= 7, process)
    process.send_signal(number)
    out, err = process.communicate()
    saved = max(steps_saved(tmp_path))
    assert process.returncode == 128 + number
    assert f"stopped after step {saved}: start the same command again" in out
    assert lines_logged(tmp_path)[-1]["step"] == saved
    assert err == ""
    assert saved < STEPS

    code, out, _ = answer(main, "demo", *tiny, "--run", tmp_path)
    assert code == 0
    assert f"step {saved + 1}/{STEPS}" in out
    assert f"step {saved}/{STEPS}" not in out
    assert not list((tmp_path / "checkpoints").glob("*tmp*"))
    here, there = (weights(folder / "checkpoints" / str(STEPS)) for folder in (tmp_path, finished))
    jax.tree.map(np.testing.assert_array_equal, here, there)
    assert what_was_learned(tmp_path) == what_was_learned(finished)


def test_a_run_logs_every_step_and_validates(finished):
    training = [line for line in lines_logged(finished) if "loss" in line]
    assert [line["step"] for line in training] == list(range(1, STEPS + 1))
    names = {"loss", "reconstruction", "latent", "gradient_norm", "voxel_queries_per_second"}
    assert all(names <= line.keys() for line in training)
    validation = [line for line in lines_logged(finished) if "loss" not in line]
    assert [line["step"] for line in validation] == [6, 12, STEPS]
    metrics = ("ssim", "periodic_ssim", "psnr", "nmae", "pearson", "r_factor")
    names = {f"validation/{name}" for name in metrics}
    assert all(names <= line.keys() for line in validation)


@pytest.mark.usefixtures("unoptimised")
def test_a_run_on_fresh_patterns_says_what_they_hold_and_can_predict(
    dataset, answer, tmp_path, monkeypatch
):
    """The network is the published one, made small, since others read no patterns.

    All validations use the same query, and its patterns are measured once.
    """
    rendered = []

    def counted(*arguments, **options):
        control = measured_query(*arguments, **options)
        return lambda examples: rendered.append(len(examples)) or control(examples)

    monkeypatch.setattr(train, "measured_query", counted)
    shorten_published(monkeypatch)
    options = ["--data", dataset, "--run", tmp_path, "--input", "streaming"]
    options += ["--step.augmentation.artefacts", "laboratory"]
    options += ["--batch", 4, "--steps", 2, "--loop.log-every", 1]
    options += ["--loop.validate-every", 1, "--loop.validation-materials", 3]
    code, out, _ = answer(main, "published", *options)
    assert code == 0
    assert "256 strongest lines in reach, which hold 100.0%" in out
    assert [line["step"] for line in lines_logged(tmp_path) if "validation/ssim" in line] == [1, 2]
    assert rendered == [3]
    angle = np.linspace(10, 80, 700)
    profile = 5 + 100 * np.exp(-(((angle - 31.7) / 0.1) ** 2))
    options = {"wavelength": "CuKa", "analogues": 0}
    found = restore_and_predict(tmp_path, (angle, profile), "NaCl", **options)
    assert not any("what lies beyond" in warning for warning in found.warnings)
    assert found.config.step.augmentation.artefacts == LABORATORY
    assert (found.pattern[found.coverage == 1] > 0).all()


@pytest.mark.parametrize(
    ("preset", "options", "message"),
    [
        ("demo", ("--step.augmentation.artefacts", "laboratory"), "give errors in their place"),
        ("demo", ("--input", "streaming"), "give input resident"),
        ("demo", ("--step.augmentation.shift", 5), "base reads reflections, and a shift of 5 bins"),
    ],
)
def test_what_a_network_cannot_read_is_refused(tiny, answer, tmp_path, preset, options, message):
    code, _, err = answer(main, preset, *tiny, *options, "--run", tmp_path / "run")
    assert code == 2
    assert message in " ".join(err.replace("│", " ").split())
    assert "Traceback" not in err
    assert not (tmp_path / "run").exists()


def test_a_published_network_is_given_no_errors_of_reflections():
    config = PRESETS["published"][1]
    augmentation = AugmentationConfig(errors=AmplitudeErrors())
    with pytest.raises(ValueError, match=r"published reads patterns, .* give artefacts in"):
        replace(config, data="d", run="r", step=StepConfig(augmentation))


def test_the_best_and_the_two_latest_are_kept_and_the_best_is_restored(finished):
    scores = {n["step"]: n["validation/ssim"] for n in lines_logged(finished) if "loss" not in n}
    best = max(scores, key=lambda step: (scores[step], step))
    assert set(steps_saved(finished)) == {best, STEPS - 1, STEPS}
    one, other = weights(finished), weights(finished / "checkpoints" / str(best))
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_the_folder_says_what_it_was_begun_with(finished, dataset):
    content = json.loads((finished / "config.json").read_text())
    assert content["config"]["data"] == str(dataset)
    assert content["config"]["network"]["width"] == 16
    assert content["config"]["kind"] == "base-2"
    assert content["identity"]["batch"] == 8
    assert len(content["identity"]["dataset"]) == 64
    assert list((finished / "tensorboard").glob("events.*"))


def without_the_last(finished, folder):
    """Copy the finished run as it was one step before its end."""
    shutil.copytree(finished, folder, dirs_exist_ok=True)
    shutil.rmtree(folder / "checkpoints" / str(STEPS))


def test_the_steps_of_a_run_are_traced_where_that_is_asked_for(
    finished, tiny, answer, tmp_path, monkeypatch
):
    """What the trace holds is in training/test_profile.py."""
    asked, taken = [], []

    @contextlib.contextmanager
    def traced(program, number, folder):
        asked.append((number, folder))
        yield lambda *given: taken.append(given[-1]) or program(*given)

    monkeypatch.setattr(train, "traced", traced)
    monkeypatch.setattr(train, "make_step", partial(diverging.make_step, after=STEPS))
    without_the_last(finished, tmp_path)
    assert answer(main, "demo", *tiny, "--run", tmp_path, "--profile", 2)[0] == 0
    assert asked == [(2, tmp_path)]
    assert taken == [STEPS - 1]


def test_training_may_begin_with_the_weights_of_another_run(finished, tiny, answer, tmp_path):
    command = (main, "demo", *tiny, "--run", tmp_path / "on")
    assert answer(*command, "--initial", finished)[0] == 0
    first, last = lines_logged(finished)[0], lines_logged(tmp_path / "on")[0]
    assert last["loss"] < first["loss"]  # of the same batch
    code, _, err = answer(*command)
    assert code == 2
    assert "initial" in err

    other = (main, "demo", *tiny, "--network.width", 9, "--run", tmp_path / "other")
    code, _, err = answer(*other, "--initial", finished)
    assert code == 2
    assert "give the same options to the network to train" in err
    assert not (tmp_path / "other").exists()


def test_a_finished_run_says_that_it_is_done(finished, tiny, answer):
    """How often it logs and saves may change."""
    before = weights(finished), (finished / "metrics.jsonl").read_text()
    options = ("--loop.log-every", 3, "--loop.checkpoint-every", 4)
    code, out, _ = answer(main, "demo", *tiny, "--run", finished, *options)
    assert code == 0
    size, cost, done = out.splitlines()
    assert size.endswith(" parameters, 20 materials to train on, 3 to validate on")
    assert cost.startswith("a step takes ")
    assert done == f"done: {finished} holds the network after {STEPS} steps"
    jax.tree.map(np.testing.assert_array_equal, before, (weights(finished), before[1]))
    assert (finished / "metrics.jsonl").read_text() == before[1]


def test_a_run_with_other_options_is_refused(finished, tiny, answer):
    code, _, err = answer(main, "demo", *tiny, "--run", finished, "--seed", 7)
    assert code == 2
    difference = "seed is 7 and not 0"
    assert err.startswith(f"error: {finished} holds a run that was begun differently: {difference}")
    assert "choose another folder" in err


@pytest.mark.parametrize(
    ("option", "value", "difference"),
    [
        ("optimizer.learning-rate", 0.5, "optimizer.learning_rate is 0.5 and not"),
        ("network.width", 17, "network.width is 17 and not 16"),
        ("step.augmentation.noise", 0.5, "step.augmentation.noise is 0.5 and not"),
    ],
)
def test_an_option_that_decides_the_weights_is_of_the_identity(
    finished, tiny, option, value, difference
):
    config = parse(["demo", *tiny, "--run", str(finished), f"--{option}", str(value)])
    identity = config.identity() | {"dataset": fingerprint(config.data)}
    refused = pytest.raises(ValueError, match=f"that was begun differently: {difference}")
    with refused, locked(finished, identity):
        pass


def test_a_run_with_another_dataset_is_refused(finished, tiny, answer, dataset, tmp_path):
    shutil.copytree(dataset, tmp_path / "data", ignore=shutil.ignore_patterns("baselines"))
    path = tmp_path / "data" / "provenance.json"
    content = json.loads(path.read_text())
    content["identity"]["b_factor"] = 2.0
    path.write_text(json.dumps(content))
    options = ("--data", tmp_path / "data")
    code, _, err = answer(main, "demo", *tiny, "--run", finished, *options)
    assert code == 2
    assert "begun differently: dataset is '" in err


def test_a_folder_is_trained_in_by_one_process(finished, tiny, answer):
    with locked(finished):
        code, _, err = answer(main, "demo", *tiny, "--run", finished)
    assert code == 2
    assert err.startswith(f"error: another process is training in {finished}")


@pytest.mark.parametrize(
    ("option", "suggestion"),
    [
        ("--optimizer.learning_rat", "--optimizer.learning-rate"),
        ("--network.widht", "--network.width"),
        ("--stepz", "--steps"),
    ],
)
def test_a_misspelt_option_is_answered_with_the_right_one(
    tiny, answer, tmp_path, option, suggestion
):
    code, _, err = answer(main, "demo", *tiny, "--run", tmp_path / "run", option, "8")
    assert code == 2
    assert suggestion in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--steps", "0"], "steps is 0: give at least 1"),
        (["--profile", "-1"], "profile is -1: give a number of steps, or 0 for no trace"),
        (["--network.width", "-3"], "width is -3: give at least 1"),
        (["--loop.log-every", "0"], "log_every is 0: give at least 1"),
        (["--step.augmentation.full", "0.3"], "sum to 1"),
        (["--step.augmentation.full", "nan"], "full is nan: give a finite number"),
        (["--step.augmentation.noise", "nan"], "noise is nan: give a finite number"),
        (["--network.kl-weight", "-1"], "kl_weight is -1.0: give 0 or a positive number"),
        (["--optimizer.clip", "-1"], "clip is -1.0: give 0 or more"),
        (["--batch", "21"], "a batch of 21 crystals cannot be drawn from 20"),
    ],
)
def test_an_impossible_option_is_named(tiny, answer, tmp_path, options, message):
    code, _, err = answer(main, "demo", *tiny, "--run", tmp_path / "run", *options)
    assert code == 2
    assert message in " ".join(err.replace("│", " ").split())
    assert "Traceback" not in err


def test_a_mistake_neither_begins_a_run_nor_changes_another_one(tiny, answer, tmp_path, dataset):
    """The right batch is not rejected because a wrong one was tried before."""
    run, data = tmp_path / "run", tmp_path / "data"
    assert answer(main, "demo", *tiny, "--run", run, "--batch", "21")[0] == 2
    assert not run.exists()

    shutil.copytree(dataset, data, ignore=shutil.ignore_patterns("baselines"))
    provenance = json.loads((data / "provenance.json").read_text())
    provenance["identity"]["max_atoms"] += 1
    (data / "provenance.json").write_text(json.dumps(provenance))
    run.mkdir()
    begun = {"config": {}, "identity": {"dataset": "of another run"}}
    (run / "config.json").write_text(json.dumps(begun))
    (run / "neighbours.npz").write_bytes(b"of another dataset")
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    code, _, err = answer(main, "demo", *tiny, "--run", run, "--data", data)
    assert (code, "begun differently" in err) == (2, True)
    after = {path.name: path.read_bytes() for path in run.iterdir() if path.name != ".lock"}
    assert after == before


def test_a_missing_dataset_is_answered_with_how_to_build_it(tiny, answer, tmp_path):
    options = ("--data", tmp_path / "nowhere", "--run", tmp_path / "run")
    code, _, err = answer(main, "demo", *tiny, *options)
    assert code == 2
    assert f"error: no dataset in {tmp_path / 'nowhere'}" in err
    assert "python -m tfds_builders.cmed" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("programs_of_its_own")
def test_a_run_that_diverges_names_step_and_materials_and_what_is_left(
    tiny, dataset, answer, tmp_path, monkeypatch
):
    """Its programs are kept with it, as those of every run."""
    monkeypatch.setattr(train, "make_step", diverging.make_step)
    code, _, err = answer(main, "demo", *tiny, "--run", tmp_path, "--loop.checkpoint-every", "1")
    assert code == 2
    materials = load_examples(dataset, "train").material_id[Rows(20, 8, 0)[1]]
    assert "the loss of step 2 is inf: " in err
    assert "lower learning rate" in err
    assert f"; its batch was {', '.join(materials)}; " in err
    assert err.endswith(f"the last good checkpoint is {tmp_path / 'checkpoints' / '1'}\n")
    assert [line["step"] for line in lines_logged(tmp_path)] == [1]
    assert steps_saved(tmp_path) == [1]
    assert list((tmp_path / "compiled").iterdir())


def damage(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0x10
    file.write_bytes(content)


def largest(folder, pattern):
    return max(folder.glob(pattern), key=lambda path: path.stat().st_size)


def no_room():
    """Limit the size of files below that of a checkpoint, with the effect of a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY))


def room_again():
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def test_a_run_that_cannot_save_says_so_and_goes_on_once_it_can(
    tiny, answer, finished, tmp_path, monkeypatch
):
    """Other faults of a disk are in training/test_checkpoint.py."""
    save = Checkpoints.save

    def save_until_the_fault(self, step, *rest):
        if step == 10:
            self.wait()
            no_room()
        save(self, step, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", save_until_the_fault)
        code, _, err = answer(main, "demo", *tiny, "--run", tmp_path)
    room_again()
    assert code == 2
    assert err.startswith(f"error: cannot write a checkpoint in {tmp_path / 'checkpoints'} (")
    assert "File too large" in err
    assert "start the same command again" in err
    assert err.count("\n") == 1
    assert sorted(steps_saved(tmp_path)) == [5, 6]

    assert answer(main, "demo", *tiny, "--run", tmp_path)[0] == 0
    there = weights(tmp_path / "checkpoints" / str(STEPS))
    jax.tree.map(np.testing.assert_array_equal, there, weights(finished))


def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before(
    tiny, answer, finished, tmp_path
):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    latest = tmp_path / "checkpoints" / str(STEPS)
    damage(largest(latest, "optimizer/**/d/*"))
    code, out, err = answer(main, "demo", *tiny, "--run", tmp_path)
    assert code == 0
    assert err.startswith(f"warning: {latest} ")
    assert err.endswith(f"; the run continues from step {STEPS - 1}\n")
    assert f"step {STEPS}/{STEPS}" in out
    assert f"step {STEPS - 1}/{STEPS}" not in out
    there = weights(finished / "checkpoints" / str(STEPS))
    jax.tree.map(np.testing.assert_array_equal, weights(latest), there)
    assert what_was_learned(tmp_path) == what_was_learned(finished)


def test_a_prediction_from_damaged_weights_is_refused(finished, answer, tmp_path):
    shutil.copytree(finished / "checkpoints", tmp_path / "checkpoints")
    best = find_checkpoint(tmp_path)
    damage(largest(best, "model/**/d/*"))
    (tmp_path / "pattern.txt").write_text("30 1\n40 2\n")
    options = ("--model", tmp_path, "--wavelength", "CuKa", "--out", tmp_path / "out")
    code, _, err = answer(predict, tmp_path / "pattern.txt", *options)
    assert code == 2
    assert err.startswith(f"error: {best} ")
    assert f"give another one: {tmp_path / 'checkpoints'}" in err
    assert not (tmp_path / "out.npz").exists()


def test_a_damaged_record_is_named(tiny, answer, dataset, tmp_path):
    shutil.copytree(dataset, tmp_path / "data", ignore=shutil.ignore_patterns("baselines"))
    damage(largest(tmp_path / "data", "*train*"))
    options = ("--data", tmp_path / "data", "--run", tmp_path / "run")
    code, _, err = answer(main, "demo", *tiny, *options)
    assert code == 2
    assert err.startswith(f"error: a record of split 'train' in {tmp_path / 'data'} cannot be read")
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_damaged_config_is_named(finished, tiny, answer, tmp_path):
    (tmp_path / "config.json").write_text('{"config": {')
    code, _, err = answer(main, "demo", *tiny, "--run", tmp_path)
    assert code == 2
    assert err.startswith(f"error: {tmp_path / 'config.json'} is damaged (")


def test_the_training_path_needs_neither_pymatgen_nor_tensorflow():
    code = "import sys, cmed_jax.train; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT).split()
    assert not {"pymatgen", "tensorflow", "torch", "matplotlib"} & set(loaded)
