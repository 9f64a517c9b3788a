"""The count of assessments of correct and wrong queries."""

from benchmarks.verdicts import counts
from cmed_jax.prediction.assessment import Explanation


def test_verdicts_are_counted_by_the_kind_of_question():
    good, large, poor = (Explanation("", *x) for x in ((0.1, 1.0), (0.1, 1.57), (0.9, 1.0)))
    found = counts({"right": [[good], [poor, good], []], "CoKa": [[large], [poor], [good]]})
    assert found == {"right": (2, 0, 1), "CoKa": (1, 2, 0)}
