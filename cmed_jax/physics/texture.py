"""Preferred orientation: the effect of a pressed powder on the strength of its lines.

A line is the sum over reflections that coincide in s. Under a March-Dollase texture the strength of
each reflection depends on its angle to the axis of the texture, so the directions of all members of
a line are needed. For single reflections, `march_dollase` is exact. A merged line is described by
the moments of its members' directions up to the sixth order: 28 numbers a line, for any number of
members. March's function is then replaced by its Legendre series of that order, with an error of
less than 0.1 for r from 0.7 to 1.4.
"""

import itertools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer
from numpy.polynomial import legendre

from cmed_jax.physics.profiles import Scalar

ORDER = 6
"""The order of the Legendre series; odd orders vanish, as opposite reflections are equal."""


def march_dollase(square: Float[Array, "*m"], r: Scalar) -> Float[Array, "*m"]:
    """Return (r^2 cos^2 + sin^2 / r)^(-3/2); its mean over all directions is 1.

    This is March's distribution for powders (Dollase, J. Appl. Cryst. 19, 267, 1986).

    Args:
        square: cosine squared of the angle between a reflection and the axis.
        r: March's parameter, below 1 for flat plates, above 1 for needles, 1 without texture.
    """
    return (r**2 * square + (1 - square) / r) ** -1.5


def moments(directions: Float[np.ndarray, "m 3"]) -> Float[np.ndarray, "m 28"]:
    """Return the monomials of degree six of unit vectors; a line's moments are their mean."""
    powers = directions[:, :, None] ** np.arange(ORDER + 1)
    x, y, z = _exponents(ORDER).T
    return powers[:, 0, x] * powers[:, 1, y] * powers[:, 2, z]


def line_factors(
    moments: Float[Array, "l 28"], axis: Float[Array, "3"], r: Scalar
) -> Float[Array, " l"]:
    """Return the March-Dollase factor of merged lines, to the sixth order, never negative.

    Args:
        moments: mean of `moments` over the members of each line.
        axis: axis of the texture, a unit vector in the frame of the directions.
        r: March's parameter.
    """
    coefficients = jnp.asarray(_SERIES) @ march_dollase(jnp.asarray(_NODES) ** 2, r)
    powers = jnp.stack([axis**k for k in range(ORDER + 1)])
    form = sum(
        coefficient * (jnp.asarray(expansion) @ jnp.prod(powers[exponents, jnp.arange(3)], axis=1))
        for coefficient, (expansion, exponents) in zip(coefficients, _EXPANSIONS, strict=True)
    )
    return jnp.maximum(moments @ form, 0.0)


def _exponents(degree: int) -> Integer[np.ndarray, "n 3"]:
    triples = itertools.product(range(degree + 1), repeat=3)
    return np.array([triple for triple in triples if sum(triple) == degree])


def _multinomial(exponents: Integer[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n"]:
    factorials = np.cumprod(np.maximum(np.arange(ORDER + 1.0), 1.0))
    return factorials[exponents.sum(axis=-1)] / factorials[exponents].prod(axis=-1)


def _expansion(degree: int) -> Float[np.ndarray, "28 n"]:
    """Return the coefficients of (axis.u)^degree (u.u)^(3 - degree / 2).

    Rows are powers of u, and columns are powers of the axis. On the unit sphere the second factor
    is 1, so a polynomial of any even order becomes one of the order six.
    """
    lower = _exponents(degree)
    rest = _exponents(ORDER)[:, None] - lower
    squares = np.maximum(rest, 0) // 2
    possible = (rest == 2 * squares).all(axis=-1)
    return np.where(possible, _multinomial(squares) * _multinomial(lower), 0.0)


def _series() -> Float[np.ndarray, "4 32"]:
    """Return the matrix that maps March's function at the nodes to coefficients of even cos^n."""
    even = np.arange(0, ORDER + 1, 2)
    values = legendre.legvander(_NODES, ORDER)[:, even]
    projection = (even + 0.5)[:, None] * (values * _WEIGHTS[:, None]).T
    powers = np.stack(
        [
            np.pad(legendre.leg2poly(row[: k + 1]), (0, ORDER - k))
            for k, row in enumerate(np.eye(ORDER + 1))
        ]
    )
    return powers[even][:, even].T @ projection


_NODES, _WEIGHTS = legendre.leggauss(32)
_SERIES = _series()
_EXPANSIONS = [(_expansion(degree), _exponents(degree)) for degree in range(0, ORDER + 1, 2)]
