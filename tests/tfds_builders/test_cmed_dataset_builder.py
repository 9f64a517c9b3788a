"""The job that builds the dataset, from the command line to the processes."""

import contextlib
import io
import json
import os
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp import Chgcar

from cmed_jax.crystal.material import CRYSTAL_SYSTEMS
from cmed_jax.data.dataset import load_examples, provenance
from cmed_jax.data.schema import VERSION
from cmed_jax.io.processes import worker_pool
from tfds_builders.cmed import __main__ as command
from tfds_builders.cmed import cmed_dataset_builder
from tfds_builders.cmed.cmed_dataset_builder import Builder, Options

ROOT = Path(__file__).parents[2]


def salt(metal, halogen, a):
    sites = [[0, 0, 0], [0.5, 0.5, 0.5]]
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [metal, halogen], sites)


def row(material_id, structure, **fields):
    return {
        "material_id": material_id,
        "space_group": structure.get_space_group_info()[1],
        "lattice": structure.lattice.matrix.tolist(),
        "species": [site.specie.symbol for site in structure],
        "frac_coords": structure.frac_coords.tolist(),
    } | fields


@pytest.fixture(scope="module")
def rows():
    """Eight salts with splits, a double of a held-out one, a hexagonal crystal, unusable ones."""
    compounds = [(a, b) for a in ("Li", "Na", "K", "Rb") for b in ("F", "Cl")]
    splits = ["train"] * 5 + ["validation", "test", "test"]
    cells = [salt(*compound, 4 + 0.2 * i) for i, compound in enumerate(compounds)]
    named = [
        row(f"m{i}", cell, split=split)
        for i, (cell, split) in enumerate(zip(cells, splits, strict=True))
    ]
    hexagonal = Lattice.hexagonal(2.66, 4.95)
    zinc = Structure.from_spacegroup("P6_3/mmc", hexagonal, ["Zn"], [[1 / 3, 2 / 3, 0.25]])
    copernicium = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5), ["Cn"], [[0, 0, 0]])
    return [
        *named,
        row("double", cells[-1]),
        row("zinc", zinc),
        row("heavy", copernicium, split="train"),
        row("m0", cells[0], split="train"),
    ]


def write_materials(rows, folder):
    path = folder / "materials.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "not json\n")
    return path


@pytest.fixture
def materials(rows, tmp_path):
    return write_materials(rows, tmp_path)


@contextlib.contextmanager
def one_thread(workers):
    """A pool in this process, because starting others takes seconds."""
    with ThreadPoolExecutor(1) as executor:
        yield executor


@pytest.fixture
def in_process(monkeypatch):
    monkeypatch.setattr(cmed_dataset_builder, "worker_pool", one_thread)


@pytest.fixture(scope="module")
def built(rows, tmp_path_factory):
    """The directory of a dataset that tests leave as it is; printed.txt is what was printed."""
    folder, printed = tmp_path_factory.mktemp("built"), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(cmed_dataset_builder, "worker_pool", one_thread)
        assert run(write_materials(rows, folder), folder) == 0
    directory = folder / "cmed" / "cubic" / VERSION
    (folder / "printed.txt").write_text(printed.getvalue())
    return directory


def run(materials, data_dir, *options):
    arguments = {"--config": "cubic", "--data_dir": data_dir, "--materials": materials}
    return command.main([str(word) for pair in arguments.items() for word in pair] + list(options))


def refusals(directory):
    return [json.loads(line) for line in (directory / "refused.jsonl").read_text().splitlines()]


def decoded(directory, split="train"):
    return list(tfds.builder_from_directory(directory).as_data_source(split))


def assert_equal(one, other):
    assert len(one) == len(other)
    for left, right in zip(one, other, strict=True):
        assert left.keys() == right.keys()
        for name in left:
            np.testing.assert_array_equal(left[name], right[name], err_msg=name)


def test_a_build_leaves_records_provenance_and_refusals(built):
    content = provenance(built)
    assert content["records"] == {"test": 2, "train": 5, "validation": 1}
    assert (content["dropped"], content["refused"]) == (1, 3)
    refused = refusals(built)
    reasons = {refusal["material_id"]: refusal["reason"] for refusal in refused}
    assert reasons == {
        "heavy": "Cn has no tabulated X-ray form factor",
        "m0": "the id appears twice; the first is kept",
        "line 13": "is not a JSON object",
    }
    assert load_examples(built, "train").material_id.tolist() == ["m0", "m1", "m2", "m3", "m4"]
    output = (built.parents[2] / "printed.txt").read_text()
    for line in (
        "8 records in",
        "train",
        "dropped",
        "refused",
        "form factor",
        "coarse",
        "records/s",
    ):
        assert line in output


def test_records_are_ordered_by_id(built):
    ids = [record["material_id"] for record in decoded(built)]
    assert ids == sorted(ids)


def test_processes_change_nothing(built, materials, tmp_path):
    """The numbers of two processes, and those of a thread, are bitwise equal."""
    assert run(materials, tmp_path, "--workers", "2") == 0
    for split in provenance(built)["records"]:
        two = decoded(tmp_path / "cmed" / "cubic" / VERSION, split)
        assert_equal(decoded(built, split), two)


def test_a_second_start_says_that_it_is_done(built, in_process, materials, capsys):
    """The same materials may lie elsewhere."""
    assert run(materials, built.parents[2]) == 0
    assert "is complete already" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        (["--b_factor", "2"], "b_factor is 4.0 and not 2.0"),
        (["--cell", "as_given"], "cell is 'canonical' and not 'as_given'"),
        (["--max-atoms", "50"], "max_atoms is 200 and not 50"),
        (["--part", "1/2", "--b_factor", "2"], "b_factor is 4.0"),
    ],
)
def test_another_dataset_in_the_way_is_named(
    built, in_process, materials, capsys, options, difference
):
    assert run(materials, built.parents[2], *options) == 2
    error = capsys.readouterr().err
    assert "holds another dataset" in error
    assert difference in error


def test_another_source_is_another_dataset(built, in_process, materials, capsys):
    with materials.open("a") as file:
        file.write("\n")
    assert run(materials, built.parents[2]) == 2
    assert "holds another dataset: source is" in capsys.readouterr().err


def test_a_dataset_cannot_be_divided_twice(in_process, materials, tmp_path, capsys):
    assert run(materials, tmp_path, "--part", "1/2") == 0
    assert run(materials, tmp_path, "--part", "1/2") == 0
    assert "is complete already" in capsys.readouterr().out
    for options in ([], ["--part", "1/3"]):
        assert run(materials, tmp_path, *options) == 2
        assert "is a part of a dataset divided otherwise" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--part", "3/2"], "part '3/2' is not"),
        (["--part", "half"], "part 'half' is not"),
        (["--workers", "0"], "workers 0 is less than 1"),
        (["--max_atoms", "0"], "max_atoms 0 is less than 1"),
        (["--b_factor", "-1"], "b_factor -1.0 is not between"),
        (["--b_factor", "nan"], "b_factor nan is not between"),
        (["--config", "tetragonal"], "no usable material for tetragonal in JSON lines"),
        (["--materials", "nowhere.jsonl"], "no materials at nowhere.jsonl"),
        (["--density", "chgcar"], "no usable material for cubic"),
    ],
)
def test_unusable_options_are_answered_in_a_line(
    in_process, materials, tmp_path, capsys, options, message
):
    assert run(materials, tmp_path, *options) == 2
    error = capsys.readouterr().err.replace("\n", " ")
    assert f"error: {message}" in error
    assert not list(tmp_path.rglob("dataset_info.json"))


def test_a_source_of_broken_files_is_an_error(in_process, tmp_path, capsys):
    (tmp_path / "cif").mkdir()
    (tmp_path / "cif" / "broken.cif").write_text("data_x\n")
    assert run(tmp_path / "cif", tmp_path) == 2
    assert "no usable material for cubic in CIF files of cif; broken:" in capsys.readouterr().err


def test_chgcar_densities_become_records(in_process, tmp_path):
    (tmp_path / "chgcar").mkdir()
    cell = salt("Na", "Cl", 5.64).get_primitive_structure()
    grid = np.arange(24) / 24
    wave = 2 + np.cos(2 * np.pi * grid)
    density = wave[:, None, None] * wave[:, None] * wave
    density *= 8 / density.mean() / cell.volume  # the valence electrons of NaCl
    folder = tmp_path / "chgcar"
    for name in ("a", "b"):
        chgcar = Chgcar(cell, {"total": density * cell.volume})
        chgcar.write_file(str(folder / f"{name}_CHGCAR"))
    lines = (folder / "a_CHGCAR").read_text().splitlines(keepends=True)
    (folder / "short_CHGCAR").write_text("".join(lines[:20]))
    assert run(folder, tmp_path, "--density", "chgcar") == 0
    directory = tmp_path / "cmed" / "cubic" / VERSION
    (split,) = provenance(directory)["records"]
    examples = load_examples(directory, split)
    assert examples.material_id.tolist() == ["a", "b"]
    assert examples.densities([0]).mean() == pytest.approx(density.mean(), rel=1e-3)
    assert [record["density_kind"] for record in decoded(directory, split)] == [b"chgcar"] * 2
    (refusal,) = refusals(directory)
    assert refusal["material_id"] == "short"


def test_shards_follow_each_other(built, in_process, materials, tmp_path, monkeypatch):
    monkeypatch.setattr(cmed_dataset_builder, "SHARD", 2)
    run(materials, tmp_path)
    three = tmp_path / "cmed" / "cubic" / VERSION
    assert len(list(built.glob("cmed-train.array_record-*"))) == 1
    assert len(list(three.glob("cmed-train.array_record-*"))) == 3
    assert_equal(decoded(built), decoded(three))


def test_shards_and_splits_of_which_nothing_is_usable_are_no_obstacle(
    in_process, rows, tmp_path, monkeypatch
):
    heavy = next(row for row in rows if row["material_id"] == "heavy")
    usable = [{**rows[0], "split": "train"}, {**rows[1], "split": "validation"}]
    unusable = [{**heavy, "material_id": f"heavy-{s}", "split": s} for s in ("train", "test")]
    materials = tmp_path / "materials.jsonl"
    materials.write_text("".join(json.dumps(row) + "\n" for row in usable + unusable))
    monkeypatch.setattr(cmed_dataset_builder, "SHARD", 1)
    assert run(materials, tmp_path) == 0
    directory = tmp_path / "cmed" / "cubic" / VERSION
    assert provenance(directory)["records"] == {"train": 1, "validation": 1}
    assert [record["material_id"] for record in decoded(directory)] == [b"m0"]


def test_what_a_killed_build_left_is_removed(in_process, materials, tmp_path):
    parent = tmp_path / "cmed" / "cubic"
    leftover, other = parent / f"incomplete.ABC123_{VERSION}", parent / "incomplete.ABC123_0.9.0"
    for folder in (leftover, other):
        folder.mkdir(parents=True)
        (folder / "half.array_record").write_text("half")
    assert run(materials, tmp_path) == 0
    assert not leftover.exists()
    assert other.exists()


def test_a_full_disk_is_named_and_left_as_it_was(in_process, dataset, small_disk, capsys):
    materials = dataset.parents[2] / "materials.jsonl"
    (small_disk / "filler").write_bytes(bytes(15 * 2**20))  # thirty records take more than the rest
    assert run(materials, small_disk) == 2
    error = capsys.readouterr().err
    assert "error: cannot write " in error
    assert "No space left on device): nothing was kept; start again" in error
    assert not list((small_disk / "cmed" / "cubic").iterdir())


def test_two_jobs_do_not_build_the_same_dataset(in_process, materials, tmp_path, capsys):
    running = tmp_path / "cmed" / "cubic" / f"incomplete.ABC123_{VERSION}"
    running.mkdir(parents=True)
    with cmed_dataset_builder._locked(running):
        assert run(materials, tmp_path) == 2
    assert "another job is building" in capsys.readouterr().err
    assert running.exists()


def test_workers_leave_the_environment_as_it_was(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    with worker_pool(1):
        assert os.environ["OMP_NUM_THREADS"] == "1"
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "JAX_PLATFORMS" not in os.environ


def test_there_is_a_configuration_for_each_crystal_system():
    assert list(Builder.builder_configs) == [*CRYSTAL_SYSTEMS, "all"]


def test_the_metadata_is_laid_out_as_that_of_tfds(tmp_path):
    builder = Builder(data_dir=tmp_path, config="all")
    assert builder.name == "cmed"
    assert builder.info.file_format == tfds.core.FileFormat.ARRAY_RECORD
    assert "Powder X-ray diffraction" in builder.info.description
    assert "guo2024crystalnet" in builder.info.citation
    assert builder.options == Options()
    tags = (ROOT / "tfds_builders" / "cmed" / "TAGS.txt").read_text().split()
    assert set(tags) <= set(tfds.core.dataset_metadata.valid_tags())


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [(BrokenExecutor(), 2, "error: a worker died"), (KeyboardInterrupt(), 130, "interrupted")],
)
def test_a_job_that_is_broken_off_says_so(monkeypatch, tmp_path, capsys, error, code, message):
    def fail(job):
        raise error

    monkeypatch.setattr(command, "build", fail)
    assert run("any", tmp_path) == code
    assert message in capsys.readouterr().err
