"""CHGCAR files of VASP and other programs, compared with pymatgen; damaged files are refused."""

import gzip
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp import Chgcar

from cmed_jax.crystal.chgcar import read_density, read_head
from cmed_jax.crystal.material import Material
from cmed_jax.crystal.sources import open_source

SHAPE = (4, 5, 6)


def salt():
    rows = [[0, 2.82, 2.82], [2.82, 0, 2.82], [2.82, 2.82, 0]]
    return Structure(Lattice(rows), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture(scope="module")
def density():
    values = np.random.default_rng(0).random(SHAPE) + 0.1
    return 28 / salt().volume * values / values.mean()


@pytest.fixture(scope="module")
def text(density, tmp_path_factory):
    path = tmp_path_factory.mktemp("chgcar") / "CHGCAR"
    Chgcar(salt(), {"total": density * salt().volume}).write_file(str(path))
    return path.read_text()


def with_title(text, title):
    return title + "\n" + text.partition("\n")[2]


def replaced(text, line, new):
    lines = text.splitlines()
    lines[line] = new
    return "\n".join(lines) + "\n"


def test_density_and_structure_are_as_pymatgen_wrote_them(text, density):
    np.testing.assert_allclose(read_density(text), density, rtol=1e-9)
    structure = read_head(text).structure
    assert structure.matches(salt())
    np.testing.assert_allclose(structure.frac_coords, salt().frac_coords, atol=1e-9)


@pytest.mark.parametrize(
    "title", ["", "   ", "Prüfung 25 °C", "1 2 3", "Na Cl", "relaxed\x85 \x0c"]
)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-8-sig"])
def test_any_title_will_do(text, density, tmp_path, title, encoding):
    (tmp_path / "CHGCAR").write_bytes(with_title(text, title).encode(encoding))
    source = open_source(str(tmp_path))
    (material,) = source
    assert isinstance(material, Material)
    assert (material.formula, material.space_group) == ("NaCl", 225)
    np.testing.assert_allclose(source.density(material.material_id), density, rtol=1e-9)


@pytest.mark.parametrize("mode", ["Direct", "direct", "D", "Cartesian", "cart", "K"])
@pytest.mark.parametrize("scale", ["1.0", "2.5", "volume", "2 3 4"])
@pytest.mark.parametrize("selective", [False, True])
def test_positions_are_where_they_were(text, mode, scale, selective):
    """Fractions and angstroms, with each scale of VASP, give the same crystal."""
    crystal = Structure(salt().lattice, salt().species, [[0, 0, 0], [0.46, 0.52, 0.55]])
    if scale == "volume":
        factors = np.full(3, 1.7)
        written = f"-{crystal.volume!r}"
    else:
        factors = np.broadcast_to([float(x) for x in scale.split()], 3)
        written = scale
    rows = crystal.lattice.matrix / factors
    places = crystal.frac_coords if mode[0] in "Dd" else crystal.cart_coords / factors
    lines = ["", written, *(" ".join(map(repr, row.tolist())) for row in rows), "Na Cl", "1 1"]
    lines += ["Selective dynamics"] if selective else []
    flags = " T T F" if selective else ""
    lines += [mode, *(" ".join(map(repr, place.tolist())) + flags for place in places)]
    found = read_head("\n".join(lines)).structure
    np.testing.assert_allclose(found.lattice.matrix, crystal.lattice.matrix, rtol=1e-9)
    apart = found.frac_coords - crystal.frac_coords
    np.testing.assert_allclose(apart - np.rint(apart), 0, atol=1e-9)


def test_of_positions_in_angstrom_pymatgen_says_the_same(text):
    lines = text.splitlines()[:10]
    lines[1], lines[7] = "1.0", "Cartesian"
    lines[8:10] = [" ".join(map(str, place)) for place in salt().cart_coords]
    found = read_head("\n".join(lines)).structure
    assert found.matches(Structure.from_str("\n".join(lines), "poscar"))


@pytest.mark.parametrize("small", ["0.10000000000-100", "-0.1234-101", "0.100D-05", "0.1E-07"])
def test_exponents_without_their_letter_are_read(text, density, small):
    lines = text.splitlines()
    grid = next(i for i, line in enumerate(lines) if line.split() == ["4", "5", "6"])
    first, second, *others = " ".join(lines[grid + 1 :]).split()[: density.size]
    moved = f"{float(first) + float(second):.11E}"  # the number of electrons stays whole
    body = "\n".join([small, moved, *others])
    found = read_density("\n".join([*lines[: grid + 1], body]))
    assert found[0, 0, 0] == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(found[2:], density[2:], rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[: len(text) // 2], "it is truncated: 120 values are promised"),
        (lambda text: text.replace("E+0", "E+0 ", 1), "more values|is '|promised|no whole"),
        (lambda text: text.replace("4 5 6", "4 5 5").replace("4   5   6", "4 5 5"), "more values"),
        (lambda text: re.sub(r"(\d)E\+01", r"\1E+02", text, count=9), "electrons, no whole number"),
        (lambda text: replaced(text, 2, "0 0 0"), "span no cell"),
        (lambda text: replaced(text, 1, "zero"), "line 2 is no scale: 'zero'"),
        (lambda text: replaced(text, 1, "1.0@"), "line 2 is no scale: '1.0@'"),
        (lambda text: replaced(text, 3, "1 2"), "line 4 is not 3 numbers: '1 2'"),
        (lambda text: replaced(text, 5, "na cl"), "unknown element 'na'"),
        (lambda text: replaced(text, 6, "1"), "line 7 does not say how many atoms of Na, Cl"),
        (lambda text: replaced(text, 5, "H H"), "28.00 electrons, and its atoms have 2"),
        (lambda text: text[:40], "it ends after"),
    ],
)
def test_what_is_damaged_is_refused_in_a_sentence(text, change, message):
    with pytest.raises(ValueError, match=message) as answer:
        read_density(change(text))
    assert "\n" not in str(answer.value)


def test_the_density_of_some_bands_is_refused():
    lines = ["", "1", *(" ".join(map(str, row)) for row in salt().lattice.matrix), "Na Cl", "1 1"]
    lines += ["Direct", "0 0 0", "0.5 0.5 0.5", "", "2 1 1", "1.2 0.8"]
    with pytest.raises(ValueError, match=r"1\.00 electrons, fewer than its 2 atoms"):
        read_density("\n".join(lines))


def test_a_density_far_below_zero_is_refused(density):
    lines = ["", "1", *(" ".join(map(str, row)) for row in salt().lattice.matrix), "Na Cl", "1 1"]
    lines += ["Direct", "0 0 0", "0.5 0.5 0.5", "", "2 1 1", "156.0 -100.0"]
    with pytest.raises(ValueError, match=r"falls to -2\.23 e/angstrom\^3"):
        read_density("\n".join(lines))


@pytest.mark.parametrize(
    "end", ["", "augmentation occupancies 1 2\n 0.1 0.2\n", "   4    5    6\n"]
)
def test_what_follows_the_total_is_left(text, density, end):
    spins = end + " ".join(["0.0"] * 120) if end.strip().startswith("4") else end
    np.testing.assert_allclose(read_density(text.rstrip() + "\n" + spins), density, rtol=1e-9)


def test_a_packed_file_of_any_ending_is_read(text, density, tmp_path):
    (tmp_path / "salt_chgcar.GZ").write_bytes(gzip.compress(text.encode()))
    source = open_source(str(tmp_path))
    (material,) = source
    np.testing.assert_allclose(source.density(material.material_id), density, rtol=1e-9)


@given(
    place=st.floats(0, 1),
    length=st.integers(0, 30),
    fragment=st.sampled_from(["", "-", "\n", " ", "1-100", "nan", "********", "1e999", "0.5"]),
)
def test_spoilt_files_are_a_density_or_a_sentence(text, density, place, length, fragment):
    at = int(place * len(text))
    found = density_or_sentence(text[:at] + fragment + text[at + length :])
    if isinstance(found, str):
        assert "\n" not in found
    else:
        assert np.isfinite(found).all()
        assert found.min() > -1


def density_or_sentence(text):
    try:
        return read_density(text)
    except ValueError as error:
        return str(error)
