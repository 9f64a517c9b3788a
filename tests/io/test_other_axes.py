"""Scans over other axes, as of an alignment, stand beside the one over two-theta and are left."""

import struct

import numpy as np
import pytest

from tests.io.instrument_files import (
    ALPHA1,
    ALPHA2,
    ANGLE,
    COUNTS,
    POINTS,
    archive,
    asc,
    at,
    brml_route,
    ras,
    raw3,
    raw4,
    uxd,
    xrdml,
)


def both_brml():
    def raw(axis):
        route = brml_route().replace('AxisId="TwoTheta"', f'AxisId="{axis}"')
        tube = f'<Tube><WaveLengthAlpha1 Value="{ALPHA1}"/></Tube>'
        return f"<RawData><DataRoutes>{route}</DataRoutes>{tube}</RawData>"

    return archive({"RawData0.xml": raw("Z"), "RawData1.xml": raw("TwoTheta")})


def both_xrdml():
    moved = "<startPosition>20.0</startPosition><endPosition>25.0000</endPosition>"
    first, second = xrdml(scans=2).decode().split("</scan>", 1)
    first = first.replace(moved, "<commonPosition>20.0</commonPosition>").replace("Gonio", "Omega")
    return (first + "</scan>" + second).encode()


def rows_over(axis, other):
    """Return a .uxd with a range of the data of an axis before the one over two-theta."""
    header, body = uxd().split(b"; (Data", 1)
    return header + b"; (Data" + uxd(other).split(b"; (Data", 1)[1] + b"; (Data" + body


SEVERAL = {
    "a.brml": (both_brml(), "Z, Theta"),
    "b.uxd": (uxd(drive="ROCKING") + uxd().split(b"_ANODE='Cu'")[1], "ROCKING"),
    "c.uxd": (uxd() + uxd(drive="CHI").split(b"_ANODE='Cu'")[1], "CHI"),
    "d.uxd": (rows_over("PHI", "_PHICOUNTS"), "PHI"),
    "e.ras": (ras("Omega") + ras(), "Omega"),
    "f.ras": (ras() + ras("Chi"), "Chi"),
    "g.asc": (asc("omega") + asc().replace(b"*EOF", b""), "omega"),
    "h.xrdml": (both_xrdml(), "Omega"),
    "i.raw": (raw4("Rocking Curve") + raw4()[61 + 48 + 120 :], "Rocking Curve"),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_a_scan_over_another_axis_is_left_out_and_named(read, name):
    data, axis = SEVERAL[name]
    found = read(data, name)
    np.testing.assert_allclose(found.two_theta, ANGLE, rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.intensity, COUNTS, rtol=1e-6)
    assert f"a scan over {axis} is left out" in found.notes


def changed(data, *fields):
    """Return a .raw of version 3 with other values in the header of its range."""
    data = bytearray(data)
    for offset, code, value in fields:
        struct.pack_into("<" + code, data, 712 + offset, value)
    return bytes(data)


@pytest.mark.parametrize(("number", "axis"), [(3, "rocking"), (4, "chi"), (8, "z"), (12, "psi")])
def test_the_type_of_a_raw_scan_is_its_axis(read, number, axis):
    with pytest.raises(ValueError, match=f"is over .*{axis}.*: give a scan over two-theta"):
        read(changed(raw3(), (196, "I", number)), "a.raw")


@pytest.mark.parametrize("coupled", [0, 1, 2, 20])
def test_a_coupled_raw_scan_is_over_two_theta(read, coupled):
    found = read(changed(raw3(), (196, "I", coupled)), "a.raw")
    np.testing.assert_allclose(found.intensity, COUNTS)


def test_counts_of_a_raw_stand_before_what_varies_beside_them(read):
    temperature = np.linspace(25, 900, POINTS)
    records = b"".join(struct.pack("<fd", *each) for each in zip(COUNTS, temperature, strict=True))
    data = changed(raw3(), (248, "I", 2048), (252, "I", 12))[: -4 * POINTS] + records
    np.testing.assert_allclose(read(data, "a.raw").intensity, COUNTS)


def test_records_of_a_raw_4_may_be_longer_than_a_count(read):
    whole = raw4()
    header = bytearray(whole[: -4 * POINTS])
    struct.pack_into("<I", header, 61 + 48 + 120 + 136, 8)
    records = b"".join(struct.pack("<fI", count, 7) for count in COUNTS)
    np.testing.assert_allclose(read(bytes(header) + records, "a.raw").intensity, COUNTS)


@pytest.mark.parametrize("size", [3, 6, 1 << 20])
def test_records_of_no_whole_numbers_are_refused(read, size):
    with pytest.raises(ValueError, match=f"a point has {size} bytes"):
        read(changed(raw3(), (252, "I", size)), "a.raw")


def test_ranges_of_a_raw_4_are_scaled_to_equal_times(read):
    header = at(160, (32, "14s", b"Locked Coupled"), (80, "d", 0.02), (136, "I", 4))
    parts = []
    for begin, end, seconds in ((0, 100, 1.0), (100, POINTS, 4.0)):
        part = bytearray(header)
        for offset, code, value in (
            *((72, "d", ANGLE[begin]), (88, "I", end - begin)),
            *((92, "f", seconds), (112, "d", ALPHA2)),
        ):
            struct.pack_into("<" + code, part, offset, value)
        parts += [bytes(part), (seconds * COUNTS[begin:end]).astype("<f4").tobytes()]
    source = at(120, (0, "I", 30), (4, "I", 120), (80, "d", ALPHA1))
    found = read(at(61, (0, "7s", b"RAW4.00")) + source + b"".join(parts), "a.raw")
    np.testing.assert_allclose(found.intensity, COUNTS)
