"""Predict densities: `python -m cmed_jax.predict FILE --model RUN --wavelength CuKa ...`."""

import dataclasses
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import tyro
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from cmed_jax.cli import run_command
from cmed_jax.io.atomic import write_text
from cmed_jax.io.writable import check_folder
from cmed_jax.prediction.batch import Format, Job, Output
from cmed_jax.prediction.manifest import check_names, pattern_files, read_manifest
from cmed_jax.prediction.options import PredictionOptions
from cmed_jax.prediction.restore import Restored, restore
from cmed_jax.report.output import predict_to_files
from cmed_jax.report.tables import STYLE, TABLE_WIDTH

Outcome = Mapping[str, Any]

COMMAND_DEFAULTS = PredictionOptions(samples=8)
"""The default options of the command and of the local page.

They draw samples for the deviation; the defaults in Python draw none.
"""

ALONE: Outcome = {"name": "the network", "weight": 1.0}
"""The contributing expert where the network predicts alone."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Predict the electron density of the unit cell behind measured powder patterns.

    Attributes:
        patterns: files of measured patterns, or folders of them: columns of two-theta and intensity
            (.xy, .xye, .csv, .dat, .txt, .chi), .cif, .xrdml, .ras, .rasx, .asc, .brml, .raw, .uxd,
            .fxye, .gsas, .gsa, .gss.
        output: the network, and the form of the output.
        options: the options of every pattern.
        manifest: a table with a pattern in each row, separated by commas, semicolons or tabs: file,
            a path relative to the manifest, and any of composition, elements, wavelength, cell,
            centring.
        out: the folder to write to. For halite.xy it receives the densities, such as halite.npz,
            the page halite.html, and structures that also explain the pattern, such as
            halite.structure-1.cif. One results.json holds the figures of all patterns.
    """

    patterns: tyro.conf.Positional[tuple[Path, ...]]
    output: tyro.conf.OmitArgPrefixes[Output]
    options: tyro.conf.OmitArgPrefixes[PredictionOptions] = COMMAND_DEFAULTS
    manifest: Path | None = None
    out: Path = Path("predictions")

    def jobs(self) -> list[Job]:
        """Return the jobs of the command.

        Raises:
            FileNotFoundError: if a folder or the manifest is missing or empty.
            ValueError: if there is no pattern, the options of all patterns are unusable, the
                manifest cannot be read, or two patterns have the same name.
        """
        self.options.check()
        jobs = [Job(file, self.options) for file in pattern_files(self.patterns)]
        if self.manifest is not None:
            jobs += read_manifest(self.manifest, self.options)
        if not jobs:
            raise ValueError("there is no pattern: give files, a folder, or --manifest")
        check_names(jobs)
        return jobs


def main(args: list[str] | None = None) -> int:
    """Run the command."""
    options = tyro.cli(Options, args=args, prog="python -m cmed_jax.predict")
    _check_out(options.out)
    check_folder(options.out)
    jobs = options.jobs()
    restored = restore(options.output.model)
    options.out.mkdir(parents=True, exist_ok=True)
    outcomes: list[Outcome] = []
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        for job in progress.track(jobs, description="predicting"):
            outcomes.append(_attempt(job, options.output, restored, options.out))
            _say(outcomes[-1])
            write_text(options.out / "results.json", json.dumps(outcomes, indent=1))
    Console(width=max(Console().width, TABLE_WIDTH)).print(_table(outcomes))
    return 2 if any("error" in outcome for outcome in outcomes) else 0


def command_line(job: Job, output: Output, out: Path) -> str:
    """Return the command that repeats a job."""
    words = [str(job.file)]
    default = Output(output.model)
    model = {"model": output.model}
    changed = model | _changed(output, default) | _changed(job.options, COMMAND_DEFAULTS)
    for name, value in (changed | {"out": out}).items():
        words += _option(name, value)
    return shlex.join(["python", "-m", "cmed_jax.predict", *words])


def _changed(options: Any, default: Any) -> dict[str, Any]:
    """Return the fields of a dataclass, nested ones included, that differ from the default."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(options):
        value, before = getattr(options, field.name), getattr(default, field.name)
        if dataclasses.is_dataclass(value):
            found |= _changed(value, before)
        elif value != before:
            found[field.name] = value
    return found


def _option(name: str, value: Any) -> list[str]:
    """Return the words of a command that state a value."""
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    values = value if isinstance(value, tuple) else (value,)
    return [f"--{name}", *map(str, values)]


def _check_out(out: Path) -> None:
    """Refuse an --out that looks like a file, as in earlier versions; --formats replaces it."""
    form = out.suffix.removeprefix(".")
    if form in get_args(Format):
        raise ValueError(
            f"--out is a folder, and {out} looks like a file: give --out {out.parent} "
            f"--formats {form}"
        )


def _attempt(job: Job, output: Output, restored: Restored, out: Path) -> Outcome:
    try:
        return predict_to_files(job, output, restored, out, command_line(job, output, out))
    except (ValueError, OSError) as error:
        return {"file": str(job.file), "error": _said(error, job.file)}
    except Exception as error:  # one file never ends the run of the others
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        return {
            "file": str(job.file),
            "error": f"a fault of this program, please report it: {said}",
        }


def _said(error: ValueError | OSError, file: Path) -> str:
    """Return the message of an error without the path of its file, which stands before it."""
    if isinstance(error, OSError) and str(error.filename) == str(file) and error.strerror:
        return error.strerror
    return str(error).removeprefix(f"{file}: ")


def _say(outcome: Outcome) -> None:
    """Print the diagnostics and the error of a pattern, one sentence a line."""
    name = Path(outcome["file"]).name
    for each in outcome.get("diagnostics", ()):
        print(f"{each['severity']}: {name}: {each['message']}", file=sys.stderr)
    if "error" in outcome:
        print(f"error: {name}: {outcome['error']}", file=sys.stderr)


def _table(outcomes: Sequence[Outcome]) -> Table:
    table = Table(**STYLE)
    for heading in ("file", "known", "question"):
        table.add_column(heading, no_wrap=True)
    for heading in ("cell / Å", "Rwp", "doubts", "notes"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("density of")
    table.add_column("best match")
    for outcome in outcomes:
        table.add_row(Path(outcome["file"]).name, *_row(outcome))
    return table


def _row(outcome: Outcome) -> list[str]:
    if "error" in outcome:
        return ["failed"]
    cell, calculated = outcome["cell"], outcome["implied"]
    return [
        outcome["composition"] or "–",
        _question(outcome),
        "–" if cell is None else _conventional(cell),
        "–" if calculated is None else f"{calculated['rwp']:.3f}",
        *(str(len(outcome[kind])) for kind in ("doubts", "notes")),
        max(outcome["experts"], key=lambda each: each["weight"], default=ALONE)["name"],
        *(f"like {best['formula']}, Rwp {best['rwp']:.3f}" for best in outcome["analogues"][:1]),
    ]


def _conventional(cell: Mapping[str, Any]) -> str:
    """Return the centring and the edges of the conventional cell."""
    conventional = cell["conventional"]
    return " ".join(
        [conventional["centring"], *(f"{x:.4g}" for x in conventional["parameters"][:3])]
    )


def _question(outcome: Outcome) -> str:
    """Return the assessment of pattern, wavelength and formula in a word."""
    if outcome["alarms"]:
        return "[bold red]check it[/]"
    accepted = outcome["verdict"] is not None and outcome["verdict"]["by"] is not None
    return "consistent" if accepted else "–"


if __name__ == "__main__":
    run_command(main)
