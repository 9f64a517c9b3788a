"""What the header of a text states: the axis of the scan, the wavelength, and neutrons."""

import re
from collections.abc import Iterable

from cmed_jax.io.formats.axes import kind_of, plain
from cmed_jax.io.formats.scan import Radiation, doublet

STATED = re.compile(
    r"\W*(?:(?:scan(?:ned)?|measurement)[\s_-]*(?:axis|type|mode)\b|axis\s*[:=])\W*(.+)",
    re.IGNORECASE,
)
QUOTED = re.compile(r'\bscan[\s_-]*(?:type|axis|mode)\W*[:=]\s*"([^"]+)"', re.IGNORECASE)
"""`STATED` and `QUOTED` match what a line says was scanned; programs put all fields in one line."""
NEUTRONS = re.compile(
    r"\b(?:probe|radiation|source|beam)(?:[\s_-]*(?:type|probe))?\s*[:=,;\t]\s*[\"']?neutrons?\b"
    r"(?!\W*(?:source|scatter|science|research))|(?<![\w-])neutrons?\s+wave[\s_-]?length|"
    r"_diffrn_radiation_probe\s+[\"']?neutron",
    re.IGNORECASE,
)
MENTIONED = re.compile(r"(?<![\w-])neutrons?\W+(powder|diffract|data|pattern)", re.IGNORECASE)
"""`NEUTRONS` matches lines that state neutrons, `MENTIONED` those that speak of their patterns."""
X_RAYS = re.compile(
    r"x[\W_]?rays?\b|röntgen|roentgen|rayons x|\banode|\btube\b|synchrotron"
    r"|(?<![a-z])(?:cu|co|mo|fe|cr|ag|ni|ti|mn|w|ga|in|rh)[\W_]?k[\W_]?(?:a|b|α|β)",
    re.IGNORECASE,
)
"""The pattern of a line that names X-rays."""
WAVELENGTH = re.compile(
    r"(?:wave[\s_-]?length|lambda|λ)(?:[^\d\n]{0,9}?(?<![a-z])(nm|pm|m)(?![a-z]))?[^\d\n]{0,20}?"
    r"(\d+(?:[.,]\d+(?:e[+-]?\d+)?|e-\d+))"
    r"(?!\d|[.,]\d|\s*(?:[%°]|(?:s|sec|min|kv|ma|deg|k|mm)\b))(?:\s*(nm|pm|m)(?![a-z]))?",
    re.IGNORECASE,
)
"""The pattern of a wavelength: no date, share, time, or other number with a unit of its own."""
BETA = r"k[ _(-]{0,2}(?:beta|β|b)\d?"
ALPHA_2 = r"k[ _(-]{0,2}(?:alpha|α|a)[ _-]?2"
"""`BETA` and `ALPHA_2` match lines of an anode that are not the strongest."""
NOT_USED_BEFORE = re.compile(
    rf"(?:\bneutrons?|\bratios?(?: of)?(?: the)?|{BETA}|{ALPHA_2})\)?"
    r"(?:[ _-]*(?:radiation|line))?[^\w,;]*$",
    re.IGNORECASE,
)
NOT_USED_BEHIND = re.compile(
    rf"\bratios?\b|{BETA}(?![a-z])|{ALPHA_2}|(?:length|lambda|λ)[ _(\[-]*(?:beta|β)", re.IGNORECASE
)
"""The patterns of words directly before the word wavelength, and between it and its number, that
make it another wavelength than that of the strongest line."""
SECOND = re.compile(rf"\W*{ALPHA_2}[ _-]*wave[\s_-]?length[^\w\n]{{1,9}}(\d[.,]\d+)", re.IGNORECASE)
RATIO = re.compile(
    rf"\W*ratio\W*{ALPHA_2}\W*/\W*k[ _(-]{{0,2}}(?:alpha|α|a)[ _-]?1[^\w\n]{{1,9}}"
    r"(\d(?:[.,]\d+)?)",
    re.IGNORECASE,
)
"""`SECOND` and `RATIO` match PANalytical's lines of K-alpha 2 and of its ratio to K-alpha 1."""
DOUBLET = 1.02
"""The largest ratio of the wavelengths of K-alpha 2 and 1, which copper has as 1.0025."""
ALPHA_1 = re.compile(r"(?:alpha|α|a)[ _-]?1\W{1,5}(?:\w{1,2}\W?)?k?[ _-]?(?:alpha|α|a)[ _-]?2")
"""The pattern of both lines of a doublet beside each other, in lower case."""
VALUE = re.compile(r"\d[.,]\d+")
ANGSTROM = {"": 1.0, "nm": 10.0, "pm": 0.01, "m": 1e10}


def check_stated(line: str) -> None:
    """Refuse a line of a header that states a scan over another angle or over the energy.

    A theta-theta goniometer scans two-theta.
    """
    match = STATED.match(line) or QUOTED.search(line)
    # What follows a comma tells of the sample, as in "continuous, phi rotation".
    if match and (kind := kind_of(re.split("[,;]", match.group(1))[0])) is not None:
        other = kind.name == "energy" or kind.name.startswith("another angle")
        other = other or (kind.name == "theta" and plain(match.group(1)).count("th") < 2)
        if other and kind.axis is None:
            said = match.group() if match.re is QUOTED else line.strip()
            raise ValueError(f"it says {said[:60]!r}: give a scan over two-theta")


def notes_on_probe(lines: Iterable[str]) -> list[str]:
    """Return a note where a header speaks of neutrons; none where it names X-rays as well.

    Titles and affiliations of patterns of X-rays mention neutrons too.

    Raises:
        ValueError: the header states neutrons.
    """
    lines = list(lines)
    if any(X_RAYS.search(line) for line in lines):
        return []
    if said := next(filter(NEUTRONS.search, lines), ""):
        raise ValueError(
            f"it says {said.strip()[:60]!r}: give a pattern of X-rays, not of neutrons"
        )
    said = next(filter(MENTIONED.search, lines), "").strip()
    return [f"it says {said[:60]!r}, and is taken for a pattern of X-rays"] if said else []


def with_alpha2(alone: Radiation, lines: Iterable[str]) -> Radiation:
    """Return a radiation with the K-alpha 2 that further lines of its header state.

    Args:
        alone: the radiation by `stated_radiation`, K-alpha 1.
        lines: the lines of the header, such as "K-Alpha2 wavelength,1.544426" and "Ratio
            K-Alpha2/K-Alpha1,0.5".
    """
    lines, first = list(lines), float(alone.wavelengths[0])
    second = _number(SECOND, lines)
    if second is None or not first < second < DOUBLET * first:
        return alone
    return doublet(first, second, _number(RATIO, lines)) or alone


def _number(pattern: re.Pattern[str], lines: Iterable[str]) -> float | None:
    """Return the number in the first line that matches a pattern."""
    found = next(filter(None, map(pattern.match, lines)), None)
    return None if found is None else float(found.group(1).replace(",", "."))


def stated_radiation(line: str) -> Radiation | None:
    """Return the radiation of a line that states the wavelength of the strongest line."""
    match = WAVELENGTH.search(line)
    if not match:
        return None
    before = VALUE.split(line[: match.start()])[-1]
    other = NOT_USED_BEFORE.search(before) and not ALPHA_1.search(before.lower())
    if other or NOT_USED_BEHIND.search(line[match.start() : match.start(2)]):
        return None
    unit_before, number, unit_behind = match.groups()
    value = float(number.replace(",", "."))
    unit = (unit_behind or unit_before or ("m" if value < 1e-8 else "")).lower()
    return doublet(value * ANGSTROM[unit])
