"""The command line: presets of a run, parsing of options, and reporting of errors."""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from textwrap import shorten

import tyro
from jax.errors import JaxRuntimeError

from cmed_jax.config import Config, OptimizerConfig, StepConfig
from cmed_jax.data.augmentation import AugmentationConfig
from cmed_jax.model.presets import BaseConfig, PublishedConfig
from cmed_jax.physics.amplitude_errors import AmplitudeErrors
from cmed_jax.physics.artefact_ranges import PRESETS as ARTEFACT_PRESETS
from cmed_jax.physics.artefact_ranges import Artefacts
from cmed_jax.training.hosts import leave

PARTIAL = AugmentationConfig(
    shift=0, noise=1e-3, full=0.7, no_ratios=0.1, missing_element=0.1, none=0.1
)
"""An augmentation with every kind of knowledge; lines keep their places, which define the cell."""

LABORATORY = replace(PARTIAL, errors=AmplitudeErrors(), stored=0.5)
"""That augmentation with the errors of a laboratory on every second crystal's reflections."""

PRESETS: dict[str, tuple[str, Config]] = {
    "demo": (
        "a small network that trains in minutes on two cores",
        Config(
            data=tyro.MISSING,
            run=tyro.MISSING,
            network=BaseConfig(width=512, blocks=2, hidden=512),
            optimizer=OptimizerConfig(epsilon=1e-7, weight_decay=1e-2, clip=1.0),
            step=StepConfig(LABORATORY),
            steps=1500,
        ),
    ),
    "base": (
        "our network",
        Config(
            data=tyro.MISSING,
            run=tyro.MISSING,
            network=BaseConfig(),
            optimizer=OptimizerConfig(epsilon=1e-7, weight_decay=1e-2, clip=1.0),
            step=StepConfig(LABORATORY),
            steps=50_000,
        ),
    ),
    "published": (
        "CrystalNet as the article describes it: 1,500 epochs of the cubic materials",
        Config(
            data=tyro.MISSING,
            run=tyro.MISSING,
            network=PublishedConfig(),
            optimizer=OptimizerConfig(schedule="warm_restarts"),
            step=StepConfig(AugmentationConfig(), shared_voxels=False),
            steps=190_500,
        ),
    ),
}

ARTEFACTS: dict[str, Artefacts | None] = {"published": None, **ARTEFACT_PRESETS}
"""The names of artefacts on the command line; Python and config.json hold the full ranges."""

REGISTRY = tyro.constructors.ConstructorRegistry()


@REGISTRY.primitive_rule
def _artefacts_by_name(
    kind: tyro.constructors.PrimitiveTypeInfo,
) -> tyro.constructors.PrimitiveConstructorSpec | None:
    """Return the rule that reads an option of artefacts as one of their names."""
    if kind.type not in (Artefacts, Artefacts | None):
        return None

    def name(artefacts: Artefacts | None) -> list[str]:
        return [next((key for key, one in ARTEFACTS.items() if one == artefacts), "of its own")]

    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="{" + ",".join(ARTEFACTS) + "}",
        instance_from_str=lambda words: ARTEFACTS[words[0]],
        is_instance=lambda value: value is None or isinstance(value, Artefacts),
        str_from_instance=name,
        choices=tuple(ARTEFACTS),
    )


def parse(args: list[str] | None = None) -> Config:
    """Read a configuration from the command line: a preset, then options that change it."""
    return tyro.extras.overridable_config_cli(
        PRESETS,
        prog="python -m cmed_jax.train",
        description="Train a network on a dataset, or continue where a run was stopped.",
        args=args,
        registry=REGISTRY,
    )


def run_command(command: Callable[[], int | None]) -> None:
    """Run a command and exit the process; an error is printed as one sentence.

    Notes attached to the error follow it. The exit code of an error is 2, or 75 (EX_TEMPFAIL) where
    the same command may succeed when it is started again, because a device failed or another
    process is out of reach.
    """
    try:
        code = command() or 0
    except (ValueError, OSError, JaxRuntimeError) as error:
        device = isinstance(error, JaxRuntimeError)
        said = f"the device failed ({shorten(str(error), 300)}): start again" if device else error
        print("; ".join([f"error: {said}", *getattr(error, "__notes__", [])]), file=sys.stderr)
        code = os.EX_TEMPFAIL if device or isinstance(error, ConnectionError) else 2
    leave(code)
