"""Cells that are indexed from lines, compared with the lattices that the lines were made of."""

import numpy as np
import pytest
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import Lattice, Structure

from cmed_jax.crystal.composition import parse_composition
from cmed_jax.crystal.lattice import PRIMITIVE
from cmed_jax.powder.cell_indexing import index_lines
from cmed_jax.powder.indexing import Shift
from cmed_jax.powder.lines import MeasuredLines

CU = 1.54184
LATTICES = {
    "cubic": ("F", Lattice.cubic(5.64)),
    "hexagonal": ("R", Lattice.hexagonal(4.76, 12.99)),
    "tetragonal": ("P", Lattice.tetragonal(4.594, 2.959)),
    "orthorhombic": ("C", Lattice.orthorhombic(3.02, 9.31, 4.87)),
    "monoclinic": ("P", Lattice.monoclinic(5.15, 5.21, 5.32, 99.2)),
    "hexagonal stack of layers": ("R", Lattice.hexagonal(4.18, 61.33)),
    "tetragonal stack of layers": ("I", Lattice.tetragonal(3.93, 48.89)),
}  # fmt: skip


def primitive(name):
    """Return the primitive lattice, of pymatgen."""
    centring, lattice = LATTICES[name]
    return Lattice(PRIMITIVE[centring].T @ lattice.matrix)


def lines_of(name, zero=0.05, stop=80.0):
    """Return lines of a lattice with errors, one in ten left out, and areas at random."""
    rng = np.random.default_rng(0)
    points = primitive(name).reciprocal_lattice_crystallographic.get_points_in_sphere(
        [[0, 0, 0]], [0, 0, 0], 2 * np.sin(np.radians(stop) / 2) / CU
    )
    s = np.unique(np.round([point[1] for point in points], 6))[1:]
    s = s[rng.random(len(s)) > 0.1]
    angle = 2 * np.degrees(np.arcsin(s * CU / 2))
    angle = angle[np.diff(angle, prepend=0) > 0.1]
    area = rng.uniform(0.2, 1, len(angle))
    errors = rng.normal(0, 0.01, len(angle))
    return MeasuredLines(angle + zero + errors, area, 5.0, stop, CU)


def is_lattice(found, name):
    """Return whether pymatgen maps a lattice on that of the lines."""
    lattice = Lattice(found)
    same = lattice.find_mapping(primitive(name), ltol=0.01, atol=1)
    return same is not None and abs(lattice.volume / primitive(name).volume - 1) < 0.01


@pytest.mark.parametrize("name", LATTICES)
def test_the_cell_of_each_system_is_found_first(name):
    system = name.split()[0]
    cells = index_lines(lines_of(name), systems=(system,))
    assert cells[0].lattice_type == f"{system} {LATTICES[name][0]}"
    assert is_lattice(cells[0].lattice, name)
    assert cells[0].zero == pytest.approx(0.05, abs=0.04)
    assert cells[0].indexed >= 0.95 * cells[0].lines
    merits = [each.merit for each in cells]
    assert merits == sorted(merits, reverse=True)
    assert len(cells) <= 20


def test_the_shift_of_the_preparation_is_taken_off_before_lines_are_indexed():
    """A displacement of the sample moves lines by up to a quarter of a degree."""
    lines, shift = lines_of("tetragonal", zero=0.0), Shift(0.05, 0.002)
    moved = lines._replace(angle=lines.angle + shift.at(lines.angle), shift=shift)
    own, same = (index_lines(each, systems=("tetragonal",))[0] for each in (lines, moved))
    np.testing.assert_allclose(same.parameters, own.parameters, rtol=2e-4)
    assert same.zero == pytest.approx(own.zero + 0.05, abs=0.002)


def test_a_cell_is_found_whose_lines_have_high_indices():
    """The lines by which CaMgTl2 differs from a cell of half its edge are too weak to be used."""
    sites = [[0.0] * 3, [0.5] * 3, [0.25] * 3]
    alloy = Structure.from_spacegroup("Fm-3m", Lattice.cubic(7.459), ["Ca", "Mg", "Tl"], sites)
    pattern = XRDCalculator(0.71073).get_pattern(alloy, two_theta_range=(5, 80))
    lines = MeasuredLines(pattern.x, pattern.y, 5.0, 80.0, 0.71073)
    found = index_lines(lines, parse_composition("CaMgTl2")[0], ("cubic",))[0]
    assert (found.lattice_type, found.indexed) == ("cubic F", found.lines)
    assert found.parameters[0] == pytest.approx(7.459, abs=1e-3)


def test_the_volume_of_whole_formula_units_counts_against_other_cells():
    lines = lines_of("cubic")
    salt, _ = parse_composition("NaCl")
    right = index_lines(lines, salt, ("cubic",))[0]
    assert right.relative_volume == pytest.approx(1, abs=0.2)
    assert is_lattice(right.lattice, "cubic")


def test_lines_of_an_impurity_do_not_hide_the_cell():
    lines = lines_of("tetragonal")
    angle = np.append(lines.angle, [31.3, 47.9])
    area = np.append(lines.area, [0.02, 0.02])
    order = np.argsort(angle)
    dirty = lines._replace(angle=angle[order], area=area[order])
    assert is_lattice(index_lines(dirty, systems=("tetragonal",))[0].lattice, "tetragonal")


def test_no_line_has_no_cell():
    nothing = np.zeros(0)
    assert index_lines(MeasuredLines(nothing, nothing, 5.0, 80.0, CU)) == ()
