"""Parts of the pages of evaluations and of predictions, as HTML."""

import re
from collections.abc import Mapping
from html import escape
from importlib import resources
from typing import Any


def template(name: str) -> str:
    """Return the text of a file in the folder `templates`."""
    folder = resources.files("cmed_jax.report") / "templates"
    return (folder / name).read_text(encoding="utf-8")


def without_section(text: str, key: str) -> str:
    """Return a page without the section of an id."""
    return re.sub(f'<section id="{key}">.*?</section>\n\n?', "", text, flags=re.DOTALL)


def slice_figure(cut: Mapping[str, Any], name: str, caption: str) -> str:
    """Return a picture of a slice, sheared into the true shape of its plane, with `up` upwards."""
    (ax, _), (bx, by) = cut["across"], cut["up"]
    left, width = min(0, bx), ax + abs(bx)
    matrix = f"matrix({ax:.4f} 0 {bx:.4f} {-by:.4f} {-left:.4f} {by:.4f})"
    picture = f'<image href="{cut[name]}" width="1" height="1" preserveAspectRatio="none"'
    caption = escape(caption)
    return (
        f'<figure><svg viewBox="0 0 {width:.4f} {by:.4f}" role="img" aria-label="{caption}">'
        f'{picture} transform="{matrix}"/></svg><figcaption>{caption}</figcaption></figure>'
    )


def definitions(values: Mapping[str, Any]) -> str:
    """Return the entries of a list of definitions, without those that are None."""
    return "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(_words(value))}</dd>"
        for name, value in values.items()
        if value is not None
    )


def formula(text: str) -> str:
    """Return a formula with its numbers as subscripts."""
    return re.sub(r"([0-9.]+)", r"<sub>\1</sub>", escape(text))


def key(names: Mapping[str, str]) -> str:
    """Return a legend: names, each in the style class of its lines."""
    spans = (f'<span class="{kind}">{escape(name)}</span>' for name, kind in names.items())
    return f'<div class="key">{"".join(spans)}</div>'


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {words}" for name, words in value.items())
    return str(value)
