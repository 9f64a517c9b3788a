"""Configurations: presets, their JSON, and what decides a run."""

import dataclasses
import json
import math
import os

import jax
import numpy as np
import pytest
from flax import nnx
from jax.errors import JaxRuntimeError

from cmed_jax.cli import PRESETS, parse, run_command
from cmed_jax.config import Config, HostsConfig
from cmed_jax.model.base import BaseConfig
from cmed_jax.model.presets import KINDS
from cmed_jax.model.published import PublishedConfig
from tfds_builders.cmed import __main__ as command

WHERE = ("--data", "there", "--run", "here")


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_survives_json(preset):
    config = parse([preset, *WHERE])
    assert (config.data, config.run) == ("there", "here")
    values = json.loads(json.dumps(config.to_json()))
    assert Config.from_json(values) == config
    assert values == json.loads(json.dumps(config.to_json()))


def test_presets_are_what_the_readme_says():
    assert set(PRESETS) == {"demo", "base", "published"}
    published = parse(["published", *WHERE])
    assert published.network == PublishedConfig(kl_weight=0.05)
    assert published.steps == 1500 * (16_378 // published.batch)
    assert published.optimizer.weight_decay == 0
    assert not published.step.shared_voxels
    demo, base = (parse([name, *WHERE]).network for name in ("demo", "base"))
    assert isinstance(demo, BaseConfig)
    assert demo.width * demo.blocks < base.width * base.blocks


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_configuration_says_of_its_network_is_true(kind):
    config = KINDS[kind]()
    network = nnx.eval_shape(lambda: config.build(nnx.Rngs(0)))
    assert config.reads_reflections == network.reads_reflections
    assert config.batch_statistics == bool(jax.tree.leaves(nnx.state(network, nnx.BatchStat)))
    assert not {"reads_reflections", "batch_statistics"} & dataclasses.asdict(config).keys()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weight", [-1.0, math.nan, math.inf])
def test_a_latent_loss_has_a_weight(kind, weight):
    with pytest.raises(ValueError, match=f"kl_weight is {weight}: give 0 or a positive number"):
        KINDS[kind](kl_weight=weight)


def test_options_of_the_command_line_override_the_preset():
    config = parse(["demo", *WHERE, "--network.width", "32", "--step.augmentation.noise", "0.5"])
    assert (config.network.width, config.step.augmentation.noise) == (32, 0.5)
    changed = dataclasses.replace(
        config,
        network=dataclasses.replace(config.network, width=parse(["demo", *WHERE]).network.width),
        step=parse(["demo", *WHERE]).step,
    )
    assert changed == parse(["demo", *WHERE])


def test_where_and_how_often_do_not_decide_the_weights():
    one = parse(["demo", *WHERE])
    options = ["--loop.log-every", "9", "--input", "resident", "--profile", "3"]
    same = parse(["demo", "--data", "a", "--run", "b", *options])
    assert one.identity() == same.identity()
    for options in (["--seed", "1"], ["--batch", "4"], ["--step.precision", "bfloat16"]):
        assert parse(["demo", *WHERE, *options]).identity() != one.identity()


def test_a_run_may_go_on_in_less_memory():
    def identity(preset, *options):
        return parse([preset, *WHERE, *options]).identity()

    for options in (["--step.remat"], ["--step.accumulate", "8"]):
        assert identity("base", *options) == identity("base")
    assert identity("published", "--step.remat") == identity("published")
    assert identity("published", "--step.accumulate", "8") != identity("published")


def test_seeds_that_jax_does_not_tell_apart_are_refused(capsys):
    largest = 2**32 - 1
    assert parse(["demo", *WHERE, "--seed", str(largest)]).seed == largest
    same = [jax.random.key_data(jax.random.key(seed)) for seed in (1, 1 + 2**32)]
    np.testing.assert_array_equal(*same)  # without 64 bits
    for seed in (-1, 2**32, 2**63):
        with pytest.raises(SystemExit) as end:
            parse(["demo", *WHERE, "--seed", str(seed)])
        assert end.value.code == 2
        said = " ".join(capsys.readouterr().err.replace("│", " ").split())
        assert f"seed is {seed}: give a number from 0 to 4294967295" in said


def test_what_a_coordinator_needs_may_come_from_the_environment(monkeypatch):
    """What was read is kept, as the run's configuration is read on other machines, too."""
    monkeypatch.setenv("JAX_NUM_PROCESSES", "4")
    monkeypatch.setenv("JAX_PROCESS_ID", "3")
    config = parse(["demo", *WHERE, "--hosts.coordinator", "h:1"])
    assert config.hosts == HostsConfig("h:1", 4, 3)
    assert HostsConfig("h:1", process=1) == HostsConfig("h:1", 4, 1)
    with pytest.raises(ValueError, match="process is 4: of 4 processes, count from 0"):
        HostsConfig("h:1", process=4)
    written = config.to_json()
    monkeypatch.delenv("JAX_NUM_PROCESSES")
    assert Config.from_json(written) == config
    with pytest.raises(ValueError, match="a coordinator is given: give processes and process"):
        HostsConfig("h:1")


def test_a_number_of_processes_in_words_is_refused(monkeypatch):
    monkeypatch.setenv("JAX_NUM_PROCESSES", "two")
    with pytest.raises(ValueError, match="JAX_NUM_PROCESSES is 'two': give a whole number"):
        HostsConfig(coordinator="h:1", process=0)


def test_a_bucket_is_no_folder_of_datasets(tmp_path, monkeypatch, capsys):
    """As a path it would be the folder gs: in the one where the command is run."""
    monkeypatch.chdir(tmp_path)
    assert command.main(["--data_dir", "gs://bucket/here"]) == 2
    assert "error: gs://bucket/here is an address: give a folder" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["--data", "--run"])
def test_a_bucket_is_not_taken_for_a_folder(option, capsys):
    with pytest.raises(SystemExit) as end:
        parse(["demo", *WHERE, option, "gs://bucket/here"])
    assert end.value.code == 2
    assert "gs://bucket/here is an address: give a folder" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["dmo"], ["demo"], ["demo", "--data", "there"]])
def test_an_incomplete_command_ends_with_two(arguments):
    with pytest.raises(SystemExit) as end:
        parse(arguments)
    assert end.value.code == 2


@pytest.mark.parametrize(
    ("error", "message"), [(ValueError("wrong"), "wrong"), (FileNotFoundError("gone"), "gone")]
)
def test_a_mistake_of_the_user_is_one_line(capsys, error, message):
    def command():
        raise error

    with pytest.raises(SystemExit) as end:
        run_command(command)
    assert end.value.code == 2
    assert capsys.readouterr().err == f"error: {message}\n"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (JaxRuntimeError("INTERNAL: uncorrectable ECC"), "the device failed (INTERNAL: unc"),
        (ConnectionError("another process is gone"), "another process is gone"),
    ],
)
def test_a_fault_that_may_pass_is_distinguished_from_a_mistake(capsys, error, message):
    """A launcher starts such a run again."""

    def command():
        raise error

    with pytest.raises(SystemExit) as end:
        run_command(command)
    assert end.value.code == os.EX_TEMPFAIL
    assert capsys.readouterr().err.startswith(f"error: {message}")


def test_a_mistake_of_ours_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run_command(lambda: 1 // 0)


@pytest.mark.parametrize("code", [0, 143])
def test_a_command_ends_with_its_code(code):
    with pytest.raises(SystemExit) as end:
        run_command(lambda: code)
    assert end.value.code == code


@pytest.mark.parametrize("part", ["network", "optimizer", None])
def test_a_configuration_of_another_version_is_said_to_be_one(part):
    values = parse(["demo", *WHERE]).to_json()
    (values[part] if part else values)["of_tomorrow"] = 1
    with pytest.raises(ValueError, match=r"of another version of cmed_jax .*of_tom") as error:
        Config.from_json(values)
    assert str(error.value).endswith("train the run again, or install that version")


@pytest.mark.parametrize("missing", ["kind", "network", "step", "loop"])
def test_a_configuration_that_lacks_a_part_is_of_another_version(missing):
    values = parse(["demo", *WHERE]).to_json()
    del values[missing]
    with pytest.raises(ValueError, match=rf"of another version of cmed_jax .*{missing}"):
        Config.from_json(values)


def test_a_network_of_a_kind_that_is_gone_is_of_another_version():
    values = parse(["demo", *WHERE]).to_json() | {"kind": "of yesterday"}
    with pytest.raises(ValueError, match=r"of another version of cmed_jax \('of yesterday'\)"):
        Config.from_json(values)
