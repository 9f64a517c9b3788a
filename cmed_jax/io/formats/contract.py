"""Tables of what the readers accept, from which docs/file_formats.md is made.

`python -m cmed_jax.io.formats.contract` prints the tables of axes.
"""

from cmed_jax.io.formats.axes import AXES, AxisKind

HEAD = "| axis | headings such as | what is done |\n| --- | --- | --- |"


def axes_table() -> str:
    """Return the table of axes in Markdown: those taken, converted and refused."""
    return "\n".join([HEAD, *map(_row, AXES)])


def _row(kind: AxisKind) -> str:
    headings = ", ".join(f"`{each}`" for each in kind.examples)
    if kind.fate == "refused":
        done = "refused by name"
    elif kind.fate == "taken":
        done = "taken, in degrees"
    else:
        done = "converted by Bragg's law" + ("; the unit is needed" if kind.axis == "q" else "")
    return f"| {kind.name} | {headings} | {done} |"


if __name__ == "__main__":
    print(axes_table())
