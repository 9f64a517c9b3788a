"""|F|^2 of a crystal's reflections on the host, in float64, by products of matrices.

The phase of a site is a product of three, one for each of h, k, l. The phases along a and b are
multiplied for the planes (h, k) that occur; the sum over the sites for all l is then a product of
matrices, which costs a tenth of a sine and a cosine for each site and reflection. Sums that belong
to no reflection are computed too, about as many as there are reflections.
"""

import numpy as np
from jaxtyping import Float, Integer

from cmed_jax.physics.crystal import Crystal
from cmed_jax.physics.form_factors import Table, dispersion, form_factors


def squared_factors(
    crystal: Crystal,
    hkl: Integer[np.ndarray, "m 3"],
    s: Float[np.ndarray, " m"],
    *,
    table: Table,
    b_factor: float = 0.0,
    wavelength: float | None = None,
) -> Float[np.ndarray, " m"]:
    """Return |F|^2 (electrons^2) of reflections, averaged over h and -h.

    The formula is that of `cmed_jax.physics.scattering.squared_structure_factors`.

    Args:
        crystal: a single crystal.
        hkl: reflections.
        s: s = 1/d of the reflections, 1/angstrom.
        table: table of form factors.
        b_factor: isotropic B of every atom, angstrom^2.
        wavelength: wavelength of the anomalous dispersion, angstrom; None for none.
    """
    if not len(hkl):
        return np.zeros(0)
    _, species, occupancy, frac_coords = (np.asarray(field) for field in crystal)
    added = np.zeros((2, len(species))) if wavelength is None else dispersion(species, wavelength)
    first = hkl.min(axis=0).astype(int)
    h, k, ell = hkl.T - first[:, None]
    along_a, along_b, along_c = (
        np.exp(2j * np.pi * np.outer(x, np.arange(low, high + 1)))
        for x, low, high in zip(frac_coords.T, first, hkl.max(axis=0), strict=True)
    )
    occurs = np.zeros((along_a.shape[1], along_b.shape[1]), bool)
    occurs[h, k] = True
    a, b = np.nonzero(occurs)
    plane = along_a[:, a] * along_b[:, b]
    of_plane = np.cumsum(occurs).reshape(occurs.shape) - 1
    place = of_plane[h, k] * along_c.shape[1] + ell
    q = s**2 / 4
    normal, anomalous = np.zeros(len(q), complex), np.zeros(len(q), complex)
    for number, shares, real, imaginary in zip(species, occupancy, *added, strict=True):
        sites = np.flatnonzero(shares)
        sums = (plane[sites].T @ (shares[sites, None] * along_c[sites])).ravel()[place]
        normal += (form_factors(number[None], q, table)[0] + real) * sums
        if imaginary:
            anomalous += imaginary * sums
    # The cross terms of both sums have opposite signs at h and -h, and cancel in the mean.
    squared = sum(part.real**2 + part.imag**2 for part in (normal, anomalous))
    return squared * np.exp(-2 * b_factor * q)
