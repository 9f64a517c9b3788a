"""The meaning of columns by their headings: which column is which, and the axis of positions."""

import csv
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cmed_jax.io.formats.axes import (
    AxisKind,
    Position,
    check_unit,
    is_unit,
    kind_of,
    names_axis_alone,
    plain,
    position_of,
    refusal,
    unit_of_q,
)
from cmed_jax.io.formats.intensities import (
    FACTOR,
    NO_INTENSITY,
    RATE,
    SIGMA,
    TIME,
    is_sigma,
    measured_intensity,
    notes_on_unread,
    seconds_of,
)
from cmed_jax.io.formats.text import number_or_none

NO_POSITION = (
    r"^y[_ ]?(obs|calc|bkg|diff)|^(fwhm|width|breadth|bkg|backg|calc|diff(?!raction)|resid|mult)"
)
"""The beginning of names of columns that may have the unit of positions and are none."""
COMPUTED = r"calc|fit|model"
"""The pattern of names of positions that are taken only where no others are there."""
RADIANS = r"(th|theta|θ)[\W_]{0,3}m?rad(ians?)?(?![a-z])"
Q = r"(?<![a-z])q(?![a-z])"
"""`RADIANS` and `Q` match headings that state radians and Q, in lower case."""
TITLES = frozenset(("h", "k", "l", "n", "scan"))
"""Names of columns that are as often the first word of a title, as in "h BN"."""
LABEL = re.compile(
    r"(?:(?:x|scan|horizontal)[\s_-]*(?:axis|label|unit)\w*|units?)\W+(.+)"
    r"|((?:[^\W\d]+[\s_-]+){0,3}[^\W\d]+\s*[\[(].*[\])])",
    re.IGNORECASE,
)
"""The pattern of a heading of one axis alone, as in a .chi, or with the word axis before it."""
DECLARED = re.compile(
    r"\W*(?:x|abscissa|(?:col(?:umn)?\W*)?1(?:st column)?)\s*[:=]\s*([^\W\d][^,;]*)", re.IGNORECASE
)
"""The pattern of a line that says what the first column is, as in "x: energy (keV), y: counts"."""
LISTED = re.compile(r"^\W*(?:columns?|cols?|fields|labels?)\s*[:=]\s*(?=\S)", re.IGNORECASE)
"""The beginning of a line that lists the columns."""
WORD = re.compile(r"[^\s\[(]\S*(?:\s+[\[(][^\])]*[\])])?")
"""The pattern of a name without blanks, and of the unit in brackets behind it."""
XYE = ["x", "y", "e"]
"""The names of position, intensity and standard deviation in files of Mantid."""
TWO_THETA = Position("two_theta")


class Layout(NamedTuple):
    """The columns by their meaning, from 0, the axis of the positions, and notes for the user.

    `named` is whether a heading names the columns, `labelled` whether one names the axis alone.
    The column of counting times is that of counts; None where there is none, or for rates. Their
    unit has a length in seconds.
    """

    position: int = 0
    intensity: int = 1
    sigma: int | None = None
    of: Position = TWO_THETA
    named: bool = False
    notes: tuple[str, ...] = ()
    time: int | None = None
    unit_of_time: float = 1.0
    labelled: bool = False


def layout_of(headings: Iterable[str], columns: int, usual: Layout) -> Layout:
    """Return the layout by the last heading that states it, or else the usual one.

    Args:
        headings: the headings before the data, in their order.
        columns: the number of columns of the data.
        usual: the layout of a file without headings.

    Raises:
        ValueError: a heading states that there is neither two-theta in degrees nor an axis that
            can be converted to it.
    """
    headings = _with_units([LISTED.sub("", each, count=1) for each in headings], columns)
    short = usual.sigma is not None and columns <= usual.sigma
    usual = Layout() if short else usual
    for heading in reversed(headings):
        if re.search(RADIANS, heading.lower()):
            raise ValueError(f"its angles are {heading[:40]!r}: give two-theta in degrees")
        if layout := _named(heading, columns, nearest=heading is headings[-1]):
            of = _labelled(headings) if layout.notes else None  # its name is not known
            return layout if of is None else layout._replace(of=of, notes=())
    of = _labelled(headings)
    if of is None:
        return usual._replace(notes=_unknown(headings, columns))
    return usual._replace(of=of, labelled=True)


def _unknown(headings: Sequence[str], columns: int) -> tuple[str, ...]:
    """Return a note where the nearest heading has names that are not known.

    Raises:
        ValueError: the first of them has a unit that is not degrees.
    """
    names = _split(headings[-1], columns) if headings else []
    kind = kind_of(names[0]) if names else None
    if kind is not None and kind.axis == "two_theta":
        return ()
    table = names and re.search(r"[,;\t]", headings[-1])  # else they are words of a sentence
    if not table or not _are_words(headings[-1], names):
        return ()
    check_unit(names[0])
    return (_taken(names[0]),)


def _taken(name: str) -> str:
    return f"the column {plain(name)[:40]!r} is taken for two-theta in degrees"


def _with_units(headings: list[str], columns: int) -> list[str]:
    """Return headings in which a row of units is joined with the row of names before it."""
    joined: list[str] = []
    for heading in headings:
        units, names = _split(heading, columns), _split(joined[-1], columns) if joined else []
        units = [unit.strip("[]() ") for unit in units]
        if names and any(units) and all(map(is_unit, units)):
            pairs = zip(names, units, strict=True)
            joined[-1] = "\t".join(
                f"{name} ({unit})" if re.search(r"[^\W_]|[°%]", unit) else name
                for name, unit in pairs
            )
        else:
            joined.append(heading)
    return joined


def _split(heading: str, columns: int) -> list[str]:
    """Return the names in a heading where there are as many as columns, else nothing.

    Lines that end with a separator have no column behind it.
    """
    # A name may hold a comma, as in "d, nm", where other signs separate the names.
    split = (
        _parted(heading, ";"),
        _parted(heading, "\t"),
        re.split(r"\s{2,}", heading),
        _parted(heading, ","),
        re.split(r"[,;\t]", heading),
        [] if re.search(r"[,;\t]", heading) else heading.split(),
        [] if re.search(r"[,;\t]", heading) else WORD.findall(heading),
    )
    found = next((names for names in split if len(names) == columns), [])
    bare = heading.strip(",;\t ")
    return found if found or bare == heading else _split(bare, columns)


def _parted(heading: str, separator: str) -> list[str]:
    """Return names between separators; those in quotation marks may hold the separator."""
    return next(csv.reader([heading], delimiter=separator, skipinitialspace=True), [])


def _labelled(headings: Sequence[str]) -> Position | None:
    """Return the axis by the last heading that names one alone.

    Raises:
        ValueError: all such headings name axes that are refused.
    """
    last_first = headings[::-1]
    units = (unit_of_q(heading) for heading in last_first if re.search(Q, heading.lower()))
    if unit := next((unit for unit in units if unit), None):
        return Position("q", unit)
    matches = (DECLARED.match(each) or LABEL.fullmatch(each.strip()) for each in last_first)
    labels = [next(filter(None, match.groups())) for match in matches if match]
    kinds = [(label, kind) for label in labels if (kind := kind_of(label)) is not None]
    # The temperature or another label may follow that of the axis.
    known = [label for label, kind in kinds if kind.axis is not None]
    return next((position_of(label) for label in [*known, *(label for label, _ in kinds)]), None)


def _named(heading: str, columns: int, *, nearest: bool) -> Layout | None:
    """Return the layout by a heading that names as many columns as there are."""
    names = [plain(name) for name in _split(heading, columns)]
    if any(name.endswith(":") for name in names):  # a name and its value
        return None
    sigmas = [is_sigma(name) or (names[:3] == XYE and name == "e") for name in names]
    sigma = sigmas.index(True) if any(sigmas) else None
    intensity = measured_intensity(names, sigma)
    kinds = [None if i in (sigma, intensity) else _kind(name) for i, name in enumerate(names)]
    if kinds and kinds[0] is not None and kinds[0].axis is not None:
        behind = zip(names[1:], kinds[1:], strict=True)
        kinds[1:] = [_unless_sample(name, kind) for name, kind in behind]
    skipped: list[str] = []
    if (
        intensity is None
        and nearest
        and (_are_words(heading, names) or _is_table(heading, names, kinds))
    ):
        intensity = _beside(heading, names, kinds, sigma)
        skipped = [name for name, kind in zip(names[1:intensity], kinds[1:], strict=False) if kind]
    if intensity is None:
        return None
    position, notes = _position(heading, names, kinds), []
    if skipped:
        notes = [f"the column {', '.join(skipped)[:60]!r} is taken for an axis, and is not read"]
    if position is None:
        others = [i for i in range(columns) if i not in (intensity, sigma)]
        if not others:
            return None
        position = others[0]
        notes += [_taken(names[position])]
    notes += notes_on_unread(names, kinds, (position, intensity, -1 if sigma is None else sigma))
    of = position_of(names[position]) or TWO_THETA
    time = None if re.search(RATE, names[intensity]) else _first(TIME, names)
    unit = 1.0 if time is None else seconds_of(names[time])
    return Layout(position, intensity, sigma, of, True, tuple(notes), time, unit)


def _beside(
    heading: str, names: list[str], kinds: list[AxisKind | None], sigma: int | None
) -> int | None:
    """Return the column beside the positions, where no name states that it is the intensity.

    Raises:
        ValueError: structure factors are there instead.
    """
    if not names or kinds[0] is None:
        return None
    if kinds[0].axis == "q" and unit_of_q(heading) and not unit_of_q(names[0]):
        return None  # "Q 1/A" is one name with its unit
    if len(names) == 2 and names[0] in TITLES and not re.search(r"[,;\t]", heading):
        return None
    others = [i for i, kind in enumerate(kinds) if i and i != sigma and kind is None]
    if len(names) == 2 and kinds[0].axis is not None and re.search(r"[,;\t]", heading):
        others += [i for i, kind in enumerate(kinds[1:], 1) if kind and kind.axis is None]
    likely = [i for i in others if not re.search(f"{NO_INTENSITY}|{TIME}", names[i])]
    known = any(kind is not None and kind.axis is not None for kind in kinds)
    if known and likely and re.fullmatch(FACTOR, names[likely[0]]):
        raise ValueError(
            f"it has a column {names[likely[0]]!r}: give intensities, not structure factors"
        )
    return next(iter([*likely, *others]), None)


def _is_table(heading: str, names: list[str], kinds: list[AxisKind | None]) -> bool:
    """Return whether signs part the names of a heading, and the first is of a position."""
    known = names and kinds[0] is not None and kinds[0].axis is not None
    return bool(
        known and re.search(r"[,;\t]", heading) and not re.search(r"[:=]|\d[.,]\d", heading)
    )


def _position(heading: str, names: list[str], kinds: list[AxisKind | None]) -> int | None:
    """Return the column that holds the positions: two-theta before d before Q and its like.

    Observed positions come before calculated ones, and x before a Q whose unit is not given.

    Raises:
        ValueError: no column does, and one is of an axis that is refused.
    """
    for wanted in ("two_theta", "d", "q"):
        found = [i for i, kind in enumerate(kinds) if kind is not None and kind.axis == wanted]
        if wanted == "q" and "x" in names:
            found = [i for i in found if unit_of_q(names[i])]
        if found:
            return min(found, key=lambda i: re.search(COMPUTED, names[i]) is not None)
    refused = [
        (name, kind)
        for name, kind in zip(names, kinds, strict=True)
        if kind is not None and (kind.axis is None or "x" not in names)
    ]
    for name, kind in refused:
        if kind.name == "theta":
            raise ValueError(f"its columns are {heading[:40]!r}: {kind.why}")
        raise ValueError(f"{refusal(name, kind)} (its heading is {heading.strip()[:60]!r})")
    return None


def _kind(name: str) -> AxisKind | None:
    return None if re.search(f"{NO_POSITION}|{SIGMA}", name) else kind_of(name)


def _unless_sample(name: str, kind: AxisKind | None) -> AxisKind | None:
    """Return the kind of a column behind the positions; None where it is likelier a sample.

    Another axis is one only by its whole name: a "1 mm capillary" is no place.
    """
    if kind is None or kind.axis == "two_theta":
        return kind
    return kind if names_axis_alone(name, kind) else None


def _are_words(heading: str, names: list[str]) -> bool:
    """Return whether a heading can name columns, and does not state a value."""
    valued = re.search(r"[:=]|\d[.,]\d|\d{2}", heading)
    return not valued and all(number_or_none(name) is None for name in names)


def _first(pattern: str, names: list[str]) -> int | None:
    return next((i for i, name in enumerate(names) if re.search(pattern, name)), None)
