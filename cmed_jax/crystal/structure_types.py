"""The structure types of the AFLOW library, which come with pymatgen: calcite, ilmenite, zircon.

The library of crystallographic prototypes (Mehl et al., Comput. Mater. Sci. 136, S1, 2017) holds
one crystal of each type, as measured. pymatgen brings 288 of them. They serve as prototypes beside
the embedded crystals, which hold few oxides and no carbonates, and they give structures the names
that chemists use.
"""

import gzip
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np

from cmed_jax.crystal.composition import atomic_number
from cmed_jax.crystal.material import Material
from cmed_jax.crystal.symmetry import either_hand

UNUSUAL = ("pressure", "gpa", "theoretical", "different elements")
"""Words of a description that exclude a crystal from the prototypes.

It has no usual volume, or its elements only mark the sites.
"""


class StructureType(NamedTuple):
    """A structure type of the library.

    Attributes:
        crystal: the crystal that the type is named after.
        space_group: the number of its space group.
        description: the mineral or the modification; empty where there is none.
        strukturbericht: the symbol of the Strukturbericht, such as "B1"; empty where there is none.
    """

    crystal: Material
    space_group: int
    description: str
    strukturbericht: str

    @property
    def name(self) -> str:
        """The name of the type, such as "NaCl type (Halite, Rock Salt, B1)"."""
        # Descriptions with marks are formulas or TeX.
        mineral = self.description if re.fullmatch(r"[\w ,-]*", self.description) else ""
        known = ", ".join(each for each in (mineral, self.strukturbericht) if each)
        return f"{self.crystal.formula} type" + (f" ({known})" if known else "")


def structure_types() -> Iterator[Material]:
    """Yield one crystal of each structure type of the AFLOW library.

    A version of pymatgen without the library yields none. The id is the label of AFLOW with the
    formula, such as "ABC3_hR10_167_a_b_e CaCO3".

    Example:
        >>> calcite = next(each for each in structure_types() if each.formula == "CaCO3")
        >>> calcite.material_id
        'ABC3_hR10_167_a_b_e CaCO3'
    """
    for each in _library():
        if not any(word in each.description.lower() for word in UNUSUAL):
            yield each.crystal


def structure_type_of(crystal: Material) -> StructureType | None:
    """Return the structure type of a crystal, as pymatgen's StructureMatcher finds it.

    The type has the same space group, and its atoms are in the same places.

    Args:
        crystal: a crystal in any cell, with its space group.

    Returns:
        The nearest type that fits; None where the library has none.
    """
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher, group = StructureMatcher(), either_hand(crystal.space_group or 1)
    alike = []
    for each in _library():
        if either_hand(each.space_group) != group:
            continue
        if each.crystal.anonymous_formula == crystal.anonymous_formula:
            distance, _ = matcher.get_rms_anonymous(crystal.structure, each.crystal.structure)
            if distance is not None:
                alike.append((distance, each))
    return min(alike, key=lambda pair: pair[0], default=(0.0, None))[1]


@cache
def _library() -> tuple[StructureType, ...]:
    """Read the library; empty where pymatgen does not bring it."""
    # The file alone: importing pymatgen's own reader takes seconds.
    packed = files("pymatgen.analysis") / "prototypes" / "aflow_prototypes.json.gz"
    if not packed.is_file():
        return ()
    entries = json.loads(gzip.decompress(packed.read_bytes()))
    return tuple(_structure_type(entry["tags"], entry["snl"]) for entry in entries)


def _structure_type(tags: Mapping[str, str], stored: Mapping[str, Any]) -> StructureType:
    """Return a structure type from an entry of the library."""
    label, sites = tags["aflow"], stored["sites"]
    crystal = Material(
        label,
        np.array(stored["lattice"]["matrix"], float),
        np.array([atomic_number(site["species"][0]["element"]) for site in sites]),
        np.array([site["abc"] for site in sites], float),
    )
    return StructureType(
        replace(crystal, material_id=f"{label} {crystal.formula}"),
        int(label.split("_")[2]),
        tags["mineral"],
        tags["strukturbericht"].replace("None", ""),
    )
