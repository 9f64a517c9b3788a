"""Build the dataset: `python -m tfds_builders.cmed --config cubic --data_dir DIR`."""

import contextlib
import io
import json
import os
import re
import shlex
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cmed_jax.data.dataset import PROVENANCE, REFUSED
from cmed_jax.data.records import COARSE, Recipe
from cmed_jax.io.writable import check_local

Config = Literal[
    "triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic", "all"
]


@dataclass(frozen=True)
class Job:
    """Build the dataset of powder patterns and electron densities.

    Attributes:
        data_dir: folder of datasets; this one is written to cmed/CONFIG/VERSION in it.
        config: crystal system, or all.
        materials: JSON lines, folder of CIF or CHGCAR files, or a search such as
            mp:crystal_system=cubic; the default is the embedded materials.
        density: independent atoms, or the CHGCAR density of the source.
        cell: canonical primitive cell, or that of the source.
        b_factor: isotropic Debye-Waller factor of the independent atoms, angstrom^2.
        max_atoms: largest number of atoms in the cell; larger materials are refused.
        workers: number of processes.
        part: K/N to build only part K of N; the separately built parts are read as one dataset.
        beam_options: options of a pipeline of Apache Beam in one string, such as
            "--runner=DirectRunner --direct_num_workers=4"; its workers replace the processes.
    """

    data_dir: str
    config: Config = "cubic"
    materials: str | None = None
    density: Literal["iam", "chgcar"] = "iam"
    cell: Literal["canonical", "as_given"] = "canonical"
    b_factor: float = Recipe.b_factor
    max_atoms: int = Recipe.max_atoms
    workers: int = os.cpu_count() or 1
    part: str | None = None
    beam_options: str | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the job that the command line describes and return the exit code."""
    job = tyro.cli(Job, args=arguments, prog="python -m tfds_builders.cmed")
    try:
        build(job)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenExecutor:
        print("error: a worker died, of memory perhaps: start again with fewer", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: nothing was kept; --part builds in smaller pieces", file=sys.stderr)
        return 130
    return 0


def build(job: Job) -> None:
    """Build the dataset, or the requested part of it, if it does not exist, and print a summary.

    Raises:
        ValueError: an option or the source is unusable, or another dataset is in its place.
    """
    import tensorflow_datasets as tfds

    from tfds_builders.cmed.cmed_dataset_builder import Builder, Options

    check_local(job.data_dir)
    workers = _at_least_one("workers", job.workers)
    beam = None if job.beam_options is None else tuple(shlex.split(job.beam_options))
    options = Options(job.materials, _recipe(job), workers, _part(job), beam)
    builder = Builder(data_dir=Path(job.data_dir).expanduser(), config=job.config, options=options)
    if builder.is_built():
        print(f"{builder.data_dir} is complete already")
        return
    tfds.disable_progress_bar()
    start = time.monotonic()
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("materials"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=None)
        builder.report = lambda done, total: progress.update(task, completed=done, total=total)
        with contextlib.redirect_stdout(io.StringIO()):  # TFDS announces a download
            builder.download_and_prepare()
    print(_summary(Path(builder.data_dir), time.monotonic() - start))


def _recipe(job: Job) -> Recipe:
    if not 0 < job.b_factor < 100:
        raise ValueError(f"b_factor {job.b_factor} is not between 0 and 100 angstrom^2")
    max_atoms = _at_least_one("max_atoms", job.max_atoms)
    return Recipe(job.density, job.cell, job.b_factor, max_atoms)


def _at_least_one(name: str, value: int) -> int:
    if value < 1:
        raise ValueError(f"{name} {value} is less than 1")
    return value


def _part(job: Job) -> tuple[int, int] | None:
    if job.part is None:
        return None
    match = re.fullmatch(r"(\d+)/(\d+)", job.part)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError(
            f"part {job.part!r} is not of the form K/N with K from 1 to N, such as 2/4"
        )
    return int(match[1]), int(match[2])


def _summary(directory: Path, seconds: float) -> str:
    content = json.loads((directory / PROVENANCE).read_text())
    counts = content["records"]
    refusals = [json.loads(line) for line in (directory / REFUSED).read_text().splitlines()]
    reasons = Counter(re.sub(r"\d[\d.e+-]*", "N", refusal["reason"]) for refusal in refusals)
    lines = [
        f"{sum(counts.values())} records in {directory}",
        *(f"  {split:<11}{count:>7}" for split, count in counts.items()),
        f"  {'dropped':<11}{content['dropped']:>7}  (would leak a held-out material into training)",
        f"  {'refused':<11}{content['refused']:>7}  (listed in {REFUSED})",
        *(f"{count:>20}  {reason}" for reason, count in reasons.most_common(10)),
        f"  {'coarse':<11}{content['coarse']:>7}  (of the records: the grid leaves out over "
        f"{COARSE:.0%} of a structure factor)",
        f"  {sum(counts.values()) / seconds:.0f} records/s, {seconds:.0f} s",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
