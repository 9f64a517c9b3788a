"""Diagnostics: what a user should know of a question or an answer, with a code to filter by."""

from typing import Literal, NamedTuple

Severity = Literal["alarm", "doubt", "note"]


class Diagnostic(NamedTuple):
    """One finding.

    Attributes:
        code: what kind of finding it is, such as "cell_contents"; it does not change with wording.
        severity: "alarm": the question is wrong; "doubt": the answer is, or may well be; "note":
            something is unusual, and not wrong.
        message: the finding in a sentence.

    Example:
        >>> Diagnostic("unknown_element", "doubt", "no training crystal holds Cl").severity
        'doubt'
    """

    code: str
    severity: Severity
    message: str
