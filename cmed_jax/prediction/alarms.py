"""The alarms of a prediction: errors in the question, which make every answer to it improbable."""

from collections.abc import Sequence

from cmed_jax.prediction import checks
from cmed_jax.prediction.assessment import Assessment
from cmed_jax.prediction.diagnostics import Diagnostic
from cmed_jax.prediction.query import PredictionQuery
from cmed_jax.solution.refinement import Refined

EXPLAINING = 0.1
"""The residual up to which a refined crystal explains a pattern on the network's grid.

Such patterns are nearly exact: that of the right crystal is mostly below 0.003.
"""


def alarms_of(
    query: PredictionQuery, assessment: Assessment | None, refined: Sequence[Refined] = ()
) -> list[Diagnostic]:
    """Return the errors in the question.

    Args:
        query: the pattern, its composition and its options.
        assessment: the assessment of the question, where there is one.
        refined: refined crystals that explain a pattern on the network's grid, in any cells, the
            best first.
    """
    if assessment is not None and not assessment.consistent:
        return [Diagnostic("inconsistent_question", "alarm", assessment.sentence)]
    if query.lattice is None:
        return []
    found = [] if query.formula is None else checks.check_cell(query.lattice, query.formula)
    accepted = None if assessment is None else assessment.known
    if accepted is not None and accepted.crystal is not None:
        match = accepted.crystal
        found += checks.check_centring(query.lattice, match.crystal, match.name)
    for crystal, _ in explaining(refined):
        name = f"{crystal.formula} after {crystal.material_id}"
        found += checks.check_centring(query.lattice, crystal, name)
    return found


def explaining(refined: Sequence[Refined]) -> list[Refined]:
    """Return the best refined crystal, if it explains the pattern; else none."""
    return [each for each in refined[:1] if each.residual <= EXPLAINING]
