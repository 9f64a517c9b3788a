"""Axes other than two-theta are converted by Bragg's law or refused by name; never taken."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmed_jax.io.formats.axes import AXES, kind_of, position_of
from cmed_jax.io.formats.contract import axes_table
from cmed_jax.io.pattern import load_pattern
from tests.io.instrument_files import archive, asc, brml, brml_route, ras, rasx, uxd, xrdml

DOCS = Path(__file__).parents[2] / "docs" / "file_formats.md"
EXAMPLES = [(kind, each) for kind in AXES for each in kind.examples]
REFUSED = [each for kind, each in EXAMPLES if kind.fate == "refused"]
WAVELENGTH = 0.7093
D = np.array([4.1, 3.25, 2.81, 1.99])
TWO_THETA = 2 * np.degrees(np.arcsin(WAVELENGTH / 2 / D))
CONVERTED = {
    "d (nm)": D / 10,
    "d_nm": D / 10,
    "d [nm]": D / 10,
    "d/nm": D / 10,
    "d-spacing (nm)": D / 10,
    "d_hkl (pm)": 100 * D,
    "d (Å)": D,
    "d_A": D,
    "d(Angstrom)": D,
    "1/d (1/A)": 1 / D,
    "d* (1/nm)": 10 / D,
    "d*2_nm^-2": 100 / D**2,
    "d*2_A^-2": 1 / D**2,
    "1/d² (1/Å²)": 1 / D**2,
    "d-star (1/Å)": 1 / D,
    "2 sinθ/λ (1/nm)": 10 / D,
    "4π sinθ/λ (1/Å)": 2 * np.pi / D,
    "2π/d [Å⁻¹]": 2 * np.pi / D,
    '"d, nm"': D / 10,
    '"Q, Å⁻¹"': 2 * np.pi / D,
    "q_nm^-1": 20 * np.pi / D,
    "Q (1/Å)": 2 * np.pi / D,
    "q / nm⁻¹": 20 * np.pi / D,
    "sin(theta)/lambda (1/A)": 1 / (2 * D),
    "sinθ/λ [nm⁻¹]": 10 / (2 * D),
    "2theta": TWO_THETA,
    "2θ (°)": TWO_THETA,
    "Two-Theta (deg)": TWO_THETA,
    "Pos. [°2Th.]": TWO_THETA,
    "Angle": TWO_THETA,
    "ángulo 2θ": TWO_THETA,
    "2-théta [°]": TWO_THETA,
    "угол 2θ (град)": TWO_THETA,
    "２θ／°": TWO_THETA,
    "2θ (Cu Kα)": TWO_THETA,
    "espaciado d (Å)": D,
    "distance interréticulaire (nm)": D / 10,
}


@pytest.fixture
def read(tmp_path):
    def read(data, name="pattern.csv", wavelength=WAVELENGTH):
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return load_pattern(path, wavelength)

    return read


def table(heading, position, separator=","):
    rows = [f"{x:.9f}{separator}{i}" for i, x in enumerate(position, 1)]
    return "\n".join([f"{heading}{separator}Intensity", *rows]) + "\n"


def test_the_docs_hold_the_table():
    _, _, rest = DOCS.read_text(encoding="utf-8").partition("<!-- axes -->\n")
    assert rest.partition("\n<!-- end of axes -->")[0] == axes_table()


@pytest.mark.parametrize(("kind", "heading"), EXAMPLES)
def test_each_example_is_of_its_kind(kind, heading):
    assert kind_of(heading) is kind
    assert kind_of(heading.upper()) is kind
    assert (kind.axis is None) == (kind.fate == "refused")


@pytest.mark.parametrize("heading", CONVERTED)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_what_physics_allows_is_converted(read, heading, separator):
    found = read(table(heading, CONVERTED[heading], separator))
    np.testing.assert_allclose(found.two_theta, TWO_THETA, rtol=1e-6)
    assert found.intensity.tolist() == [1, 2, 3, 4]
    assert not found.notes


@pytest.mark.parametrize("heading", REFUSED)
@pytest.mark.parametrize("separator", [",", ";"])
@pytest.mark.parametrize("intensity", ["Counts", "I", "Signal", "Y-Daten"])
def test_what_it_does_not_allow_is_refused_by_name(read, heading, separator, intensity):
    text = table(heading, TWO_THETA, separator).replace("Intensity", intensity)
    with pytest.raises(ValueError, match="give") as answer:
        read(text)
    assert heading[:10].lower().translate({ord(x): None for x in "θφω°χ"})[:3] in str(
        answer.value
    ).lower().translate({ord(x): None for x in "θφω°χ"})


@pytest.mark.parametrize(
    "heading", ["u (kPa)", "field [T]", "zeta (mrad)", "b (V)", "Å⁻¹", "nm^-2", "mV"]
)
def test_an_unknown_column_with_a_unit_that_is_no_degree_is_refused(read, heading):
    with pytest.raises(ValueError, match="give two-theta"):
        read(table(heading, TWO_THETA))


@pytest.mark.parametrize("heading", ["x", "foo", "x (deg)", "Grad"])
def test_an_unknown_column_is_taken_for_two_theta_and_said(read, heading):
    found = read(table(heading, TWO_THETA))
    np.testing.assert_allclose(found.two_theta, TWO_THETA, rtol=1e-6)
    assert "is taken for two-theta in degrees" in found.notes[0]


@pytest.mark.parametrize(
    "heading",
    [
        *("# x-axis: Energy (keV)", "salt\nRadial Distance (mm)\nIntensity", "# xlabel: chi"),
        *("salt\nAzimuthal Angle (Degrees)\nIntensity\n   4", "# x-label: chi (deg)\n# y: counts"),
        *("# Unit: r_mm\n# x I",),
    ],
)
def test_a_label_of_the_axis_alone_is_understood(read, heading):
    rows = "\n".join(f"{x:.5f} {i}" for i, x in enumerate(TWO_THETA, 1))
    with pytest.raises(ValueError, match="it has a column"):
        read(f"{heading}\n{rows}\n", "a.chi")


@pytest.mark.parametrize(
    "heading",
    [
        *("# Temperature: 300 K", "# omega = 10", "# Energy 12.4 keV", "# Step size (deg): 0.02"),
        *("# Time per step (s),1.5", "# Probe bei 25 °C", "# chi 0.0", "# 3 Scans, Omega 10"),
        *("# axis phi fixed at 0", "# Omega axis at 10"),
    ],
)
def test_what_a_comment_says_of_the_measurement_is_no_axis(read, heading):
    rows = "\n".join(f"{x:.5f} {i}" for i, x in enumerate(TWO_THETA, 1))
    found = read(f"{heading}\n{rows}\n", "a.xy")
    np.testing.assert_allclose(found.two_theta, TWO_THETA, rtol=1e-4)


@pytest.mark.parametrize("intensity", ["Intensité", "強度", "Интенсивность", "cuentas", "foo"])
@pytest.mark.parametrize(
    "heading",
    [
        *("Énergie (keV)", "能量 (keV)", "энергия (кэВ)", "foo (кэВ)", "canale", "Tiempo de vuelo"),
        *("длина волны", "r (Å)", "Winkel θ", "half angle", "温度", "Kanal"),
    ],
)
def test_other_languages_do_not_hide_an_axis(read, heading, intensity):
    with pytest.raises(ValueError, match=r"it has a column|its columns are"):
        read(table(heading, TWO_THETA).replace("Intensity", intensity))


@pytest.mark.parametrize(
    "heading",
    [
        *("Position (mm)", "Angle (rad)", "Angle [mrad]", "2theta (arcmin)", "2theta (gon)"),
        *(
            "2theta arcmin",
            "2θ_gon",
            "Position / mm",
            "2θ, rad",
            "Angle (omega)",
            "angle in rad",
            "Pos. [px]",
        ),
    ],
)
def test_angles_in_other_units_are_refused(read, heading):
    with pytest.raises(ValueError, match="give two-theta in degrees"):
        read(table(heading, TWO_THETA, ";"))


@pytest.mark.parametrize(
    ("names", "units", "position"),
    [
        ("Q\tI", "nm-1\ta.u.", 20 * np.pi / D),
        ("d\tI", "Å\tcounts", D),
        ("2Theta\tI", "°\tcps", TWO_THETA),
        ("2Theta\tI", "deg\tcounts\nComments\tsample 1", TWO_THETA),
    ],
)
def test_a_row_of_units_belongs_to_the_names_above_it(read, names, units, position):
    rows = "".join(f"{x:.9f}\t{i}\n" for i, x in enumerate(position, 1))
    found = read(f"{names}\n{units}\n{rows}")
    np.testing.assert_allclose(found.two_theta, np.sort(TWO_THETA), rtol=1e-6)
    assert found.notes == ()


@pytest.mark.parametrize(
    "units", ["keV\tcounts", "mm\tcps", "s\ta.u.", "rad\tcounts", "px\t1", "[rad]\t[cts]"]
)
@pytest.mark.parametrize("names", ["x\ty", "Position\tI", "2theta\tI", "foo\tbar"])
def test_a_row_of_other_units_is_refused(read, names, units):
    rows = "".join(f"{x:.5f}\t{i}\n" for i, x in enumerate(TWO_THETA, 1))
    with pytest.raises(ValueError, match=r"it has a column|its angles are"):
        read(f"{names}\n{units}\n{rows}")


def test_the_names_of_a_scan_of_spec_are_understood(read):
    rows = "".join(f"{x:.5f} {i}\n" for i, x in enumerate(TWO_THETA, 1))
    with pytest.raises(ValueError, match="give two-theta, not theta"):
        read(f"#S 1 ascan th 10 90 4 1\n#N 2\n#L th  Detector\n{rows}")
    assert len(read(f"#S 1 ascan tth 10 90 4 1\n#L Two Theta  Detector\n{rows}").two_theta) == 4


@pytest.mark.parametrize("heading", ["", ",0,1\n"])
def test_a_column_that_numbers_the_points_is_no_angle(read, heading):
    rows = "".join(f"{i},{x:.5f},{i + 5}\n" for i, x in enumerate(np.sort(TWO_THETA)))
    found = read(heading + rows)
    np.testing.assert_allclose(found.two_theta, np.sort(TWO_THETA), rtol=1e-6)
    assert "numbers the points" in found.notes[0]


def test_numbered_intensities_are_refused(read):
    with pytest.raises(ValueError, match="its first column numbers the points"):
        read("".join(f"{i} {100 + i % 7}\n" for i in range(1, 60)))


@pytest.mark.parametrize("between", ["", 20 * "Sample,salt\n"])
def test_what_a_header_says_of_the_scan_goes_before_an_angle(read, between):
    """Exports of PANalytical's name the column "Angle" whatever was scanned."""
    head = "[Measurement conditions]\nScan axis,{}\n" + between + "[Scan points]\nAngle,Intensity\n"
    rows = "".join(f"{x:.5f},{i}\n" for i, x in enumerate(np.sort(TWO_THETA), 1))
    for said in ("Gonio", "2Theta-Omega", "Theta/2Theta", "theta-theta", "Step"):
        np.testing.assert_allclose(
            read(head.format(said) + rows).two_theta, np.sort(TWO_THETA), atol=1e-5
        )
    for said in ("Omega", "Phi", "Theta", "Rocking curve", "Energy"):
        with pytest.raises(ValueError, match=f"it says 'Scan axis,{said}': give a scan over"):
            read(head.format(said) + rows)


@pytest.mark.parametrize("heading", ["log(I)", "sqrt(Counts)", "ln(Intensity)", "log10 counts"])
def test_functions_of_the_intensity_are_refused(read, heading):
    text = table("2theta", TWO_THETA).replace("Intensity", heading)
    with pytest.raises(ValueError, match="give the intensities themselves"):
        read(text)


@given(
    heading=st.sampled_from(REFUSED),
    intensity=st.sampled_from(["Counts", "I", "cps", "Intensity (a.u.)"]),
    comment=st.sampled_from(["", "# ", "! ", "'"]),
    separator=st.sampled_from([",", ";", "\t", ", "]),
    upper=st.booleans(),
)
def test_no_refused_axis_is_ever_taken(
    tmp_path_factory, heading, intensity, comment, separator, upper
):
    path = tmp_path_factory.getbasetemp() / "axis.txt"
    said = (heading.upper() if upper else heading) + separator + intensity
    rows = [f"{x:.5f}{separator}{i}" for i, x in enumerate(TWO_THETA, 1)]
    path.write_text("\n".join([comment + said, *rows]), encoding="utf-8")
    with pytest.raises(ValueError, match="cannot be read"):
        load_pattern(path, "MoKa")


OMEGA = "<ScanInformation><AxisName>{}</AxisName></ScanInformation>"


def rasx_over(axis):
    import io
    import zipfile

    with zipfile.ZipFile(io.BytesIO(rasx())) as file:
        members = {name: file.read(name) for name in file.namelist()}
    name = "Data0/MesurementConditions0.xml"
    said = b"<MeasurementConditions>" + OMEGA.format(axis).encode()
    members[name] = members[name].replace(b"<MeasurementConditions>", said)
    return archive(members)


def brml_over(axis):
    raw = f"<RawData><DataRoutes>{brml_route()}</DataRoutes></RawData>"
    raw = raw.replace('AxisId="TwoTheta"', f'AxisId="{axis}"')
    return archive({"Experiment0/RawData0.xml": raw})


@pytest.mark.parametrize("axis", ["Omega", "Phi", "Chi", "Theta", "Psi", "Z", "X"])
@pytest.mark.parametrize(
    ("write", "name"),
    [
        (rasx_over, "a.rasx"),
        (ras, "a.ras"),
        (asc, "a.asc"),
        (brml_over, "a.brml"),
        (lambda axis: uxd(drive=axis), "a.uxd"),
        (lambda axis: uxd(kind=f"_{axis.upper()}COUNTS"), "b.uxd"),
    ],
)
def test_scans_over_other_axes_are_refused_by_name(read, axis, write, name):
    with pytest.raises(ValueError, match=f"(?i){axis}.*give a scan over two-theta"):
        read(write(axis), name)


@given(
    axis=st.sampled_from([each for each in REFUSED if each.isascii()]),
    write=st.sampled_from([(rasx_over, "a.rasx"), (ras, "a.ras"), (asc, "a.asc")]),
    case=st.sampled_from([str, str.upper, str.lower, str.title]),
)
def test_no_scan_over_a_refused_axis_is_ever_taken(tmp_path_factory, axis, write, case):
    make, name = write
    data = make(case(axis))
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises(ValueError, match="cannot be read"):
        load_pattern(path, "MoKa")


@pytest.mark.parametrize("axis", ["TwoThetaTheta", "2Theta/Theta", "2θ/θ", "TwoTheta", "2-Theta"])
def test_scans_over_two_theta_are_read_whatever_they_are_called(read, axis):
    assert len(read(rasx_over(axis), "a.rasx").two_theta) == 251


def test_a_brml_names_two_theta_in_several_ways(read):
    assert len(read(brml_over("2Theta"), "a.brml").two_theta) == 251


def test_an_xrdml_in_another_unit_is_refused(read):
    moved = xrdml().decode().replace('axis="2Theta" unit="deg"', 'axis="2Theta" unit="rad"')
    with pytest.raises(ValueError, match="two-theta is in 'rad'"):
        read(moved, "a.xrdml")


@pytest.mark.parametrize("axis", ["Omega", "Phi", "Chi", "Psi", "X"])
def test_an_xrdml_scan_over_another_axis_is_named(read, axis):
    moved = xrdml().decode().replace('scanAxis="Gonio"', f'scanAxis="{axis}"')
    range_ = "<startPosition>20.0</startPosition><endPosition>25.0000</endPosition>"
    for still in ("<commonPosition>20.0</commonPosition>", range_.replace("25.0000", "20.0")):
        with pytest.raises(ValueError, match=f"no scan over two-theta, but over {axis}"):
            read(moved.replace(range_, still), "a.xrdml")


def test_a_frame_of_a_detector_over_another_axis_is_refused(read):
    raw = f"<RawData><DataRoutes>{brml_route(views=None)}</DataRoutes></RawData>"
    raw = raw.replace("<ScaleAxisInfo>", '<ScaleAxisInfo VisibleName="Gamma">')
    with pytest.raises(ValueError, match="is over Gamma: give a scan over two-theta"):
        read(archive({"RawData0.xml": raw}), "a.brml")


def test_a_profile_that_stands_still_is_refused(read):
    with pytest.raises(ValueError, match="two-theta stands still at 20"):
        read("\n".join(f"{20 + i % 2 / 1000} {i}" for i in range(100)), "a.xy")


def test_positions_without_a_name_have_none():
    assert position_of("x") is None


def test_the_plain_brml_is_read(read):
    assert len(read(brml(), "a.brml").two_theta) == 251
