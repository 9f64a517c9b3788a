"""Results of an evaluation: a dictionary for JSON, and a printed table.

`results` returns, and `print_report` prints,

run
    what the caller states about the run: checkpoint, configuration, dataset, split.
protocol
    how every figure was computed.
machine
    where it was computed: platform, processors, device, versions.
model, baselines, controls
    `cmed_jax.evaluation.statistics.summary` of the model (or None), and of each baseline and each
    control by name.
leads
    by baseline, the paired difference in plain SSIM between the model and the baseline. The entry
    "all" and each kind of overlap ("kin") hold `cmed_jax.evaluation.statistics.paired` and the
    number of "materials". None without a model.
ranking
    `cmed_jax.evaluation.ranking.rankings`: candidates chosen by their calculated patterns.
uncertainty
    `cmed_jax.evaluation.uncertainty.summary` of the model's samples (None where there are fewer
    than two), and `trust` in the agreement of the "samples" and in that of the "pattern".
degradation
    `cmed_jax.evaluation.robustness.robustness_curves` of the model, or None.
materials
    one row for each material: material_id, formula, space_group, atoms, elements (their number),
    kin (the closest overlap with the known crystals: "sibling", "formula", "none", or None where it
    is not requested), spread (of the samples, or None) and `scores`: the metrics by "model",
    "model, published" and the names of baselines and controls.

docs/results.md explains each figure.
"""

import os
import platform
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Integer

import cmed_jax
from cmed_jax.evaluation import metrics, scoring, statistics, uncertainty
from cmed_jax.evaluation.overlap import overlap_key
from cmed_jax.evaluation.ranking import rankings
from cmed_jax.evaluation.scoring import Scores
from cmed_jax.evaluation.statistics import paired, summary
from cmed_jax.evaluation.structure_metrics import INTERSTITIAL, NEAR_ATOMS
from cmed_jax.physics.density_lines import S_COMPARED

OVERLAP = {
    "sibling": "a known crystal differs in one element alone",
    "formula": "one has the same anonymous formula",
    "none": "no known crystal has it",
}
"""The printed descriptions of the closest overlap with the known crystals."""


def results(
    model: Scores | None,
    baselines: Mapping[str, Scores],
    controls: Mapping[str, Scores],
    run: Mapping[str, Any],
    overlap: Integer[np.ndarray, " n"] | None = None,
    degradation: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Gather an evaluation in one dictionary of plain values, as the module describes it.

    Args:
        model: the scores of the model, where there is one.
        baselines: the scores of the baselines by name.
        controls: the scores of the controls by name.
        run: a description of the model and the data.
        overlap: the closest `TrainingOverlap` of each material with the known crystals, where it
            is requested.
        degradation: the results of `cmed_jax.evaluation.robustness`, where they are requested.

    Raises:
        ValueError: if there are no scores, or if they were not scored alike on the same materials.
    """
    named = {**({} if model is None else {"model": model}), **baselines, **controls}
    _check_same_materials(named)
    return {
        "run": dict(run),
        "protocol": _protocol(next(iter(named.values())).as_published),
        "machine": _machine(),
        "model": None if model is None else summary(model, overlap),
        "baselines": {name: summary(scores, overlap) for name, scores in baselines.items()},
        "controls": {name: summary(scores, overlap) for name, scores in controls.items()},
        "leads": None if model is None else _leads(model, baselines, overlap),
        "ranking": {} if model is None else rankings(model, baselines),
        "uncertainty": None if model is None else _uncertainty(model),
        "degradation": degradation,
        "materials": _rows(named, overlap),
    }


def best_baseline(results: Mapping[str, Any]) -> str:
    """Return the name of the baseline with the largest mean SSIM."""
    baselines = results["baselines"]
    return max(baselines, key=lambda name: baselines[name]["plain"]["ssim"]["mean"])


def _protocol(as_published: bool) -> dict[str, Any]:
    return {
        "as_published": as_published,
        "plain": "candidate 0 (the latent's mean, or the gate's mixture), not rotated",
        "published": "best of all samples in 24 rotations, each metric on its own: an oracle",
        "rotations": "of the array" if as_published else "about the periodic origin",
        "missing_plane": scoring.MISSING_PLANE if as_published else None,
        "ssim": {"window": metrics.WINDOW, "k1": metrics.K1, "k2": metrics.K2},
        "data_range": "maximum - minimum of the truth",
        "nmae": "mean |prediction - truth| / mean |truth|",
        "periodic_ssim": "ssim over windows around all voxels, across the faces of the cell",
        "pearson": "correlation of the voxels",
        "r_factor": "sum ||F| - |F'|| / sum |F| over the modes of the grid but h = 0, no scale",
        "cosine": f"of the pattern from the density and the true one, s < {S_COMPARED}/Å",
        "rwp": "likewise, with the weight 1 / intensity and the best scale",
        "nmae_at_atoms": f"nmae within {NEAR_ATOMS} angstrom of an atom",
        "nmae_between": f"nmae beyond {INTERSTITIAL} angstrom of all atoms",
        "interval": f"{statistics.CONFIDENCE:.0%} percentile bootstrap of the mean",
        "resamples": statistics.RESAMPLES,
        "kin": OVERLAP,
    }


def _leads(
    model: Scores, baselines: Mapping[str, Scores], overlap: Integer[np.ndarray, " n"] | None
) -> dict[str, Any]:
    ssim = model.plain["ssim"]
    groups = {"all": np.full(len(ssim), True)}
    if overlap is not None:
        groups |= {overlap_key(kind): overlap == kind for kind in np.unique(overlap).tolist()}
    return {
        name: {
            group: {"materials": int(rows.sum())} | paired(ssim[rows], scores.plain["ssim"][rows])
            for group, rows in groups.items()
        }
        for name, scores in baselines.items()
    }


def _uncertainty(model: Scores) -> dict[str, Any] | None:
    """Return the calibration of the samples, and how well two confidences rank the materials."""
    if model.calibration is None:
        return None
    ssim, confidence = model.plain["ssim"], {"samples": -model.calibration["spread"]}
    if "cosine" in model.plain:
        confidence["pattern"] = model.plain["cosine"]
    trust = {name: uncertainty.trust(values, ssim) for name, values in confidence.items()}
    return uncertainty.summary(model.calibration) | {"samples": model.samples, "trust": trust}


def _machine() -> dict[str, Any]:
    device = jax.devices()[0]
    return {
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "devices": f"{jax.device_count()} x {device.platform} ({device.device_kind})",
        "python": platform.python_version(),
        "jax": jax.__version__,
        "cmed_jax": cmed_jax.__version__,
    }


def _check_same_materials(named: Mapping[str, Scores]) -> None:
    if not named:
        raise ValueError("there is nothing to report; give the scores of a model or a baseline")
    (first, reference), *others = named.items()
    for name, scores in others:
        if not np.array_equal(scores.material_id, reference.material_id):
            raise ValueError(
                f"{name!r} was scored on other materials than {first!r}; "
                "evaluate both on the same split"
            )
        if scores.as_published != reference.as_published:
            raise ValueError(
                f"{name!r} and {first!r} were not both scored as published; score both alike"
            )


def _rows(
    named: Mapping[str, Scores], overlap: Integer[np.ndarray, " n"] | None
) -> list[dict[str, Any]]:
    columns = {name: scores.plain for name, scores in named.items()}
    columns |= {
        f"{name}, published": scores.published
        for name, scores in named.items()
        if scores.published is not None
    }
    first = next(iter(named.values()))
    deviation = None if first.calibration is None else first.calibration["spread"]
    return [
        {
            "material_id": str(first.material_id[i]),
            "formula": str(first.formula[i]),
            "space_group": int(first.space_group[i]),
            "atoms": int(first.atoms[i]),
            "elements": int(first.elements[i]),
            "kin": None if overlap is None else overlap_key(int(overlap[i])),
            "spread": None if deviation is None else float(deviation[i]),
            "scores": {
                name: {metric: float(values[i]) for metric, values in column.items()}
                for name, column in columns.items()
            },
        }
        for i in range(len(first.material_id))
    ]
