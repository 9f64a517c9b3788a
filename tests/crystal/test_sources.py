import gzip
import sys
import types

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp import Chgcar

from cmed_jax.crystal.material import Material, Refusal
from cmed_jax.crystal.sources import Source, open_source

HALITE = {
    "material_id": "halite",
    "space_group": 225,
    "lattice": [[0, 2.82, 2.82], [2.82, 0, 2.82], [2.82, 2.82, 0]],
    "species": ["Na", "Cl"],
    "frac_coords": [[0, 0, 0], [0.5, 0.5, 0.5]],
    "split": "test",
    "stability": "stable",
}

UNKNOWN = {"space_group": None}


def halite():
    return Structure(Lattice(HALITE["lattice"]), HALITE["species"], HALITE["frac_coords"])


def write_chgcar(path, structure, density):
    """Write a density in e/angstrom^3 in VASP's format: times the volume."""
    Chgcar(structure, {"total": density * structure.volume}).write_file(str(path))


def refusals(source):
    return {item.material_id: item.reason for item in source if isinstance(item, Refusal)}


def test_the_embedded_materials_are_complete(embedded):
    assert len(embedded) == 11_383
    assert all(isinstance(material, Material) for material in embedded.values())
    assert embedded["mp-149"].formula == "Si"
    assert embedded["mp-149"].split == "test"
    assert isinstance(open_source(), Source)


def test_json_lines_give_materials(jsonl):
    (material,) = open_source(str(jsonl([HALITE, ""])))
    assert (material.material_id, material.formula, material.space_group) == ("halite", "NaCl", 225)
    assert material.split == "test"
    np.testing.assert_array_equal(material.numbers, [11, 17])
    np.testing.assert_array_equal(material.lattice, HALITE["lattice"])


def test_a_missing_space_group_is_found(jsonl):
    row = {name: value for name, value in HALITE.items() if name not in ("space_group", "split")}
    (material,) = open_source(str(jsonl([row])))
    assert (material.space_group, material.split) == (225, None)


def test_compression_does_not_change_the_fingerprint(jsonl):
    plain = jsonl([HALITE])
    packed = plain.with_name("packed.jsonl.gz")
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert open_source(str(plain)).fingerprint() == open_source(str(packed)).fingerprint()
    (material,) = open_source(str(packed))
    assert material.formula == "NaCl"
    other = jsonl([HALITE | {"split": "train"}], "other.jsonl")
    assert open_source(str(other)).fingerprint() != open_source(str(plain)).fingerprint()


@pytest.mark.parametrize(
    ("change", "name", "reason"),
    [
        ("{not json", "line 2", "is not a JSON object"),
        ("[1, 2]", "line 2", "is not a JSON object"),
        ({"lattice": None}, "b", "line 2: the lattice has shape"),
        ({"lattice": [[1, 0, 0], [0, 1, 0]]}, "b", "the lattice has shape"),
        ({"lattice": [[1, 0], [0]]}, "b", "line 2"),
        ({"lattice": [[1, 0, 0], [0, 1, 0], [1, 1, 0]]}, "b", "span no cell"),
        ({"lattice": [[0, 2.8, 2**32], [2.8, 0, 2.8], [2.8, 2.8, 0]]} | UNKNOWN, "b", "long: give"),
        ({"frac_coords": [[0, 0, 0], [1e308, 0, 0]]} | UNKNOWN, "b", "give fractions of the axes"),
        ({"lattice": [[10**400, 0, 0], [0, 1, 0], [0, 0, 1]]}, "b", "line 2"),
        ("[" * 100_000, "line 2", "is not a JSON object"),
        ({"frac_coords": [[0, 0, 0], [0, 0, float("nan")]]}, "b", "finite"),
        ({"species": ["Na", "Xx"]}, "b", "unknown element 'Xx'"),
        ({"species": ["Na"]}, "b", "1 species do not match"),
        ({"species": []}, "b", "0 species do not match"),
        ({"species": [{"Na": 0.5}, "Cl"]}, "b", "line 2"),
        ({"split": "dropped"}, "b", "split 'dropped' is no name: give train, validation, test, or"),
        ({"split": "Dev set"}, "b", "split 'Dev set' is no name: give train, validation, test, or"),
        ({"space_group": 231}, "b", "space_group 231"),
        ({"space_group": "Fm-3m"}, "b", "space_group 'Fm-3m'"),
        (
            {"species": ["Na", "Na"], "frac_coords": [[0, 0, 0]] * 2, "space_group": None},
            "b",
            "no sym",
        ),
        ({"frac_coords": [[0, 0, 0], [0, 0, float("nan")]]} | UNKNOWN, "b", "finite"),
    ],
)
def test_a_bad_line_is_refused_and_the_others_stay(jsonl, change, name, reason):
    bad = change if isinstance(change, str) else HALITE | {"material_id": "b"} | change
    first, refused, last = open_source(str(jsonl([HALITE, bad, HALITE | {"material_id": "c"}])))
    assert (first.material_id, last.material_id) == ("halite", "c")
    assert refused.material_id == name
    assert reason in refused.reason


def test_a_missing_field_is_named(jsonl):
    row = {name: value for name, value in HALITE.items() if name != "lattice"}
    assert refusals(open_source(str(jsonl([row])))) == {"halite": "line 1 has no 'lattice'"}


def test_a_truncated_archive_is_an_error(jsonl):
    damaged = jsonl([HALITE]).with_name("damaged.jsonl.gz")
    packed = gzip.compress(b"x" * 1000)
    for data in (packed[:-10], packed[:12] + b"\xff" + packed[13:]):
        damaged.write_bytes(data)
        with pytest.raises(ValueError, match=r"damaged\.jsonl\.gz is damaged"):
            list(open_source(str(damaged)))


def test_rows_and_cif_files_hold_no_density(jsonl, tmp_path):
    halite().to(str(tmp_path / "halite.cif"))
    for source in (open_source(str(jsonl([HALITE]))), open_source(str(tmp_path))):
        with pytest.raises(ValueError, match="no density of halite: build with density iam"):
            source.density("halite")


def test_cif_files_give_materials_or_reasons(tmp_path):
    crystal = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    crystal.to(str(tmp_path / "halite.cif"))
    alloy = Structure(Lattice.cubic(3.6), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
    alloy.to(str(tmp_path / "alloy.cif"))
    (tmp_path / "broken.cif").write_text("data_broken\n_cell_length_a 3\n")
    (tmp_path / "empty.cif").write_text("")
    text = (tmp_path / "halite.cif").read_text()
    (tmp_path / "two.cif").write_text(text + "\n" + text.replace("data_", "data_second_"))
    with gzip.open(tmp_path / "packed.cif.gz", "wt") as file:
        file.write(text)
    source = open_source(str(tmp_path))
    found = {item.material_id: item for item in source if isinstance(item, Material)}
    assert set(found) == {"halite", "packed"}
    assert found["halite"].space_group == 225
    assert found["halite"].formula == "NaCl"
    reasons = refusals(source)
    assert set(reasons) == {"alloy", "broken", "empty", "two"}
    assert "partial occupancy" in reasons["alloy"]
    assert "2 structures" in reasons["two"]
    assert all(reasons.values())


@pytest.mark.parametrize("name", ["halite.cif", "halite.cif.gz"])
def test_one_cif_file_is_a_source(tmp_path, name):
    halite().to(str(tmp_path / name))
    source = open_source(str(tmp_path / name))
    (material,) = source
    assert (material.material_id, material.formula) == ("halite", "NaCl")
    assert source.description == name
    assert source.fingerprint() == open_source(str(tmp_path)).fingerprint()


def test_a_cif_file_that_cannot_be_used_is_refused_by_name(tmp_path):
    alloy = Structure(Lattice.cubic(3.6), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
    alloy.to(str(tmp_path / "alloy.cif"))
    assert "partial occupancy" in refusals(open_source(str(tmp_path / "alloy.cif")))["alloy"]


def test_chgcar_files_give_structure_and_density(tmp_path):
    rng = np.random.default_rng(0)
    density = rng.random((6, 8, 10))
    density *= 28 / density.mean() / halite().volume  # a whole number of electrons
    write_chgcar(tmp_path / "a_CHGCAR", halite(), density)
    (tmp_path / "b").mkdir()
    write_chgcar(tmp_path / "b" / "CHGCAR", halite(), density)
    packed = gzip.compress((tmp_path / "a_CHGCAR").read_bytes())
    (tmp_path / "c.CHGCAR.gz").write_bytes(packed)
    source = open_source(str(tmp_path))
    found = {material.material_id: material for material in source}
    assert set(found) == {"a", "b", "c"}
    for material_id, material in found.items():
        assert (material.formula, material.space_group) == ("NaCl", 225)
        assert material.density is None
        np.testing.assert_allclose(source.density(material_id), density, rtol=1e-9)


def test_damaged_chgcar_files_are_refused(tmp_path):
    write_chgcar(tmp_path / "good_CHGCAR", halite(), np.ones((4, 4, 4)))
    lines = (tmp_path / "good_CHGCAR").read_text().splitlines(keepends=True)
    (tmp_path / "unnamed_CHGCAR").write_text("".join(lines[:5] + lines[6:]))
    (tmp_path / "short_CHGCAR").write_text("".join(lines[:14]))
    (tmp_path / "text_CHGCAR").write_text("not a density\n")
    source = open_source(str(tmp_path))
    reasons = refusals(source)
    assert set(reasons) == {"unnamed", "text"}
    assert "does not name its elements" in reasons["unnamed"]
    with pytest.raises(ValueError, match="the CHGCAR file cannot be read"):
        source.density("short")


def test_two_files_of_one_id_are_an_error(tmp_path):
    (tmp_path / "a_CHGCAR").write_text("")
    (tmp_path / "a.CHGCAR").write_text("")
    with pytest.raises(ValueError, match="the same material id: rename one"):
        open_source(str(tmp_path))


def test_the_fingerprint_of_a_folder_is_that_of_its_content(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        halite().to(str(tmp_path / name / "halite.cif"))
    one, two = (open_source(str(tmp_path / name)) for name in ("one", "two"))
    assert one.fingerprint() == two.fingerprint()
    with (tmp_path / "two" / "halite.cif").open("a") as file:
        file.write("# changed\n")
    assert one.fingerprint() != two.fingerprint()


def test_what_is_no_source_is_answered_with_the_known_forms(tmp_path, jsonl):
    (tmp_path / "notes.txt").write_text("x")
    for unknown in (tmp_path / "nowhere", tmp_path / "notes.txt", tmp_path):
        with pytest.raises(ValueError, match=r"JSON lines .* CHGCAR files .* mp:crystal_system"):
            open_source(str(unknown))


def test_a_folder_of_both_kinds_is_ambiguous(tmp_path):
    (tmp_path / "a.cif").write_text("")
    (tmp_path / "CHGCAR").write_text("")
    with pytest.raises(ValueError, match="holds CIF and CHGCAR files"):
        open_source(str(tmp_path))


@pytest.fixture
def materials_project(monkeypatch):
    """Replace the client of the Materials Project by stored data, and return its searches."""
    searches = []

    class Client:
        def __init__(self, key):
            assert key == "secret"
            self.materials = types.SimpleNamespace(summary=self)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

        def get_database_version(self):
            return "2026.1.1"

        def search(self, **criteria):
            searches.append(criteria)
            ids = ("mp-2", "mp-1")
            return [types.SimpleNamespace(material_id=i, structure=halite()) for i in ids]

        def get_charge_density_from_material_id(self, material_id):
            if material_id == "mp-2":
                return None
            return Chgcar(halite(), {"total": 3.0 * halite().volume * np.ones((4, 4, 4))})

    package, module = types.ModuleType("mp_api"), types.ModuleType("mp_api.client")
    module.MPRester = Client
    monkeypatch.setitem(sys.modules, "mp_api", package)
    monkeypatch.setitem(sys.modules, "mp_api.client", module)
    monkeypatch.setenv("MP_API_KEY", "secret")
    return searches


def test_the_materials_project_is_searched(materials_project):
    source = open_source("mp:crystal_system=cubic&is_stable=true&num_elements=2&chemsys=Na-Cl,K-Cl")
    assert [material.material_id for material in source] == ["mp-1", "mp-2"]
    assert materials_project == [
        {
            "crystal_system": "Cubic",
            "is_stable": True,
            "num_elements": 2,
            "chemsys": ["Na-Cl", "K-Cl"],
            "fields": ["material_id", "structure"],
        }
    ]
    assert source.fingerprint() != open_source("mp:chemsys=Na-Cl").fingerprint()


def test_the_materials_project_gives_densities(materials_project):
    source = open_source("mp:chemsys=Na-Cl")
    np.testing.assert_allclose(source.density("mp-1"), 3.0)
    with pytest.raises(ValueError, match="holds no charge density"):
        source.density("mp-2")


def test_a_search_of_another_form_is_an_error(materials_project):
    with pytest.raises(ValueError, match="search 'cubic' is not of the form field=value"):
        list(open_source("mp:cubic"))


def test_without_extra_or_key_the_materials_project_says_so(materials_project, monkeypatch):
    source = open_source("mp:chemsys=Na-Cl")
    monkeypatch.delenv("MP_API_KEY")
    with pytest.raises(ValueError, match="MP_API_KEY is not set"):
        list(source)
    monkeypatch.setitem(sys.modules, "mp_api.client", None)
    with pytest.raises(ValueError, match=r"cmed-jax\[mp\]"):
        list(source)
