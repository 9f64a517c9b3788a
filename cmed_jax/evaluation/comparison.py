"""Comparison of several runs on the same materials, by paired differences and their intervals.

All runs find the same materials hard or easy, so the mean difference is known far better than two
separate intervals suggest. Differences are taken from the first run and resampled in pairs.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from rich.box import SIMPLE_HEAD
from rich.table import Table

from cmed_jax.evaluation.statistics import figures, format_interval, paired
from cmed_jax.io.run import run_folder

ALIKE = {"dataset": "datasets", "split": "splits"}
"""The fields of the results that runs must have in common, and their plurals for messages."""

NEEDED = {"run": tuple(ALIKE), "protocol": ("as_published",), "model": ("plain",)}
"""The parts of the results that a comparison needs, and what it needs of each."""

METRICS = {"ssim": ".3f", "psnr": ".1f", "nmae": ".3f", "cosine": ".3f"}
"""The metrics that are compared where all runs have them, and their print formats."""


def load_results(path: str | Path, split: str) -> dict[str, Any]:
    """Read the results of a run.

    The path is a run's folder, a checkpoint, the folder of a report, or results.json itself.

    Raises:
        FileNotFoundError: there are no results.
        ValueError: the file holds no results of a model, or lacks a part of them.
    """
    path = Path(path)
    places = [path, path / "results.json"]
    places.append(run_folder(path) / "evaluation" / split / "results.json")
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise FileNotFoundError(
            f"no results at {path}: run python -m cmed_jax.evaluate {path} --split {split} first"
        )
    try:
        results = json.loads(found.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{found} is no results.json: {error}") from None
    if not isinstance(results, dict) or not results.get("model"):
        raise ValueError(f"{found} holds no results of a model: evaluate a run, not the baselines")
    if lacking := _lacking(results):
        raise ValueError(f"{found} lacks {', '.join(lacking)}: evaluate the run again")
    return results


def compare(runs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the plain figures of several runs, and their differences from the first run.

    Args:
        runs: two or more results by the name of the run.

    Returns:
        materials: the number of materials. runs: the mean, its interval and the median, by name of
        the run and metric. All runs but the first also have "difference": the mean difference, its
        interval from paired resampling, and the share of materials in which the metric is larger
        than in the first run.

    Raises:
        ValueError: there is a single run, or the runs were not scored alike on the same materials.
    """
    if len(runs) < 2:
        raise ValueError(f"{len(runs)} run(s) cannot be compared: give at least two")
    _check_alike(runs)
    shared = [name for name in METRICS if all(_has(results, name) for results in runs.values())]
    columns = {run: {m: _column(results, m) for m in shared} for run, results in runs.items()}
    first = next(iter(columns.values()))
    found = {
        run: {metric: figures(values) for metric, values in mine.items()}
        for run, mine in columns.items()
    }
    for run in list(found)[1:]:
        for metric, mine in found[run].items():
            mine["difference"] = paired(columns[run][metric], first[metric])
    return {"materials": len(first["ssim"]), "runs": found}


def table(comparison: Mapping[str, Any]) -> Table:
    """Return the comparison as a printable table."""
    found = Table(title=f"{comparison['materials']} materials, plain", box=SIMPLE_HEAD)
    found.add_column(overflow="fold", min_width=10)
    headings = ("SSIM mean [95 %]", "median", "difference, paired", "better in")
    metrics = [name for name in METRICS if name in next(iter(comparison["runs"].values()))][1:]
    for heading in (*headings, *(name if name == "cosine" else name.upper() for name in metrics)):
        found.add_column(heading, justify="right", no_wrap=True)
    for run, mine in comparison["runs"].items():
        ssim = mine["ssim"]
        difference = ssim.get("difference")
        cells = ["first", ""]
        if difference is not None:
            cells = [format_interval(difference, "+.3f"), f"{100 * difference['larger']:.0f} %"]
        others = (f"{mine[name]['mean']:{METRICS[name]}}" for name in metrics)
        found.add_row(run, format_interval(ssim, ".3f"), f"{ssim['median']:.3f}", *cells, *others)
    return found


def unlike(runs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each way in which the runs were not answered alike.

    Such runs may be compared, but their difference is not that of the networks alone.
    """
    answered = {name: _answered(results["run"]) for name, results in runs.items()}
    said = []
    for what in next(iter(answered.values())):
        values = {name: each[what] for name, each in answered.items()}
        if len(set(values.values())) > 1:
            each = ", ".join(f"{value} in {name}" for name, value in values.items())
            said.append(f"The runs differ in {what}: {each}.")
    return said


def _answered(run: Mapping[str, Any]) -> dict[str, str]:
    """Return what answered besides the network, as texts by their descriptions."""
    return {
        "the gate": "none" if run.get("gate") is None else "one",
        "the known crystals (--known)": str(run.get("known") or "none"),
        "the crystals of substitution and overlap": str(run.get("crystals") or "not stated"),
        "the search (--search)": f"{run.get('search') or 0:g} s",
    }


def _lacking(results: Mapping[str, Any]) -> list[str]:
    """Return the names of the needed parts that results lack."""
    lacking = [] if isinstance(results.get("materials"), list) else ["materials"]
    for part, names in NEEDED.items():
        if not isinstance(results.get(part), dict):
            lacking.append(part)
        else:
            lacking += [f"{part}.{name}" for name in names if name not in results[part]]
    return lacking


def _check_alike(runs: Mapping[str, Mapping[str, Any]]) -> None:
    (first, reference), *others = runs.items()
    for name, results in others:
        for key, what in ALIKE.items():
            if results["run"][key] != reference["run"][key]:
                values = f"{reference['run'][key]!r:.14} and {results['run'][key]!r:.14}"
                raise ValueError(
                    f"{first} and {name} were evaluated on different {what} ({values}); "
                    "evaluate both on one"
                )
        if results["protocol"]["as_published"] != reference["protocol"]["as_published"]:
            raise ValueError(f"of {first} and {name} one was scored as published; score both alike")
        if _ids(results) != _ids(reference):
            raise ValueError(f"{first} and {name} hold different materials; evaluate both anew")


def _ids(results: Mapping[str, Any]) -> list[str]:
    return [row["material_id"] for row in results["materials"]]


def _has(results: Mapping[str, Any], metric: str) -> bool:
    return metric in results["model"]["plain"]


def _column(results: Mapping[str, Any], metric: str) -> Float[np.ndarray, " n"]:
    return np.array([row["scores"]["model"][metric] for row in results["materials"]])
