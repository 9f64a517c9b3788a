"""The printed tables of an evaluation."""

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cmed_jax.crystal.symmetry import space_group_name
from cmed_jax.evaluation import metrics
from cmed_jax.evaluation.results import OVERLAP, best_baseline
from cmed_jax.evaluation.statistics import format_interval, standing

TABLE_WIDTH = 110
"""The number of columns of the table.

A narrower terminal breaks its lines; output to a file has the full width.
"""

GROUPS_SHOWN = 15
"""The number of space groups in the printed table; the results hold all of them."""

STYLE: dict[str, Any] = {"box": SIMPLE_HEAD, "show_edge": False, "collapse_padding": True}


def print_report(results: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the table of the protocol, the plain figures by group, and the model's lead."""
    console = console or Console()
    console.print(_headline(results))
    console.print(_by_group(results))
    if results["leads"]:
        console.print(_lead(results))


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
    if strangers := _without_prototype(results):
        notes.append(f"substitution: no prototype for {strangers}, where nearest in both answers")
    notes.append(f"PSNR: {metrics.PSNR_CEILING:.1f} of a material whose answer is the truth itself")
    table.caption = "\n".join(notes)
    return table


def _notes(results: Mapping[str, Any]) -> list[str]:
    """Return notes on the rows of the model, and the figures of its samples."""
    model, uncertainty, notes = results["model"], results["uncertainty"], []
    if results["ranking"]:
        joint = results["ranking"]["samples and baselines"]
        notes.append(
            "chosen: by the pattern calculated in the true cell, which a user must first find"
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


def _without_prototype(results: Mapping[str, Any]) -> int:
    """Return the number of materials with an anonymous formula that no known crystal has."""
    groups = results["baselines"].get("substitution", {}).get("by_kin", {})
    return groups.get("none", {"materials": 0})["materials"]


def _cells(figures: Mapping[str, Any]) -> list[str]:
    """Return the columns of a row, blank where a figure is not known."""
    ssim = figures["ssim"]
    others = {"psnr": ".1f", "nmae": ".3f", "cosine": ".3f"}
    return [
        format_interval(ssim, ".3f"),
        f"{ssim['median']:.3f}",
        *(f"{100 * ssim[share]:.1f} %" for share in ("above_0.9", "above_0.95", "below_0.7")),
        *(f"{figures[x]['mean']:{form}}" if x in figures else "" for x, form in others.items()),
    ]


def _by_group(results: Mapping[str, Any]) -> Table:
    """Return the table of the model and the best baseline by group, or of the baseline alone."""
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
        add("by_kin", key, OVERLAP[key])
    if len(by_size) > GROUPS_SHOWN:
        table.caption = f"and {len(by_size) - GROUPS_SHOWN} smaller space groups"
    return table


def _lead(results: Mapping[str, Any]) -> Table:
    """Return the table of the model's lead over the best baseline, by training overlap."""
    best = best_baseline(results)
    table = Table(title=f"plain SSIM, model - {best}, paired", **STYLE)
    table.add_column(no_wrap=True)
    for heading in ("", "mean [95 %]", "better in", "model is"):
        table.add_column(heading, justify="right", no_wrap=True)
    for group, lead in results["leads"][best].items():
        figures = format_interval(lead, "+.3f"), f"{lead['larger']:.0%}"
        name = OVERLAP.get(group, "all materials")
        table.add_row(name, str(lead["materials"]), *figures, standing(lead))
    return table
