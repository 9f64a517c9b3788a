from collections import Counter

import numpy as np
import pytest

from cmed_jax.crystal.composition import atomic_number
from cmed_jax.crystal.material import Material
from cmed_jax.crystal.splits import DROPPED, assign_splits


def material(material_id, elements, space_group, split=None):
    numbers = np.array([atomic_number(e) for e in elements])
    return Material(
        material_id, np.eye(3), numbers, np.zeros((len(numbers), 3)), space_group, split
    )


def test_published_splits_are_kept_and_their_doubles_dropped():
    splits = assign_splits(
        [
            material("held out", ["Na", "Cl"], 225, "test"),
            material("named double", ["Na", "Cl"], 225, "train"),
            material("double", ["Cl", "Cl", "Na", "Na"], 225),
            material("polymorph", ["Na", "Cl"], 221),
            material("other", ["K", "Cl"], 225),
        ]
    )
    assert splits == {
        "held out": "test",
        "named double": "train",
        "double": DROPPED,
        "polymorph": "train",
        "other": "train",
    }


def test_the_mirror_image_of_a_held_out_material_is_dropped():
    """Quartz is P3_121 or P3_221."""
    hands = [
        material("right", ["Si", "O", "O"], 152, "test"),
        material("left", ["Si", "O", "O"], 154),
    ]
    assert assign_splits(hands) == {"right": "test", "left": DROPPED}


def test_what_another_benchmark_holds_out_stays_out_of_training():
    splits = assign_splits(
        [material("other", ["Na", "Cl"], 225, "mp20"), material("double", ["Na", "Cl"], 225)]
    )
    assert splits == {"other": "mp20", "double": DROPPED}


def test_a_formula_is_never_divided_where_no_split_is_published():
    pairs = [(a, b) for a in ("Li", "Na", "K", "Rb") for b in ("F", "Cl", "Br", "I")]
    materials = [
        material(f"{a}{b}{group}", [a, b], group) for a, b in pairs for group in (166, 160, 148)
    ]
    splits = assign_splits(materials)
    for a, b in pairs:
        assert len({splits[f"{a}{b}{group}"] for group in (166, 160, 148)}) == 1


def test_a_formula_follows_the_material_that_has_a_split():
    compounds = [["Na", "Cl"], ["Li", "F"], ["K", "Br"], ["Fe"], ["Zn", "O"], ["Ga", "N"]]
    named = [material(f"a{i}", c, 194, "train") for i, c in enumerate(compounds)]
    others = [material(f"b{i}", c, 186) for i, c in enumerate(compounds)]
    assert set(assign_splits(named + others).values()) == {"train"}


def test_systems_do_not_influence_each_other():
    cubic = [material("c1", ["Na", "Cl"], 225, "test"), material("c2", ["Na", "Cl"], 221)]
    hexagonal = [material("h", ["Na", "Cl"], 194)]
    assert assign_splits(cubic) | assign_splits(hexagonal) == assign_splits(cubic + hexagonal)


def test_embedded_systems_without_published_splits_are_divided_80_10_10(embedded):
    members = [m for m in embedded.values() if m.crystal_system == "monoclinic"]
    counts = Counter(assign_splits(members).values())
    shares = [counts[split] / len(members) for split in ("train", "validation", "test")]
    np.testing.assert_allclose(shares, [0.8, 0.1, 0.1], atol=0.03)


def test_embedded_cubic_holds_what_crystalnet_held_out(embedded):
    members = [m for m in embedded.values() if m.crystal_system == "cubic"]
    counts = Counter(assign_splits(members).values())
    assert counts == {"train": 2350, "validation": 54, "test": 115, DROPPED: 4}


def test_without_space_group_there_is_no_split():
    with pytest.raises(ValueError, match="space group None"):
        assign_splits([material("x", ["Na"], None)])
