"""Robustness curves: the loss in SSIM as one condition of the measurement gets worse.

Every curve begins with a nearly ideal measurement: Mo K-alpha as a single wavelength, all angles,
large crystallites, sharp lines, no background, a billion quanta. Each curve then perturbs one
condition. The difference between its first point and the SSIM on the ideal patterns of the records
is the cost of profiles.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cmed_jax.data.examples import Examples
from cmed_jax.data.query import Generator, Query, full_query, read_in_bins
from cmed_jax.evaluation.scoring import evaluate
from cmed_jax.evaluation.statistics import bootstrap_interval
from cmed_jax.physics.artefact_ranges import Artefacts
from cmed_jax.physics.artefacts import Conditions, central_conditions, measure
from cmed_jax.physics.instrument import Lines, radiation
from cmed_jax.physics.patterns import MO_K_ALPHA

MATERIALS = 48
"""The number of materials, evenly spaced in the split: enough for a curve, in one batch."""

LINES = 512
"""The number of lines kept for each material: all of simple crystals, the strongest of others."""

CHUNK = 16
"""The number of patterns rendered at once, which bounds the memory."""

BEST = Artefacts(
    anodes=(),
    wavelength=(MO_K_ALPHA, MO_K_ALPHA),
    monochromator=(0.0, 0.0),
    start=(0.0, 0.0),
    stop=(180.0, 180.0),
    u=(0.0, 0.0),
    v=(0.0, 0.0),
    w=(1e-3, 1e-3),
    size=(1e4, 1e4),
    strain=(0.0, 0.0),
    b_factor=(0.0, 0.0),
    background=(0.0, 0.0),
    hump=(0.0, 0.0),
    impurity=(0.0, 0.0),
    calibration=(0.0, 0.0),
    counts=(1e9, 1e9),
)
"""The nearly ideal measurement that every curve begins with; its ranges have no width."""

Perturbation = Callable[[Conditions, float], Conditions]


class Condition(NamedTuple):
    """One condition of a measurement, from harmless to bad.

    label: the axis label with its unit. values: the values along the curve. log: whether they are
    spaced logarithmically. perturb: the function that sets the condition to a value.
    """

    label: str
    values: Sequence[float | int]
    log: bool
    perturb: Perturbation


def _counts(conditions: Conditions, quanta: float) -> Conditions:
    return conditions._replace(counts=jnp.float32(quanta))


def _march(conditions: Conditions, parameter: float) -> Conditions:
    return conditions._replace(march=jnp.float32(parameter))


def _size(conditions: Conditions, nanometres: float) -> Conditions:
    sample = conditions.sample._replace(size=jnp.float32(10 * nanometres))
    return conditions._replace(sample=sample)


def _zero(conditions: Conditions, degrees: float) -> Conditions:
    instrument = conditions.instrument._replace(zero=jnp.float32(degrees))
    return conditions._replace(instrument=instrument)


def _range(conditions: Conditions, stop: float) -> Conditions:
    wavelengths, weights = radiation("CuKa")
    instrument = conditions.instrument._replace(
        wavelengths=jnp.asarray(wavelengths, jnp.float32), weights=jnp.asarray(weights, jnp.float32)
    )
    return conditions._replace(instrument=instrument, start=jnp.float32(10), stop=jnp.float32(stop))


def _background(conditions: Conditions, level: float) -> Conditions:
    return conditions._replace(background=jnp.array([level, 0, 0, 0], jnp.float32))


CONDITIONS = {
    "Crystallite size": Condition("nm", (100, 30, 10, 3, 1), True, _size),
    "Noise": Condition("quanta in the strongest bin", (1e5, 1e4, 1e3, 100, 10), True, _counts),
    "Zero shift": Condition("degrees of 2θ", (0, 0.05, 0.1, 0.2, 0.4), False, _zero),
    "Measured range": Condition("Cu Kα, 10 degrees to", (140, 120, 100, 80, 60), False, _range),
    "Background": Condition("of the strongest bin", (0, 0.02, 0.05, 0.1, 0.2), False, _background),
    "Texture": Condition("March parameter", (1, 0.8, 0.6, 0.4), False, _march),
}
"""The conditions by the name of the curve.

Many laboratories stop at 80 degrees of Cu K-alpha.
"""


def robustness_curves(
    generator: Generator,
    examples: Examples,
    lines: Lines,
    progress: Callable[[str], object] = lambda name: None,
) -> dict[str, Any]:
    """Return the plain SSIM of a generator along every curve.

    Args:
        generator: the generator; its plain candidate is scored.
        examples: a split, or a part of it.
        lines: the lines of the same materials (`cmed_jax.data.lines.load_lines`).
        progress: a function that receives the name of each finished curve.

    Returns:
        materials: the number of materials. ideal: the mean SSIM on the patterns of the records.
        curves: by name, the label, the values, whether they are logarithmic, the mean SSIM, and its
        intervals.
    """
    ideal = evaluate(generator, examples).plain["ssim"]
    curves = {}
    for name, condition in CONDITIONS.items():
        curves[name] = _curve(generator, examples, lines, condition)
        progress(name)
    mean = float(np.mean(ideal, dtype=float))
    return {"materials": len(examples), "ideal": mean, "curves": curves}


def perturbed_query(
    examples: Examples, lines: Lines, condition: Condition, value: float | int
) -> Query:
    """Return the query with every pattern measured at one value of a condition."""
    materials = jax.tree.map(jnp.asarray, lines)
    measured = _measured(materials, condition.perturb(central_conditions(BEST), float(value)))
    pattern, coverage = map(np.asarray, measured)
    query = full_query(examples)._replace(pattern=pattern, coverage=coverage)
    return read_in_bins(query, examples.lattice)


def _curve(
    generator: Generator, examples: Examples, lines: Lines, condition: Condition
) -> dict[str, Any]:
    def ssim(value: float | int) -> Float[np.ndarray, " n"]:
        def control(split: Examples) -> Query:
            return perturbed_query(split, lines, condition, value)

        return evaluate(generator, examples, control=control).plain["ssim"]

    found = [ssim(value) for value in condition.values]
    return {
        "label": condition.label,
        "values": list(condition.values),
        "log": condition.log,
        "ssim": [float(np.mean(values, dtype=float)) for values in found],
        "interval": [bootstrap_interval(values) for values in found],
    }


@jax.jit
def _measured(
    lines: Lines, conditions: Conditions
) -> tuple[Float[Array, "n 1024"], Float[Array, "n 1024"]]:
    """Measure each material with its own noise and its own direction of texture."""
    n = len(lines.s)
    keys = jax.random.split(jax.random.key(0), n)
    axes = jax.random.normal(jax.random.key(1), (n, 3))

    def one(drawn):
        key, axis, material = drawn
        return measure(key, material, conditions._replace(axis=axis / jnp.linalg.norm(axis)))

    return jax.lax.map(one, (keys, axes, lines), batch_size=CHUNK)
