"""Quality against training time: `python -m benchmarks.time_to_quality --data D --run R`.

The benchmark trains a preset from scratch, or continues a run that was stopped. For each validation
it prints the minutes of training up to it, without those spent on validation and checkpoints, and
the plain scores of all validation materials. The schedule of the learning rate ends with the last
step. Earlier figures are therefore those of an unfinished run: choose the number of steps by the
minutes.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro
from rich.console import Console
from rich.table import Table

from cmed_jax.cli import PRESETS
from cmed_jax.config import Config, LoopConfig
from cmed_jax.data.batches import QUERIES
from cmed_jax.data.dataset import load_examples
from cmed_jax.io.run import METRICS
from cmed_jax.train import train
from cmed_jax.training.log import timed

SCORES = ("ssim", "psnr", "nmae", "pearson")


@dataclass(frozen=True)
class Options:
    """Train a preset, and print its quality over the minutes of training.

    Attributes:
        data: directory of a dataset, such as data/cmed/cubic/3.1.0.
        run: folder of the run.
        preset: the network and its training.
        steps: length of the training.
        validate_every: steps between two validations.
    """

    data: str
    run: str
    preset: Literal["demo", "base", "published"] = "demo"
    steps: int = 4000
    validate_every: int = 500


def configured(options: Options) -> Config:
    """Return the preset's configuration, in which every validation scores all materials."""
    loop = LoopConfig(
        validate_every=options.validate_every,
        validation_materials=len(load_examples(options.data, "validation")),
    )
    _, preset = PRESETS[options.preset]
    return dataclasses.replace(
        preset, data=options.data, run=options.run, steps=options.steps, loop=loop
    )


def curve(config: Config) -> list[dict[str, float]]:
    """Return step, minutes and scores of each validation of a finished run."""
    return [
        {"step": row["step"], "minutes": row["seconds"] / 60}
        | {name: row[f"validation/{name}"] for name in SCORES}
        for row in timed(Path(config.run) / METRICS, config.batch * QUERIES)
        if "validation/ssim" in row
    ]


def main() -> None:
    """Train, and print the curve."""
    config = configured(tyro.cli(Options, prog="python -m benchmarks.time_to_quality"))
    train(config)
    table = Table(title=f"{config.loop.validation_materials} validation materials")
    for heading in ("step", "minutes", *SCORES):
        table.add_column(heading, justify="right")
    for row in curve(config):
        table.add_row(
            str(row["step"]), f"{row['minutes']:.1f}", *(f"{row[name]:.3f}" for name in SCORES)
        )
    Console().print(table)


if __name__ == "__main__":
    main()
