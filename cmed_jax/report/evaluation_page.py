"""The report of an evaluation as one HTML page: a table, charts, and a gallery.

The page opens without access to the internet. It is made from the results
(`cmed_jax.evaluation.results.results`) and the entries of the gallery (`cmed_jax.report.gallery`).
The folder `templates` holds its text, style and script. Sections without figures are left out.
"""

import json
from collections.abc import Mapping, Sequence
from html import escape
from string import Template
from typing import Any

import numpy as np

from cmed_jax.evaluation.baselines import MODIFIED
from cmed_jax.evaluation.results import best_baseline
from cmed_jax.evaluation.statistics import format_interval, standing
from cmed_jax.report import evaluation_charts
from cmed_jax.report.evaluation_charts import Results
from cmed_jax.report.html import (
    definitions,
    formula,
    key,
    slice_figure,
    template,
    without_section,
)

Gallery = Mapping[str, Sequence[Mapping[str, Any]]]

SECTIONS = {
    "figures": "Figures",
    "distributions": "Distributions",
    "groups": "Groups",
    "ranking": "Self-consistency",
    "uncertainty": "Uncertainty",
    "degradation": "Degradation",
    "gallery": "Gallery",
    "method": "Method",
}
"""The titles of the sections by their id on the page.

Sections that are also keys of the results are shown only if there is something under that key.
"""

HEADINGS = ("mean", "", "95 % interval", "median", "&gt;0.9", "&gt;0.95", "&lt;0.7")
FURTHER = ("PSNR", "NMAE", "cosine")
SHARES = ("above_0.9", "above_0.95", "below_0.7")
OTHERS = {"psnr": ".1f", "nmae": ".3f", "cosine": ".3f"}
"""The further metrics of the table, and their formats."""

RIVALS = {
    "nearest in both": "nearest in both",
    "nearest in reflections": "nearest in reflections",
    MODIFIED: f"nearest in reflections, {MODIFIED}",
    "substitution": "substitution",
    "refined substitution": "refined substitution",
}
"""The names, in a sentence, of the baselines that the verdict compares the model with."""

READS = 0.02
"""The loss of SSIM with a wrong pattern or composition above which the model uses that input."""

SLICES = ("truth", "prediction", "difference")


def page(results: Results, gallery: Gallery) -> str:
    """Return the page.

    Args:
        results: the results of an evaluation with a model.
        gallery: the entries by the name of their group, such as "best".
    """
    absent = [key for key in SECTIONS if key in results and not results[key]]
    text = template("page.html")
    for section in absent:
        text = without_section(text, section)
    parts = _summary(results) | _charts(results, absent) | _method(results)
    return Template(text).substitute(
        parts,
        links=_links(absent),
        gallery=_gallery(results, gallery),
        entries=json.dumps([e for group in gallery.values() for e in group]).replace("</", "<\\/"),
        style=template("page.css"),
        script=template("viewer.js"),
    )


def verdict(results: Results) -> list[tuple[bool, str]]:
    """Return the assessment of the model: sentences, each with whether it is favourable."""
    ssim = _mean(results["model"])
    said = []
    for name, called in RIVALS.items():
        if name in results["baselines"]:
            lead = results["leads"][name]["all"]
            where, by = standing(lead), format_interval(lead, "+.3f")
            sentence = f"Beside the baseline “{called}” it is {where}: {by}, in pairs."
            said.append((where == "above", sentence))
    for name, what in (("wrong pattern", "pattern"), ("wrong composition", "composition")):
        if name in results["controls"]:
            loss = ssim - _mean(results["controls"][name])
            end = "." if loss > READS else ": it hardly reads it."
            said.append((loss > READS, f"It loses {loss:.3f} with the wrong {what}{end}"))
    if results["ranking"]:
        ranking = results["ranking"]["samples and baselines"]
        lead = ranking["leads"][best_baseline(results)]
        where, by = standing(lead), format_interval(lead, "+.3f")
        sentence = (
            f"Of {ranking['candidates']} candidates, its own and the baselines’, the one that "
            "explains the pattern best in the true cell scores "
            f"{ranking['chosen']['mean']:.3f}: beside the best baseline alone {where}, {by}."
        )
        said.append((where == "above", sentence))
    if results["uncertainty"]:
        known = results["uncertainty"]
        covered = dict(zip(known["levels"], known["coverage"], strict=True))[0.9]
        sentence = f"Intervals of nominally 90 % hold {100 * covered:.0f} % of the voxels."
        said.append((covered > 0.8, sentence))
    return said


def _summary(results: Results) -> dict[str, str]:
    """Return the parts of the page above the first chart."""
    model, run, best = results["model"], results["run"], best_baseline(results)
    tiles = {
        "plain SSIM of the model": model["plain"]["ssim"],
        f"best baseline: {best}": results["baselines"][best]["plain"]["ssim"],
    }
    if "wrong pattern" in results["controls"]:
        tiles["with the wrong pattern"] = results["controls"]["wrong pattern"]["plain"]["ssim"]
    if "cosine" in model["plain"]:
        tiles["cosine of calculated and given pattern"] = model["plain"]["cosine"]
    said = (
        f'<li class="{"good" if good else "bad"}">{escape(sentence)}</li>'
        for good, sentence in verdict(results)
    )
    return {
        "name": escape(str(run.get("checkpoint"))),
        "materials": str(model["materials"]),
        "split": escape(str(run.get("split", ""))),
        "source": escape(str(run.get("provenance", {}).get("source", "an unknown source"))),
        "tiles": "".join(_tile(label, ssim) for label, ssim in tiles.items()),
        "verdict": "".join(said),
        "headline": _headline(results),
    }


def _charts(results: Results, absent: Sequence[str]) -> dict[str, str]:
    """Return the charts of all sections that are not absent."""
    found = {
        name: getattr(evaluation_charts, name)(results)
        for name in ("histogram", "shares", "space_groups", "overlap", "regions")
    }
    if "ranking" not in absent:
        candidates = str(results["ranking"]["samples and baselines"]["candidates"])
        found |= {
            "scatter": evaluation_charts.scatter(results),
            "choice": evaluation_charts.choice(results),
        }
        found["candidates"] = candidates
    if "uncertainty" not in absent:
        found |= {
            name: getattr(evaluation_charts, name)(results) for name in ("coverage", "deviation")
        }
        found |= {
            "trust": evaluation_charts.trust(results),
            "samples": str(results["model"]["samples"]),
        }
    if "degradation" not in absent:
        degradation = results["degradation"]
        found["degraded"] = str(degradation["materials"])
        found["curves"] = "".join(
            f'<div class="card"><h3>{escape(name)}</h3>'
            f"{evaluation_charts.curve(degradation, name)}</div>"
            for name in degradation["curves"]
        )
    return found


def _method(results: Results) -> dict[str, str]:
    return {
        "protocol": definitions(results["protocol"]),
        "machine": definitions(results["machine"]),
        "config": escape(json.dumps(results["run"].get("config"), indent=1)),
    }


def _links(absent: Sequence[str]) -> str:
    shown = {key: name for key, name in SECTIONS.items() if key not in absent}
    return "".join(f'<a href="#{key}">{name}</a>' for key, name in shown.items())


def _headline(results: Results) -> str:
    """Return the table, with a row for the model and each choice, baseline and control."""
    rows = _table_rows(results)
    low = np.floor(10 * min((row[2]["interval"] or [row[2]["mean"]])[0] for row in rows)) / 10
    ends = f'<div class="track"><i style="left:0">{low:.1f}</i><i style="right:0">1.0</i></div>'
    heads = [f"<th>{heading or ends}</th>" for heading in (*HEADINGS, *FURTHER)]
    body, last = "", ""
    for name, kind, ssim, others in rows:
        group = kind.replace("oracle", "model")
        classes = f"{kind} {'' if group == last else 'first'} {'' if last else 'lead'}"
        last = group
        cells = [
            f"{ssim['mean']:.3f}",
            _track(ssim, low),
            _interval(ssim),
            f"{ssim['median']:.3f}",
            *(f"{100 * ssim[share]:.1f} %" for share in SHARES),
            *(f"{others[x]['mean']:{form}}" if x in others else "" for x, form in OTHERS.items()),
        ]
        columns = "".join(f"<td>{cell}</td>" for cell in cells)
        body += f'<tr class="{classes}"><th>{escape(name)}</th>{columns}</tr>'
    return f"<table><thead><tr><th></th>{''.join(heads)}</tr></thead><tbody>{body}</tbody></table>"


def _table_rows(results: Results) -> list[tuple[str, str, Mapping, Mapping]]:
    """Return the name, kind, figures of SSIM and figures of the other metrics of each row."""
    model = results["model"]
    rows = [("model, plain", "model", model["plain"]["ssim"], model["plain"])]
    lists = {
        f"of {ranking['candidates']} {name.replace('samples and', 'with')}": ranking
        for name, ranking in results["ranking"].items()
    }
    for choice, kind, word in (("chosen", "model", "chosen"), ("oracle", "oracle", "best")):
        rows += [(f"{word} {name}", kind, found[choice], {}) for name, found in lists.items()]
    if model["published"] is not None:
        rows.append(("published", "oracle", model["published"]["ssim"], model["published"]))
    for kind in ("baseline", "control"):
        for name, scores in results[f"{kind}s"].items():
            rows.append((name, kind, scores["plain"]["ssim"], scores["plain"]))
    return rows


def _gallery(results: Results, gallery: Gallery) -> str:
    scores = {row["material_id"]: row["scores"] for row in results["materials"]}
    place, parts = 0, []
    for group, entries in gallery.items():
        parts.append(f'<p class="group">{escape(group.capitalize())}</p>')
        for entry in entries:
            parts.append(_material(entry, place, scores[entry["material_id"]]))
            place += 1
    return "".join(parts)


def _material(entry: Mapping[str, Any], place: int, scores: Mapping[str, Mapping]) -> str:
    model = scores["model"]
    said = [f"SSIM {model['ssim']:.3f}"]
    if "cosine" in model:
        said.append(f"cosine {model['cosine']:.3f} · R<sub>wp</sub> {model['rwp']:.2f}")
    if "substitution" in scores:
        said.append(f"substitution {scores['substitution']['ssim']:.3f}")
    elements = sorted({atom["element"] for atom in entry["atoms"]})
    legend = "".join(f'<span><i data-element="{e}"></i>{e}</span>' for e in elements)
    views = "".join(
        f'<figure><canvas data-kind="{kind}" tabindex="0" role="img" aria-label="surface of the '
        f'{kind}, turned by arrow keys"></canvas><figcaption>{kind}</figcaption></figure>'
        for kind in SLICES[:2]
    )
    slices = "".join(
        slice_figure(cut, name, f"{name}, {cut['equation']}" if name == "truth" else name)
        for cut in entry["slices"]
        for name in SLICES
    )
    level = f"surface at {entry['level']:.2g} e/Å³"
    return (
        f'<article class="card material" data-entry="{place}"><header>'
        f"<h3>{formula(entry['formula'])}</h3><span>{escape(entry['space_group'])}</span>"
        f"<span>{escape(entry['material_id'])}</span>"
        f'<span class="said">{" · ".join(said)}</span></header>'
        f'<div class="views"><div><div class="pair">{views}</div>'
        f'<div class="elements">{legend}<span>{level}</span></div></div>'
        f'<div class="slices">{slices}</div></div>{_patterns(entry["sticks"])}</article>'
    )


def _patterns(sticks: Mapping[str, Any]) -> str:
    """Return the given pattern upwards and the calculated one downwards, over 2θ."""
    stop = sticks["stop"]
    paths = ""
    for name, way in (("given", -100), ("implied", 100)):
        lines = (f"M{1000 * x / stop:.1f} 100v{way * y:.1f}" for x, y in sticks.get(name, []))
        paths += f'<path class="{name}" d="{"".join(lines)}"/>'
    ticks = "".join(
        f'<i style="left:{100 * x / stop:.2f}%">{x}°</i>'
        for x in range(10, int(stop), 20 if stop > 80 else 10)
    )
    names = {"given pattern": "given"}
    if "implied" in sticks:
        names["calculated from the prediction, downwards"] = "model"
    return (
        '<svg class="pattern" viewBox="0 0 1000 200" preserveAspectRatio="none" role="img" '
        f'aria-label="patterns"><path class="grid" d="M0 100H1000"/>{paths}</svg>'
        f'<div class="angles">{ticks}</div>{key(names)}'
    )


def _tile(label: str, found: Mapping[str, Any]) -> str:
    return (
        f'<div class="card tile"><b>{found["mean"]:.3f}</b><span>{escape(label)}</span>'
        f"<small>{_interval(found)}</small></div>"
    )


def _track(ssim: Mapping[str, Any], low: float) -> str:
    """Return a mark at the mean and a bar over its interval, on a scale from low to 1."""
    start, end = ssim["interval"] or [ssim["mean"]] * 2
    left, right, mean = (100 * (x - low) / (1 - low) for x in (start, end, ssim["mean"]))
    return (
        f'<div class="track"><i class="rule"></i><i class="span" style="left:{left:.2f}%;'
        f'width:{right - left:.2f}%"></i><i class="mean" style="left:{mean:.2f}%"></i></div>'
    )


def _interval(found: Mapping[str, Any]) -> str:
    interval = found["interval"]
    return "" if interval is None else f"{interval[0]:.3f} – {interval[1]:.3f}"


def _mean(scores: Mapping[str, Any]) -> float:
    return scores["plain"]["ssim"]["mean"]
