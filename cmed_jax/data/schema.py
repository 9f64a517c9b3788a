"""The record of a material: its features, for the builder that writes and the reader."""

import jax
import jax.numpy as jnp
import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Array, Float, Float16, Float32

VERSION = "2.0.0"
"""Of the records: it rises whenever the same material would give another record."""


def _array(
    shape: tuple[int | None, ...], dtype: type[np.generic], doc: str
) -> tfds.features.Tensor:
    # As bytes: a float16 would otherwise be stored in four.
    return tfds.features.Tensor(shape=shape, dtype=dtype, encoding="bytes", doc=doc)


FEATURES = tfds.features.FeaturesDict(
    {
        "material_id": tfds.features.Text(doc="id in the source"),
        "formula": tfds.features.Text(doc="reduced formula"),
        "crystal_system": tfds.features.Text(doc="of the space group"),
        "space_group": tfds.features.Scalar(np.int32, doc="number, 1-230"),
        "lattice": _array((3, 3), np.float64, "rows a, b, c, angstrom"),
        "species": _array((None,), np.uint8, "atomic numbers"),
        "frac_coords": _array((None, 3), np.float64, "fractional coordinates of the atoms"),
        "reflections": _array(
            (None, 2), np.float64, "s = 1/d, 1/angstrom, and |F|^2 with multiplicity"
        ),
        "pattern": _array((1, 1024), np.float32, "Mo K-alpha, two-theta 0-180, strongest 1"),
        "composition": _array((119,), np.float32, "atom fractions by atomic number"),
        "density": _array((50, 50, 50), np.float16, "electron density in units of density_scale"),
        "density_scale": tfds.features.Scalar(np.float32, doc="e/angstrom^3"),
        "density_kind": tfds.features.Text(doc="iam or chgcar"),
    }
)
"""What a record holds."""


def encode_density(
    density: Float[np.ndarray, "a b c"],
) -> tuple[Float[np.ndarray, "a b c"], np.float32]:
    """Return a density as float16 in units of its largest magnitude, and that unit.

    The rounding error is under 1e-3 of the unit.

    Raises:
        ValueError: the density is zero everywhere or not finite.
    """
    scale = np.float32(np.abs(density).max())
    if not (np.isfinite(scale) and scale > 0):
        raise ValueError(f"the density has a largest magnitude of {scale} e/angstrom^3")
    return np.asarray(_in_units(np.asarray(density, np.float32), scale)), scale


@jax.jit
def _in_units(density: Float32[Array, "a b c"], scale: Float32[Array, ""]) -> Float16[Array, "..."]:
    # Compiled: NumPy rounds to float16 without the processor's instructions.
    return (density / scale).astype(jnp.float16)


def decode_density(
    stored: Float[np.ndarray, "*n a b c"], scale: Float[np.ndarray, "*n"] | np.float32
) -> Float[np.ndarray, "*n a b c"]:
    """Return stored densities in e/angstrom^3, float32."""
    return stored.astype(np.float32) * np.asarray(scale, np.float32)[..., None, None, None]
