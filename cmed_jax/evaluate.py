"""Evaluate a run by the protocol: `python -m cmed_jax.evaluate RUN --split test`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from rich.console import Console
from rich.progress import Progress

from cmed_jax.config import run_command
from cmed_jax.data.dataset import Examples, fingerprint, load_examples, provenance
from cmed_jax.evaluation.baselines import baselines
from cmed_jax.evaluation.network import network_generator
from cmed_jax.evaluation.protocol import (
    CONTROLS,
    Control,
    Generator,
    Query,
    Scores,
    evaluate,
    full_query,
)
from cmed_jax.evaluation.report import plot_material, print_report, results
from cmed_jax.predict import restore

TABLE_WIDTH = 100
"""Columns that the table needs; a narrower terminal breaks its lines, and a file has them whole."""


@dataclass(frozen=True)
class Options:
    """Score a run on held-out materials, beside baselines and controls.

    Attributes:
        run: a run's folder, or a checkpoint inside it.
        split: the materials to score.
        data: directory of the dataset; without it the one that the run was trained on.
        samples: densities drawn for the published protocol (best of samples x 24 rotations).
        pictures: materials to draw, from the best to the worst at even distances.
        out: folder to write to; without it evaluation/SPLIT in the run's folder.
        seed: of the samples.
    """

    run: Annotated[Path, tyro.conf.Positional]
    split: Literal["train", "validation", "test"] = "test"
    data: Path | None = None
    samples: int = 5
    pictures: int = 6
    out: Path | None = None
    seed: int = 0


def evaluate_run(options: Options, console: Console | None = None) -> dict[str, Any]:
    """Return, print and write the results of the protocol for one run.

    Writes `results.json` and `pictures/*.png` into the folder that the options name.

    Raises:
        FileNotFoundError: there is no checkpoint, or no dataset.
        ValueError: the dataset has no such split, or an option is out of range.
    """
    if options.samples < 0 or options.pictures < 0:
        raise ValueError(
            f"samples is {options.samples} and pictures {options.pictures}: neither can be negative"
        )
    console = console or Console(width=max(Console().width, TABLE_WIDTH))
    config, network = restore(options.run)
    data = options.data or Path(config.data)
    held_out, training = load_examples(data, options.split), load_examples(data, "train")
    shape = held_out.density.shape[1:]

    def score(name: str, generator: Generator, control: Control | None = None) -> Scores:
        with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task(name, total=len(held_out))
            return evaluate(
                generator, held_out, control=control, progress=lambda n: bar.advance(task, n)
            )

    plain = network_generator(network, shape)
    drawn = network_generator(network, shape, samples=options.samples, seed=options.seed)
    model = score("model", drawn)
    others = {name: score(name, generator) for name, generator in baselines(training).items()}
    controls = {name: score(name, plain, control) for name, control in CONTROLS.items()}
    run = {
        "checkpoint": str(options.run),
        "config": config.to_json(),
        "split": options.split,
        "dataset": fingerprint(data),
        "provenance": provenance(data),
    }
    found = results(model, others, controls, run)
    print_report(found, console)
    out = options.out or options.run / "evaluation" / options.split
    _write(out / "results.json", json.dumps(found, indent=1))
    _draw(out / "pictures", plain, held_out, model, options.pictures)
    console.print(f"{out}: results.json and {min(options.pictures, len(held_out))} pictures")
    return found


def _draw(
    folder: Path, generator: Generator, examples: Examples, scores: Scores, pictures: int
) -> None:
    """Draw materials at even distances from the best to the worst; names begin with the rank."""
    folder.mkdir(parents=True, exist_ok=True)
    ranked = np.argsort(-scores.plain["ssim"], kind="stable")
    ranks = np.unique(np.linspace(0, len(ranked) - 1, min(pictures, len(ranked))).astype(int))
    query = full_query(examples)
    for rank in ranks:
        row = int(ranked[rank])
        density = generator(Query(*(field[[row]] for field in query)))[0, 0]
        name = f"{rank + 1:04d}_{examples.material_id[row]}_{examples.formula[row]}.png"
        plot_material(folder / name, examples, row, density)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(text + "\n")
    partial.replace(path)


def main(args: list[str] | None = None) -> int:
    """Run the command."""
    evaluate_run(tyro.cli(Options, args=args, prog="python -m cmed_jax.evaluate"))
    return 0


if __name__ == "__main__":
    run_command(main)
