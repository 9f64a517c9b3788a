"""Compare evaluated runs: `python -m cmed_jax.compare RUN RUN ...`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from cmed_jax.cli import run_command
from cmed_jax.evaluation.comparison import compare, load_results, table, unlike
from cmed_jax.io.atomic import write_text
from cmed_jax.report.tables import TABLE_WIDTH


@dataclass(frozen=True)
class Options:
    """Compare evaluated runs on the same materials, with paired intervals.

    Attributes:
        runs: folders of runs or of reports, or results.json files; differences are from the first.
        split: the split of the evaluation that is read.
        out: a JSON file to write the comparison to.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    split: str = "test"
    out: Path | None = None


def main(args: list[str] | None = None) -> int:
    """Run the command."""
    options = tyro.cli(Options, args=args, prog="python -m cmed_jax.compare")
    if len(set(options.runs)) < len(options.runs):
        raise ValueError("a run is given twice; give different ones")
    runs = {str(run): load_results(run, options.split) for run in options.runs}
    found = compare(runs)
    console = Console(width=max(Console().width, TABLE_WIDTH))
    console.print(table(found))
    for sentence in unlike(runs):
        console.print(sentence, highlight=False, markup=False)
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_text(options.out, json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    run_command(main)
