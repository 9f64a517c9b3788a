"""Volumes of atoms are fitted to training materials alone."""

import numpy as np

from benchmarks.atomic_volumes import of_training
from cmed_jax.crystal.material import Material, Refusal


def material(name, number, split):
    return Material(name, 3 * np.eye(3), np.array([number]), np.zeros((1, 3)), 221, split)


def test_what_one_source_holds_out_no_other_brings_back():
    published = [material("a", 29, "train"), material("b", 47, "test"), Refusal("c", "no atoms")]
    again = [material("b", 47, "train"), material("d", 79, "validation"), material("e", 78, None)]
    assert [each.material_id for each in of_training([published, again])] == ["a", "e"]
