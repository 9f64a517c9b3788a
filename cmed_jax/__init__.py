"""From a powder X-ray diffraction pattern to the electron density of the unit cell."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "Prediction",
    "Preparation",
    "load_pattern",
    "prepare",
    "primitive_lattice",
    "restore_and_predict",
]

if TYPE_CHECKING:
    from cmed_jax.crystal.lattice import primitive_lattice
    from cmed_jax.files.measured import load_pattern
    from cmed_jax.files.preparation import Preparation, prepare
    from cmed_jax.prediction import Prediction, restore_and_predict


def __getattr__(name: str) -> Any:
    # Resolved on use: a dataset worker that needs the physics alone does not wait for the network.
    if name in __all__:
        from cmed_jax import prediction

        return getattr(prediction, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
