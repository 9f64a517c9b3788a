"""Evaluate a run by the protocol: `python -m cmed_jax.evaluate RUN --split test`.

`--report DIR` adds robustness curves and a page for the browser. Without a run,
`python -m cmed_jax.evaluate --data DIR` evaluates the baselines alone.
"""

import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import tyro
from flax import nnx
from rich.console import Console

from cmed_jax.cli import run_command
from cmed_jax.data.query import Deviating, Generator
from cmed_jax.evaluation.controls import CONTROLS
from cmed_jax.evaluation.scoring import Batch, Scores
from cmed_jax.evaluation.spread import Entrant, Spread, spread_over
from cmed_jax.evaluation.suite import EvaluationSuite
from cmed_jax.io import released
from cmed_jax.io.atomic import write_text
from cmed_jax.io.integrity import checksum
from cmed_jax.io.run import run_folder
from cmed_jax.io.writable import check_folder
from cmed_jax.mixture.experts import mixture_generator, plain_candidates
from cmed_jax.model.generator import network_generator
from cmed_jax.prediction.restore import Restored, restore
from cmed_jax.report.evaluation_page import page
from cmed_jax.report.gallery import chosen_rows, entry
from cmed_jax.report.slices import plot_materials
from cmed_jax.report.tables import TABLE_WIDTH, print_report
from cmed_jax.training.lineage import dataset_of, warn_of_seen

CrystalSystem = Literal[
    "triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic"
]
"""The names of the crystal systems."""

MODEL = "model"
"""The name of the run among the entrants."""

FORGETFUL = "without known crystals"
"""The name of the control in which the network recalls nothing."""

DECODED = "as decoded"
"""The name of the control in which the observed lines are not imposed on the densities."""


@dataclass(frozen=True)
class Options:
    """Score a run on held-out materials beside baselines and controls, or the baselines alone.

    Attributes:
        run: a run's folder, a checkpoint inside it, or the name or folder of a released network;
            without it the baselines alone are scored.
        split: the split that is scored.
        data: directory of the dataset; by default the one that the run was trained on. It is
            needed for a released network.
        samples: densities drawn for the published protocol (best of samples x 24 rotations).
        pictures: number of materials to draw, evenly spaced from the best to the worst.
        out: folder to write to; by default evaluation/SPLIT in the run's folder. Without a run, and
            without this option, nothing is written. It is needed for a released network.
        report: folder for the whole report: results.json with robustness curves, and index.html,
            one page that opens offline. It takes some minutes more, and replaces `out` and the
            pictures.
        seed: seed of the samples.
        controls: also score the controls, which change the inputs for the same materials. This
            takes most of the time.
        alone: score the network without its gate, and so without refined crystals.
        known: the source of the known crystals for substitution, for the gate's experts, and for
            the overlap of each material: training (the dataset's training split), embedded, or
            another source of materials. The scored materials are left out of other sources than
            training, which does not go with the split train.
        system: the crystal system of the materials that are scored; by default all of the split.
        substitution: also score the baselines that substitute and refine known crystals, which take
            about a second for each material.
        search: the longest time of the search for the structure of a material that no known crystal
            explains, seconds; 0 for no search. A gate weighs what is found like a known crystal.
            Controls and robustness curves are answered without it.
        as_published: compute as the article's code does, with a plane of zeros in every density and
            rotations off the lattice; for comparison with the article only.
        workers: number of processes. With several, each has one thread and no accelerator, and
            loads the dataset itself.
    """

    run: Annotated[Path | None, tyro.conf.Positional] = None
    split: str = "test"
    data: Path | None = None
    samples: int = 5
    pictures: int = 6
    out: Path | None = None
    report: Path | None = None
    seed: int = 0
    controls: bool = True
    alone: bool = False
    known: str = "training"
    system: CrystalSystem | None = None
    substitution: bool = True
    search: float = 0.0
    as_published: bool = False
    workers: int = 1


class Entrants(NamedTuple):
    """What the protocol scores for one run.

    Attributes:
        suite: the split, with the baselines.
        model: the run with its samples.
        controls: controls by name, with the queries that they change.
        plain: the run's generator of one candidate without its deviation.
        unsearched: the same without a search.
        identity: what identifies the run in its results.
    """

    suite: EvaluationSuite
    model: Entrant
    controls: dict[str, Entrant]
    plain: Generator
    unsearched: Generator
    identity: dict[str, Any]

    def score_batch(self, name: str, batch: Batch) -> Any:
        """Return the metrics of an entrant, known by its name, for one batch."""
        entrant = {MODEL: self.model, **self.controls}.get(name)
        return self.suite.score_batch(entrant or Entrant(self.suite.generators[name]), batch)


class Baselines(NamedTuple):
    """The baselines alone, which the protocol scores without a run."""

    suite: EvaluationSuite

    def score_batch(self, name: str, batch: Batch) -> Any:
        """Return the metrics of a baseline, known by its name, for one batch."""
        return self.suite.score_batch(Entrant(self.suite.generators[name]), batch)


def evaluate_run(options: Options, console: Console | None = None) -> dict[str, Any]:
    """Return, print and write the results of the protocol for one run.

    `results.json`, and `pictures/*.png` or the page, are written into the folder that the options
    name.

    Raises:
        FileNotFoundError: there is no checkpoint, or no dataset.
        ValueError: there is no run, its results cannot be written, which is said before anything
            is computed, the dataset has no such split, or an option is out of range.
    """
    if options.run is None:
        raise ValueError("there is no run to evaluate; give its folder")
    if options.samples < 0 or options.pictures < 0:
        raise ValueError(
            f"samples is {options.samples} and pictures {options.pictures}: neither can be negative"
        )
    if not 0 <= options.search < math.inf:  # NaN would never end
        raise ValueError(f"search is {options.search:g} seconds: give 0 or more")
    restored = restore(options.run, alone=options.alone)
    if options.search and restored.gate is None:
        raise ValueError(
            f"search is {options.search:g} seconds, and there is no gate that weighs structures: "
            "leave it out"
        )
    out = options.report or options.out or _own_folder(options.run, options.split)
    check_folder(out)
    with spread_over(options.workers, entrants_of, options) as spread:
        suite, model_entrant, asked, plain, unsearched, run = _entrants(
            options, restored, console, spread
        )
        scored = suite.held_out.material_id.tolist()
        warn_of_seen(options.run, restored.config, suite.data, scored)
        model = suite.score(MODEL, model_entrant)
        controls = {name: suite.score(name, entrant) for name, entrant in asked.items()}
        _ = suite.baselines  # scored while there are processes
    perturbed = None if options.report is None else suite.robustness_curves(unsearched)
    found = suite.results(model, controls, run, perturbed)
    print_report(found, suite.console)
    if options.report is not None:
        _write(out / "index.html", page(found, _gallery(suite, plain, model)))
        shown = "index.html"
    else:
        folder, ssim = out / "pictures", model.plain["ssim"]
        drawn = plot_materials(folder, plain, suite.held_out, ssim, options.pictures)
        shown = f"{drawn} pictures"
    _write(out / "results.json", json.dumps(found, indent=1))
    suite.console.print(f"{out}: results.json and {shown}")
    return found


def entrants_of(options: Options) -> Entrants:
    """Return what is scored for the run that the options name.

    Raises:
        FileNotFoundError: there is no checkpoint, or no dataset.
        ValueError: the dataset has no such split, or an option is out of range.
    """
    assert options.run is not None  # evaluate_run has refused the options otherwise
    return _entrants(options, restore(options.run, alone=options.alone))


def _entrants(
    options: Options,
    restored: Restored,
    console: Console | None = None,
    spread: Spread | None = None,
) -> Entrants:
    config, network, domain, gate = restored
    assert options.run is not None
    data = dataset_of(options.run, config, options.data)
    suite = _suite(options, data, console, spread)
    shape = suite.held_out.density.shape[1:]
    memory = suite.memory if network.reads_reflections else None
    b_factor = domain.b_factor if domain is not None and network.reads_reflections else None
    answering: Callable[..., Generator | Deviating] = partial(
        network_generator, network, shape, memory=memory, b_factor=b_factor
    )
    plain: Generator = network_generator(network, shape, memory=memory, b_factor=b_factor)
    unsearched = plain
    if gate is not None:
        mixing = partial(mixture_generator, network, gate, suite.prototypes, shape, memory=memory)
        unsearched = plain_candidates(mixing())
        answering = partial(mixing, seconds=options.search)
        plain = plain_candidates(answering()) if options.search else unsearched
    sampled = answering(samples=options.samples, seed=options.seed)
    asked = CONTROLS if options.controls else {}
    controls = {name: Entrant(unsearched, control) for name, control in asked.items()}
    if memory is not None and gate is None and options.controls:
        controls[FORGETFUL] = Entrant(network_generator(network, shape, b_factor=b_factor))
        controls[DECODED] = Entrant(network_generator(network, shape, memory=memory))
    identity = {
        "checkpoint": str(options.run),
        "weights": checksum(nnx.state(network)),
        "config": config.to_json(),
        "gate": None if gate is None else checksum(nnx.state(gate)),
        "known": None if gate is None and memory is None else options.known,
        "search": options.search if gate is not None else 0.0,
    }
    model = Entrant(sampled, candidates=1 + options.samples)
    return Entrants(suite, model, controls, plain, unsearched, identity)


def evaluate_baselines(options: Options, console: Console | None = None) -> dict[str, Any]:
    """Return and print the results of the baselines alone; write them if `out` is given.

    Raises:
        FileNotFoundError: there is no dataset.
        ValueError: no dataset is named, or it has no such split.
    """
    if options.data is None or options.report is not None:
        raise ValueError("give the folder of a run, or --data DIR alone for the baselines")
    if options.out is not None:
        check_folder(options.out)
    with spread_over(options.workers, baselines_of, options) as spread:
        suite = _suite(options, options.data, console, spread)
        _ = suite.baselines  # scored while there are processes
    nobody = dict.fromkeys(("checkpoint", "weights", "config", "gate", "known", "search"))
    found = suite.results(model=None, controls={}, run=nobody)
    print_report(found, suite.console)
    if options.out is not None:
        _write(options.out / "results.json", json.dumps(found, indent=1))
        suite.console.print(f"{options.out}: results.json")
    return found


def baselines_of(options: Options) -> Baselines:
    """Return what is scored where the options name no run."""
    assert options.data is not None  # evaluate_baselines has refused the options otherwise
    return Baselines(_suite(options, options.data))


def _own_folder(run: Path, split: str) -> Path:
    """Return the folder within a run for the results of a split."""
    if released.find(run) is not None:
        raise ValueError(f"{run} is a released network, which keeps no results: give --out FOLDER")
    return run_folder(run) / "evaluation" / split


def _gallery(
    suite: EvaluationSuite, generator: Generator, model: Scores
) -> dict[str, list[dict[str, Any]]]:
    """Return the entries of the page's gallery by group."""
    return {
        group: [
            entry(suite.held_out, row, suite.crystals[row], generator, suite.b_factor)
            for row in rows
        ]
        for group, rows in chosen_rows(model.plain["ssim"]).items()
    }


def _suite(
    options: Options, data: Path, console: Console | None = None, spread: Spread | None = None
) -> EvaluationSuite:
    return EvaluationSuite(
        data,
        options.split,
        known=options.known,
        system=options.system,
        substitution=options.substitution,
        as_published=options.as_published,
        console=console or Console(width=max(Console().width, TABLE_WIDTH)),
        spread=spread,
    )


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text + "\n")


def main(args: list[str] | None = None) -> int:
    """Run the command."""
    options = tyro.cli(Options, args=args, prog="python -m cmed_jax.evaluate")
    try:
        evaluate_baselines(options) if options.run is None else evaluate_run(options)
    except KeyboardInterrupt:
        print("interrupted: only the scores of finished baselines are kept", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    run_command(main)
