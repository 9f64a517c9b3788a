"""Times of predictions from files: `python -m benchmarks.prediction MODEL --patterns DIR`.

Every file of a folder's `manifest.csv` is predicted as `python -m cmed_jax.predict` would: with its
formula and wavelength, and without its cell. The table gives the seconds of each step for the first
file, which compiles programs and reads known crystals, and the median and the longest of the
others. Times are those of a clock: run nothing else beside it.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from jaxtyping import Float
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.patterns import ListedPattern, listed_patterns
from cmed_jax.prediction.options import PredictionOptions
from cmed_jax.prediction.predict import STEPS, restore_and_predict
from cmed_jax.prediction.restore import Restored, restore


@dataclass(frozen=True)
class Options:
    """Tell where the time of predictions goes.

    Attributes:
        model: a run's folder, a checkpoint inside it, or a released model.
        patterns: a folder with `manifest.csv` and the files that it names.
    """

    model: Annotated[str, tyro.conf.Positional]
    patterns: Path


def seconds_of_steps(restored: Restored, listed: ListedPattern) -> Float[np.ndarray, " k"]:
    """Return the seconds of each of the `STEPS` of a prediction."""
    began: list[float] = []
    options = PredictionOptions(wavelength=listed.wavelength, cell="auto")
    restore_and_predict(
        restored,
        listed.path,
        listed.formula,
        options,
        progress=lambda _: began.append(time.perf_counter()),
    )
    return np.diff([*began, time.perf_counter()])


def main(options: Options) -> None:
    """Print the table."""
    files = listed_patterns(options.patterns)
    if len(files) < 2:
        sys.exit(f"{options.patterns} lists {len(files)} files: list at least 2")
    start = time.perf_counter()
    restored = restore(options.model)
    loading = time.perf_counter() - start
    times = np.array([seconds_of_steps(restored, each) for each in track(files)])
    table = Table("step", "first file", "median of the others", "longest of them")
    rows = {**dict(zip(STEPS, times.T, strict=True)), "all": times.sum(axis=1)}
    for name, seconds in rows.items():
        figures = (seconds[0], np.median(seconds[1:]), seconds[1:].max())
        table.add_row(name, *(f"{each:.1f} s" for each in figures))
    console = Console()
    console.print(table)
    console.print(f"{options.model} was loaded in {loading:.1f} s; {len(files)} files")


if __name__ == "__main__":
    main(tyro.cli(Options))
