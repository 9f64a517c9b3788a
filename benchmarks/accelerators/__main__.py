"""Programs for TPUs and GPUs that are not there: `python -m benchmarks.accelerators`.

XLA's compilers of TPUs and of NVIDIA's GPUs run on any machine; `make accelerators` installs them
in an environment of their own and runs this command. Every case is compiled as for the real
devices, and the result is appended to a file of JSON lines; a command that was ended goes on where
it was.

For each case the table gives the time of compilation, the memory of a chip that arguments and
temporaries take, the operations and bytes of a step on a chip, the bytes of collectives, the time
that the roofline allows, and faults: float64, calls of the host, arrays padded to more than twice
their size, and tables that a step reads whole. A second table is weak scaling on paper. For CUDA
and ROCm every program is lowered as well, which needs no compiler.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.accelerators.cases import PLATFORMS, Case, Kind
from benchmarks.accelerators.chips import Topology
from benchmarks.accelerators.roofline import seconds, seconds_of_chip, seconds_of_collectives
from cmed_jax.config import Precision

TARGETS = ("v5e:2x4", "v5p:2x2x2", "v6e:2x4", "v5e:16x16", "H100:1x1x8", *PLATFORMS)
SLICES = ("v5e:2x4", "v5e:16x16")
"""The few and the many chips of weak scaling."""


@dataclass(frozen=True)
class Options:
    """Compile programs ahead of time for devices that are not there.

    Attributes:
        results: the file of results, to which new ones are appended.
        programs: the programs.
        presets: the networks of steps and predictions.
        targets: chips to compile for, and platforms to lower for.
        precisions: precisions of steps; everything else is computed in float32.
        inputs: places of the training split; base is always resident.
        materials: crystals of the table; 17,128 are CrystalNet's cubic ones of all splits, of which
            16,378 are for training.
        share: crystals of a batch on each chip.
        compile: compile what the file lacks; otherwise print what it holds.
    """

    results: Path = Path("accelerators.jsonl")
    programs: tuple[Kind, ...] = ("step", "prediction", "reflections", "densities")
    presets: tuple[Literal["demo", "base", "published"], ...] = ("demo", "base", "published")
    targets: tuple[str, ...] = TARGETS
    precisions: tuple[Precision, ...] = ("float32", "bfloat16")
    inputs: tuple[Literal["resident", "streaming"], ...] = ("resident", "streaming")
    materials: int = 17_128
    share: int = 16
    compile: bool = True

    def cases(self) -> Iterator[Case]:
        """Yield the cases, those that take little time first."""
        for target in self.targets:
            for kind in self.programs:
                if kind in ("reflections", "densities"):
                    yield Case(kind, "", target)
        for preset in self.presets:
            for target in self.targets:
                if "prediction" in self.programs:
                    yield Case("prediction", preset, target)
                if "step" in self.programs:
                    yield from self._steps(preset, target)

    def _steps(self, preset: str, target: str) -> Iterator[Case]:
        for precision in self.precisions:
            for held in self.inputs:
                if held == "resident" or preset == "published":
                    sizes = self.materials, self.share
                    yield Case("step", preset, target, precision, held, *sizes)


def identity(case: dict[str, Any]) -> tuple[Any, ...]:
    """Return what tells a case from others."""
    return tuple(case[name] for name in Case.__dataclass_fields__)


def table(results: list[dict[str, Any]]) -> Table:
    """Return the table of compiled programs."""
    columns = Table(title="compiled ahead of time; memory, operations and bytes of one chip")
    for heading in ("program", "chips", ""):
        columns.add_column(heading)
    columns.add_column("compile, s of a core", justify="right")
    memory_columns = ("arguments", "padding", "temporaries", "of memory")
    for heading in (*memory_columns, "GFLOP", "GB moved", "collectives", "roofline, ms"):
        columns.add_column(heading, justify="right")
    for each in results:
        name = f"{each['kind']} {each['preset']}".strip()
        how = each["precision"] + (f" {each['held']}" if each["kind"] == "step" else "")
        if "refused" in each:
            columns.add_row(name, each["target"], how, each["refused"])
            continue
        memory = Topology(each["target"]).chip.memory
        sent = ", ".join(
            f"{kind} {size / 1e6:.3g} MB" for kind, size in each["collectives"].items()
        )
        columns.add_row(
            name,
            each["target"],
            how,
            f"{each['processor_seconds_to_compile']:.0f}",
            f"{each['arguments'] / 1e9:.3g} GB",
            f"{each['arguments'] / each['unpadded'] - 1:.1%}",
            f"{each['temporaries'] / 1e9:.2g} GB",
            f"{(each['arguments'] + each['temporaries']) / memory:.1%}",
            f"{each['loops'] * each['flops'] / 1e9:.3g}",
            f"{each['loops'] * each['accessed'] / 1e9:.3g}",
            sent or "none",
            f"{1e3 * seconds(each):.3g}",
        )
    return columns


def scaling(results: list[dict[str, Any]]) -> Table:
    """Return weak scaling: the steps of a chip with a fixed share of the batch."""
    columns = Table(title="weak scaling on paper: a fixed share of the batch on every chip")
    for heading in (
        "step",
        "chips",
        "GFLOP a chip",
        "collectives",
        "chip, ms",
        "links, ms",
        "eff.",
    ):
        columns.add_column(heading, justify="right" if heading != "step" else "left")
    for each in results:
        if each["kind"] != "step" or each["target"] not in SLICES or "refused" in each:
            continue
        alone = seconds_of_chip(each)
        columns.add_row(
            f"{each['preset']} {each['precision']} {each['held']}",
            f"{each['chips']}",
            f"{each['flops'] / 1e9:.3g}",
            f"{sum(each['collectives'].values()) / 1e6:.3g} MB in {each['calls']}",
            f"{1e3 * alone:.3g}",
            f"{1e3 * seconds_of_collectives(each):.3g}",
            f"{alone / seconds(each):.1%}",
        )
    return columns


def lowered(results: list[dict[str, Any]]) -> Table:
    """Return the table of programs that were lowered and not compiled."""
    columns = Table("program", "platform", "", "s", "MB", "float64", title="lowered alone")
    for each in results:
        columns.add_row(
            f"{each['kind']} {each['preset']}",
            each["target"],
            each["precision"],
            f"{each['seconds_to_lower']:.1f}",
            f"{each['program_bytes'] / 1e6:.2g}",
            "yes" if each["float64"] else "no",
        )
    return columns


def read(path: Path) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Return the results of a file, by their cases; a line that was cut off is left out."""
    found = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        if line.endswith("}"):
            each = json.loads(line)
            found[identity(each)] = each
    return found


def main() -> None:
    """Compile what is missing, and print the tables."""
    options = tyro.cli(Options, prog="python -m benchmarks.accelerators")
    jax.config.update("jax_platforms", "cpu")  # the plug-ins compile, and find no devices
    console, results = Console(width=180), read(options.results)
    cases = {identity(vars(case)): case for case in options.cases()}
    for key, case in cases.items():
        if key in results or not options.compile:
            continue
        missing = None if case.target in PLATFORMS else Topology(case.target).missing()
        if missing:
            console.print(f"{case.target} is left out: {missing}")
            continue
        results[key] = case.run()
        with options.results.open("a") as file:
            file.write(json.dumps(results[key]) + "\n")
        console.print(f"{len(results)} of {len(cases)}: {' '.join(map(str, key))}")
    shown = [results[key] for key in cases if key in results]
    compiled = [each for each in shown if each["target"] not in PLATFORMS]
    console.print(table(compiled), scaling(compiled))
    if alone := [each for each in shown if each["target"] in PLATFORMS]:
        console.print(lowered(alone))
    for each in compiled:
        for fault in each.get("faults", ()):
            name = " ".join(str(each[part]) for part in ("kind", "preset", "target", "precision"))
            console.print(f"{name}: {fault}")


if __name__ == "__main__":
    main()
