"""Reader of the crystal in a CIF, checked against the formula in the file.

The formula and the number of formula units in the file are compared with the atoms that its
operations generate. A lost atom, another setting, or coordinates near a special position therefore
do not pass.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

import gemmi
import numpy as np
from jaxtyping import Float, Integer

from cmed_jax.crystal.atomic_volumes import usual_relative_volume
from cmed_jax.crystal.cif_names import undotted
from cmed_jax.crystal.cif_symmetry import Operations, doubt_of, operations_of
from cmed_jax.crystal.composition import atomic_number, composition_vector

if TYPE_CHECKING:
    from pymatgen.core import Structure

SAME_SITE = 0.25
"""The distance, angstrom, below which images of an atom are one; its coordinates are rounded."""
FULL = 0.99
"""The occupancy from which on a site counts as full."""
OVERFULL = 1.02
MOST_IMAGES = 200_000
"""The largest product of sites and operations, many times that of the crystals in use."""
TOLERANCE = 0.01
"""The share by which amounts may differ from the formula, which is rounded."""
EMPTY = 2.0
"""The relative volume from which on a cell lacks atoms; open frameworks name their symmetry."""
DENSEST = 0.4
"""The relative volume below which distances tell whether atoms overlap or are under pressure."""
CLOSEST, CLOSEST_SOFT = 0.6, 0.5
"""The least distance of atoms as a share of their covalent radii.

Alkali and alkaline earth metals, the soft ones, have 0.55 at 200 GPa, and others 0.8.
"""
SOFT = frozenset((3, 11, 19, 37, 55, 87, 4, 12, 20, 38, 56, 88))
MOST_CENTRES = 500
"""The number of atoms whose neighbours are examined."""
SMALLEST, LARGEST = 0.02, 1000.0
"""The relative volumes of cells in angstrom; those of cells in nanometres or picometres differ."""
SAME_VOLUME, SAME_DENSITY = 0.02, 0.15
"""The shares by which a stated volume and density may differ; densities lack some hydrogen."""
PER_CUBIC_METRE = 1000.0
"""The number of kg/m^3 in a g/cm^3, in which some programs write densities."""
GRAMS = 1.66053907
"""The atomic mass constant in g/cm^3 angstrom^3."""
ISOTOPES = ("D", "T")
"""The symbols of heavy hydrogen, which scatters X-rays like any hydrogen."""
WATER = frozenset("BDKUVWY")
"""Elements of one letter that a label such as Wat (water), Vac or Du (a dummy) does not mean."""
MISSING = (".", "?", "")
CELL = tuple(f"_cell_{what}" for what in (
    "length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma",
))  # fmt: skip


class Site(NamedTuple):
    """An atom in the list of a file: label, element symbol, fractional coordinates, occupancy."""

    label: str
    element: str
    position: Float[np.ndarray, "3"]
    occupancy: float


class Contents(NamedTuple):
    """The element symbols and fractional coordinates of the atoms in the whole cell."""

    elements: list[str]
    positions: Float[np.ndarray, "n 3"]


def read_cif(text: str) -> "Structure":
    """Return the crystal of a CIF.

    By the definition of the dictionary, an occupancy of "." or "?" is 1, and an angle that is not
    given is 90 degrees. The symmetry comes from the operations, or else from the Hall symbol, the
    Hermann-Mauguin symbol with its setting, or the number.

    Args:
        text: the content of the file.

    Raises:
        ValueError: the text is not a CIF or does not hold exactly one crystal, an item cannot be
            read, a site is partly filled, the symmetry does not fit the cell, leaves the setting
            open, or leaves the cell empty, or the atoms are not those of the formula in the file.
    """
    from pymatgen.core import Lattice, Structure

    block = _block(text)
    parameters = [_cell_number(block, name) for name in CELL]
    lattice = Lattice.from_parameters(*parameters)
    sites = _sites(block)
    fitting = operations_of(block, lattice.matrix)
    found = [_contents(sites, each, lattice.matrix) for each in fitting]
    said = [_contradiction(block, each) for each in found]
    whole = [each for each, wrong in zip(found, said, strict=True) if not wrong]
    if not whole:
        raise ValueError(said[0])
    settings = [each.name for each, wrong in zip(fitting, said, strict=True) if not wrong]
    if not all(_are_equal(whole[0], each, lattice.matrix) for each in whole[1:]):
        raise ValueError(
            f"its space group has several settings ({', '.join(settings)}), and the file does not "
            "say which: list the operations, or name the setting in the symbol"
        )
    structure = Structure(lattice, whole[0].elements, whole[0].positions)
    _check_filled(block, whole[0], structure)
    return structure


def _check_filled(block: gemmi.cif.Block, contents: Contents, structure: "Structure") -> None:
    """Refuse a cell of another unit than angstrom, or one that lacks atoms.

    A cell that is mostly empty lacks atoms where its symmetry is missing or contradicts itself.
    """
    numbers = np.array([atomic_number(each) for each in contents.elements])
    volume = float(structure.volume)
    relative = usual_relative_volume(volume, composition_vector(numbers), len(numbers))
    if not SMALLEST < relative < LARGEST:
        raise ValueError(
            f"its {len(numbers)} atoms are in a cell of {volume:.4g} angstrom^3: give the lengths "
            "of the cell in angstrom"
        )
    if relative < DENSEST and _overlap(structure, numbers):
        raise ValueError(
            f"its {len(numbers)} atoms are in a cell of {volume:.4g} angstrom^3, and overlap: "
            "check the cell, the coordinates, which are fractional, and the setting of the group"
        )
    _check_stated(block, contents, volume)
    if (doubt := doubt_of(block)) and relative > EMPTY:
        raise ValueError(
            f"its {len(numbers)} atoms leave most of the cell empty, and {doubt}: list all "
            "operations, or name the space group"
        )


def _overlap(structure: "Structure", numbers: Integer[np.ndarray, " n"]) -> bool:
    """Return whether two atoms are nearer than under any pressure; hydrogen may be anywhere."""
    radii = np.array([gemmi.Element(int(number)).covalent_r for number in numbers])
    radii *= np.where(np.isin(numbers, list(SOFT)), CLOSEST_SOFT, CLOSEST)
    radii[numbers == 1] = 0
    furthest = 2 * float(radii.max())
    if furthest == 0:
        return False
    at, neighbour, _, distance = structure.get_neighbor_list(
        furthest, sites=structure.sites[:MOST_CENTRES]
    )
    both = (radii[at] > 0) & (radii[neighbour] > 0)
    return bool((both & (distance < radii[at] + radii[neighbour])).any())


def _check_stated(block: gemmi.cif.Block, contents: Contents, volume: float) -> None:
    """Refuse a cell that has another volume or density than the file states."""
    mass = sum(gemmi.Element(each).weight for each in contents.elements)
    stated = (
        ("_cell_volume", volume, SAME_VOLUME, "angstrom^3"),
        ("_exptl_crystal_density_diffrn", mass * GRAMS / volume, SAME_DENSITY, "g/cm^3"),
    )
    for name, value, share, unit in stated:
        said = _number(block.find_value(name) or "")
        if "density" in name and abs(said / PER_CUBIC_METRE / value - 1) <= share:
            continue
        if said > 0 and abs(value / said - 1) > share:  # false for NaN
            raise ValueError(
                f"its {name} is {said:g}, and its cell and atoms make {value:.4g} {unit}: check "
                "the cell, the sites and the symmetry"
            )


def _block(text: str) -> gemmi.cif.Block:
    """Return the one block that holds atoms."""
    try:
        document = gemmi.cif.read_string(undotted(text))
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"it is no whole CIF: {' '.join(str(error).split())[:120]}") from None
    blocks = [block for block in document if len(block.find_values("_atom_site_fract_x"))]
    if not blocks:
        raise ValueError("the file holds no crystal: no block has _atom_site_fract_x")
    if len(blocks) > 1:
        raise ValueError(f"the file holds {len(blocks)} structures: give one a file")
    return blocks[0]


def _cell_number(block: gemmi.cif.Block, name: str) -> float:
    field = block.find_value(name)
    if "angle" in name and field in (None, "."):
        return 90.0  # by the definition of the dictionary
    value = _number(field or "")
    if not value > 0:  # also true for NaN
        raise ValueError(f"{name} is {(field or 'not given')[:40]!r}: give a positive number")
    return value


def _number(field: str) -> float:
    """Return a number with or without standard uncertainty, or a fraction; NaN of other text."""
    field = field.strip("'\" ")
    if re.fullmatch(r"[+-]?\d{1,9}/[1-9]\d{0,8}", field):
        return float(Fraction(field))
    return float(gemmi.cif.as_number(field))


def _sites(block: gemmi.cif.Block) -> list[Site]:
    """Return the listed atoms, without those of occupancy 0 and dummies, such as centroids.

    Raises:
        ValueError: an atom has no element or no coordinates, or a site is partly filled.
    """
    names = ["label", "?type_symbol", "fract_x", "fract_y", "fract_z", "?occupancy", "?calc_flag"]
    formula = _formula(block) or {}
    _check_alternatives(block)
    sites: list[Site] = []
    for row in block.find("_atom_site_", names):
        if row.has(6) and row.str(6) == "dum":
            continue
        label, place = row.str(0), [row[i] for i in (2, 3, 4)]
        position = np.array([_number(field) for field in place])
        if not np.isfinite(position).all():
            written = ", ".join(place)[:60]
            raise ValueError(f"atom {label[:20]!r} has the coordinates {written}: give numbers")
        occupancy = _occupancy(row.str(5) if row.has(5) else ".", label)
        if occupancy > 0:
            symbol = row.str(1) if row.has(1) else "."
            sites.append(Site(label, _element(label, symbol, formula), position, occupancy))
    if not sites:
        raise ValueError("the file lists no atom that is there")
    return sites


def _check_alternatives(block: gemmi.cif.Block) -> None:
    """Refuse sites of several disorder groups, which exclude each other, in one assembly."""
    found: dict[str, dict[str, str]] = {}
    rows = block.find("_atom_site_", ["label", "disorder_group", "?disorder_assembly"])
    for row in rows:
        assembly = row.str(2) if row.has(2) else "."
        if row.str(1) not in MISSING:
            found.setdefault(assembly, {}).setdefault(row.str(1), row.str(0))
    for groups in found.values():
        if len(groups) > 1:
            labels = " and ".join(list(groups.values())[:2])
            raise ValueError(
                f"partial occupancy: {labels[:60]} are alternatives (_atom_site_disorder_group)"
            )


def _occupancy(field: str, label: str) -> float:
    value = 1.0 if field in MISSING else _number(field)
    if not 0 <= value <= OVERFULL:  # also true for NaN
        raise ValueError(f"atom {label[:20]!r} has the occupancy {field[:20]!r}: give 0 to 1")
    return value


def _element(label: str, symbol: str, formula: Iterable[str]) -> str:
    """Return the element of an atom by its type symbol, or else by the letters of its label.

    A mass number before the type symbol is left out, as in 7Li, and D and T are hydrogen.

    Raises:
        ValueError: neither is an element.
    """
    if symbol not in MISSING:
        match = re.fullmatch(r"\d{0,3}([A-Za-z]{1,2})([\d.]*[+-]?|[+-][\d.]*)", symbol.strip())
        candidates = [match.group(1).capitalize()] if match else []
        candidates = ["H" if each in ISOTOPES else each for each in candidates]
    else:
        letters = (re.match(r"[A-Za-z]*", label) or [""])[0]
        candidates = [letters[:2].capitalize(), letters[:1].upper()]
        if letters[1:2].islower() and candidates[1] in WATER - set(formula):
            candidates = candidates[:1]
    known = [each for each in candidates if gemmi.Element(each).atomic_number]
    if not known:
        named = label if symbol in MISSING else symbol
        named = named[:20]
        raise ValueError(f"atom {label[:20]!r} is {named!r}, which is no element: name its element")
    found = next((each for each in known if each in formula), known[0])
    return "H" if found in ISOTOPES else found


def _contents(
    sites: list[Site], operations: Operations, lattice: Float[np.ndarray, "3 3"]
) -> Contents:
    """Return the atoms of the whole cell.

    Raises:
        ValueError: a site is partly filled, or there are too many images.
    """
    if len(sites) * len(operations.rotations) > MOST_IMAGES:
        raise ValueError(f"it lists {len(sites)} atoms, more than any crystal that is used")
    orbits: list[tuple[Float[np.ndarray, "m 3"], dict[str, float], str]] = []
    for site in sites:
        orbit = _orbit(site.position, operations, lattice)
        same = next((filled for at, filled, _ in orbits if _holds(at, orbit[0], lattice)), None)
        if same is None:
            orbits.append((orbit, {site.element: site.occupancy}, site.label))
        else:  # shares of one site by the same element add up to one atom
            same[site.element] = min(same.get(site.element, 0.0) + site.occupancy, 1.0)
    for _, filled, label in orbits:
        if len(filled) > 1 or min(filled.values()) < FULL:
            shares = ", ".join(f"{element}:{share:.3g}" for element, share in filled.items())
            raise ValueError(f"partial occupancy: {shares} at {label}")
    elements = [element for at, filled, _ in orbits for element in list(filled) * len(at)]
    return Contents(elements, np.concatenate([at for at, _, _ in orbits]))


def _are_equal(one: Contents, other: Contents, lattice: Float[np.ndarray, "3 3"]) -> bool:
    """Return whether two contents of a cell are the same atoms at the same places."""
    if Counter(one.elements) != Counter(other.elements):
        return False
    kinds = np.array(other.elements)
    return all(
        _holds(other.positions[kinds == element], position, lattice)
        for element, position in zip(one.elements, one.positions, strict=True)
    )


def _orbit(
    position: Float[np.ndarray, "3"], operations: Operations, lattice: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "m 3"]:
    """Return the distinct images of an atom, moved to the special position near it, if any."""
    images = operations.rotations @ position + operations.translations
    apart = images - position
    apart -= np.rint(apart)
    near = np.linalg.norm(apart @ lattice, axis=1) < SAME_SITE
    images = operations.rotations @ (position + apart[near].mean(axis=0)) + operations.translations
    kept: list[Float[np.ndarray, "3"]] = []
    for image in images % 1.0:
        if not kept or not _holds(np.array(kept), image, lattice):
            kept.append(image)
    return np.array(kept)


def _holds(
    orbit: Float[np.ndarray, "m 3"],
    position: Float[np.ndarray, "3"],
    lattice: Float[np.ndarray, "3 3"],
) -> bool:
    """Return whether an orbit has an atom at a position."""
    apart = orbit - position
    apart -= np.rint(apart)
    return bool((np.linalg.norm(apart @ lattice, axis=1) < SAME_SITE).any())


def _formula(block: gemmi.cif.Block) -> dict[str, float] | None:
    """Return the amounts of the formula in the file; None where no formula can be read."""
    written = (block.find_value("_chemical_formula_sum") or "").strip("'\"; \n\r")
    parts = re.findall(r"([A-Z][a-z]?)(\d*\.?\d*)", written)
    if not parts or re.sub(r"([A-Z][a-z]?)(\d*\.?\d*)|\s", "", written):
        return None
    amounts: dict[str, float] = {}
    for symbol, amount in parts:
        symbol = "H" if symbol in ISOTOPES else symbol
        try:
            atomic_number(symbol)
        except ValueError:
            return None
        amounts[symbol] = amounts.get(symbol, 0.0) + float(amount or 1)
    return amounts if sum(amounts.values()) > 0 else None


def _contradiction(block: gemmi.cif.Block, contents: Contents) -> str:
    """Return the contradiction between formula and atoms; an empty string where they agree."""
    formula = _formula(block)
    said = _number(block.find_value("_cell_formula_units_Z") or "")
    if formula is None:
        count = len(contents.elements)
        return (
            f"its operations and sites make {count} atoms in the cell, fewer than its {said:g} "
            "formula units (_cell_formula_units_Z): list all operations, or name the space group"
            if said > count
            else ""
        )
    found = Counter(contents.elements)
    units = found.total() / sum(formula.values())
    alike = found.keys() == {each for each, amount in formula.items() if amount}
    alike = alike and all(
        abs(found[each] - units * amount) <= TOLERANCE * units * amount + 1e-9
        for each, amount in formula.items()
    )
    # Some programs write the formula of the whole cell and the number of its reduced units.
    whole = [amount for amount in formula.values() if amount == int(amount)]
    reduced = units * math.gcd(*map(int, whole)) if len(whole) == len(formula) else units
    if alike and (np.isnan(said) or min(abs(said - units), abs(said - reduced)) < TOLERANCE * said):
        return ""
    atoms = "".join(f"{each}{amount}" for each, amount in sorted(found.items()))
    named = " ".join(f"{each}{amount:g}" for each, amount in formula.items())
    times = "" if np.isnan(said) else f" times {said:g} (_cell_formula_units_Z)"
    return (
        f"its operations and sites make {atoms} in the cell, but its _chemical_formula_sum is "
        f"{named}{times}: check sites, occupancies and symmetry"
    )
