"""What is said of an evaluation: one JSON-able dictionary, and a printed table.

`results` holds, and `print_report` prints,

run
    what the caller says of it: checkpoint, configuration, dataset, split.
protocol
    how every figure was computed.
machine
    where: platform, processors, device, versions.
model, baselines, controls
    `cmed_jax.evaluation.protocol.summary` of the model (or None), and of each baseline and each
    control by name.
leads
    by baseline, how far plain SSIM of the model is above its, paired: of "all" materials and by
    kin, `cmed_jax.evaluation.protocol.paired` and the number of "materials" (None without a model).
ranking
    `cmed_jax.evaluation.ranking.rankings`: candidates chosen by their own patterns.
uncertainty
    `cmed_jax.evaluation.uncertainty.summary` of the model's samples (None where there are fewer
    than two), and `trust` in the agreement of the "samples" and in that of the "pattern".
degradation
    `cmed_jax.evaluation.degradation.degradation`: curves of the model, or None.
materials
    one row for each: material_id, formula, space_group, atoms, elements (their number), kin (the
    nearest among the known crystals: "sibling", "formula", "none", or None where it is not asked),
    spread (of the samples, or None) and `scores`: the metrics by "model", "model, published" and
    the names of baselines and controls.

docs/results.md says what each figure in it is.
"""

import os
import platform
from collections.abc import Mapping
from typing import Any

import gemmi
import jax
import numpy as np
from jaxtyping import Integer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

import cmed_jax
from cmed_jax.evaluation import metrics, protocol, uncertainty
from cmed_jax.evaluation.consistency import S_COMPARED
from cmed_jax.evaluation.protocol import Scores, kin_name, paired, spread, standing, summary
from cmed_jax.evaluation.ranking import rankings
from cmed_jax.evaluation.surroundings import AT_ATOMS, BETWEEN

TABLE_WIDTH = 110
"""Columns that the table needs; a narrower terminal breaks its lines, and a file has them whole."""

GROUPS_SHOWN = 15
"""Space groups in the printed table; the results hold all of them."""

KIN = {
    "sibling": "a known crystal differs in one element alone",
    "formula": "one has the same anonymous formula",
    "none": "no known crystal has it",
}
"""What the nearest kin among the known crystals is."""

STYLE: dict[str, Any] = {"box": SIMPLE_HEAD, "show_edge": False, "collapse_padding": True}


def results(
    model: Scores | None,
    baselines: Mapping[str, Scores],
    controls: Mapping[str, Scores],
    run: Mapping[str, Any],
    kin: Integer[np.ndarray, " n"] | None = None,
    degradation: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Gather an evaluation in one dictionary of plain values, as the module describes it.

    Args:
        model: its scores, where there is a model.
        baselines: scores by name.
        controls: scores by name.
        run: what is to be said of the model and the data.
        kin: the nearest `Kinship` of each material among the known crystals, where it is asked.
        degradation: what `cmed_jax.evaluation.degradation` found, where it was asked.

    Raises:
        ValueError: if there are no scores, or if they are not of the same materials, scored alike.
    """
    named = {**({} if model is None else {"model": model}), **baselines, **controls}
    _check_same_materials(named)
    return {
        "run": dict(run),
        "protocol": _protocol(next(iter(named.values())).as_published),
        "machine": _machine(),
        "model": None if model is None else summary(model, kin),
        "baselines": {name: summary(scores, kin) for name, scores in baselines.items()},
        "controls": {name: summary(scores, kin) for name, scores in controls.items()},
        "leads": None if model is None else _leads(model, baselines, kin),
        "ranking": {} if model is None else rankings(model, baselines),
        "uncertainty": None if model is None else _uncertainty(model),
        "degradation": degradation,
        "materials": _rows(named, kin),
    }


def print_report(results: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the table of the protocol, the plain figures by group, and the lead of the model."""
    console = console or Console()
    console.print(_headline(results))
    console.print(_by_group(results))
    if results["leads"]:
        console.print(_lead(results))


def best_baseline(results: Mapping[str, Any]) -> str:
    """Return the name of the baseline of the largest mean SSIM."""
    baselines = results["baselines"]
    return max(baselines, key=lambda name: baselines[name]["plain"]["ssim"]["mean"])


def space_group_name(number: int) -> str:
    """Return symbol and number, as in "Fm-3m (225)"."""
    symbol = gemmi.find_spacegroup_by_number(number).short_name()
    return f"{symbol.replace('H', 'R')} ({number})"  # H: gemmi's R on hexagonal axes


def _protocol(as_published: bool) -> dict[str, Any]:
    return {
        "as_published": as_published,
        "plain": "candidate 0 (the latent's mean, or the gate's mixture), not rotated",
        "published": "best of all samples in 24 rotations, each metric on its own: an oracle",
        "rotations": "of the array" if as_published else "about the periodic origin",
        "missing_plane": protocol.MISSING_PLANE if as_published else None,
        "ssim": {"window": metrics.WINDOW, "k1": metrics.K1, "k2": metrics.K2},
        "data_range": "maximum - minimum of the truth",
        "nmae": "mean |prediction - truth| / mean |truth|",
        "periodic_ssim": "ssim over windows around all voxels, across the faces of the cell",
        "pearson": "correlation of the voxels",
        "r_factor": "sum ||F| - |F'|| / sum |F| over the modes of the grid but h = 0, no scale",
        "cosine": f"of the pattern that the density implies and the true one, s < {S_COMPARED}/Å",
        "rwp": "likewise, with the weight 1 / intensity and the best scale",
        "nmae_at_atoms": f"nmae within {AT_ATOMS} angstrom of an atom",
        "nmae_between": f"nmae beyond {BETWEEN} angstrom of all atoms",
        "interval": f"{protocol.CONFIDENCE:.0%} percentile bootstrap of the mean",
        "resamples": protocol.RESAMPLES,
        "kin": KIN,
    }


def _leads(
    model: Scores, baselines: Mapping[str, Scores], kin: Integer[np.ndarray, " n"] | None
) -> dict[str, Any]:
    ssim = model.plain["ssim"]
    groups = {"all": np.full(len(ssim), True)}
    if kin is not None:
        groups |= {kin_name(kind): kin == kind for kind in np.unique(kin).tolist()}
    return {
        name: {
            group: {"materials": int(rows.sum())} | paired(ssim[rows], scores.plain["ssim"][rows])
            for group, rows in groups.items()
        }
        for name, scores in baselines.items()
    }


def _uncertainty(model: Scores) -> dict[str, Any] | None:
    """Calibration of the samples, and how well two confidences rank the materials."""
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
    named: Mapping[str, Scores], kin: Integer[np.ndarray, " n"] | None
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
            "kin": None if kin is None else kin_name(int(kin[i])),
            "spread": None if deviation is None else float(deviation[i]),
            "scores": {
                name: {metric: float(values[i]) for metric, values in column.items()}
                for name, column in columns.items()
            },
        }
        for i in range(len(first.material_id))
    ]


def _headline(results: Mapping[str, Any]) -> Table:
    manner = ", computed as published" if results["protocol"]["as_published"] else ""
    table = Table(title=f"{len(results['materials'])} materials{manner}", **STYLE)
    table.add_column(no_wrap=True)
    for heading in (
        "SSIM mean [95 %]",
        "median",
        ">0.9",
        ">0.95",
        "<0.7",
        "PSNR",
        "NMAE",
        "cosine",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    model, notes = results["model"], []
    if model is not None:
        table.add_row("model, plain", *_cells(model["plain"]), style="bold")
        for choice, name in (("chosen", "chosen of {}"), ("oracle", "best of {} (oracle)")):
            for ranking in results["ranking"].values():
                row = name.format(ranking["candidates"])
                table.add_row(f"{row:24}", *_cells({"ssim": ranking[choice]}))
        if model["published"] is not None:
            table.add_row("model, published (oracle)", *_cells(model["published"]))
        notes += _notes(results)
    for kind in ("baselines", "controls"):
        table.add_section()
        for name, figures in results[kind].items():
            table.add_row(name, *_cells(figures["plain"]))
    if strangers := _without_template(results):
        notes.append(f"substitution: no template for {strangers}, where nearest in both answers")
    notes.append(f"PSNR: {metrics.PSNR_CEILING:.1f} of a material whose answer is the truth itself")
    table.caption = "\n".join(notes)
    return table


def _notes(results: Mapping[str, Any]) -> list[str]:
    """What the rows of the model mean, and what its samples tell."""
    model, uncertainty, notes = results["model"], results["uncertainty"], []
    if results["ranking"]:
        joint = results["ranking"]["samples and baselines"]
        notes.append(
            "chosen: by the pattern implied in the true cell, which a user must first find"
        )
        notes.append(
            f"{joint['candidates']} are with the baselines, and for {joint['hits']:.0%} of the "
            "materials the chosen one is the best of them"
        )
    if model["published"] is not None:
        count = 24 * model["samples"]
        notes.append(f"published: best of {count} candidates, chosen with the truth")
    if uncertainty is not None:
        coverage = dict(zip(uncertainty["levels"], uncertainty["coverage"], strict=True))
        notes.append(f"intervals of nominally 90 % hold {coverage[0.9]:.0%} of the voxels")
        notes += [
            f"most trusted half by its {name}: {half['trusted']:.3f}, rest: {half['doubted']:.3f}"
            for name, half in uncertainty["trust"].items()
            if half["doubted"] is not None
        ]
    return notes


def _without_template(results: Mapping[str, Any]) -> int:
    """How many materials are of an anonymous formula that no known crystal has."""
    groups = results["baselines"].get("substitution", {}).get("by_kin", {})
    return groups.get("none", {"materials": 0})["materials"]


def _cells(figures: Mapping[str, Any]) -> list[str]:
    """The columns of a row; blank where a figure is not known."""
    ssim = figures["ssim"]
    others = {"psnr": ".1f", "nmae": ".3f", "cosine": ".3f"}
    return [
        spread(ssim, ".3f"),
        f"{ssim['median']:.3f}",
        *(f"{100 * ssim[share]:.1f} %" for share in ("above_0.9", "above_0.95", "below_0.7")),
        *(f"{figures[x]['mean']:{form}}" if x in figures else "" for x, form in others.items()),
    ]


def _by_group(results: Mapping[str, Any]) -> Table:
    """The model beside the best baseline, or the best baseline alone."""
    columns = {} if results["model"] is None else {"model": results["model"]}
    if results["baselines"]:
        best = best_baseline(results)
        columns[best] = results["baselines"][best]
    first = next(iter(columns.values()))
    by_size = sorted(
        first["by_space_group"].items(), key=lambda item: (-item[1]["materials"], int(item[0]))
    )

    table = Table(title="plain SSIM by group", **STYLE)
    table.add_column(no_wrap=True)
    table.add_column("materials", justify="right")
    for name in columns:
        table.add_column(f"{name}: mean", justify="right")
        table.add_column("median", justify="right")

    def add(kind: str, key: str, name: str) -> None:
        groups = [figures[kind][key] for figures in columns.values()]
        figures = [f"{group[value]:.3f}" for group in groups for value in ("mean", "median")]
        table.add_row(name, str(groups[0]["materials"]), *figures)

    for key, _ in by_size[:GROUPS_SHOWN]:
        add("by_space_group", key, space_group_name(int(key)))
    table.add_section()
    for key in first["by_elements"]:
        add("by_elements", key, f"{key} element{'s' if key != '1' else ''}")
    table.add_section()
    for key in first["by_kin"]:
        add("by_kin", key, KIN[key])
    if len(by_size) > GROUPS_SHOWN:
        table.caption = f"and {len(by_size) - GROUPS_SHOWN} smaller space groups"
    return table


def _lead(results: Mapping[str, Any]) -> Table:
    """How far the model is above the best baseline, where kin is near and where there is none."""
    best = best_baseline(results)
    table = Table(title=f"plain SSIM, model - {best}, paired", **STYLE)
    table.add_column(no_wrap=True)
    for heading in ("", "mean [95 %]", "better in", "model is"):
        table.add_column(heading, justify="right", no_wrap=True)
    for group, lead in results["leads"][best].items():
        figures = spread(lead, "+.3f"), f"{lead['larger']:.0%}"
        name = KIN.get(group, "all materials")
        table.add_row(name, str(lead["materials"]), *figures, standing(lead))
    return table
