"""Known crystals of files that change while a process lives, compared with pymatgen."""

import os

import pytest
from pymatgen.core import Lattice, Structure

from cmed_jax.data.records import Recipe
from cmed_jax.prediction.known_crystals import HELD, known_crystals, known_prototypes

SITES = [[0, 0, 0], [0.5, 0.5, 0.5]]


def salt(cation, edge):
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(edge), [cation, "Cl"], SITES)


@pytest.mark.parametrize("folder", [True, False])
def test_a_file_that_changed_is_read_again(tmp_path, folder):
    path = tmp_path / "salt.cif"
    source = str(tmp_path if folder else path)
    for cation, edge, number in (("Na", 5.64, 11), ("K", 6.29, 19)):
        salt(cation, edge).to(str(path))
        os.utime(path, ns=(number, number))  # clocks of file systems may be coarse
        (crystal,) = known_crystals(source)
        assert set(crystal.numbers.tolist()) == {number, 17}
        prototypes = known_prototypes(source, "AB", Recipe())
        assert prototypes is not None
        held = known_crystals(source)
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out" / f"{cation}.cif").touch()  # no file of the source
        assert known_crystals(source) is held


def test_few_sources_are_held(tmp_path):
    names = [str(tmp_path / f"{number}.cif") for number in range(HELD + 1)]
    for number, name in enumerate(names):
        salt("Na", 5.6 + number / 100).to(name)
    first = known_crystals(names[0])
    for name in names[1:]:
        known_crystals(name)
    assert known_crystals(names[0]) is not first


def test_a_source_that_is_missing_is_an_error():
    with pytest.raises(ValueError, match="no materials"):
        known_crystals("nowhere.cif")
