"""The assignment of materials to the training, validation and test splits."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable

from cmed_jax.crystal.material import Material
from cmed_jax.crystal.symmetry import either_hand

DROPPED = "dropped"
"""The value in place of a split for a material that would leak a held-out one into training."""


def assign_splits(materials: Iterable[Material]) -> dict[str, str]:
    """Return the split of each material id, a name or "dropped".

    A material keeps the split that its source names. In a crystal system with materials that the
    source holds out of training, all others go to train. Those with the reduced formula and space
    group of a held-out material, or of its mirror image, are dropped instead. In the other crystal
    systems, the hash of the reduced formula decides, 80/10/10, unless another material of that
    formula already has a split.

    Raises:
        ValueError: a material has no space group.
    """
    systems: dict[str, list[Material]] = defaultdict(list)
    for material in materials:
        systems[material.crystal_system].append(material)
    splits: dict[str, str] = {}
    for members in systems.values():
        published = any(material.split not in (None, "train") for material in members)
        splits |= _published_splits(members) if published else _hashed_splits(members)
    return splits


def _published_splits(materials: list[Material]) -> dict[str, str]:
    kinds = [(material.formula, either_hand(material.space_group or 0)) for material in materials]
    named = [material.split for material in materials]
    held_out = {k for k, split in zip(kinds, named, strict=True) if split not in (None, "train")}
    return {
        material.material_id: split or (DROPPED if kind in held_out else "train")
        for material, kind, split in zip(materials, kinds, named, strict=True)
    }


def _hashed_splits(materials: list[Material]) -> dict[str, str]:
    formulas = [material.formula for material in materials]
    named = {f: m.split for f, m in zip(formulas, materials, strict=True) if m.split}
    return {
        material.material_id: material.split or named.get(formula) or _hashed(formula)
        for material, formula in zip(materials, formulas, strict=True)
    }


def _hashed(formula: str) -> str:
    share = int.from_bytes(hashlib.sha256(formula.encode()).digest()[:8]) / 2**64
    return "train" if share < 0.8 else "validation" if share < 0.9 else "test"
