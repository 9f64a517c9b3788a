"""From a powder X-ray diffraction pattern to the electron density of the unit cell.

This module lists everything public, and the module `physics`; each is imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Diagnostic": "prediction.diagnostics",
    "Prediction": "prediction.result",
    "PredictionOptions": "prediction.options",
    "Preparation": "powder.preparation",
    "load_pattern": "io.pattern",
    "parse_composition": "crystal.composition",
    "plot": "report.plot",
    "prepare": "powder.preparation",
    "primitive_lattice": "crystal.lattice",
    "restore": "prediction.restore",
    "restore_and_predict": "prediction.predict",
    "write_report": "report.output",
}

if TYPE_CHECKING:
    from cmed_jax.crystal.composition import parse_composition
    from cmed_jax.crystal.lattice import primitive_lattice
    from cmed_jax.io.pattern import load_pattern
    from cmed_jax.powder.preparation import Preparation, prepare
    from cmed_jax.prediction.diagnostics import Diagnostic
    from cmed_jax.prediction.options import PredictionOptions
    from cmed_jax.prediction.predict import restore_and_predict
    from cmed_jax.prediction.restore import restore
    from cmed_jax.prediction.result import Prediction
    from cmed_jax.report.output import write_report
    from cmed_jax.report.plot import plot

__all__ = [
    "Diagnostic",
    "Prediction",
    "PredictionOptions",
    "Preparation",
    "load_pattern",
    "parse_composition",
    "plot",
    "prepare",
    "primitive_lattice",
    "restore",
    "restore_and_predict",
    "write_report",
]


def __getattr__(name: str) -> Any:
    # Imported on first use: a dataset worker that needs the physics alone does not wait for the
    # network, and a prediction does not load matplotlib.
    if name == "physics":
        return import_module(f"{__name__}.physics")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "physics"})
