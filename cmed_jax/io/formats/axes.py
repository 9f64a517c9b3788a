"""The axes of scans: which are taken, which are converted, and which are refused.

`AXES` is the contract of all readers. They look up headings of columns, the axes of .rasx, .ras,
.asc, .brml, .uxd and .xrdml, and the labels of a .chi in it. The table in docs/file_formats.md is
made from it.
"""

import re
import unicodedata
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np

from cmed_jax.io.formats.scan import Axis, OtherAxis

Fate = Literal["taken", "converted", "refused"]

PLAIN = str.maketrans(
    {
        "θ": "theta", "ϑ": "theta", "ω": "omega", "φ": "phi", "ϕ": "phi", "χ": "chi", "ψ": "psi",
        "λ": "lambda", "µ": "u", "μ": "u", "°": "deg", "º": "deg", "²": "2", "¹": "1", "⁻": "-",
        "₂": "2", "−": "-", "–": "-", "∗": "*", "Å": "å", "⋅": "·",
    }
)  # fmt: skip
"""The plain spelling of each sign, which replaces it before a name in lower case is examined."""
ANG = r"(å(?:ngstr\S*)?|a|ang\w*)"
LENGTHS = {1.0: rf"(?<![a-z]){ANG}(?![a-z])", 10.0: r"nm|nano", 0.01: r"(?<![a-z])pm|pico"}
"""Patterns of the spellings of units of length, by the size of the unit in angstrom."""
PER = r"(1 ?/ ?|(?<![a-z])per |(inverse|reciprocal|inv\.|rec\.) ?|inv_?)"
"""The pattern of words before a unit of length that make it a unit of Q."""
INVERSE = {
    1.0: rf"{PER}([aå](?![a-z])|[aå]ng)|(?<![a-z])([aå]|[aå]ng\w*)[$}}]*[*\\^{{(]*-1",
    0.1: rf"{PER}(nm|nano)|nm[*\\^{{(]*-1",
    100.0: rf"{PER}(pm|pico)|(?<![a-z])pm[*\\^{{(]*-1",
}
"""Patterns of the spellings of units of Q, by the size of the unit in 1/angstrom."""
SQUARED = {
    1.0: r"1 ?/ ?[aå](ng\w*)?[\^{(]*2|(?<![a-z])([aå]|[aå]ng\w*)[\^{(]*-2",
    0.01: r"1 ?/ ?nm[\^{(]*2|nm[\^{(]*-2",
}
"""Patterns of the spellings of units of 1/d^2, by the size of the unit in 1/angstrom^2."""
DEGREES = r"deg\w*|grad|2th\w*|\W*"
"""The pattern of units of angles that may stand beside a name."""
ORIGINS = "obs|meas|exp|calc|hkl"
"""The pattern of what may stand in brackets behind a name, and is no unit."""
OTHER_ANGULAR = r"m?rad(ian)?s?|arc ?(sec|min)\w*|gon|gradians?"
"""The pattern of units of angles other than degrees."""
OTHER_UNITS = (
    OTHER_ANGULAR
    + r"|[mc]deg\w*|(milli|centi)deg\w*|[x*×] ?10+|0?[.,]0*1 ?deg\w*|[munkc]?m|px|pixels?"
    r"|[km]?ev|кэв|эв|[mun]?s|sec\w*|min\w*|k|m?v|channels?|(nm|å|a|pm)(\^?-[12])?"
    r"|1 ?/ ?(nm|å|a)(\^?2)?"
)
"""The pattern of units that angles in degrees do not have."""
UNITS_BEHIND = OTHER_ANGULAR + r"|channels?|pixels?|mm|[mc]deg"
"""The pattern of units other than degrees that may stand behind a name without brackets."""
OTHER_ANGLES = r"theta|th|omega|phi|chi|psi|gamma|delta"
BESIDE = (
    r"the|of|in|no|nr|number|index|axis|angle|al|drive|scan|motor|pos(ition)?|value|sample|stage"
    r"|deg\w*|[munc]?m|k|c|s|sec|min|[km]?ev|(th|theta)|[hkl]|time|spacing|obs\w*|calc\w*"
)
"""The pattern of words that stand beside the name of an axis."""
LETTERS_ALONE = frozenset("akmsv")
"""Units of one letter, which as a whole name of a column are only a letter."""
SINE = r"sin\W*th(eta)?\W*(/|over|_by_|_per_)\W*(lambda|l\b|wave)"
"""The pattern of sin(theta)/lambda, to which factors may be put."""
INTENSITIES = r"a\. ?u\.?|au|arb\w*\.?( ?u\w*\.?)?|c(oun)?ts?( ?/ ?s)?|cps|imp( ?/ ?s)?|%|c/s|1"
"""The pattern of units of intensities."""
UNKNOWN = "an axis that is not known"


class AxisKind(NamedTuple):
    """A kind of axis.

    Attributes:
        name: the name in messages and in the documentation.
        pattern: the pattern of its names, in lower case and plain signs.
        fate: the treatment by the readers.
        axis: the axis that it is taken for or converted to; None where it is refused.
        units: the patterns of its units by their factor; empty where only one unit is in use.
        power: the power in positions = (factor value)^power.
        why: the advice in the error message where it is refused, or where its unit is missing.
        examples: examples of headings.
    """

    name: str
    pattern: str
    fate: Fate
    axis: Axis | None = None
    units: Mapping[float, str] = MappingProxyType({})
    power: float = 1.0
    why: str = "give two-theta, d, or Q in 1/A or 1/nm"
    examples: tuple[str, ...] = ()


def _times(factor: float, units: Mapping[float, str]) -> Mapping[float, str]:
    return {factor * unit: pattern for unit, pattern in units.items()}


AXES = (
    AxisKind(
        "sin(theta)/lambda",
        rf"^{SINE}",
        "converted",
        "q",
        _times(4 * np.pi, INVERSE),
        examples=("sin(theta)/lambda (1/A)", "sinθ/λ [nm⁻¹]"),
    ),
    AxisKind(
        "a function of an angle or of Q",
        r"^(a?(sin|cos|tan)|arc\w*|exp)\W*\d?\W*([(\[]|(2|two)?[\W_]*(theta|th)(?![a-z]))"
        r"|^(log|ln|lg|sqrt)(10|2)?(?![a-z])|^(log|sqrt)(q|d|(2|two)?th\w*)\b",
        "refused",
        examples=("sin(theta)^2", "log(q)", "cos(2theta)"),
    ),
    AxisKind(
        "radians",
        r"(th|theta|^angle)[\W_]{0,3}m?rad(ians?)?(?![a-z])",
        "refused",
        why="give two-theta in degrees",
        examples=("2th_rad", "two theta (rad)", "2theta (mrad)", "Angle [rad]"),
    ),
    AxisKind(
        "half of two-theta, or a difference of it",
        r"^(1 ?/ ?2|0?[.,]5|half)\W*(of )?(2|two)[\W_]*th|(2|two)[\W_]*th(eta)?\W{0,2}/ ?2(?!\W*th)"
        r"|^(δ|∆|delta|relative)[\W_]*(2|two)[\W_]*th",
        "refused",
        why="give two-theta",
        examples=("2θ/2", "1/2 2theta", "Δ2θ"),
    ),
    AxisKind(
        "two-theta",
        r"(2|two|zwei|deux|dos|due)[\W_]*(th|theta|teta)|tth|^2t\b"
        r"|^(angle|pos|position|angulo|angolo|winkel|угол|角度)(?![a-z_])(?!\W*(bragg )?theta)"
        r"|((beugungs|streu)winkel|(diffraction|scattering)[ _]angle|衍射角|回折角)(?!\W*theta)",
        "taken",
        "two_theta",
        examples=(
            "2theta",
            "Pos. [°2Th.]",
            "2θ/θ",
            "Omega-2Theta",
            "angle",
            "2-Theta Angle (Deg)",
            "ángulo 2θ",
        ),
    ),
    AxisKind(
        "1/d^2",
        r"^(d ?\*|1 ?/ ?d|d[-_ ]?star)[\W_]{0,2}2|^1 ?/ ?\(?d\^?2|^d[\^{(]{0,2}-2",
        "converted",
        "q",
        _times(4 * np.pi**2, SQUARED),
        0.5,
        examples=("d*2_nm^-2", "d*2_A^-2", "1/d² (1/Å²)"),
    ),
    AxisKind(
        "1/d",
        rf"^(d ?\*|1 ?/ ?d|d[-_ ]?star)(?![a-z])|^d[\^{{(]{{0,2}}-1|^2\W*{SINE}",
        "converted",
        "q",
        _times(2 * np.pi, INVERSE),
        examples=("d* (1/A)", "1/d [nm^-1]", "2 sinθ/λ (1/Å)"),
    ),
    AxisKind(
        "a reciprocal length, or a resolution",
        r"^((inverse|reciprocal) |wave ?vector)(?!.*(?<![a-z])q(?![a-z]))"
        r"|^resolution|^stol\b|^qmod",
        "refused",
        examples=("Reciprocal spacing", "stol", "Resolution (Å)"),
    ),
    AxisKind(
        "d",
        r"^d(\b|_)(?!\W*rad)|^d[-_ (\[/]?(spacing|hkl|obs|meas|exp|calc|value|å|a\b|nm|pm|ang)"
        r"|^d ?\(?hkl"
        r"|(?<![a-z])d ?[(\[](å|a|nm|pm)[)\]]|^(lattice |plane )?spacing|^d[-_ ]?space|interplanar"
        r"|netzebenen|interreticul|^espaciado"
        r"|межплоскост|晶面间距|面間隔",
        "converted",
        "d",
        LENGTHS,
        examples=("d-spacing [Å]", "d (nm)", "d_nm", "d_hkl (pm)"),
    ),
    AxisKind(
        "Q^2",
        r"^q[\W_]{0,2}2(?![a-z])",
        "refused",
        examples=("q^2 (1/A^2)",),
    ),
    AxisKind(
        "Q",
        r"(?<![a-z])q(?![a-z])|^(scattering vector|momentum transfer|streuvektor)"
        rf"|^2\W*(pi|π)\W*/\W*d\b|^4\W*(pi|π)\W*{SINE}",
        "converted",
        "q",
        INVERSE,
        examples=("q_A^-1", "Q (Inverse Nanometres)", "4π sinθ/λ (1/Å)"),
    ),
    AxisKind("s", r"^s(\b|_)", "refused", examples=("s (1/A)",)),
    AxisKind(
        "theta",
        r"^(bragg )?(theta|th)(\b|_)|(?<!\w)theta(?!\w)|(half|bragg)[ _-]?angle",
        "refused",
        why="give two-theta, not theta",
        examples=("theta", "Th (deg)", "Winkel θ", "Bragg angle"),
    ),
    AxisKind(
        "energy",
        r"energ(y|ies?|ias?)(?![a-z])|(?<![a-z])[km]?ev(?![a-z])|^e\b|энерг|кэв|能量|エネルギー",
        "refused",
        examples=("Energy (keV)", "E [eV]", "Энергия (кэВ)"),
    ),
    AxisKind(
        "time of flight or another time",
        r"\btof\b|^tof|flight|flugzeit|^(time|zeit|temps|tiempo|tempo|elapsed|epoch|время)|时间|時間"
        r"|^t ?[\[(_/] ?([mun]?s|sec|min)",
        "refused",
        examples=("TOF (us)", "time_of_flight", "Time [s]", "Temps (s)"),
    ),
    AxisKind(
        "temperature or another state of the sample",
        r"temp(?![a-z])|temperatur|^t ?[\[(_/] ?(k|c|deg)|humidity|pressure|^press\b|^field\b"
        r"|(?<![a-z])(volt(age|s)?|strom|current)(?![a-z])|темпер|温度",
        "refused",
        examples=("Temperature (K)", "T [°C]"),
    ),
    AxisKind(
        "a channel, a pixel, or a number of the point",
        r"chan(nels?)?(?![a-z])|kanal|^canale?\b|канал|通道|チャンネル|^ch\b|^mca|pixel|(?<![a-z])px(?![a-z])|^bin\b"
        r"|^(strip|slice|scan|sequence|n|#)$"
        r"|^(no|nr|index|idx|point|pt|step|row|frame|image)\b\W*(no|nr|number|index)?\W*$",
        "refused",
        examples=("Channel", "canal", "MCA channel", "Pixel", "Index", "Frame number"),
    ),
    AxisKind(
        "an index of a line",
        r"^\W*(h|k|l|hkl|h[ ,]k[ ,]l|miller\b.*|indices)\W*$",
        "refused",
        examples=("h", "(hkl)", "h k l", "Miller indices"),
    ),
    AxisKind(
        "another angle of the goniometer or of the detector",
        r"(?<![a-z])(omega|phi|chi|psi|kappa)(?=scan|drive|axis|[^a-z]|$)|^om\b|azim|^rocking\b"
        r"|^(eta|gamma|delta|nu|alpha|beta|tilt)([\W_]*(deg\w*|angle)|\W*[(\[].*)?\W*$"
        r"|^rot(ation)?\W*(deg)?\W*$|^(angle of )?incid\w*( angle)?\W*(deg)?\W*$",
        "refused",
        examples=("Omega", "chi_deg", "φ (°)", "Azimuthal Angle (Degrees)", "Psi"),
    ),
    AxisKind(
        "a wavelength or a wave number",
        r"^lambda|wave ?(length|number)|wellenl|raman|cm\W{0,2}-1|onda\b|d.onde|волны|波[长長]",
        "refused",
        examples=("wavelength (A)", "longueur d'onde (nm)", "Raman shift (cm-1)"),
    ),
    AxisKind(
        "a place",
        r"(?<![a-z])[munc]?m(?![a-z\-^])|radial|radius|distan[cz]|abstand|height|^[xyz]_|^[rz]\b",
        "refused",
        examples=("Radial Distance (mm)", "r_mm", "x_mm", "Z (mm)", "r (Å)"),
    ),
)
"""The kinds of axes, in the order in which they are tried."""


class Position(NamedTuple):
    """The meaning of a column: (factor value)^power is two-theta, d or Q in its standard unit."""

    axis: Axis
    factor: float = 1.0
    power: float = 1.0


def plain(name: str) -> str:
    """Return a name in lower case, with signs in their plain spelling and without accents."""
    name = unicodedata.normalize("NFC", name).strip(" \t\"'").lower().translate(PLAIN)
    return "".join(map(_without_accent, name))


def _without_accent(sign: str) -> str:
    """Return a Latin letter without its accent, except å, and other signs as they are."""
    parts = unicodedata.normalize("NFKD", sign)
    return parts[0] if parts[0].isascii() and sign != "å" else unicodedata.normalize("NFKC", sign)


def is_unit(name: str) -> bool:
    """Return whether a name is a unit alone, of positions or of intensities."""
    return re.fullmatch(f"{DEGREES}|{OTHER_UNITS}|{INTENSITIES}", plain(name)) is not None


def check_unit(name: str) -> None:
    """Refuse a name with a unit in brackets that is no unit of positions, such as "u (kPa)".

    A name that is such a unit alone is refused as well.
    """
    unit, alone = _in_brackets(name), plain(name)
    other = re.fullmatch(OTHER_UNITS, alone) and alone not in LETTERS_ALONE
    if other or (unit and not re.fullmatch(f"{DEGREES}|{ORIGINS}", unit)):
        raise ValueError(refusal(name, None))


def kind_of(name: str) -> AxisKind | None:
    """Return the kind of axis that a name, a label or a heading states; None where it has none."""
    name = plain(name)
    return next((kind for kind in AXES if re.search(kind.pattern, name)), None)


def names_axis_alone(name: str, kind: AxisKind) -> bool:
    """Return whether a name is that of an axis of a kind, perhaps with a unit, and no more."""
    rest = re.sub(rf"({kind.pattern})\w*|[\[(].*?[\])]", " ", plain(name))
    return all(re.fullmatch(BESIDE, word) for word in re.findall(r"[^\W\d_]+", rest))


def position_of(name: str) -> Position | None:
    """Return the meaning of a column from its name; None where the name is unknown.

    Raises:
        ValueError: the axis cannot be converted, or its unit is missing.
    """
    kind = kind_of(name)
    if kind is None:
        check_unit(name)
        return None
    if kind.axis is None:
        raise ValueError(refusal(name, kind))
    return Position(kind.axis, _unit(name, kind), kind.power)


def refusal(name: str, kind: AxisKind | None) -> str:
    """Return the error message for a column that is refused."""
    why, what = (AXES[0].why, UNKNOWN) if kind is None else (kind.why, kind.name)
    instead = "" if (kind is not None and kind.axis) or what == "theta" else f", not {what}"
    return f"it has a column {plain(name)[:40]!r}: {why}{instead}"


def check_scan_axis(name: str, where: str) -> None:
    """Check that a scan is over two-theta.

    Args:
        name: the name of its axis in the file.
        where: the field that holds the name, for the error message.

    Raises:
        OtherAxis: the scan is over another axis.
    """
    kind, axis = kind_of(name), name.strip()[:40]
    if kind is None or kind.fate != "taken":
        raise OtherAxis(f"{where} is {axis!r}: give a scan over two-theta", axis)


def unit_of_q(name: str) -> float | None:
    """Return the unit of Q in 1/angstrom, where a name or a heading states it."""
    return _first_unit(plain(name), INVERSE)


def _unit(name: str, kind: AxisKind) -> float:
    """Return the factor of the unit in a name; d without a unit is in angstrom."""
    if kind.axis == "two_theta":
        _check_degrees(name)
    found = _first_unit(plain(name), kind.units) if kind.units else 1.0
    if found is None and kind.name == "d":
        check_unit(name)
        return 1.0
    if found is None:
        raise ValueError(f"{refusal(name, kind)}, with the unit")
    return found


def _first_unit(name: str, units: Mapping[float, str]) -> float | None:
    return next((unit for unit, pattern in units.items() if re.search(pattern, name)), None)


def _check_degrees(name: str) -> None:
    """Refuse the name of an angle that states another unit, or another angle, than two-theta."""
    bracketed = _in_brackets(name) or ""
    written = rf"(/|,|\bin\b) *({OTHER_UNITS})$|[ _]({UNITS_BEHIND})$|[x*×] ?10+$"
    if re.search(written, plain(name)) or re.fullmatch(f"{OTHER_UNITS}|{OTHER_ANGLES}", bracketed):
        raise ValueError(f"it has a column {plain(name)[:40]!r}: give two-theta in degrees")


def _in_brackets(name: str) -> str | None:
    """Return what a name has in brackets, in plain spelling."""
    match = re.search(r"[\[(]\s*([^)\]]+?)\s*[)\]]", plain(name))
    return None if match is None else match.group(1)
