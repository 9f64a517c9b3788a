"""The meaning of the columns of a .brml, by the names in the `DataViews` of a route."""

import re
from typing import NamedTuple
from xml.etree import ElementTree

from cmed_jax.io.formats.axes import kind_of
from cmed_jax.io.formats.scan import Column, OtherAxis

COUNTER = r"counter|count|intens|detector|psd|lynx"
"""The pattern of names of recorded values that are intensities, in lower case."""
NO_COUNTER = r"temp|hum|press|force|volt|current|time|absor|monitor|rate.?limit|angle|power"
"""The pattern of names of recorded values that are not intensities."""
RATE = r"(?<![a-z])rate|count.?rate|cps|per.?s"
"""The pattern of names of intensities that are divided by the counting time."""
LONGEST_START = 4
"""The largest number of digits in the position of a column."""


class Views(NamedTuple):
    """Columns of a step, from 0; the default order is time, factor, two-theta, theta, counts.

    The intensity is a rate where its name says so.
    """

    angle: int = 2
    counts: int = 4
    time: int = 0
    factor: int = 1
    rate: bool = False


def views_of(route: ElementTree.Element, name: str) -> Views:
    """Return the columns of a route that hold angle, counts, time and factor.

    Args:
        route: a `DataRoute`.
        name: the name of its member of the archive, for the error message.

    Raises:
        OtherAxis: the views name axes, and none is two-theta.
        ValueError: no recorded value is an intensity at each angle.
    """
    views = Views()
    axes: list[str] = []
    recorded: list[tuple[int, int, str]] = []
    for view in route.iterfind(".//{*}RawDataView"):
        start = view.get("Start") or ""
        if not start.isdecimal() or len(start) > LONGEST_START:
            continue
        fields = [field.get("AxisId") or "" for field in view.iterfind(".//{*}FieldDefinitions")]
        axes += fields
        place = next((i for i, axis in enumerate(fields) if _is_two_theta(axis)), None)
        if place is not None:
            views = views._replace(angle=int(start) + place)
        elif view.find("{*}Recording") is not None:
            recorded.append((int(start), _length(view), _name(view)))
        elif view.get("LogicName") in ("MeasuredTime", "AbsorptionFactor"):
            timed = view.get("LogicName") == "MeasuredTime"
            place = int(start)
            views = views._replace(time=place) if timed else views._replace(factor=place)
    if axes and not any(map(_is_two_theta, axes)):
        named = ", ".join(axes)[:60]
        raise OtherAxis(f"{name} is over {named}: give a scan over two-theta", named)
    if not recorded:
        return views
    counts = _counter(recorded, name)
    said = next(said for start, _, said in recorded if start == counts)
    return views._replace(counts=counts, rate=re.search(RATE, said) is not None)


def mean_temperature(route: ElementTree.Element, rows: list[Column]) -> float | None:
    """Return the mean of the temperatures recorded at the points, in the unit of the file."""
    for view in route.iterfind(".//{*}RawDataView"):
        start = view.get("Start") or ""
        if view.find("{*}Recording") is None or not re.search("temp", _name(view)):
            continue
        if start.isdecimal() and len(start) <= LONGEST_START:
            values = [float(row[int(start)]) for row in rows if len(row) > int(start)]
            return sum(values) / len(values) if values else None
    return None


def check_scale(route: ElementTree.Element, name: str) -> None:
    """Check that the channels of a detector that stood still are over two-theta.

    Raises:
        OtherAxis: the channels are over another axis.
    """
    scale = route.find(".//{*}ScaleAxisInfo")
    said = (
        [] if scale is None else [scale.get(key) for key in ("AxisId", "AxisName", "VisibleName")]
    )
    for axis in (each for each in said if each):
        kind = kind_of(axis)
        if kind is not None and kind.fate != "taken":
            raise OtherAxis(f"{name} is over {axis[:40]}: give a scan over two-theta", axis[:40])


def _is_two_theta(axis: str) -> bool:
    kind = kind_of(axis)
    return kind is not None and kind.axis == "two_theta"


def _counter(recorded: list[tuple[int, int, str]], name: str) -> int:
    """Return the column of the intensity among the recorded values.

    Raises:
        ValueError: there is none, or each point holds a frame of a detector instead.
    """
    single = [(start, said) for start, length, said in recorded if length == 1]
    for pattern in ("scancounter", COUNTER):
        for start, said in single:
            if re.search(pattern, said) and not re.search(NO_COUNTER, said):
                return start
    others = [start for start, said in single if not re.search(NO_COUNTER, said)]
    if others:
        return others[0]
    names = ", ".join(said for _, _, said in recorded)
    raise ValueError(
        f"{name} records {names[:80]}, and no intensity at each angle: export the scan as text"
    )


def _length(view: ElementTree.Element) -> int:
    length = view.get("Length") or "1"
    return int(length) if length.isdecimal() and len(length) < 9 else 1


def _name(view: ElementTree.Element) -> str:
    """Return the name of a recorded value, in lower case."""
    recording = view.find("{*}Recording")
    said = [view.get("LogicName")]
    if recording is not None:
        said += [recording.get("LogicName"), recording.get("VisibleName")]
    return " ".join(each for each in said if each).lower()
