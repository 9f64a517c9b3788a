"""Encoding of densities: float16 in units of the largest magnitude, and back."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float16, Float32


def encode_density(
    density: Float[np.ndarray, "a b c"],
) -> tuple[Float[np.ndarray, "a b c"], np.float32]:
    """Return a density as float16 in units of its largest magnitude, and this unit.

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
    # Compiled, because NumPy rounds to float16 without the instructions of the processor.
    return (density / scale).astype(jnp.float16)


def decode_density(
    stored: Float[np.ndarray, "*n a b c"], scale: Float[np.ndarray, "*n"] | np.float32
) -> Float[np.ndarray, "*n a b c"]:
    """Return stored densities in e/angstrom^3, float32."""
    return stored.astype(np.float32) * np.asarray(scale, np.float32)[..., None, None, None]
