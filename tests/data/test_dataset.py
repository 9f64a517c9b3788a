import dataclasses
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from cmed_jax.crystal.sources import open_source
from cmed_jax.data.dataset import (
    Records,
    fingerprint,
    load_compact_examples,
    load_examples,
    load_structures,
    number_of_records,
    parts_of,
    provenance,
)
from cmed_jax.data.encoding import decode_density
from cmed_jax.data.examples import CompactExamples, Examples
from cmed_jax.data.records import Recipe, make_record


def equal(one, other):
    for field in dataclasses.fields(Examples):
        columns = getattr(one, field.name), getattr(other, field.name)
        pairs = zip(*columns, strict=True) if field.name == "lines" else [columns]
        for pair in pairs:
            np.testing.assert_array_equal(*pair)


def test_a_split_holds_the_records_of_its_materials_in_order(whole, salts):
    examples = load_examples(whole, "train")
    materials = {m.material_id: m for m in open_source(str(salts)) if m.split == "train"}
    assert examples.material_id.tolist() == sorted(materials)
    assert len(examples) == 6
    for row, material_id in enumerate(examples.material_id):
        record = make_record(materials[material_id])
        assert examples.formula[row] == record["formula"]
        assert (examples.space_group[row], examples.atoms[row]) == (225, 2)
        np.testing.assert_array_equal(examples.pattern[[row]], record["pattern"])
        np.testing.assert_array_equal(examples.composition[row], record["composition"])
        for name in ("lattice", "amplitude", "series"):
            stored = getattr(examples, name)[row].astype(float)
            np.testing.assert_allclose(stored, record[name], rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(examples.lines[row], record["reflections"], rtol=1e-6)
        density = decode_density(record["density"], record["density_scale"])
        np.testing.assert_allclose(examples.densities([row])[0], density, atol=1e-3)


def test_compact_examples_are_the_examples_without_their_grids(whole, salts):
    examples, compact = load_examples(whole, "train"), load_compact_examples(whole, "train")
    materials = {m.material_id: m for m in open_source(str(salts))}
    crystals = [materials[name] for name in examples.material_id]
    assert not hasattr(compact, "density")
    made = CompactExamples.of_crystals(crystals, Recipe())
    for field in dataclasses.fields(CompactExamples):
        stored = getattr(examples, field.name)
        np.testing.assert_array_equal(getattr(compact, field.name), stored)
        if field.name in ("lattice", "amplitude", "series"):
            found = getattr(made, field.name).astype(float)
            np.testing.assert_allclose(found, stored, rtol=2e-3, atol=2e-3)
        else:
            np.testing.assert_array_equal(getattr(made, field.name), stored)


def test_densities_are_asked_for_by_rows(whole):
    examples = load_examples(str(whole), "validation")
    densities = examples.densities(np.array([1, 0, 1]))
    assert densities.shape == (3, 50, 50, 50)
    assert densities.dtype == np.float32
    np.testing.assert_array_equal(densities[0], densities[2])
    np.testing.assert_array_equal(examples.densities(slice(0, 2)), densities[1::-1])


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_parts_read_as_one_dataset(whole, in_parts, split):
    equal(load_examples(in_parts, split), load_examples(whole, split))


@pytest.mark.parametrize("directory", ["whole", "in_parts"])
def test_records_are_read_by_the_rows_of_the_examples(request, directory):
    directory = request.getfixturevalue(directory)
    examples, records = load_examples(directory, "train"), Records(directory, "train")
    assert records.material_id.tolist() == examples.material_id.tolist()
    rows = np.array([4, 1, 4])
    found = records.read(rows)
    equal(found, examples.rows(rows))


def test_records_are_counted_without_reading_them(in_parts):
    assert number_of_records(in_parts, "train") == 6
    assert number_of_records(in_parts, "dev") == 0


def test_structures_are_those_of_the_examples(in_parts, salts):
    examples, structures = (read(in_parts, "train") for read in (load_examples, load_structures))
    materials = {m.material_id: m for m in open_source(str(salts))}
    assert [crystal.material_id for crystal in structures] == examples.material_id.tolist()
    for crystal in structures:
        record = make_record(materials[crystal.material_id])
        np.testing.assert_array_equal(crystal.lattice, record["lattice"])
        np.testing.assert_array_equal(crystal.numbers, record["species"])
        np.testing.assert_array_equal(crystal.frac_coords, record["frac_coords"])
        assert (crystal.space_group, crystal.split) == (225, "train")


def test_parts_add_up(whole, in_parts):
    assert len(parts_of(in_parts)) == 3
    assert provenance(in_parts)["records"] == provenance(whole)["records"]
    assert fingerprint(in_parts) == fingerprint(whole)


def test_provenance_says_what_it_was_built_from(whole, salts):
    content = provenance(whole)
    assert content["records"] == {"test": 2, "train": 6, "validation": 2}
    assert (content["dropped"], content["refused"]) == (0, 0)
    assert content["identity"]["source"] == open_source(str(salts)).fingerprint()
    assert content["identity"]["density"] == "iam"


def test_no_dataset_is_answered_with_how_to_build_one(tmp_path):
    for reader in (fingerprint, lambda directory: load_examples(directory, "train")):
        with pytest.raises(FileNotFoundError, match=r"no dataset in .*tfds_builders\.cmed"):
            reader(tmp_path)


def test_a_missing_part_is_named(in_parts, tmp_path):
    shutil.copytree(in_parts, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "part_2_of_3")
    with pytest.raises(FileNotFoundError, match="part 2 of 3 is missing"):
        load_examples(tmp_path / "copy", "train")


def test_parts_of_several_divisions_are_an_error(in_parts, tmp_path):
    shutil.copytree(in_parts, tmp_path / "copy")
    shutil.copytree(in_parts / "part_2_of_3", tmp_path / "copy" / "part_2_of_2")
    with pytest.raises(FileNotFoundError, match="parts of 2 and of 3"):
        load_examples(tmp_path / "copy", "train")


def test_parts_built_differently_are_an_error(in_parts, tmp_path):
    shutil.copytree(in_parts, tmp_path / "copy")
    path = tmp_path / "copy" / "part_2_of_3" / "provenance.json"
    content = json.loads(path.read_text())
    content["identity"]["b_factor"] = 2.0
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"b_factor is 2.0 and not 4.0"):
        load_examples(tmp_path / "copy", "train")


def test_records_of_an_earlier_version_are_an_error(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "copy")
    path = tmp_path / "copy" / "provenance.json"
    content = json.loads(path.read_text())
    content["identity"]["version"] = "2.0.0"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"of version 2.0.0, and 3.1.0 is read: build the dataset"):
        load_examples(tmp_path / "copy", "train")


def test_an_unknown_split_is_answered_with_the_known_ones(whole):
    with pytest.raises(ValueError, match=r"no split 'dev' in .*: it has test, train, validation"):
        load_examples(whole, "dev")


def test_the_reader_needs_neither_pymatgen_nor_tensorflow():
    code = "import sys, cmed_jax.data.dataset; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert not {"pymatgen", "tensorflow", "torch"} & set(loaded)
