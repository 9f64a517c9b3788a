"""Diagnostics: findings about an input or a prediction, each with a code to filter by."""

from typing import Literal, NamedTuple

Severity = Literal["alarm", "doubt", "note"]


class Diagnostic(NamedTuple):
    """One finding.

    Attributes:
        code: the kind of finding, such as "cell_contents", which does not change with the wording.
        severity: "alarm" if the input is wrong; "doubt" if the prediction is wrong, or may well be;
            "note" if something is unusual but not wrong.
        message: the finding in a sentence.

    Example:
        >>> Diagnostic("unknown_element", "doubt", "no training crystal holds Cl").severity
        'doubt'
    """

    code: str
    severity: Severity
    message: str
