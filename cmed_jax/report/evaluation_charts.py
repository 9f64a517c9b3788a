"""The charts of an evaluation's page, each drawn from the results alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.symmetry import space_group_name
from cmed_jax.evaluation.results import OVERLAP, best_baseline
from cmed_jax.report.charts import BOTTOM, TOP, Axis, Chart
from cmed_jax.report.html import key

Results = Mapping[str, Any]

TENTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
GROUPS = 16
"""The number of space groups, the largest ones, on their chart."""

LOWEST = 0.2
"""The start of SSIM axes in charts of single materials; lower values are drawn there."""

ROW = 24
"""The height of a row in charts with one row for each name."""

LEAST = 1e-3
"""The start of logarithmic axes of errors."""

CURVES = {
    "substitution": "baseline",
    "nearest in reflections": "baseline dashed",
    "wrong pattern": "control",
    "model": "model",
}
"""The distributions on the chart of shares, and the style class of each."""


def histogram(results: Results) -> str:
    """Return the histogram of the model's SSIM."""
    counts, edges = np.histogram(column(results, "model", "ssim"), bins=np.linspace(0, 1, 21))
    most = 5 * -(-int(counts.max()) // 5)
    ticks = np.linspace(0, most, 6)
    chart = Chart(Axis("plain SSIM of the model", 0, 1, TENTHS), Axis("materials", 0, most, ticks))
    return chart.bars(edges[:-1], edges[1:], counts, "model").svg("histogram of SSIM")


def shares(results: Results) -> str:
    """Return the share of materials above each SSIM, for the model, baselines and a control."""
    known = results["materials"][0]["scores"]
    shown = {name: kind for name, kind in CURVES.items() if name in known}
    axes = Axis("SSIM", LOWEST, 1, TENTHS[1:]), Axis("share above", 0, 1, TENTHS)
    chart = Chart(*axes)
    for name, kind in shown.items():
        values = np.sort(column(results, name, "ssim"))
        above = np.repeat(1 - np.arange(len(values) + 1) / len(values), 2)
        x = np.concatenate([[LOWEST], np.repeat(values, 2), [1]])
        chart.line(np.maximum(x, LOWEST), above, kind)
    return chart.svg("share of materials above an SSIM") + key(shown)


def space_groups(results: Results) -> str:
    """Return the SSIM of the materials in the largest space groups."""
    members: dict[int, list[Mapping]] = {}
    for row in results["materials"]:
        members.setdefault(row["space_group"], []).append(row)
    largest = sorted(members.items(), key=lambda item: (-len(item[1]), item[0]))[:GROUPS]
    return _strips(results, {space_group_name(group): rows for group, rows in largest})


def overlap(results: Results) -> str:
    """Return the SSIM of the materials by training overlap, and by number of elements."""
    rows = results["materials"]
    names = dict(zip(OVERLAP, ("sibling", "same formula", "neither"), strict=True))
    groups = {name: [row for row in rows if row["kin"] == kind] for kind, name in names.items()}
    for number in sorted({row["elements"] for row in rows}):
        name = f"{number} element{'s' if number > 1 else ''}"
        groups[name] = [row for row in rows if row["elements"] == number]
    return _strips(results, {name: rows for name, rows in groups.items() if rows})


def scatter(results: Results) -> str:
    """Return the SSIM of each material over the cosine of calculated and given pattern."""
    cosine, ssim = (np.clip(column(results, "model", name), 0, 1) for name in ("cosine", "ssim"))
    titles = [f"{row['formula']} {row['material_id']}" for row in results["materials"]]
    axes = (
        Axis("cosine of calculated and given pattern", 0, 1, TENTHS),
        Axis("plain SSIM", 0, 1, TENTHS),
    )
    return Chart(*axes).dots(cosine, ssim, "faint", 4, titles).svg("SSIM over cosine")


def choice(results: Results) -> str:
    """Return the SSIM of candidates chosen by the pattern, between the mean and the oracle."""
    ranking = results["ranking"]["samples and baselines"]
    figures = {
        "mean candidate": (ranking["mean"], "baseline"),
        "model, plain": (results["model"]["plain"]["ssim"], "model"),
        "chosen": (ranking["chosen"], "model"),
        "oracle": (ranking["oracle"], "hollow"),
    }
    chart = _rows(list(figures), [ssim["mean"] for ssim, _ in figures.values()], "mean SSIM", 120)
    for row, (ssim, kind) in enumerate(figures.values()):
        low, high = ssim["interval"] or [ssim["mean"]] * 2
        chart.line([max(low, chart.x.low), high], [row, row], "baseline thin")
        chart.dots([ssim["mean"]], [row], kind, 6, [f"{ssim['mean']:.3f}"])
    return chart.svg("choosing among candidates")


def regions(results: Results) -> str:
    """Return the median errors of the model and the baselines at the atoms and between them."""
    scores = {"model": results["model"], **results["baselines"]}
    metrics = ("nmae_at_atoms", "nmae_between")
    medians = {
        name: [s["plain"][metric]["median"] for metric in metrics] for name, s in scores.items()
    }
    top = max(10.0, *(value for pair in medians.values() for value in pair))
    across = Axis("median NMAE", LEAST, top, 10.0 ** np.arange(-3, 2), log=True)
    chart = Chart(across, _names_axis(medians), _height(medians), 150).row_names(list(medians))
    for row, (name, pair) in enumerate(medians.items()):
        at, between = np.maximum(pair, LEAST).tolist()
        kind = "model" if name == "model" else "baseline"
        chart.line([at, between], [row, row], f"{kind} thin")
        chart.dots([between], [row], "hollow", 5, [f"{pair[1]:.3f}"])
        chart.dots([at], [row], kind, 5, [f"{pair[0]:.3f}"])
    return chart.svg("errors at the atoms and between them")


def coverage(results: Results) -> str:
    """Return the coverage of intervals over their nominal coverage."""
    levels, covered = (results["uncertainty"][name] for name in ("levels", "coverage"))
    axes = Axis("nominal coverage", 0, 1, TENTHS), Axis("coverage", 0, 1, TENTHS)
    chart = Chart(*axes).line([0, 1], [0, 1], "diagonal")
    chart.line([0, *levels], [0, *covered], "model")
    return chart.dots(levels, covered, "model", 4, [f"{x:.1%}" for x in covered]).svg("coverage")


def deviation(results: Results) -> str:
    """Return the error over the expected error, for parts of the voxels."""
    if results["uncertainty"]["expected"] is None:
        return "<p>It takes at least four samples.</p>"
    expected, error = (
        np.maximum(results["uncertainty"][name], LEAST / 10) for name in ("expected", "error")
    )
    both = np.concatenate([expected, error])
    ends = np.floor(np.log10(both.min())), np.ceil(np.log10(both.max()) + 1e-9)
    ticks = 10.0 ** np.arange(ends[0], ends[1] + 1)
    names = ("expected error / mean density", "error / mean density")
    across, up = (Axis(name, ticks[0], ticks[-1], ticks, log=True) for name in names)
    chart = Chart(across, up)
    chart.line(ticks[[0, -1]], ticks[[0, -1]], "diagonal").line(expected, error, "model")
    titles = [f"part {i + 1} of {len(error)}" for i in range(len(error))]
    return chart.dots(expected, error, "model", 4, titles).svg("error over deviation")


def trust(results: Results) -> str:
    """Return the SSIM of the trusted and doubted halves, and the rank correlations."""
    known = results["uncertainty"]["trust"]
    halves = {
        f"{half} by its {name}": figures[half]
        for name, figures in known.items()
        for half in ("trusted", "doubted")
        if figures[half] is not None
    }
    chart = _rows(list(halves), list(halves.values()), "mean SSIM of half the materials", 150)
    for row, (name, value) in enumerate(halves.items()):
        kind = "model" if name.startswith("trusted") else "control"
        chart.dots([value], [row], kind, 6, [f"{value:.3f}"])
    ranks = ", ".join(
        f"{figures['spearman']:.2f} by its {name}"
        for name, figures in known.items()
        if figures["spearman"] is not None
    )
    return chart.svg("halves by confidence") + f"<p>Rank correlation with SSIM: {ranks}.</p>"


def curve(found: Mapping[str, Any], name: str) -> str:
    """Return the SSIM over one condition of the measurement, such as the crystallite size."""
    figures = found["curves"][name]
    values, ssim = figures["values"], figures["ssim"]
    lowest = min(min(each["ssim"]) for each in found["curves"].values())
    across = Axis(figures["label"], values[0], values[-1], values, log=figures["log"])
    chart = Chart(across, _ssim_axis(lowest, "plain SSIM"))
    chart.line(values[:: len(values) - 1], [found["ideal"]] * 2, "diagonal")
    if None not in figures["interval"]:
        low, high = np.transpose(figures["interval"])
        chart.band(values, np.maximum(low, chart.y.low), high, "model")
    titles = [f"{value:g}: {x:.3f}" for value, x in zip(values, ssim, strict=True)]
    return chart.line(values, ssim, "model").dots(values, ssim, "model", 4, titles).svg(name)


def column(results: Results, name: str, metric: str) -> Float[np.ndarray, " n"]:
    """Return one metric for every material."""
    return np.array([row["scores"][name][metric] for row in results["materials"]])


def _strips(results: Results, groups: Mapping[str, Sequence[Mapping]]) -> str:
    other = best_baseline(results)
    names = [f"{name} · {len(rows)}" for name, rows in groups.items()]
    across = Axis("plain SSIM", LOWEST, 1, TENTHS[1:])
    chart = Chart(across, _names_axis(names), _height(names), 138).row_names(names)
    for place, rows in enumerate(groups.values()):
        ssim, best = ([row["scores"][n]["ssim"] for row in rows] for n in ("model", other))
        titles = [
            f"{row['formula']} {row['material_id']}: {value:.3f}"
            for row, value in zip(rows, ssim, strict=True)
        ]
        chart.dots(np.maximum(ssim, LOWEST), [place] * len(rows), "faint", 3, titles)
        chart.dots([max(np.mean(best), LOWEST)], [place], "hollow", 5)
        chart.dots([max(np.mean(ssim), LOWEST)], [place], "model", 5)
    return chart.svg("SSIM by group") + key({"model, mean": "model", f"{other}, mean": "baseline"})


def _rows(names: Sequence[str], values: Sequence[float], label: str, left: int) -> Chart:
    """Return an empty chart of SSIM with a row for each name."""
    across = _ssim_axis(min(values), label)
    return Chart(across, _names_axis(names), _height(names), left).row_names(names)


def _ssim_axis(lowest: float, label: str) -> Axis:
    first = min(int(10 * lowest - 0.5), 8)
    return Axis(label, first / 10, 1, np.arange(first, 11) / 10)


def _names_axis(names: Sequence[str] | Mapping[str, Any]) -> Axis:
    return Axis("", len(names) - 0.5, -0.5, [])


def _height(names: Sequence[str] | Mapping[str, Any]) -> int:
    return TOP + BOTTOM + ROW * len(names)
