"""Selection of space groups by systematic absences.

An operation x -> W x + w makes a reflection absent if it keeps the reflection (h W = h) and changes
its phase (h.w is not integral). Two numbers assess a space group: the measured intensity where it
allows none, and the number of groups of lines that it allows and that are empty.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Integer

from cmed_jax.crystal.bravais import Bravais
from cmed_jax.crystal.symmetry import STEPS, space_group
from cmed_jax.physics.reflections import half_sphere
from cmed_jax.search.observed import Groups
from cmed_jax.search.settings import Setting

FORBIDDEN = 0.01
"""The share of the intensity accepted where a space group allows none: noise and overlap."""
WORSE = 1.5
"""The accepted forbidden intensity over the least that any of the space groups has."""
EMPTY = 1e-3
"""The share of the strongest group of lines below which a group counts as empty."""
PER_EMPTY = 0.25
"""The cost of each allowed empty group beyond the fewest; most reflections can be weak."""
MOST_EMPTY = 20.0
"""The largest cost of empty groups, since pseudo-symmetry makes many reflections weak at once."""


class Allowed(NamedTuple):
    """A setting that the absences allow.

    Attributes:
        setting: the space group and its axes.
        cost: minus the logarithm of the probability of its empty groups of lines.
    """

    setting: Setting
    cost: float


def allowed_settings(
    candidates: tuple[Setting, ...], cell: Bravais, groups: Groups
) -> list[Allowed]:
    """Return the settings that the absent lines allow, the likeliest first.

    Args:
        candidates: the settings of the cell.
        cell: the cell with the conventional reflections that were grouped.
        groups: the groups of its reflections.
    """
    sphere = half_sphere(cell.conventional, float(groups.high[-1]) * (1 + 1e-9))
    place = np.searchsorted(groups.low, sphere.s * (1 + 1e-9)) - 1
    inside = (place >= 0) & (sphere.s <= groups.high[np.maximum(place, 0)] * (1 + 1e-9))
    hkl, place = sphere.hkl[inside].astype(int), place[inside]
    # Only lines forbid: noise is left over at absent reflections as well.
    share = np.where(groups.has_line, groups.share, 0.0)
    empty = share < EMPTY * share.max()
    assessed = []
    for setting in candidates:
        seen = np.bincount(place, present(hkl @ setting.axes.T, setting.number), len(empty)) > 0
        assessed.append((float(share[~seen].sum()), int((seen & empty).sum())))
    least = min(forbidden for forbidden, _ in assessed)
    kept = [forbidden <= max(FORBIDDEN, WORSE * least) for forbidden, _ in assessed]
    fewest = min(vacant for (_, vacant), keep in zip(assessed, kept, strict=True) if keep)
    found = [
        Allowed(setting, min(PER_EMPTY * (vacant - fewest), MOST_EMPTY))
        for setting, (_, vacant), keep in zip(candidates, assessed, kept, strict=True)
        if keep
    ]
    return sorted(found, key=lambda each: each.cost)


def present(hkl: Integer[np.ndarray, "m 3"], number: int) -> Bool[np.ndarray, " m"]:
    """Return which reflections a space group allows.

    Args:
        hkl: the reflections by the standard conventional axes.
        number: the number of the space group.
    """
    cell = space_group(number).cell
    primitive = hkl @ cell
    whole = np.abs(primitive - np.rint(primitive)).max(axis=1) < 1e-6
    return whole & primitive_present(np.rint(primitive).astype(int), number)


def primitive_present(hkl: Integer[np.ndarray, "m 3"], number: int) -> Bool[np.ndarray, " m"]:
    """Return which reflections a space group allows, by its standard primitive axes."""
    group = space_group(number)
    allowed = np.ones(len(hkl), bool)
    for rotation, shift in zip(group.rotations, group.translations, strict=True):
        if shift.any():
            turned = (hkl @ shift) % STEPS != 0
            turned[turned] = (hkl[turned] @ rotation == hkl[turned]).all(axis=1)
            allowed &= ~turned
    return allowed
