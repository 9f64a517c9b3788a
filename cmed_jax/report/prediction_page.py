"""The page of a prediction: one HTML file that opens without access to the internet.

The page shows the density in its cell, the measured pattern with its background and peaks, the
pattern calculated from the density, and the command that repeats the prediction. It shares style
and viewer with the page of an evaluation (`cmed_jax.report.evaluation_page`). Sections without data
are left out.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from string import Template
from typing import Any

from cmed_jax.crystal.symmetry import space_group_name
from cmed_jax.prediction.result import Prediction
from cmed_jax.prediction.results import results
from cmed_jax.report.html import (
    definitions,
    formula,
    slice_figure,
    template,
    without_section,
)
from cmed_jax.report.prediction_density import (
    colour_bar,
    levels,
    marked_values,
    scene,
    slices,
    volumes,
)
from cmed_jax.report.prediction_patterns import measured_patterns, shown_pattern
from cmed_jax.report.slices import Colours

Results = Mapping[str, Any]

FIRST = "90%"
"""The share outside the surface that is shown first."""

PARAMETERS = ("a / Å", "b / Å", "c / Å", "α / °", "β / °", "γ / °")

SPOKEN = 0.01
"""The least weight of an expert that the page mentions."""

CELLS = 10
"""The number of cells that are shown, of those in the results."""


def page(prediction: Prediction, command: str | None = None) -> str:
    """Return the page of a prediction.

    Args:
        prediction: the prediction to show.
        command: the command that repeats it, where there is one.
    """
    found = results(prediction)
    text = template("prediction.html")
    for key in _absent(found):
        text = without_section(text, key)
    return Template(text).substitute(
        _head(found) | _density(prediction) | _patterns(prediction, found) | _tables(found),
        command=f'<pre class="command">{escape(command)}</pre>' if command else "",
        method=definitions(_method(found)),
        results=escape(json.dumps(found, indent=1)),
        scene=json.dumps(scene(prediction)),
        style=template("page.css") + template("prediction.css"),
        script=template("viewer.js") + template("strips.js"),
    )


def _absent(found: Results) -> list[str]:
    known = {
        "patterns": found["measured"],
        "cells": found["cells"],
        "structures": found["structures"],
        "peaks": found["measured"] and found["measured"]["peaks"],
    }
    return [key for key, value in known.items() if not value]


def _head(found: Results) -> dict[str, str]:
    measured, composition = found["measured"], found["composition"]
    source = (
        "a pattern on the network’s grid" if measured is None else measured["file"] or "columns"
    )
    name = "An unknown compound" if composition is None else composition
    return {
        "title": escape(f"{name} from {source}"),
        "heading": f"{formula(name)} from {escape(source)}",
        "measurement": escape(_origin(found) + _measurement(measured)),
        "tiles": "".join(_tile(*tile) for tile in _facts(found)),
        "said": "".join(
            f'<li class="{kind}"><b>{word}</b> {escape(_sentence(text))}</li>'
            for kind, word, text in _said(found)
        ),
    }


def _said(found: Results) -> Iterator[tuple[str, str, str]]:
    """Yield the class, first word and sentence of each message, the most severe first."""
    for kind, word, key in (("bad", "Alarm.", "alarms"), ("poor", "Doubt.", "doubts")):
        yield from ((kind, word, sentence) for sentence in found[key])
    verdict = found["verdict"]
    if verdict is not None and verdict["consistent"] and verdict["by"] is not None:
        yield "good", "Consistent.", found["verdict"]["sentence"]
    yield from (("note", "Note.", sentence) for sentence in found["notes"])
    if not any(found[key] for key in ("alarms", "doubts", "notes", "verdict")):
        yield "good", "", "there is nothing to warn of"


def _origin(found: Results) -> str:
    """Return a sentence about the source of the density."""
    named = [expert for expert in found["experts"] if expert["weight"] >= SPOKEN]
    if not named:
        return "A density predicted by a network, not refined."
    if len(named) == 1:
        return f"The density of {_who(named[0])}."
    shares = sorted(named, key=lambda expert: -expert["weight"])
    said = ", ".join(f"{expert['weight']:.0%} {_who(expert)}" for expert in shares)
    return f"A density mixed from {said}."


def _who(expert: Results) -> str:
    if expert["residual"] is None:
        return expert["name"]
    return f"{expert['name']} (Rwp {expert['residual']:.2f})"


def _measurement(measured: Results | None) -> str:
    if measured is None:
        return ""
    wavelengths = " and ".join(f"{x:.5g}" for x in measured["wavelengths"])
    return (
        f" {measured['points']:,} points of two-theta {measured['first']:.4g} to "
        f"{measured['last']:.4g} degrees, wavelength {wavelengths} Å, read as {measured['format']}."
    )


def _facts(found: Results) -> list[tuple[str, str, str]]:
    """Return the figure, label and remark of each tile."""
    cell, density, calculated = found["cell"], found["density"], found["implied"]
    facts = []
    if calculated is not None:
        remark = f"cosine {calculated['cosine']:.3f}"
        label = "Rwp of calculated and measured pattern"
        facts.append((f"{calculated['rwp']:.2f}", label, remark))
    if cell is not None:
        remark = _edges(cell) + _conventional(cell["conventional"])
        facts.append((f"{cell['volume']:.2f}", "volume of the primitive cell, Å³", remark))
        units = cell["formula_units"]
        remark = "" if units is None else f"{units:.2f} formula units of {found['composition']}"
        if cell["electrons_known"] is not None:
            remark += f"; {cell['electrons_known']:g} in whole ones"
        facts.append((f"{cell['electrons']:.1f}", "electrons in the cell", remark))
    else:
        facts.append(("–", "cell not known", "drawn in fractional coordinates"))
    remark = f"{density['maximum']:.3g} at most"
    facts.append((f"{density['mean']:.3g}", "mean density, e/Å³", remark))
    if density["deviation"] is not None:
        remark = "of the samples, beside the mean density"
        facts.append((f"± {100 * density['deviation']:.1f} %", "mean deviation", remark))
    return facts


def _edges(cell: Results) -> str:
    lengths, angles = cell["parameters"][:3], cell["parameters"][3:]
    edges, corners = (" ".join(f"{x:.4g}" for x in part) for part in (lengths, angles))
    return f"{edges} Å, {corners}°"


def _conventional(cell: Results | None) -> str:
    """Return the conventional cell, where it differs from the primitive one."""
    if cell is None or cell["centring"] == "P":
        return ""
    group = cell["space_group"]
    named = f"centring {cell['centring']}" if group is None else space_group_name(group)
    return f"; conventional {_edges(cell)}, {named}"


def _tile(figure: str, label: str, remark: str) -> str:
    return (
        f'<div class="card tile"><b>{escape(figure)}</b><span>{escape(label)}</span>'
        f"<small>{escape(remark)}</small></div>"
    )


def _sentence(text: str) -> str:
    """Return a message with a capital letter and a full stop."""
    return text[:1].upper() + text[1:].removesuffix(".") + "."


def _density(prediction: Prediction) -> dict[str, str]:
    where = "its cell" if prediction.lattice is not None else "fractional coordinates"
    return {
        "kind": FIRST,
        "drawn": f"Surfaces of the predicted density in {where}, and slices through its densest "
        "point, in true angles, on scales that are linear near zero and logarithmic beyond.",
        "levels": _level_choices(prediction),
        "doubt": "" if prediction.std is None else _DOUBT,
        "slices": _slices(prediction),
    }


def _slices(prediction: Prediction) -> str:
    """Return the slices of each volume, above the bar of its colours."""
    cuts = slices(prediction)
    return "".join(
        "<div>"
        + "".join(slice_figure(cut, name, f"{name}, {cut['equation']}") for cut in cuts)
        + _bar(colours)
        + "</div>"
        for name, (_, colours) in volumes(prediction).items()
    )


_DOUBT = (
    '<div class="ramp"><div class="bar doubt"></div><div class="marks"><i style="left:0">0</i>'
    '<i style="left:50%">25 %</i><i style="left:100%">50 %</i></div><p>deviation of the samples, '
    "as a share of the density</p></div>"
)


def _level_choices(prediction: Prediction) -> str:
    return "".join(
        f'<label title="{share:.0%} of the cell lies outside"><input type="radio" name="level" '
        f'value="{share:.0%}"{" checked" if f"{share:.0%}" == FIRST else ""}>{level:.2g}</label>'
        for share, level in levels(prediction.density).items()
    )


def _bar(colours: Colours) -> str:
    picture = colour_bar(colours)
    marks = "".join(
        f'<i style="left:{100 * float(colours.norm(x)):.1f}%">{x:g}</i>'
        for x in marked_values(colours)
    )
    return (
        f'<div class="ramp"><div class="bar" style="background-image:url({picture})"></div>'
        f'<div class="marks">{marks}</div><p>e/Å³</p></div>'
    )


def _patterns(prediction: Prediction, found: Results) -> dict[str, str]:
    parts = {"shown": shown_pattern(prediction), "agreement": "", "patterns": ""}
    if prediction.prepared is not None:
        parts["patterns"] = measured_patterns(prediction.prepared, prediction.calculated)
        parts["agreement"] = _agreement(found["implied"]) + _refinement(found["rietveld"])
    return parts


def _agreement(calculated: Results | None) -> str:
    if calculated is None:
        return "Without a cell no pattern can be calculated from the density for a comparison."
    return (
        "Below the measured pattern, the one that is calculated from the density in its cell; its "
        f"scale and one isotropic B are fitted. R<sub>wp</sub> {calculated['rwp']:.3f}, cosine "
        f"{calculated['cosine']:.3f}, of the intensities without background."
    )


def _refinement(fit: Results | None) -> str:
    if fit is None:
        return ""
    return (
        " The Rietveld refinement of the first structure fits background, profile and structure as "
        f"well: R<sub>wp</sub> {fit['rwp']:.3f}, goodness of fit {fit['goodness']:.2f}."
    )


def _tables(found: Results) -> dict[str, str]:
    structures = found["structures"]
    return {
        "cells": _cells(found["cells"][:CELLS]),
        "structures": _structures(structures),
        "best": "" if found["experts"] else _against(found["implied"], structures),
    } | _peaks(found["measured"]["peaks"] if found["measured"] else [])


def _cells(best: Sequence[Results]) -> str:
    rows = [
        [*_six(row), f"{row['merit']:.3f}", f"{row['room']:.2f}", row["origin"]] for row in best
    ]
    heads = ("", *PARAMETERS, "merit", "relative volume", "by")
    return _table(heads, [row["lattice_type"] for row in best], rows)


def _structures(found: Sequence[Results]) -> str:
    rows = [
        [
            row["structure_type"],
            space_group_name(row["space_group"]),
            *_six(row),
            f"{row['residual']:.3f}",
            f"{row['rwp']:.3f}",
            row["free_coordinates"],
            f"{row['room']:.2f}",
            f"{row['shortest'][0]} {row['shortest'][1]:.2f}",
            f"{row['probability']:.0%}",
            row["origin"],
            _sites(row),
        ]
        for row in found
    ]
    figures = ("R", "Rwp", "fitted", "relative volume", "shortest / Å", "probability", "from")
    heads = ("", "type", "space group", *PARAMETERS, *figures, "sites")
    return _table(heads, [row["formula"] for row in found], rows)


def _sites(row: Results) -> str:
    """Return the sites of a structure by Wyckoff position, with the coordinates of one atom."""
    return "; ".join(
        f"{site['element']} {site['multiplicity']}{site['letter']} "
        f"({', '.join(f'{x:.3f}' for x in site['coords'])})"
        for site in row["sites"]
    )


def _peaks(peaks: Sequence[Results]) -> dict[str, str]:
    rows = [[row[column] for column in ("two_theta", "d", "area", "width")] for row in peaks]
    numbers = [str(i + 1) for i in range(len(peaks))]
    heads = ("", "2θ / °", "d / Å", "area", "width / °")
    return {"count": str(len(peaks)), "peaks": _table(heads, numbers, rows)}


def _six(row: Results) -> list[str]:
    """Return the parameters of a cell."""
    return [f"{x:g}" for x in row["parameters"]]


def _against(calculated: Results | None, structures: Sequence[Results]) -> str:
    """Return a comparison of the prediction with the best of the structures, by Rwp."""
    if calculated is None or not structures:
        return ""
    best = min(row["rwp"] for row in structures)
    better = "The prediction" if calculated["rwp"] < best else "One of them"
    return (
        f"{better} explains the pattern better: R<sub>wp</sub> {calculated['rwp']:.3f} of the "
        f"prediction, {best:.3f} of the best of them."
    )


def _table(heads: Sequence[str], names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    head = "".join(f"<th>{escape(word)}</th>" for word in heads)
    body = "".join(
        f"<tr><th>{escape(name)}</th>{''.join(f'<td>{_cell(x)}</td>' for x in row)}</tr>"
        for name, row in zip(names, rows, strict=True)
    )
    return f'<table class="plain"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _cell(value: Any) -> str:
    return "–" if value is None else escape(str(value))


def _method(found: Results) -> dict[str, Any]:
    """Return the details beside the command."""
    measured = found["measured"] or {"preparation": None, "shift": None}
    shift = measured["shift"]
    return {
        "Preparation": measured["preparation"],
        "Shift": shift
        and f"{shift['zero']:.4f}° of the zero, {shift['displacement']:.2e} of the "
        "radius by displacement",
        "Network": f"{found['network']['run']}, trained on {found['network']['data']}",
        "Software": found["software"],
    }
