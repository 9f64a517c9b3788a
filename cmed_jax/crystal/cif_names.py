"""Names of CIF items: the newer dictionaries put a dot between category and item."""

import re

DOTTED = re.compile(r"(?m)^([ \t]*_[A-Za-z][\w\-]*)\.([\w\-\[\]/%]+)(?=\s|$)")
"""A name with a dot that a line begins with, as all writers have it."""


def undotted(text: str) -> str:
    """Return the text of a CIF with the older names, which have no dots.

    `_pd_meas.2theta_scan` becomes `_pd_meas_2theta_scan`; values are left as they are.
    """
    return DOTTED.sub(r"\1_\2", text)
