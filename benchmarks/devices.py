"""Agreement of training on several devices with one: `python -m benchmarks.devices --data DIR`.

The benchmark trains a preset for some steps in several ways: on one device, on four with jit and
with pmap (emulated ones of the CPU), and in two processes that each read their share. It prints
the differences of the parameters from those of the one device.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import jax
import numpy as np
import tyro
from flax import nnx
from jaxtyping import Float
from rich.console import Console
from rich.table import Table

from cmed_jax.prediction.restore import restore

ROOT = Path(__file__).parents[1]
TRAIN = (sys.executable, "-m", "cmed_jax.train")
PROCESSES = (str(ROOT / "launch" / "train_processes.sh"), "2")
WAYS = {
    "one device": (TRAIN, 1, ()),
    "four devices": (TRAIN, 4, ()),
    "four devices, pmap": (TRAIN, 4, ("--parallel", "pmap")),
    "two processes": (PROCESSES, 1, ()),
}
"""The ways of training: the launcher, the number of devices of each process, and the options."""


@dataclass(frozen=True)
class Options:
    """Train in each way, and compare the results.

    Attributes:
        data: directory of a dataset, such as data/cmed/cubic/3.1.0.
        preset: the network and its training.
        steps: length of the training.
    """

    data: str
    preset: Literal["demo", "base"] = "demo"
    steps: int = 20


def trained(way: str, options: Options, run: Path) -> Float[np.ndarray, " n"]:
    """Return the parameters at the end of one way of training."""
    command, devices, more = WAYS[way]
    steps = str(options.steps)
    ending = ("--steps", steps, "--loop.validate-every", steps)
    settings = {
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(devices),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    subprocess.run(
        [*command, options.preset, "--data", options.data, "--run", run, *ending, *more],
        env=os.environ | settings,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    leaves = jax.tree.leaves(nnx.state(restore(run).network, nnx.Param))
    return np.concatenate([np.ravel(leaf) for leaf in leaves])


def main() -> None:
    """Train in each way, and print the differences from one device."""
    options = tyro.cli(Options, prog="python -m benchmarks.devices")
    with TemporaryDirectory() as folder:
        ends = {way: trained(way, options, Path(folder) / way.replace(" ", "_")) for way in WAYS}
    one = ends.pop("one device")
    table = Table(title=f"{options.preset}, {len(one):,} parameters, {options.steps} steps")
    for heading in ("", "largest difference", "median", "above 1e-6"):
        table.add_column(heading, justify="right" if heading else "left")
    for way, end in ends.items():
        apart = np.abs(end - one)
        table.add_row(
            way, f"{apart.max():.1e}", f"{np.median(apart):.0e}", f"{np.sum(apart > 1e-6):,}"
        )
    Console().print(table)


if __name__ == "__main__":
    main()
