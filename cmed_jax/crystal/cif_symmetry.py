"""The symmetry of a CIF: its operations, or those of its symbols, by gemmi."""

import re
from collections.abc import Sequence
from itertools import islice, product
from typing import NamedTuple

import gemmi
import numpy as np
from jaxtyping import Float

OPERATIONS = (
    "_space_group_symop_operation_xyz",
    "_symmetry_equiv_pos_as_xyz",
    "_space_group_symop_magn_operation_xyz",
)
CENTRINGS = "_space_group_symop_magn_centering_xyz"
"""The translations of a magnetic group, by which its operations are multiplied."""
MAGNETIC = ("_space_group_magn_name_BNS", "_space_group_magn_name_OG")
HALL = ("_space_group_name_Hall", "_symmetry_space_group_name_Hall")
HERMANN_MAUGUIN = (
    "_space_group_name_H-M_alt",
    "_symmetry_space_group_name_H-M",
    "_space_group_name_H-M_full",
    "_space_group_name_H-M_ref",
)
SETTINGS = 530
"""The number of settings in gemmi's table that are those of International Tables B."""
NUMBERS = ("_space_group_IT_number", "_symmetry_Int_Tables_number")
"""The names of items of symmetry, without the dots of the newer dictionaries."""
LETTERS = {"H": "H", "R": "R", "S": "1", "Z": "2"}
"""The settings by the letters that some databases put after the symbol, without a colon."""
MISFIT = 0.02
"""The share by which operations may change the metric of a cell of rounded numbers."""
MISSING = (".", "?", "")


class Operations(NamedTuple):
    """Operations x' = R x + t on fractional coordinates, and the name of their setting."""

    rotations: Float[np.ndarray, "m 3 3"]
    translations: Float[np.ndarray, "m 3"]
    name: str

    @classmethod
    def of(cls, operations: Sequence[gemmi.Op], name: str) -> "Operations":
        """Return gemmi's operations as arrays."""
        rotations = np.array([each.rot for each in operations], float) / gemmi.Op.DEN
        translations = np.array([each.tran for each in operations], float) / gemmi.Op.DEN
        return cls(rotations, translations, name)

    def fit(self, lattice: Float[np.ndarray, "3 3"]) -> bool:
        """Return whether the operations keep all lengths and angles of a cell."""
        metric = lattice @ lattice.T
        kept = np.einsum("mji,jk,mkl->mil", self.rotations, metric, self.rotations)
        return bool(np.abs(kept - metric).max() < MISFIT * metric.max())


def operations_of(
    block: gemmi.cif.Block, lattice: Float[np.ndarray, "3 3"]
) -> tuple[Operations, ...]:
    """Return the operations of a crystal, in each fitting setting where a symbol leaves it open.

    A file without operations, symbols and number lists all its atoms: its only operation is the
    identity.

    Args:
        block: the block of the CIF, with names without dots.
        lattice: rows a, b, c in angstrom.

    Raises:
        ValueError: an operation or a symbol cannot be read, or no setting fits the cell.
    """
    written = _listed(block) or _of_symbols(block)
    fitting = tuple(each for each in written if each.fit(lattice))
    if not fitting:
        raise ValueError(
            f"its symmetry, {written[0].name}, does not fit its cell: check the cell and the "
            "setting of the space group"
        )
    return fitting


def doubt_of(block: gemmi.cif.Block) -> str:
    """Return why the symmetry in a file may not be that of its crystal; empty where it may."""
    listed, symbol = _listed(block), _text(block, HERMANN_MAUGUIN)
    groups = _groups(symbol) if symbol else []
    if listed and groups:
        held = len(listed[0].rotations)
        if all(len(list(group.operations())) != held for group in groups):
            return f"its {held} operations are not those of its space group {symbol}"
    alone = not listed or len(listed[0].rotations) == 1
    number = _text(block, NUMBERS).strip("0")
    if alone and not groups and not (_text(block, HALL) or number):
        return "it names no symmetry"
    return ""


def _listed(block: gemmi.cif.Block) -> list[Operations]:
    """Return the operations that a file lists."""
    for name in OPERATIONS:
        fields = [gemmi.cif.as_string(field) for field in block.find_values(name)]
        fields = [field for field in fields if field not in MISSING]
        if fields:
            listed = [_operation(field) for field in fields]
            if "magn" in name:
                listed = _with_centrings(listed, block)
            return [Operations.of(listed, "as listed")]
    return []


def _with_centrings(listed: Sequence[gemmi.Op], block: gemmi.cif.Block) -> list[gemmi.Op]:
    """Return the operations of a magnetic group on its atoms, once each.

    Those that differ by the reversal of time alone do the same to the atoms.
    """
    fields = [gemmi.cif.as_string(field) for field in block.find_values(CENTRINGS)]
    moved = [_operation(field) for field in fields if field not in MISSING]
    products = (centring * each for centring, each in product(moved or [gemmi.Op()], listed))
    return list({each.wrap().triplet(): each for each in products}.values())


def _operation(triplet: str) -> gemmi.Op:
    # Some programs write the number of an operation in the same field.
    triplet = re.sub(r"^\s*\d+\s+(?=\S+,)", "", triplet)
    triplet = re.sub(r"^([^,]+,[^,]+,[^,]+),\s*[+-]?1\s*$", r"\1", triplet)  # reversal of time
    try:
        return gemmi.Op(triplet)
    except (ValueError, RuntimeError):
        raise ValueError(
            f"operation {triplet[:40]!r} cannot be read: give such as x,-y,z"
        ) from None


def _of_symbols(block: gemmi.cif.Block) -> list[Operations]:
    """Return the operations of the Hall symbol, the Hermann-Mauguin symbol or the number."""
    if (hall := _text(block, HALL)) and (operations := _of_hall(hall)):
        return [operations]
    symbol, number = _text(block, HERMANN_MAUGUIN), _text(block, NUMBERS)
    groups = _groups(symbol) if symbol else []
    if groups and number.isdecimal() and int(number) not in (0, groups[0].number):
        raise ValueError(
            f"its space group {symbol} is not number {number}, and no operations are listed: list "
            "them, or correct one of the two"
        )
    if not groups and number.isdecimal() and 1 <= int(number) <= 230:
        table = islice(gemmi.spacegroup_table(), SETTINGS)
        groups = [each for each in table if each.number == int(number)]
    if groups:
        return [Operations.of(list(group.operations()), group.xhm()) for group in groups]
    if (known := symbol or hall or number) not in ("", "0"):
        raise ValueError(
            f"space group {known[:40]!r} is not known, and no operations are listed: list them"
        )
    if magnetic := _text(block, MAGNETIC):
        raise ValueError(
            f"it names the magnetic space group {magnetic[:40]!r} alone: list its operations "
            "(_space_group_symop_magn_operation.xyz)"
        )
    return [Operations.of([gemmi.Op("x,y,z")], "P 1")]


def _of_hall(symbol: str) -> Operations | None:
    try:
        return Operations.of(list(gemmi.symops_from_hall(symbol)), symbol)
    except (ValueError, RuntimeError):
        return None


def _groups(symbol: str) -> list[gemmi.SpaceGroup]:
    """Return the settings that a Hermann-Mauguin symbol may mean; none where it is unknown."""
    plain = re.sub(r"\s+", " ", symbol.replace("_", "").replace("\u2212", "-")).strip()
    plain = re.sub(r"(\d)\((\d)\)", r"\1\2", plain)  # P 2(1)/c
    if match := re.fullmatch(r"(.+?) ?\(?:? ?([HRSZ])\)?", plain):
        base, letter = match.groups()
        setting = gemmi.find_spacegroup_by_name(f"{base}:{LETTERS[letter]}")
        if setting is not None:
            return [setting]
    found: gemmi.SpaceGroup | None
    found = gemmi.find_spacegroup_by_name(plain) or _by_pymatgen(plain)
    if found is None:
        return []
    return [found] if ":" in plain else _settings(found)


def _by_pymatgen(symbol: str) -> gemmi.SpaceGroup | None:
    """Return the group of a full symbol, such as F 4/m -3 2/m, from pymatgen's table."""
    from pymatgen.symmetry.groups import SpaceGroup

    try:
        number = SpaceGroup(symbol.replace(" ", "")).int_number
    except (ValueError, KeyError, AttributeError):
        return None
    return gemmi.find_spacegroup_by_number(number)


def _settings(group: gemmi.SpaceGroup) -> list[gemmi.SpaceGroup]:
    """Return the settings (origins and axes) of a group under one symbol."""
    return [
        each
        for each in gemmi.spacegroup_table()
        if each.number == group.number and each.hm == group.hm
    ]


def _text(block: gemmi.cif.Block, names: Sequence[str]) -> str:
    """Return the first of the items that has a value."""
    for name in names:
        if (field := block.find_value(name)) and field not in MISSING:
            text = gemmi.cif.as_string(field).strip()
            if text not in MISSING:
                return text
    return ""
