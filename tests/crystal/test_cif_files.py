"""Crystals in CIF files of programs and databases, compared with gemmi, pymatgen and spglib."""

import gemmi
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter

from cmed_jax.crystal.cif import read_cif
from cmed_jax.crystal.sources import open_source

CUBIC = (5.64, 5.64, 5.64, 90, 90, 90)
SALT = ["Na1 Na 0 0 0 1", "Cl1 Cl 1/2 0.5 0.5 1"]
RHOMBOHEDRAL = (5.129, 5.129, 5.129, 55.288, 55.288, 55.288)
HEXAGONAL = (4.7591, 4.7591, 12.9894, 90, 90, 120)
CORUNDUM_R = ["Al1 Al 0.35216 0.35216 0.35216 1", "O1 O 0.55624 -0.05624 0.25 1"]
CORUNDUM_H = ["Al1 Al 0 0 0.35216 1", "O1 O 0.30624 0 0.25 1"]
LOOP = "loop_\n" + "".join(
    f"_atom_site_{name}\n"
    for name in ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy")
)


def cif(cell, sites, *items, loop=LOOP):
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = [f"_cell_{name} {value}" for name, value in zip(names, cell, strict=True)]
    return "\n".join(["data_x", *lines, *items]) + "\n" + loop + "\n".join(sites) + "\n"


def group(symbol, name="_symmetry_space_group_name_H-M"):
    return f"{name} '{symbol}'"


def operations(symbol):
    listed = gemmi.find_spacegroup_by_name(symbol).operations()
    return "loop_\n_symmetry_equiv_pos_as_xyz\n" + "\n".join(f"'{op.triplet()}'" for op in listed)


def atoms(text):
    return read_cif(text).composition.get_el_amt_dict()


@pytest.mark.parametrize("occupancy", [".", "?", "1", "1.0", "1.00(1)"])
def test_an_occupancy_that_is_not_said_is_full(occupancy):
    sites = [f"Na1 Na 0 0 0 {occupancy}", "Cl1 Cl 0.5 0.5 0.5 1"]
    assert atoms(cif(CUBIC, sites, group("F m -3 m"))) == {"Na": 4, "Cl": 4}


@pytest.mark.parametrize(
    "symmetry",
    [
        group("F m -3 m"),
        group("Fm-3m"),
        group("F m 3 m"),
        group("F m \u22123 m"),
        group("F 4/m -3 2/m"),
        group("F m -3 m", "_space_group_name_H-M_alt"),
        group("F m -3 m", "_space_group.name_H-M_alt"),
        group("-F 4 2 3", "_symmetry_space_group_name_Hall"),
        group("-F 4 2 3", "_space_group_name_Hall"),
        "_symmetry_Int_Tables_number 225",
        "_space_group_IT_number 225",
        "_space_group_name_H-M_alt ?\n_space_group_IT_number 225",
    ],
)
def test_a_symbol_stands_for_its_operations(symmetry):
    assert atoms(cif(CUBIC, SALT, symmetry)) == {"Na": 4, "Cl": 4}


@pytest.mark.parametrize(
    ("cell", "sites", "symbol"),
    [
        (RHOMBOHEDRAL, CORUNDUM_R, "R -3 c :R"),
        (RHOMBOHEDRAL, CORUNDUM_R, "R -3 c R"),
        (RHOMBOHEDRAL, CORUNDUM_R, "R -3 c"),
        (HEXAGONAL, CORUNDUM_H, "R -3 c :H"),
        (HEXAGONAL, CORUNDUM_H, "R -3 c H"),
        (HEXAGONAL, CORUNDUM_H, "R-3c"),
    ],
)
def test_rhombohedral_and_hexagonal_axes_are_kept_apart(cell, sites, symbol):
    """The crystals are those that pymatgen reads with the operations in the file."""
    found = read_cif(cif(cell, sites, group(symbol)))
    setting = "R -3 c:R" if cell is RHOMBOHEDRAL else "R -3 c:H"
    formula = "_chemical_formula_sum 'Al2 O3'"  # pymatgen warns without it
    reference = Structure.from_str(cif(cell, sites, formula, operations(setting)), "cif")
    assert found.composition == reference.composition
    assert found.composition.reduced_formula == "Al2O3"
    np.testing.assert_allclose(
        np.sort(found.distance_matrix.ravel()),
        np.sort(reference.distance_matrix.ravel()),
        atol=1e-3,
    )


def test_axes_of_the_other_kind_are_refused():
    with pytest.raises(ValueError, match=r"its symmetry, R -3 c:H, does not fit its cell"):
        read_cif(cif(RHOMBOHEDRAL, CORUNDUM_R, group("R -3 c :H")))


@pytest.mark.parametrize(
    ("symbol", "place"),
    [("F d -3 m :1", "0"), ("F d -3 m :2", "1/8"), ("F d -3 m S", "0"), ("F d -3 m Z", "0.125")],
)
def test_origins_are_those_of_the_symbol(symbol, place):
    sites = [f"Si1 Si {place} {place} {place} ."]
    found = read_cif(cif((5.431, 5.431, 5.431, 90, 90, 90), sites, group(symbol)))
    assert len(found) == 8
    nearest = np.sort(found.distance_matrix, axis=1)[:, 1]
    np.testing.assert_allclose(nearest, 5.431 * np.sqrt(3) / 4)


def test_of_an_open_origin_the_formula_tells():
    spinel = ["Mg1 Mg 1/8 1/8 1/8 1", "Al1 Al 1/2 1/2 1/2 1", "O1 O 0.2624 0.2624 0.2624 1"]
    cell = (8.083, 8.083, 8.083, 90, 90, 90)
    formula = "_chemical_formula_sum 'Al2 Mg O4'\n_cell_formula_units_Z 8"
    assert atoms(cif(cell, spinel, group("F d -3 m"), formula)) == {"Mg": 8, "Al": 16, "O": 32}
    silicon = cif((5.431,) * 3 + (90,) * 3, ["Si1 Si 0 0 0 1"], group("F d -3 m"))
    with pytest.raises(ValueError, match=r"several settings \(F d -3 m:1, F d -3 m:2\)"):
        read_cif(silicon)


@pytest.mark.parametrize("x", ["0.25", "0.2499", "0.2501", "0.249", "0.25(1)"])
def test_coordinates_beside_a_special_position_are_of_it(x):
    sites = ["Ca1 Ca 0 0 0 1", f"F1 F {x} {x} {x} 1"]
    formula = "_chemical_formula_sum 'Ca F2'"
    text = cif((5.463,) * 3 + (90,) * 3, sites, group("F m -3 m"), formula)
    found = read_cif(text)
    assert found.composition.get_el_amt_dict() == {"Ca": 4, "F": 8}
    np.testing.assert_allclose(4 * found.frac_coords, np.rint(4 * found.frac_coords), atol=1e-6)


@pytest.mark.parametrize(
    "third", ["0.333 0.667", "0.3333 0.6667", "0.33 0.67", "1/3 2/3", "0.33333 0.66667"]
)
def test_thirds_are_thirds(third):
    sites = [f"Mg1 Mg {third} 0.25 1"]
    text = cif((3.209, 3.209, 5.211, 90, 90, 120), sites, group("P 63/m m c"))
    assert atoms(text) == {"Mg": 2}


@given(
    shift=st.lists(st.floats(-4e-4, 4e-4), min_size=3, max_size=3),
    symbol=st.sampled_from(["F m -3 m", "P m -3 m", "P 63/m m c", "I 41/a m d:2", "P n m a"]),
    place=st.sampled_from(["0 0 0", "1/2 1/2 1/2", "0 0 1/2", "1/3 2/3 1/4", "0.1 1/4 0.3"]),
)
def test_rounding_never_adds_an_atom(shift, symbol, place):
    hexagonal = symbol.startswith("P 63")
    cell = (9.8, 9.8, 14.2, 90, 90, 120) if hexagonal else (12.2, 12.2, 12.2, 90, 90, 90)
    exact = [f"Al1 Al {place} 1"]
    ideal = np.array([eval(part) for part in place.split()])  # fractions
    rounded = ["Al1 Al " + " ".join(f"{x:.6f}" for x in ideal + shift) + " 1"]
    whole, near = (read_cif(cif(cell, sites, group(symbol))) for sites in (exact, rounded))
    assert len(near) == len(whole)


@pytest.mark.parametrize(
    ("sites", "items", "message"),
    [
        (
            SALT[1:],
            ["_chemical_formula_sum 'Na Cl'"],
            "make Cl4 in the cell, but its _chem.*Na1 Cl1",
        ),
        (SALT, ["_chemical_formula_sum 'Na Cl'", "_cell_formula_units_Z 8"], "Na1 Cl1 times 8"),
        (["Na1 Na 0 0 ? 1"], [], "atom 'Na1' has the coordinates 0, 0, \\?"),
        (["Na1 Na 0 0 0 2.5"], [], "occupancy '2.5'"),
        (["Na1 Na 0 0 0 0.5"], [], "partial occupancy: Na:0.5 at Na1"),
        (["W1 Wat 0 0 0 1"], [], "'Wat', which is no element"),
        (["Na1 Na 0 0 0 1", "K1 K 0 0 0 1"], [], "partial occupancy: Na:1, K:1"),
        (["Na1 Na 0 0 0 0"], [], "no atom that is there"),
    ],
)
def test_what_contradicts_itself_is_refused(sites, items, message):
    with pytest.raises(ValueError, match=message):
        read_cif(cif(CUBIC, sites, group("F m -3 m"), *items))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data_x\n_cell_length_a 3\n", "holds no crystal"),
        ("data_x\nloop_\n_a\n_b\n1 2 3\n", "it is no whole CIF"),
        (cif((0, 1, 1, 90, 90, 90), SALT), "_cell_length_a is '0'"),
        (cif(CUBIC, SALT, group("X y z")), "space group 'X y z' is not known"),
        (
            cif(CUBIC, SALT, "loop_\n_symmetry_equiv_pos_as_xyz\n'x,y,w'"),
            "operation 'x,y,w' cannot be read",
        ),
    ],
)
def test_what_cannot_be_read_is_answered_in_a_sentence(text, message):
    with pytest.raises(ValueError, match=message) as answer:
        read_cif(text)
    assert "\n" not in str(answer.value)


def test_dummies_are_no_atoms():
    loop = LOOP + "_atom_site_calc_flag\n"
    sites = [f"{site} ." for site in SALT] + ["Cnt1 C 0.25 0.25 0.25 1 dum"]
    assert atoms(cif(CUBIC, sites, group("F m -3 m"), loop=loop)) == {"Na": 4, "Cl": 4}


FEW = "loop_\n_symmetry_equiv_pos_as_xyz\nx,y,z\n-x,-y,-z"


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "leave most of the cell empty, and it names no symmetry"),
        (["_symmetry_equiv_pos_as_xyz x,y,z"], "empty, and it names no symmetry"),
        (["_symmetry_Int_Tables_number 225.0"], "space group '225.0' is not known"),
        ([group("F m -3 m"), FEW], "its 2 operations are not those of its space group F m -3 m"),
    ],
)
def test_a_cell_that_lacks_its_operations_is_refused(items, message):
    with pytest.raises(ValueError, match=message):
        read_cif(cif(CUBIC, SALT, *items))


@pytest.mark.parametrize("unit", [0.1, 100])
def test_a_cell_in_another_unit_is_refused(unit):
    cell = [unit * length for length in CUBIC[:3]] + [90, 90, 90]
    with pytest.raises(ValueError, match="give the lengths of the cell in angstrom"):
        read_cif(cif(cell, SALT, group("F m -3 m")))


@pytest.mark.parametrize("field", [None, "."])
def test_angles_that_are_not_said_are_right(field):
    text = cif(CUBIC, SALT, group("F m -3 m"))
    lines = [line for line in text.splitlines() if "_angle_" not in line or field]
    text = "\n".join(lines).replace(" 90\n", f" {field}\n")
    assert read_cif(text).volume == pytest.approx(5.64**3)
    with pytest.raises(ValueError, match="_cell_length_a is 'not given'"):
        read_cif(text.replace("_cell_length_a", "_cell_a"))


def test_all_atoms_may_be_listed_beside_the_symbol():
    """Programs that list all atoms may keep the symbol of the space group."""
    shifts = [(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)]
    sites = [f"{name} {x + at} {y + at} {z + at} 1" for name, at in (("Na Na", 0), ("Cl Cl", 0.5))
             for x, y, z in shifts]  # fmt: skip
    alone = "loop_\n_symmetry_equiv_pos_as_xyz\nx,y,z"
    for items in ([], [alone], [group("F m -3 m"), alone], [group("F m -3 m")]):
        assert atoms(cif(CUBIC, sites, *items)) == {"Na": 4, "Cl": 4}


def test_a_symbol_and_a_number_of_two_groups_are_refused():
    with pytest.raises(ValueError, match="space group F m -3 m is not number 221"):
        read_cif(cif(CUBIC, SALT, group("F m -3 m"), "_symmetry_Int_Tables_number 221"))


def test_a_shared_site_of_one_element_is_full():
    sites = ["Fe1 Fe2+ 0 0 0 0.5", "Fe2 Fe3+ 0 0 0 0.5", "O1 O2- 0.5 0.5 0.5 1"]
    assert atoms(cif(CUBIC, sites, group("F m -3 m"))) == {"Fe": 4, "O": 4}


def test_labels_tell_elements_where_no_symbols_do():
    loop = LOOP.replace("_atom_site_type_symbol\n", "")
    sites = ["CA1 0 0 0 1", "CL1 0.25 0.25 0.25 1"]
    formula = "_chemical_formula_sum 'Ca Cl2'"
    assert atoms(cif(CUBIC, sites, group("F m -3 m"), formula, loop=loop)) == {"Ca": 4, "Cl": 8}


@pytest.mark.parametrize("symprec", [None, 0.01])
def test_what_pymatgen_writes_is_read_as_it_was(embedded, symprec):
    for name in sorted(embedded)[:: len(embedded) // 25]:
        material = embedded[name]
        crystal = Structure(material.lattice, material.numbers, material.frac_coords)
        found = read_cif(str(CifWriter(crystal, symprec=symprec)))
        assert found.composition.reduced_formula == crystal.composition.reduced_formula
        assert found.volume / len(found) == pytest.approx(crystal.volume / len(crystal), rel=1e-3)


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("a.cif", "utf-8-sig"),
        ("a.CIF", "utf-8"),
        ("a.Cif", "utf-16"),
        ("a.cif", "utf-16-le"),
        ("a.cif", "latin-1"),
    ],
)
def test_files_of_any_encoding_and_ending_are_read(tmp_path, name, encoding):
    text = "# Prüfung\n" + cif(CUBIC, SALT, group("F m -3 m"))
    (tmp_path / name).write_bytes(text.encode(encoding))
    for place in (tmp_path, tmp_path / name):
        (material,) = open_source(str(place))
        assert (material.material_id, material.formula, len(material.numbers)) == ("a", "NaCl", 8)


def test_names_with_dots_are_those_of_the_older_dictionary():
    dotted = cif(CUBIC, SALT, group("F m -3 m", "_space_group.name_H-M_alt"))
    dotted = dotted.replace("_cell_", "_cell.").replace("_atom_site_", "_atom_site.")
    assert atoms(dotted) == {"Na": 4, "Cl": 4}


def test_a_lattice_of_any_shape_keeps_its_lengths():
    cell = (5.1, 6.2, 7.3, 81, 97, 103)
    found = read_cif(cif(cell, ["Na1 Na 0.1 0.2 0.3 1"], group("P -1")))
    np.testing.assert_allclose(found.lattice.parameters, cell)
    assert found.lattice.volume == pytest.approx(Lattice.from_parameters(*cell).volume)


@pytest.mark.parametrize(
    ("symbol", "element"), [("Fe2.5+", "Fe"), ("Fe3.00+", "Fe"), ("'Na1+ '", "Na"), ("Mn+3", "Mn")]
)
def test_charges_of_any_form_are_left_out(symbol, element):
    sites = [f"M1 {symbol} 0 0 0 1", "Cl1 Cl 0.5 0.5 0.5 1"]
    assert atoms(cif(CUBIC, sites, group("F m -3 m"))) == {element: 4, "Cl": 4}


BARE = LOOP.replace("_atom_site_type_symbol\n", "").replace("_atom_site_occupancy\n", "")


def test_labels_may_be_quoted():
    sites = ["'Na1' 0 0 0", '"Cl1\'" 0.5 0.5 0.5']
    assert atoms(cif(CUBIC, sites, group("F m -3 m"), loop=BARE)) == {"Na": 4, "Cl": 4}


@pytest.mark.parametrize("label", ["Wat1", "Vac", "Du1", "Bq"])
def test_water_and_dummies_are_no_elements(label):
    sites = [f"{label} 0 0 0", "Cl1 0.5 0.5 0.5"]
    with pytest.raises(ValueError, match=f"'{label}', which is no element: name its element"):
        read_cif(cif(CUBIC, sites, group("F m -3 m"), loop=BARE))


def test_a_label_of_a_formula_is_its_element():
    sites = ["Wat 0 0 0", "Cl1 0.5 0.5 0.5"]
    formula = "_chemical_formula_sum 'W Cl'"
    assert atoms(cif(CUBIC, sites, formula, group("F m -3 m"), loop=BARE)) == {"W": 4, "Cl": 4}


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (["_symmetry_Int_Tables_number 0"], "leave most of the cell empty.*names no symmetry"),
        (["_cell_formula_units_Z 4"], "make 2 atoms in the cell, fewer than its 4 formula units"),
        ([group("F m -3 m"), "_cell_volume 212.3"], r"_cell_volume is 212\.3, and its .* 179\.4"),
        (
            [group("F m -3 m"), "_exptl_crystal_density_diffrn 4.33"],
            r"density_diffrn is 4\.33, and its cell and atoms make 2\.16\d g/cm\^3",
        ),
    ],
)
def test_what_a_file_states_of_its_cell_is_compared(items, message):
    with pytest.raises(ValueError, match=message):
        read_cif(cif(CUBIC, SALT, *items))


def test_stated_volumes_and_densities_may_be_rounded():
    stated = ["_cell_volume 179.4(2)", "_exptl_crystal_density_diffrn 2.16", "_cell_volume_x ?"]
    assert atoms(cif(CUBIC, SALT, group("F m -3 m"), *stated)) == {"Na": 4, "Cl": 4}


def test_coordinates_in_angstrom_are_refused():
    sites = ["Na1 Na 0 0 0 1", "Cl1 Cl 2.82 2.82 2.82 1"]
    with pytest.raises(ValueError, match=r"its 36 atoms .* overlap: .* which are fractional"):
        read_cif(cif(CUBIC, sites, group("F m -3 m")))


@pytest.mark.parametrize("other", ["Cl2 Cl 0.25 0.25 0.25 2", "Br1 Br 0.5 0.5 0.5 2"])
def test_sites_that_exclude_each_other_are_refused(other):
    loop = LOOP.replace("occupancy", "disorder_group")
    sites = ["Na1 Na 0 0 0 .", "Cl1 Cl 0.5 0.5 0.5 1"]
    assert atoms(cif(CUBIC, sites, group("F m -3 m"), loop=loop)) == {"Na": 4, "Cl": 4}
    with pytest.raises(ValueError, match=r"partial occupancy: Cl1 and .* are alternatives"):
        read_cif(cif(CUBIC, [*sites, other], group("F m -3 m"), loop=loop))


@pytest.mark.parametrize(
    ("length", "sites", "symbol"),
    [
        (3.09, ["S1 S 0 0 0 1", "H1 H 0 0.5 0.5 1"], "I m -3 m"),
        (2.95, ["Na1 Na 0 0 0 1"], "I m -3 m"),
        (3.55, ["Na1 Na 0 0 0 1"], "F m -3 m"),
        (4.35, ["Rb1 Rb 0 0 0 1"], "I m -3 m"),
        (2.9, ["Cs1 Cs 0 0 0 1", "I1 I 0.5 0.5 0.5 1"], "P m -3 m"),
    ],
)
def test_crystals_under_high_pressure_are_read(length, sites, symbol):
    cell = (length, length, length, 90, 90, 90)
    assert read_cif(cif(cell, sites, group(symbol))).volume == pytest.approx(length**3)


def test_atoms_that_overlap_are_refused_by_their_distances():
    cell = (1.9, 1.9, 1.9, 90, 90, 90)
    with pytest.raises(ValueError, match=r"its 8 atoms .* and overlap"):
        read_cif(cif(cell, SALT, group("F m -3 m")))


@pytest.mark.parametrize("density", ["2160", "2164(5)", "2.16"])
def test_a_density_may_be_in_kilograms_per_cubic_metre(density):
    stated = [group("F m -3 m"), f"_exptl_crystal_density_diffrn {density}"]
    assert atoms(cif(CUBIC, SALT, *stated)) == {"Na": 4, "Cl": 4}
    with pytest.raises(ValueError, match="_exptl_crystal_density_diffrn is 3160, and"):
        read_cif(cif(CUBIC, SALT, group("F m -3 m"), "_exptl_crystal_density_diffrn 3160"))


ZIRCONIA = [
    "Zr1 Zr 0.2754 0.0395 0.2083 1",
    "O1 O 0.07 0.3317 0.3447 1",
    "O2 O 0.4496 0.7569 0.4792 1",
]
NUMBER = "_symmetry_Int_Tables_number"


def test_a_number_alone_leaves_the_setting_open():
    cell = (5.1505, 5.2116, 5.3173, 90, 99.23, 90)
    items = "_chemical_formula_sum 'Zr O2'", "_cell_formula_units_Z 4"
    with pytest.raises(ValueError, match=r"several settings .P 1 21/c 1, P 1 21/n 1, P 1 21/a 1"):
        read_cif(cif(cell, ZIRCONIA, *items, f"{NUMBER} 14"))
    assert atoms(cif(cell, ZIRCONIA, *items, group("P 21/c"))) == {"Zr": 4, "O": 8}


@pytest.mark.parametrize("first", [0, 1, 2])
def test_the_formula_tells_the_setting_of_a_number(first):
    # Sulphur is on a mirror plane in one setting only.
    axes = np.roll(range(3), first)
    cell = *np.array([4.443, 5.424, 3.386])[axes], 90, 90, 90
    place = " ".join(map(str, np.array([0.2, 0.378, 0])[axes]))
    sites = "Fe1 Fe 0 0 0 1", f"S1 S {place} 1"
    found = read_cif(cif(cell, sites, "_chemical_formula_sum 'Fe S2'", f"{NUMBER} 58"))
    assert found.composition.get_el_amt_dict() == {"Fe": 2, "S": 4}
    assert found.get_space_group_info()[1] == 58
    distances = found.distance_matrix[np.triu_indices(6, 1)]
    assert distances.min() == pytest.approx(2.21, abs=0.02)  # the pair of sulphur in marcasite


def test_settings_that_make_the_same_atoms_are_one():
    sites = ["Fe1 Fe 0 0 0 1"]
    found = atoms(
        cif((3.1, 4.2, 5.3, 90, 90, 90), sites, f"{NUMBER} 58", "_chemical_formula_sum Fe")
    )
    assert found == {"Fe": 2}


def magnetic(centrings):
    names = "loop_\n_space_group_symop_magn_operation.xyz\n"
    lines = [*("x,y,z,+1", "-x,-y,z,+1", "-x,-y,z,-1")]
    moved = "loop_\n_space_group_symop_magn_centering.xyz\n" + "\n".join(centrings)
    return names + "\n".join(lines), moved


def test_the_operations_of_a_magnetic_group_are_those_of_its_atoms():
    cell = (3.0455, 3.0455, 4.307, 90, 90, 90)
    sites = ["Fe1 Fe 0 0 0 1", "O1 O 0 0 0.5 1"]
    items = magnetic(["x,y,z,+1", "x+1/2,y+1/2,z+1/2,-1"])
    found = read_cif(cif(cell, sites, *items))
    assert found.composition.get_el_amt_dict() == {"Fe": 2, "O": 2}
    assert found.get_space_group_info()[1] == 225


def test_a_magnetic_group_without_operations_is_named():
    name = "_space_group_magn.name_BNS 'P_I 4/m'"
    with pytest.raises(ValueError, match="the magnetic space group 'P_I 4/m' alone: list its oper"):
        read_cif(cif(CUBIC, SALT, name))


def test_isotopes_at_one_site_fill_it_together():
    sites = ["K1 K 0 0 0 1", "D1 D 0.5 0.5 0.5 0.98", "H1 H 0.5 0.5 0.5 0.02"]
    assert atoms(cif((4, 4, 4, 90, 90, 90), sites)) == {"K": 1, "H": 1}


@pytest.mark.parametrize(
    ("symbol", "element"), [("2H", "H"), ("7Li", "Li"), ("11B", "B"), ("T", "H")]
)
def test_a_mass_number_is_no_part_of_an_element(symbol, element):
    assert atoms(cif((3, 3, 3, 90, 90, 90), [f"A1 {symbol} 0 0 0 1"], group("P 1"))) == {element: 1}
