"""Names of CIF items, in which newer dictionaries put a dot between category and item."""

import re

DOTTED = re.compile(r"(?m)^([ \t]*_[A-Za-z][\w\-]*)\.([\w\-\[\]/%]+)(?=\s|$)")
"""The pattern of a name with a dot at the beginning of a line, where all programs write it."""


def undotted(text: str) -> str:
    """Return the text of a CIF with the older names, without dots.

    `_pd_meas.2theta_scan` becomes `_pd_meas_2theta_scan`; values are not changed.
    """
    return DOTTED.sub(r"\1_\2", text)
