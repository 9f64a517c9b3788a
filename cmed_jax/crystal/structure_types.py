"""The structure types of the AFLOW library, which come with pymatgen: calcite, ilmenite, zircon.

The library of crystallographic prototypes (Mehl et al., Comput. Mater. Sci. 136, S1, 2017) holds
one crystal of each type, as measured. pymatgen brings 288 of them. They serve as prototypes beside
the embedded crystals, which hold few oxides and no carbonates.
"""

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files

import numpy as np

from cmed_jax.crystal.composition import atomic_number
from cmed_jax.crystal.material import Material

UNUSUAL = ("pressure", "gpa", "theoretical", "different elements")
"""Words of a description that exclude a crystal.

It has no usual volume, or its elements only mark the sites.
"""


def structure_types() -> Iterator[Material]:
    """Yield one crystal of each structure type of the AFLOW library.

    A version of pymatgen without the library yields none. The id is the label of AFLOW with the
    formula, such as "ABC3_hR10_167_a_b_e CaCO3".

    Example:
        >>> calcite = next(each for each in structure_types() if each.formula == "CaCO3")
        >>> calcite.material_id
        'ABC3_hR10_167_a_b_e CaCO3'
    """
    # The file alone: importing pymatgen's own reader takes seconds.
    packed = files("pymatgen.analysis") / "prototypes" / "aflow_prototypes.json.gz"
    if not packed.is_file():
        return
    for entry in json.loads(gzip.decompress(packed.read_bytes())):
        label, description = entry["tags"]["aflow"], entry["tags"]["mineral"].lower()
        if any(word in description for word in UNUSUAL):
            continue
        sites = entry["snl"]["sites"]
        crystal = Material(
            label,
            np.array(entry["snl"]["lattice"]["matrix"], float),
            np.array([atomic_number(site["species"][0]["element"]) for site in sites]),
            np.array([site["abc"] for site in sites], float),
        )
        yield replace(crystal, material_id=f"{label} {crystal.formula}")
