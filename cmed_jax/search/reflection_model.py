"""The reflections of a space group on a lattice, and the contribution of each orbit to them.

The structure factor is a sum over orbits, F(h) = sum of f_e(h) G(h), with G the sum of
exp(2 pi i h.x) over the atoms of an orbit. Where the origin is a centre of symmetry, G is real and
half of the atoms suffice.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Complex64, Float, Float32, Integer

from cmed_jax.crystal.solid_solutions import UNSHARED, Shares
from cmed_jax.crystal.symmetry import space_group
from cmed_jax.physics.form_factors import dispersion, form_factors
from cmed_jax.physics.reflections import unique_reflections
from cmed_jax.search.extinction import primitive_present
from cmed_jax.search.observed import Groups, ObservedLines
from cmed_jax.search.settings import Setting
from cmed_jax.search.wyckoff import Position, Wyckoff, wyckoff

HYDROGEN = 1
"""The atomic number of hydrogen, which counts as invisible here.

Hydrogen scatters too little for a powder pattern to place it. If it were free, it would follow the
noise.
"""


class OrbitPhases(NamedTuple):
    """The part of an orbit's geometry that structure factors need.

    Attributes:
        turns: h.M of each summed atom: the change of its phase with each free coordinate, in turns.
        phase: h.t of each summed atom, in turns.
        weight: the number of atoms that a summed atom represents: two for a pair about the centre.
    """

    turns: Float32[np.ndarray, "f n m"]
    phase: Float32[np.ndarray, "n m"]
    weight: Float32[np.ndarray, "n 1"]


@dataclass(frozen=True, eq=False)
class ReflectionModel:
    """The reflections of a space group on a lattice, with the measured amplitudes.

    Attributes:
        setting: the space group, its axes and its primitive lattice.
        group: the Wyckoff positions of the space group.
        numbers: the atomic numbers of the elements.
        hkl: one of each set of equivalent reflections, sorted by groups of lines.
        s: 1/d of each reflection, 1/angstrom.
        weight: the multiplicity times the Lorentz-polarization factor of each reflection.
        factors: the form factors of each element, with dispersion where a wavelength is given.
        first: the index of the first reflection of each group of lines.
        group_s: 1/d of each group, 1/angstrom.
        target: the measured amplitude of each group.
        missed: the measured amplitudes of groups without a reflection, and in the second row their
            s.
    """

    setting: Setting
    group: Wyckoff
    numbers: tuple[int, ...]
    hkl: Integer[np.ndarray, "m 3"]
    s: Float[np.ndarray, " m"]
    weight: Float32[np.ndarray, " m"]
    factors: Complex64[np.ndarray, "e m"]
    first: Integer[np.ndarray, " g"]
    group_s: Float32[np.ndarray, " g"]
    target: Float32[np.ndarray, " g"]
    missed: Float[np.ndarray, "2 a"]

    @cached_property
    def orbit_phases(self) -> tuple[OrbitPhases, ...]:
        """The phases of an orbit on each position of the space group."""
        return tuple(self._phases(position) for position in self.group.positions)

    @cached_property
    def fixed_sums(self) -> dict[int, Complex64[np.ndarray, " m"] | Float32[np.ndarray, " m"]]:
        """The sum G of an orbit on each position without free coordinates."""
        nothing = np.zeros((1, 0), np.float32)
        return {
            place: self.sums(place, nothing)[0]
            for place, position in enumerate(self.group.positions)
            if not position.free
        }

    def sums(
        self, place: int, free: Float32[np.ndarray, "b f"]
    ) -> Complex64[np.ndarray, "b m"] | Float32[np.ndarray, "b m"]:
        """Return G of an orbit for rows of its free coordinates; with a centre it is real."""
        phases = self.orbit_phases[place]
        angles = _angles(phases, free)
        real = np.einsum("bnm,nx->bm", np.cos(angles), phases.weight)
        if self.group.centric:
            return real
        return real + 1j * np.einsum("bnm,nx->bm", np.sin(angles), phases.weight)

    def sums_and_slopes(
        self, place: int, free: Float32[np.ndarray, "b f"]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return G of an orbit, and its derivatives by the free coordinates, of shape (b, f, m)."""
        phases = self.orbit_phases[place]
        angles = _angles(phases, free)
        cosine, sine = np.cos(angles), np.sin(angles)
        weighted = 2 * np.pi * phases.weight * phases.turns
        slopes = -np.stack([np.einsum("bnm,nm->bm", sine, turns) for turns in weighted], axis=1)
        real = np.einsum("bnm,nx->bm", cosine, phases.weight)
        if self.group.centric:
            return real, slopes
        other = np.stack([np.einsum("bnm,nm->bm", cosine, turns) for turns in weighted], axis=1)
        return real + 1j * np.einsum("bnm,nx->bm", sine, phases.weight), slopes + 1j * other

    def damping(self, b_factor: float) -> tuple[Float32[np.ndarray, " g"], float]:
        """Return the damping of the amplitudes, and the length of the damped measured ones.

        Args:
            b_factor: the B of the factor exp(-B s^2 / 2) of the intensities, angstrom^2.
        """
        damped = np.exp(-b_factor / 4 * self.group_s**2)
        missed = self.missed[0] * np.exp(-b_factor / 4 * self.missed[1] ** 2)
        length = np.sqrt(((self.target * damped) ** 2).sum() + (missed**2).sum())
        return damped, float(length)

    def _phases(self, position: Position) -> OrbitPhases:
        """Return the phases of an orbit on a position."""
        atoms, weight = _summed(position, self.group.centric)
        hkl = self.hkl.astype(np.float32)
        turns = np.einsum("mi,nif->fnm", hkl, position.linear[atoms].astype(np.float32))
        phase = position.offset[atoms] @ self.hkl.T
        rest = (phase - np.rint(phase)).astype(np.float32)
        return OrbitPhases(turns, rest, weight[:, None].astype(np.float32))


def reflection_model(
    setting: Setting,
    numbers: Sequence[int],
    lines: ObservedLines,
    groups: Groups,
    shares: Shares = UNSHARED,
) -> ReflectionModel:
    """Return the reflections of a space group with the measured groups of lines.

    Args:
        setting: the space group, its axes and its lattice.
        numbers: the atomic numbers of the elements.
        lines: the measured lines.
        groups: the groups of the measured lines, for the same cell.
        shares: the elements that share the sites of an element in a solid solution.
    """
    laue = space_group(setting.number).laue
    orbits = unique_reflections(setting.lattice, float(groups.high[-1]) * (1 + 1e-9), laue)
    place = np.searchsorted(groups.low, orbits.s * (1 + 1e-9)) - 1
    seen = (place >= 0) & (orbits.s <= groups.high[np.maximum(place, 0)] * (1 + 1e-9))
    seen &= primitive_present(orbits.hkl.astype(int), setting.number)
    order = np.flatnonzero(seen)[np.argsort(place[seen], kind="stable")]
    hkl, s, place = orbits.hkl[order].astype(int), orbits.s[order], place[order]
    present, first = np.unique(place, return_index=True)
    missing = np.setdiff1d(np.arange(len(groups.low)), present)
    middle, amplitude = (groups.low + groups.high) / 2, groups.amplitude
    return ReflectionModel(
        setting,
        wyckoff(setting.number),
        tuple(int(number) for number in numbers),
        hkl,
        s,
        (orbits.multiplicity[order] * lines.factor(s)).astype(np.float32),
        np.stack([_factor(shares.get(int(each), {int(each): 1.0}), s, lines) for each in numbers]),
        first,
        middle[present].astype(np.float32),
        amplitude[present].astype(np.float32),
        np.stack([amplitude[missing], middle[missing]]),
    )


def orbits_of(places: Iterable[Iterable[int]]) -> list[tuple[int, int]]:
    """Return the element and the position of each orbit of an assignment."""
    return [(element, place) for element, each in enumerate(places) for place in each]


def _factor(
    filled: Mapping[int, float], s: Float[np.ndarray, " m"], lines: ObservedLines
) -> Complex64[np.ndarray, " m"]:
    """Return the mean form factor of the elements that share a site."""
    factors = _factors(np.array(list(filled)), s, lines.wavelength)
    return (np.array(list(filled.values()), np.float32) @ factors).astype(np.complex64)


def _factors(
    numbers: Integer[np.ndarray, " e"], s: Float[np.ndarray, " m"], wavelength: float | None
) -> Complex64[np.ndarray, "e m"]:
    """Return the form factors of the elements; those of hydrogen are zero."""
    factors = np.asarray(form_factors(numbers, s**2 / 4, "it92")).astype(complex)
    if wavelength is not None:
        real, imaginary = dispersion(numbers, wavelength)
        factors += (real + 1j * imaginary)[:, None]
    factors[numbers == HYDROGEN] = 0
    return factors.astype(np.complex64)


def _summed(
    position: Position, centric: bool
) -> tuple[Integer[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Return the atoms that are summed over, and the number of atoms that each represents."""
    count = position.multiplicity
    if not centric:
        return np.arange(count), np.ones(count)
    flat = position.linear.reshape(count, -1)
    gaps = position.offset[:, None] + position.offset
    opposite = (np.abs(gaps - np.rint(gaps)) < 1e-6).all(axis=-1)
    opposite &= (np.abs(flat[:, None] + flat) < 1e-6).all(axis=-1)
    partner = opposite.argmax(axis=1)
    atoms = np.flatnonzero(np.arange(count) <= partner)
    return atoms, np.where(partner[atoms] == atoms, 1.0, 2.0)


def _angles(phases: OrbitPhases, free: Float32[np.ndarray, "b f"]) -> Float32[np.ndarray, "b n m"]:
    """Return 2 pi h.x of each atom that is summed, within one turn."""
    turns = np.broadcast_to(phases.phase, (len(free), *phases.phase.shape)).copy()
    for column, slope in zip(free.T, phases.turns, strict=True):
        turns += column[:, None, None] * slope
    turns -= np.rint(turns)
    turns *= np.float32(2 * np.pi)
    return turns
