"""Workers of Apache Beam write the same as processes; a missing Beam is reported."""

import json
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tfds_builders.cmed import __main__ as command
from tfds_builders.cmed import cmed_dataset_builder

LOCAL = "--runner=DirectRunner --direct_num_workers=1"


@pytest.fixture
def build(dataset, tmp_path, monkeypatch, capsys):
    """Build from the materials of `dataset` and an unusable one; return code and errors."""
    monkeypatch.setattr(cmed_dataset_builder, "SHARD", 8)
    lines = (dataset.parents[2] / "materials.jsonl").read_text().splitlines(keepends=True)
    unusable = json.loads(lines[0]) | {"material_id": "heavy", "species": ["Cn", "Cn"]}
    materials = tmp_path / "materials.jsonl"
    materials.write_text("".join([*lines, json.dumps(unusable) + "\n"]))

    def build(options):
        arguments = ["--config=cubic", f"--data_dir={tmp_path}", f"--materials={materials}"]
        code = command.main([*arguments, f"--beam_options={options}"])
        return code, capsys.readouterr().err

    build.directory = tmp_path / dataset.relative_to(dataset.parents[2])
    return build


def records(directory):
    builder = tfds.builder_from_directory(directory)
    return [record for split in builder.info.splits for record in builder.as_data_source(split)]


@pytest.mark.filterwarnings("ignore")  # Beam emits many warnings
@pytest.mark.parametrize("through", ["the directory", "elsewhere"])
def test_beam_writes_what_processes_write(build, dataset, tmp_path, through):
    pytest.importorskip("apache_beam")
    place = tmp_path / "elsewhere"
    options = f"{LOCAL} --temp_location={place}" if through == "elsewhere" else LOCAL
    assert build(options)[0] == 0
    here, there = records(dataset), records(build.directory)
    assert len(here) == len(there) == 30
    for one, other in zip(here, there, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)
    (refused,) = (build.directory / "refused.jsonl").read_text().splitlines()
    assert json.loads(refused)["material_id"] == "heavy"
    assert not [path for path in build.directory.iterdir() if path.is_dir()]
    assert not place.exists() or not list(place.iterdir())


@pytest.mark.filterwarnings("ignore")
def test_a_pipeline_that_fails_says_so_and_leaves_nothing(build):
    pytest.importorskip("apache_beam")
    code, err = build("--runner=Nowhere")
    assert code == 2
    assert "error: the pipeline of Apache Beam failed (" in err
    assert "Nowhere" in err
    assert not list(build.directory.parent.iterdir())


def test_without_beam_it_is_asked_for(build, monkeypatch):
    monkeypatch.delitem(sys.modules, "tfds_builders.cmed.beam", raising=False)
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    code, err = build(LOCAL)
    assert code == 2
    assert "error: options for Apache Beam need its package" in err
    assert "pip install 'cmed-jax[beam]'" in err
