"""Names of intensities and of what stands beside them: which column is the measured intensity."""

import re

from cmed_jax.io.formats.axes import AxisKind, kind_of

INTENSITY = "|".join(
    (
        r"^(i|y|yobs|counts?|cts|cps|height|area)\b|^i[_ ]?(\(|obs|rel|meas)|i[-_ ]?obs",
        r"^(obs|exp)$|^y_?obs|(?<![a-z])int(?!er)|intens|counts|impuls|signal|z[aä]hl|coups|cuentas|conte[go]|natez"
        r"|интенс|импульс|сч[её]т|强度|強度|计数|計数|カウント",
    )
)
SIGMA = r"esd|sigma|σ|\berr|uncert|std"
"""The names of standard deviations, in lower case, after those of intensities.

`cmed_jax.io.formats.axes` holds the names of positions.
"""
MONITOR = r"monitor|(?<![a-z])mon(?![a-z])|^i_?0\b|(?<![a-z])ion[\W_]*ch(am\w*)?(?![a-z])"
BACKGROUND = r"(?<![a-z])([iy]?bkgr?d?|back[\W_]?g\w*|bgr?d?|untergrund|fond)(?![a-z])"
CALCULATED = (
    r"(?<![a-z])[iy]?(calc(d|ul\w*)?|diff(erences?)?|resid(uals?)?)(?![a-z])"
    r"|(?<![a-z])(fit(ted|ting)?|model(led)?)(?![a-z]|[\W_]*\d)"
    r"|(?<![a-z])[iy]?(sim|simul\w*|theo|theor\w*)(?![a-z])"
)
NO_INTENSITY = (
    rf"{MONITOR}|{BACKGROUND}|{CALCULATED}|breadth|width|fwhm"
    r"|(?<![a-z])(noise|weights?|norm|dark|blank|empty|dead)(?![a-z])"
    r"|attenuat|absor(ber|ption|bance)|transmi(ttance|ssion (factor|coeff))|^(mult(iplicity)?|m)$"
)
"""The pattern of names that are an intensity only where no other column is one.

Samples have such names in part: calcite, FIT-1, transmission and reflection.
"""
OBSERVED = r"(?<![a-z])[iy]?(obs(erved)?|exp(eriment\w*|t)?|meas(ured|urement)?|raw)(?![a-z])"
"""The pattern of names of intensities that come before others, as "raw" before "smoothed"."""
TIME = (
    r"^((count(ing)?|step|exposure|live|acquisition|integration|dwell|mess)[ _-]?)?(time|zeit)"
    r"|^(temps|tiempo|tempo|время)|^t ?[\[(_/] ?(m?s|min)|^sec(ond)?s?\b|^(ms|msecs?)\W*$"
)
RATE = r"cps|rate|/ ?(s|sec)\b|per s|s\^?-1"
"""`TIME` and `RATE` match names of counting times, and of intensities that are divided by them."""
SECONDS = {
    r"(?<![a-z])(ms|msecs?|millisec\w*)(?![a-z])": 1e-3,
    r"(?<![a-z])mins?(?![a-z])|minut": 60.0,
}
"""The patterns of units of counting times other than the second, with their length in seconds."""
BENT = (
    r"^\W*(log|ln|lg|sqrt|root|√)|square root|[\[(_ ](log|ln|lg|sqrt)(10)?\W*(scale)?\W*$"
    r"|\^\W?(0?[.,]5|1 ?/ ?2)|(?<![a-z])db(?![a-z])"
)
"""The pattern of names of functions of the intensity."""
FACTOR = r"\|?f[\W_]?([oc]|obs|calc?|real|imag)?\W{0,2}(2|²)?"
"""The pattern of whole names of structure factors and of their squares."""
ALSO = r"^(area|height|rel(ative)?\b|i ?/ ?i|f\W*2?$|multiplicity|mult|m$|remarks?|comments?)"
"""The beginning of names of columns that stand beside intensities in lists of lines."""


def measured_intensity(names: list[str], sigma: int | None) -> int | None:
    """Return the column that holds the intensity: measured rather than calculated or of a monitor.

    Raises:
        ValueError: the only such column holds a function of the intensity.
    """
    bent = [name for name in names if re.search(BENT, name) and re.search(r"i\b|int|count", name)]
    found = [
        i
        for i, name in enumerate(names)
        if i != sigma and re.search(INTENSITY, name) and not re.search(f"{TIME}|{BENT}", name)
    ]
    likely = [i for i in found if not re.search(NO_INTENSITY, names[i])]
    observed = [i for i in likely if re.search(OBSERVED, names[i]) and len(names[i]) > 3]
    if bent and not likely:
        raise ValueError(f"it has a column {bent[0][:40]!r}: give the intensities themselves")
    return next(iter([*observed, *likely, *found]), None)


def notes_on_unread(
    names: list[str], kinds: list[AxisKind | None], of: tuple[int, ...]
) -> list[str]:
    """Return notes on columns that are not read: of a monitor, and of further samples.

    Args:
        names: the names of all columns.
        kinds: the kinds of axes that they name.
        of: the columns of position, intensity and standard deviation.
    """
    read = names[of[1]]
    others = [name for i, name in enumerate(names) if name and i not in of and kinds[i] is None]
    monitors = [name for name in others if re.search(MONITOR, name)]
    notes = []
    if monitors and not re.search(MONITOR, read):
        notes += [
            f"the column {monitors[0][:40]!r} is not used: divide the intensities by it if it "
            "varies"
        ]
    sure = re.search(INTENSITY, read) and not re.search(NO_INTENSITY, read)
    unlike = f"{NO_INTENSITY}|{BENT}|{ALSO}" if sure else f"{MONITOR}|{BACKGROUND}"
    samples = [name for name in others if not re.search(f"{unlike}|{TIME}|{SIGMA}", name)]
    if samples:
        notes += [
            f"the column {read[:40]!r} is read for the intensity, and {len(samples)} more, such as "
            f"{samples[0][:40]!r}, are not"
        ]
    return notes


def is_sigma(name: str) -> bool:
    """Return whether a column holds standard deviations of intensities."""
    if not re.search(SIGMA, name):
        return False
    of = kind_of(re.sub(rf"{SIGMA}|[()]", " ", name).strip())
    return of is None or of.axis is None


def seconds_of(name: str) -> float:
    """Return the length of the unit of a column of times, seconds."""
    return next((each for unit, each in SECONDS.items() if re.search(unit, name)), 1.0)
