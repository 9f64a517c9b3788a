"""The choice of columns, scans and counting times in files that hold more than one pattern."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmed_jax.io.formats.scan import Radiation, Scan, per_equal_time, together
from cmed_jax.io.pattern import load_pattern
from tests.io.instrument_files import (
    ANGLE,
    COUNTS,
    POINTS,
    archive,
    asc,
    columns,
    pdcif,
    ras,
    uxd,
    xrdml,
)

TIMES = np.where(ANGLE < 22.5, 1.0, 4.0)
OTHERS = {
    "Temperature": ("modeActualTemp", 300 + 0.1 * np.cos(ANGLE)),
    "Humidity": ("modeActualHum", 35 + np.sin(ANGLE)),
    "Pressure": ("modePressure", 1013 + 0 * ANGLE),
}


def chamber(order, counter="ScanCounter", times=None, frame=0):
    """Return a .brml with further recorded values beside the counter, in any order."""
    times = np.ones(POINTS) if times is None else times
    columns = [times, np.ones(POINTS), ANGLE, ANGLE / 2]
    views = ['<RawDataView Start="0" Length="1" LogicName="MeasuredTime"/>']
    views.append('<RawDataView Start="1" Length="1" LogicName="AbsorptionFactor"/>')
    views.append(
        '<RawDataView Start="2" Length="2"><Varying><FieldDefinitions AxisId="TwoTheta"/>'
        '<FieldDefinitions AxisId="Theta"/></Varying></RawDataView>'
    )
    recorded = {name: OTHERS[name] for name in OTHERS} | {"Counter": (counter, COUNTS * times)}
    for name in order:
        logic, values = recorded[name]
        view = f'<RawDataView Start="{len(columns)}" Length="1">'
        view += f'<Recording LogicName="{logic}" VisibleName="{name}"/></RawDataView>'
        views.append(view)
        columns.append(values)
    if frame:
        view = f'<RawDataView Start="{len(columns)}" Length="{frame}">'
        views.append(view + '<Recording LogicName="Lynxeye" VisibleName="1D"/></RawDataView>')
        columns += frame * [COUNTS + 5]
    rows = "".join(
        "<Datum>" + ",".join(f"{x:.10g}" for x in row) + "</Datum>"
        for row in np.column_stack(columns)
    )
    tube = '<Tube><WaveLengthAlpha1 Value="1.540598"/></Tube>'
    route = f"<DataRoute><DataViews>{''.join(views)}</DataViews>{rows}</DataRoute>"
    return archive({"RawData0.xml": f"<RawData>{route}{tube}</RawData>"})


@given(
    order=st.permutations(["Counter", *OTHERS]),
    counter=st.sampled_from(["ScanCounter", "Counter1", "Detector", "PSDCounts"]),
)
def test_the_counter_is_the_intensity_wherever_it_stands(tmp_path_factory, order, counter):
    path = tmp_path_factory.getbasetemp() / "chamber.brml"
    path.write_bytes(chamber(order, counter))
    np.testing.assert_allclose(load_pattern(path).intensity, COUNTS, rtol=1e-9)


@pytest.mark.parametrize("counter", ["CountRate", "Detector cps"])
def test_a_recorded_rate_is_not_divided_by_the_time(read, counter):
    times = np.where(ANGLE.mean() < ANGLE, 4.0, 1.0)
    found = read(chamber(["Counter"], counter, times), "a.brml")
    np.testing.assert_allclose(found.intensity, COUNTS * times)
    assert found.notes == ()


def test_a_frame_beside_the_counter_is_left(read):
    found = read(chamber(["Counter"], frame=3), "a.brml")
    np.testing.assert_allclose(found.intensity, COUNTS)


@pytest.mark.parametrize("order", [[], ["Temperature"]])
def test_frames_alone_are_refused(read, order):
    with pytest.raises(ValueError, match="no intensity at each angle: export the scan as text"):
        read(chamber(order, frame=3), "a.brml")


def timed_xrdml(version="2.1", times=TIMES):
    """Return a file with counts that are not divided by the time of each point."""
    scan = xrdml(version).decode()
    common = '<commonCountingTime unit="seconds">3.0</commonCountingTime>'
    listed = f'<countingTimes unit="seconds">{" ".join(f"{t:g}" for t in times)}</countingTimes>'
    tag = "counts" if version >= "2" else "intensities"
    numbers = scan.partition(f'<{tag} unit="counts">')[2].partition("<")[0]
    scaled = [float(x) * t for x, t in zip(numbers.split(), times, strict=True)]
    return (
        scan.replace(common, listed).replace(numbers, " ".join(f"{x:g}" for x in scaled)).encode()
    )


def timed_uxd():
    rows = zip(ANGLE, COUNTS * TIMES, TIMES, strict=True)
    body = "\n".join(f"{a:.2f} {n:.0f} {t:g}" for a, n, t in rows)
    return f"_FILEVERSION=2\n_WL1=1.540598\n_DRIVE='COUPLED'\n_2THETACOUNTSTIME\n{body}\n".encode()


def timed_pdcif():
    rows = zip(ANGLE, COUNTS * TIMES, TIMES, strict=True)
    head = "data_a\n_diffrn_radiation_wavelength 1.540598\nloop_\n_pd_meas.2theta_scan\n"
    head += "_pd_meas.counts_total\n_pd_meas.step_count_time\n"
    return (head + "\n".join(f"{a:.2f} {n:.0f} {t:g}" for a, n, t in rows)).encode()


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (timed_xrdml("2.1"), "a.xrdml"),
        (timed_xrdml("1.5"), "b.xrdml"),
        (timed_uxd(), "a.uxd"),
        (timed_pdcif(), "a.cif"),
        (chamber(["Counter", "Humidity"], times=TIMES), "a.brml"),
    ],
)
def test_counts_are_brought_to_equal_times(read, data, name):
    found = read(data, name)
    ratio = found.intensity / COUNTS
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-3)
    assert any("points were counted for 1 to 4 s" in note for note in found.notes)


@given(
    times=st.lists(st.integers(1, 40), min_size=POINTS, max_size=POINTS),
    version=st.sampled_from(["1.5", "2.1"]),
    write=st.sampled_from(["xrdml", "brml"]),
)
def test_any_counting_times_are_divided_out(tmp_path_factory, times, version, write):
    seconds = np.array(times, float)
    data = (
        timed_xrdml(version, seconds) if write == "xrdml" else chamber(["Counter"], times=seconds)
    )
    path = tmp_path_factory.getbasetemp() / f"timed.{write}"
    path.write_bytes(data)
    ratio = load_pattern(path).intensity / COUNTS
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-3)


@pytest.mark.parametrize("heading", ["Time (s)", "count time", "Zeit [s]"])
@pytest.mark.parametrize(("intensity", "divided"), [("counts", True), ("cps", False)])
def test_a_column_of_counting_times_is_that_of_the_counts(read, heading, intensity, divided):
    head = f"# wavelength 1.5406\n2theta,{heading},{intensity}\n"
    counts = COUNTS * TIMES if divided else COUNTS
    rows = [f"{a:.2f},{t:.0f},{n:.0f}" for a, t, n in zip(ANGLE, TIMES, counts, strict=True)]
    found = read((head + "\n".join(rows)).encode(), "a.csv")
    np.testing.assert_allclose(found.intensity / found.intensity.max(), COUNTS / COUNTS.max())
    assert bool(found.notes) == divided
    for step in (1.0, 0.3):  # a clock, and one that is rounded to seconds
        rows = [
            f"{a:.2f},{step * i:.0f},{n:.0f}"
            for i, (a, n) in enumerate(zip(ANGLE, counts, strict=True))
        ]
        elapsed = read((head + "\n".join(rows)).encode(), "a.csv")
        np.testing.assert_array_equal(elapsed.intensity, counts)


@pytest.mark.parametrize(
    ("heading", "unit"),
    [("ms", 1e-3), ("t[ms]", 1e-3), ("time (msec)", 1e-3), ("Zeit [min]", 60.0), ("time", 1.0)],
)
def test_counting_times_have_units(read, heading, unit):
    times = TIMES / unit
    rows = zip(ANGLE, times, COUNTS * TIMES, strict=True)
    body = "\n".join(f"{a:.2f},{t:.15g},{n:.0f}" for a, t, n in rows)
    found = read(f"# wavelength 1.5406\n2theta,{heading},counts\n{body}".encode(), "a.csv")
    np.testing.assert_allclose(found.intensity / found.intensity.max(), COUNTS / COUNTS.max())
    assert "counted for 1 to 4 s" in found.notes[0]


def test_counts_are_kept_where_a_row_has_no_counting_time(read):
    rows = [f"{a:.2f},{n:.0f},{t:.0f}" for a, n, t in zip(ANGLE, COUNTS, TIMES, strict=True)]
    rows[1] = rows[1].rsplit(",", 1)[0]
    text = "\n".join(["# wavelength 1.5406", "2theta,counts,time (s)", *rows])
    np.testing.assert_allclose(read(text.encode(), "a.csv").intensity, COUNTS, atol=0.5)


def test_equal_times_change_nothing():
    counts, seconds, notes = per_equal_time(COUNTS, np.full(POINTS, 3.0))
    assert counts is COUNTS
    assert (seconds, notes) == (3.0, ())
    with pytest.raises(ValueError, match="3 counting times for 251 points"):
        per_equal_time(COUNTS, np.ones(3))


def test_a_file_of_counts_per_second_is_not_divided_again(read):
    data = timed_xrdml("1.5").replace(b'unit="counts"', b'unit="cps"')
    np.testing.assert_allclose(read(data, "a.xrdml").intensity, COUNTS * TIMES, rtol=1e-3)


def series(temperatures, shift=0.0):
    """Return scans at temperatures; each line moves by a share of its angle."""
    text = xrdml(scans=1).decode()
    begin, end = text.index("<scan "), text.index("</scan>") + len("</scan>")
    scans = []
    for i, temperature in enumerate(temperatures):
        said = f'<nonAmbientPoints type="Temperature"><nonAmbientValues unit="K">{temperature}'
        scan = text[begin:end].replace(
            "</scan>", said + "</nonAmbientValues></nonAmbientPoints></scan>"
        )
        if shift:
            moved = np.interp(ANGLE - i * shift, ANGLE, COUNTS)
            numbers = scan.partition('<intensities unit="counts">')[2].partition("<")[0]
            scan = scan.replace(numbers, " ".join(f"{n:g}" for n in moved))
        scans.append(
            scan
            if temperature is not None
            else scan.replace(said, "").replace("</nonAmbientValues></nonAmbientPoints>", "")
        )
    return (text[:begin] + "".join(scans) + text[end:]).encode()


def test_scans_at_several_temperatures_are_not_added_up(read):
    found = read(series([300, 400, 500]), "a.xrdml")
    np.testing.assert_array_equal(found.intensity, COUNTS)
    (note,) = found.notes
    assert "the first of 3 scans of the same angles is read, at a temperature of 300" in note
    assert "the others are at 400 to 500" in note


def test_of_several_scans_at_each_temperature_the_first_ones_are_added_up(read):
    found = read(series([300, 300.4, 500, 500]), "a.xrdml")
    np.testing.assert_array_equal(found.intensity, 2 * COUNTS)
    assert "the sum of 2 of 4 scans of the same angles is read" in found.notes[0]


def test_scans_that_differ_by_more_than_counting_are_not_one_measurement(read):
    found = read(series([None, None, None], shift=0.03), "a.xrdml")
    np.testing.assert_array_equal(found.intensity, COUNTS)
    assert "the others differ from it by more than counting" in found.notes[0]


@given(seed=st.integers(0, 1000), scale=st.floats(0.2, 5), counts=st.sampled_from([1, 10, 300]))
def test_scans_of_one_sample_are_added_up_whatever_their_counts(seed, scale, counts):
    rng = np.random.default_rng(seed)
    one, two = rng.poisson(counts * COUNTS), scale * rng.poisson(counts * COUNTS)
    first, second = (Scan(ANGLE, each.astype(float)) for each in (one, two))
    assert together([first, second]).notes == ("2 scans of the same angles are added up",)


def test_ranges_at_other_temperatures_are_not_joined():
    low, high = (Scan(ANGLE + i * 5.02, COUNTS, temperature=300.0 + 100 * i) for i in (0, 1))
    found = together([low, high])
    assert len(found.position) == POINTS
    assert "different angles and temperatures" in found.notes[0]


@pytest.mark.parametrize("dots", [False, True])
@pytest.mark.parametrize("kind", ["scan", "range", "last"])
def test_names_with_dots_are_those_without(read, dots, kind):
    data = pdcif(kind).decode()
    if dots:
        data = data.replace("_pd_meas_", "_pd_meas.").replace("_pd_calc_", "_pd_calc.")
        data = data.replace(
            "_diffrn_radiation_wavelength\n", "_diffrn_radiation_wavelength.value\n"
        )
        data = data.replace("_wavelength_wt", "_wavelength.wt")
    found = read(data.encode(), "a.cif")
    np.testing.assert_allclose(found.intensity, COUNTS)
    np.testing.assert_allclose(found.radiation.wavelengths, [1.540598, 1.544426])


@pytest.mark.parametrize("item", ["_pd_meas_counts_monitor", "_pd_meas_step_count_time"])
def test_a_powder_cif_is_divided_by_the_monitor_and_the_time_of_each_point(read, item):
    factor = np.where(ANGLE.mean() < ANGLE, 4, 1)
    rows = "\n".join(
        f"{x:.4f} {f * n:.0f}({2 * f}) {1000 * f}"
        for x, n, f in zip(ANGLE, COUNTS, factor, strict=True)
    )
    head = "data_a\n_diffrn_radiation_wavelength 1.5406\nloop_\n_pd_meas_2theta_scan\n"
    found = read((head + f"_pd_meas_counts_total\n{item}\n{rows}").encode(), "a.cif")
    np.testing.assert_allclose(found.intensity / found.intensity[0], COUNTS / COUNTS[0])
    assert found.sigma is not None
    np.testing.assert_allclose(found.sigma / found.sigma[0], np.ones(POINTS))
    assert len(found.notes) == 1


@pytest.mark.parametrize(
    "item",
    [
        "_diffrn_radiation_probe neutron",
        "_diffrn_radiation_type 'Constant wavelength neutron'",
        "_diffrn_source 'nuclear reactor'",
    ],
)
def test_a_powder_cif_of_neutrons_is_refused(read, item):
    data = pdcif().decode().replace("data_salt_publ\n", f"data_salt_publ\n{item}\n")
    with pytest.raises(ValueError, match="is measured with neutrons: give one of X-rays"):
        read(data.encode(), "a.cif")


def test_an_aborted_scan_is_said(read):
    data = xrdml().decode().replace('"Gonio" status="Completed"', '"Gonio" status="Aborted"')
    assert "a scan was aborted" in read(data.encode(), "a.xrdml").notes[0]


def test_a_powder_cif_over_q_is_converted(read):
    q = 4 * np.pi * np.sin(np.radians(ANGLE) / 2) / 1.540598
    rows = "\n".join(f"{x:.8f} {n:.0f}" for x, n in zip(q, COUNTS, strict=True))
    head = "data_a\n_diffrn_radiation_wavelength 1.540598\nloop_\n_pd_proc_recip_len_Q\n"
    found = read((head + "_pd_proc_intensity_total\n" + rows).encode(), "a.cif")
    np.testing.assert_allclose(found.two_theta, ANGLE, atol=1e-4)


@pytest.mark.parametrize("weights", [" 1.0", ""])
def test_the_strongest_wavelength_of_a_loop_comes_first(read, weights):
    names = "_diffrn_radiation_wavelength\n" + "_diffrn_radiation_wavelength_wt\n" * bool(weights)
    loop = f"loop_\n{names}1.544426{weights and ' 0.5'}\n1.540598{weights}\n"
    data = pdcif("last").decode().split("loop_\n_diffrn")[0] + loop
    found = read(data.encode(), "a.cif").radiation
    np.testing.assert_allclose(found.wavelengths, [1.540598, 1.544426])
    np.testing.assert_allclose(found.weights, [2 / 3, 1 / 3])


@pytest.mark.parametrize(
    ("ratio", "weights"),
    [("Ratio K-Alpha2/K-Alpha1,0.4", [1 / 1.4, 0.4 / 1.4]), ("Sample,salt", [2 / 3, 1 / 3])],
)
def test_a_header_of_panalytical_states_both_components(read, ratio, weights):
    lines = ["[Measurement conditions]", "K-Alpha1 wavelength,1.540598"]
    lines += ["K-Alpha2 wavelength,1.544426", ratio, "[Scan points]", "Angle,Intensity"]
    found = read(columns(",", heading=lines), "a.csv").radiation
    np.testing.assert_allclose(found.wavelengths, [1.540598, 1.544426])
    np.testing.assert_allclose(found.weights, weights)


def test_a_radiation_begins_with_its_strongest_component():
    with pytest.raises(ValueError, match="give the strongest component first"):
        Radiation(np.array([1.5444, 1.5406]), np.array([1, 2]) / 3)


BETA = '*HW_XG_WAVE_LENGTH_BETA "1.392250"'


@pytest.mark.parametrize(
    ("component", "wavelengths"),
    [("Ka", [1.540598, 1.544426]), ("Ka1", [1.540598]), ("Ka2", [1.544426]), ("Kb", [1.39225])],
)
def test_the_component_of_rigaku_is_read(read, component, wavelengths):
    header = f'*RAS_HEADER_START\n{BETA}\n*MEAS_COND_XG_WAVE_TYPE "{component}"'
    data = ras().decode("latin-1").replace("*RAS_HEADER_START", header)
    found = read(data.encode("latin-1"), "a.ras").radiation
    np.testing.assert_allclose(found.wavelengths, wavelengths)
    name = component.replace("Ka", "K-ALPHA").replace("Kb", "K-BETA")
    data = asc().replace(b"*BEGIN", f"*BEGIN\n*XRAY_CHAR = {name}".encode())
    if component == "Kb":  # the format does not hold its wavelength
        with pytest.raises(ValueError, match="the wavelength is missing"):
            read(data, "a.asc")
    else:
        np.testing.assert_allclose(read(data, "a.asc").radiation.wavelengths, wavelengths)


def test_data_over_another_axis_of_a_uxd_is_named(read):
    with pytest.raises(ValueError, match="is over 'PHI': give a scan over two-theta"):
        read(uxd("_PHICOUNTS"), "a.uxd")
