"""Bytes of files in the formats of instruments and programs, all of one pattern."""

import io
import struct
import zipfile

import numpy as np

ALPHA1, ALPHA2, RATIO = 1.540598, 1.544426, 0.5
MEAN = (ALPHA1 + RATIO * ALPHA2) / (1 + RATIO)
START, STEP, POINTS = 20.0, 0.02, 251
ANGLE = START + STEP * np.arange(POINTS)
COUNTS = np.round(
    40 + 900 * np.exp(-(((ANGLE - 21.5) / 0.06) ** 2)) + 300 * np.exp(-(((ANGLE - 23) / 0.07) ** 2))
)
SIGMA = np.round(np.sqrt(COUNTS), 4)


def columns(separator=" ", end="\n", comma=False, heading=(), sigma=False):
    rows = [
        (f"{a:.4f}", f"{n:.0f}", f"{s:.4f}") for a, n, s in zip(ANGLE, COUNTS, SIGMA, strict=True)
    ]
    lines = [separator.join(row if sigma else row[:2]) for row in rows]
    lines = [line.replace(".", ",") for line in lines] if comma else lines
    return (end.join([*heading, *lines]) + end).encode()


def rruff():
    """Return a mineral in the format of the RRUFF project, with its wavelength in the header."""
    heading = ["##NAMES=Halite", "##X-RAY WAVELENGTH=1.541838", "##CELL PARAMETERS=5.64 5.64"]
    return columns(", ", "\r\n", heading=heading) + b"##END="


def pdcif(kind="scan"):
    """Return a pdCIF of a refinement program: wavelengths in one loop, points in another."""
    radiation = (
        "loop_\n_diffrn_radiation_wavelength_wt\n_diffrn_radiation_wavelength\n"
        f" 1.0 {ALPHA1}\n 0.5 {ALPHA2}(2)\n"
    )
    points = [f"{n:.0f}({round(s)})" for n, s in zip(COUNTS, SIGMA, strict=True)]
    if kind == "range":
        head = f"_pd_meas_2theta_range_min {START}\n_pd_meas_2theta_range_max {ANGLE[-1]:.2f}\n"
        head += f"_pd_meas_2theta_range_inc {STEP}\nloop_\n_pd_meas_counts_total\n"
        body = "\n".join(points)
    elif kind == "last":
        head = "loop_\n_pd_proc_ls_weight\n_pd_meas_counts_total\n_pd_meas_2theta_scan\n"
        body = "\n".join(f"1.0 {n} {a:.4f}" for a, n in zip(ANGLE, points, strict=True))
    else:
        head = "loop_\n_pd_meas_2theta_scan\n_pd_meas_counts_total\n_pd_calc_intensity_total\n"
        body = "\n".join(f"{a:.4f} {n} ." for a, n in zip(ANGLE, points, strict=True))
    tail = radiation if kind == "last" else ""
    first = "" if tail else radiation
    return f"# made by a test\ndata_salt_publ\n{first}{head}{body}\n{tail}\n".encode()


def xrdml(version="1.5", scans=1, intended="K-Alpha", listed=False, encoding="utf-8"):
    """Return a file of a PANalytical diffractometer; from schema 2.0 on with raw counts."""
    space = f"http://www.xrdml.com/XRDMeasurement/{version}"
    factor = np.where(COUNTS > 500, 2, 1) if version >= "2" else np.ones(POINTS, int)
    numbers = " ".join(f"{n / f:g}" for n, f in zip(COUNTS, factor, strict=True))
    body = f'<intensities unit="counts">{numbers}</intensities>'
    if version >= "2":
        factors = " ".join(map(str, factor))
        body = f"<beamAttenuationFactors>{factors}</beamAttenuationFactors>"
        body += f'<counts unit="counts">{numbers}</counts>'
    range_ = f"<startPosition>{START}</startPosition><endPosition>{ANGLE[-1]:.4f}</endPosition>"
    if listed:
        range_ = f"<listPositions>{' '.join(f'{a:.4f}' for a in ANGLE)}</listPositions>"
    scan = f"""
      <scan appendNumber="0" mode="Continuous" scanAxis="Gonio" status="Completed"><dataPoints>
        <positions axis="2Theta" unit="deg">{range_}</positions>
        <positions axis="Omega" unit="deg"><startPosition>10.0</startPosition>
          <endPosition>12.5</endPosition></positions>
        <commonCountingTime unit="seconds">3.0</commonCountingTime>{body}
      </dataPoints></scan>"""
    return f"""<?xml version="1.0" encoding="{encoding}"?>
<xrdMeasurements xmlns="{space}" status="Completed"><xrdMeasurement measurementType="Scan">
  <usedWavelength intended="{intended}"><kAlpha1 unit="Angstrom">{ALPHA1}</kAlpha1>
    <kAlpha2 unit="Angstrom">{ALPHA2}</kAlpha2><kBeta unit="Angstrom">1.3922500</kBeta>
    <ratioKAlpha2KAlpha1>{RATIO}</ratioKAlpha2KAlpha1></usedWavelength>
  <incidentBeamPath><antiScatterSlit name="Fixed slit 1/4°"/></incidentBeamPath>{scans * scan}
</xrdMeasurement></xrdMeasurements>
""".encode(encoding)


def rigaku_rows(separator=" "):
    factor = np.where(COUNTS > 500, 2.0, 1.0)
    rows = zip(ANGLE, COUNTS / factor, factor, strict=True)
    return [f"{a:.4f}{separator}{n:.4f}{separator}{f:.4f}" for a, n, f in rows]


def ras(axis="TwoThetaTheta", scans=1):
    """Return a file of SmartLab: Latin-1, Windows' line ends, a factor of the attenuator."""
    header = [
        "*RAS_HEADER_START",
        '*FILE_COMMENT "Probe für die Prüfung"',
        f'*HW_XG_WAVE_LENGTH_ALPHA1 "{ALPHA1}"',
        f'*HW_XG_WAVE_LENGTH_ALPHA2 "{ALPHA2}"',
        f'*MEAS_SCAN_AXIS_X "{axis}"',
        '*MEAS_SCAN_UNIT_Y "counts"',
        "*RAS_HEADER_END",
    ]
    scan = [*header, "*RAS_INT_START", *rigaku_rows(), "*RAS_INT_END"]
    lines = ["*RAS_DATA_START", *(scans * scan), "*RAS_DATA_END", "*DSC_DATA_END", ""]
    return "\r\n".join(lines).encode("latin-1")


def rows(width, separator=" "):
    numbers = [f"{n:.0f}" for n in COUNTS]
    return [separator.join(numbers[i : i + width]) for i in range(0, POINTS, width)]


def fullprof():
    """Return a file of start, step, stop and a title; ten counts a line, the last one padded."""
    return "\n".join([f"{START} {STEP} {ANGLE[-1]:.2f}  salt", *rows(10)]).encode() + 9 * b" 0"


def asc(axis="2theta/theta", scans=1):
    header = ["*BEGIN", "*TYPE\t\t=  Raw", f"*SCAN_AXIS\t=  {axis}", f"*START = {START}"]
    header += [f"*STOP = {ANGLE[-1]:.2f}", f"*STEP = {STEP}", f"*COUNT = {POINTS}"]
    header += [f"*WAVE_LENGTH1 = {ALPHA1}", f"*WAVE_LENGTH2 = {ALPHA2}"]
    return "\r\n".join([*(scans * [*header, *rows(4, ", "), "*END"]), "*EOF"]).encode()


def archive(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return buffer.getvalue()


def rasx():
    conditions = f"""<?xml version="1.0" encoding="utf-8"?><MeasurementConditions>
      <HWConfigurations><XrayGenerator><TargetName>Cu</TargetName>
      <WavelengthKalpha1>{ALPHA1}</WavelengthKalpha1><WavelengthKalpha2>{ALPHA2}</WavelengthKalpha2>
      </XrayGenerator></HWConfigurations></MeasurementConditions>"""
    profile = "\ufeff" + "\r\n".join(rigaku_rows("\t")) + "\r\n"
    return archive(
        {
            "root.xml": "<Root/>",
            "Data0/Profile0.txt": profile.encode(),
            "Data0/MesurementConditions0.xml": conditions,
        }
    )


def brml_route(views=True):
    rows = zip(ANGLE, COUNTS, strict=True)
    steps = "".join(f"<Datum>3.0,1,{a:.4f},{a / 2:.4f},{n:.0f}</Datum>" for a, n in rows)
    if views is None:  # a fixed detector
        steps = f"<Datum>96,1,25,{','.join(f'{n:.0f}' for n in COUNTS)}</Datum>"
        return f"""<DataRoute RouteFlag="Final"><ScanInformation><ScaleAxes><ScaleAxisInfo>
          <Start>{START}</Start><Stop>{ANGLE[-1]:.2f}</Stop><Increment>{STEP}</Increment>
          </ScaleAxisInfo></ScaleAxes></ScanInformation>{steps}</DataRoute>"""
    table = """<DataViews><RawDataView Start="0" Length="1" LogicName="MeasuredTime"/>
      <RawDataView Start="2" Length="2"><Varying><FieldDefinitions AxisId="TwoTheta"/>
      <FieldDefinitions AxisId="Theta"/></Varying></RawDataView>
      <RawDataView Start="4" Length="1"><Recording VisibleName="Counter"/></RawDataView>
      </DataViews>"""
    return f'<DataRoute RouteFlag="Final">{steps}{table if views else ""}</DataRoute>'


def brml(views=True, scans=1, tube="RawData"):
    tubes = f"""<Tube><WaveLengthAlpha1 Unit="Å" Value="{ALPHA1}"/>
      <WaveLengthAlpha2 Unit="Å" Value="{ALPHA2}"/><WaveLengthRatio Value="{RATIO}"/></Tube>"""
    inside = tubes if tube == "RawData" else ""
    raw = f"""<?xml version="1.0" encoding="utf-8"?><RawData><DataRoutes>{brml_route(views)}
      </DataRoutes><FixedInformation>{inside}</FixedInformation></RawData>"""
    members = {f"Experiment0/RawData{i}.xml": raw for i in range(scans)}
    members["Experiment0/MeasurementContainer.xml"] = f"<Container>{tubes}</Container>"
    return archive({"experimentCollection.xml": "<x/>"} | members)


def uxd(kind="_2THETACOUNTS", ranges=1, drive="COUPLED", end="\r\n"):
    header = ["; converted by XCH", "_FILEVERSION=2", "_SAMPLE='Prüfung'", "_WL_UNIT='A'"]
    header += [f"_WL1={ALPHA1}", f"_WL2={ALPHA2}", f"_WLRATIO={RATIO}", "_ANODE='Cu'"]
    body = [f"{a:.2f}\t{n:.0f}" for a, n in zip(ANGLE, COUNTS, strict=True)]
    if kind == "_COUNTS":
        numbers = [f"{n:.0f}" for n in COUNTS]
        body = ["   ".join(numbers[i : i + 8]) for i in range(0, POINTS, 8)]
    scan = ["; (Data for Range number 1)", f"_DRIVE='{drive}'", f"_STEPSIZE={STEP}"]
    scan += [f"_START={START}", "_KV=40", "_STEPTIME=3", kind, *body]
    return end.join([*header, *(ranges * scan), ""]).encode("latin-1")


def uxd_in_parts(times=(1, 4), unit="COUNTS"):
    """Return one pattern in two ranges, the later first, each with its own counting time."""
    lines = ["_FILEVERSION=2", f"_WL1={ALPHA1}", "_DRIVE='COUPLED'", f"_STEPSIZE={STEP}"]
    for begin, end, time in ((100, POINTS, times[1]), (0, 100, times[0])):
        lines += [f"_STEPTIME={time}"] if time else []
        factor = time if time and unit == "COUNTS" else 1
        numbers = " ".join(f"{factor * n:.0f}" for n in COUNTS[begin:end])
        lines += [f"_START={ANGLE[begin]:.2f}", f"_{unit}", numbers]
    return "\n".join(lines).encode()


def at(size, *fields):
    """Return bytes of a size that hold fields of (offset, code, value)."""
    data = bytearray(size)
    for offset, code, value in fields:
        struct.pack_into("<" + code, data, offset, value)
    return bytes(data)


def floats():
    return COUNTS.astype("<f4").tobytes()


def raw1(repeat=True):
    fields = [
        (0, "4s", b"RAW "),
        (4, "I", POINTS),
        (8, "f", 3.0),
        (12, "f", STEP),
        (24, "f", START),
    ]
    fields += [(40, "4s", b"salt"), (72, "f", ALPHA1), (76, "f", ALPHA2), (152, "I", 1)]
    first = at(156, *fields)
    last = at(156, *fields, (152, "I", 0))[0 if repeat else 4 :]
    return first + floats() + last + floats()


def raw2():
    fields = [(0, "4s", b"RAW2"), (4, "H", 1), (188, "2s", b"Cu")]
    fields += [(190, "f", ALPHA1), (194, "f", ALPHA2), (198, "f", RATIO)]
    scan = at(64, (0, "H", 64), (2, "H", POINTS), (8, "f", 3), (12, "f", STEP), (16, "f", START))
    return at(256, *fields) + scan + floats()


def raw3():
    fields = [(0, "7s", b"RAW1.01"), (8, "I", 1), (12, "I", 1), (608, "2s", b"Cu")]
    fields += [(616, "d", MEAN), (624, "d", ALPHA1), (632, "d", ALPHA2), (648, "d", RATIO)]
    scan = [(0, "I", 304), (4, "I", POINTS), (8, "d", START / 2), (16, "d", START)]
    scan += [(176, "d", STEP), (192, "f", 3.0), (240, "d", ALPHA1), (256, "I", 40)]
    return at(712, *fields) + at(344, *scan) + floats()


def raw4(scan="Locked Coupled"):
    source = [(0, "I", 30), (4, "I", 120), (72, "d", MEAN), (80, "d", ALPHA1)]
    source += [(88, "d", ALPHA2), (104, "d", RATIO), (116, "2s", b"Cu")]
    comment = at(48, (0, "I", 10), (4, "I", 48), (12, "7s", b"COMMENT"), (36, "4s", b"salt"))
    axis = at(64, (0, "I", 50), (4, "I", 64), (12, "6s", b"2Theta"), (56, "d", START))
    header = [(32, f"{len(scan)}s", scan.encode()), (72, "d", START), (80, "d", STEP)]
    header += [(88, "I", POINTS), (112, "d", ALPHA1), (136, "I", 4), (140, "I", 64)]
    return (
        at(61, (0, "7s", b"RAW4.00"))
        + comment
        + at(120, *source)
        + at(160, *header)
        + axis
        + floats()
    )


def gsas(kind="FXYE", end="\r\n", binning="CONST"):
    bank = f"BANK 1 {POINTS} {POINTS} {binning} {100 * START:.2f} {100 * STEP:.2f} 0.0 0.0 {kind}"
    rows = list(zip(ANGLE, COUNTS, SIGMA, strict=True))
    if kind in ("FXYE", "FXY"):
        width = len(kind) - 1
        lines = [
            f"{100 * a:15.4f} {n:12.4f} {s:12.4f}"[: 28 if width == 2 else None] for a, n, s in rows
        ]
    elif kind == "ESD":
        fields = [f"{n:8.1f}{s:8.4f}" for _, n, s in rows]
        lines = ["".join(fields[i : i + 5]) for i in range(0, POINTS, 5)]
    else:
        fields = [f"{1 if i % 2 else '':>2}{n:6.0f}" for i, n in enumerate(COUNTS)]
        lines = ["".join(fields[i : i + 10]) for i in range(0, POINTS, 10)]
    title = f"{'salt, for a test':<80}"
    return end.join([title, "# Instrument parameter file", bank, *lines, ""]).encode()


WRITTEN = {
    "salt.xy": columns(),
    "salt.xye": columns("  ", sigma=True),
    "salt.csv": columns(",", "\r\n", heading=["two_theta_deg,intensity"]),
    "comma.csv": columns(";", comma=True, heading=["2Theta;Intensity"]),
    "blank.dat": columns("\t", comma=True, heading=['\'Id: "salt" Anode: "Cu"']),
    "old.txt": columns(" ", "\r"),
    "rruff.txt": rruff(),
    "sixteen.txt": ("\ufeff" + columns("\t", "\r\n").decode()).encode("utf-16-le"),
    "mark.xy": b"\xef\xbb\xbf" + columns(),
    "latin.xy": columns(heading=["# Prüfung 25 °C"]).decode().encode("latin-1"),
    "fullprof.dat": fullprof(),
    "scan.cif": pdcif(),
    "range.cif": pdcif("range"),
    "last.cif": pdcif("last"),
    "windows.cif": pdcif().replace(b"\n", b"\r\n"),
    "old.xrdml": xrdml("1.0"),
    "salt.xrdml": xrdml(),
    "new.xrdml": xrdml("2.2"),
    "listed.xrdml": xrdml(listed=True),
    "sixteen.xrdml": xrdml(encoding="utf-16"),
    "salt.ras": ras(),
    "salt.rasx": rasx(),
    "salt.asc": asc(),
    "salt.brml": brml(),
    "plain.brml": brml(views=False),
    "still.brml": brml(views=None),
    "container.brml": brml(tube="container"),
    "salt.uxd": uxd(),
    "counts.uxd": uxd("_COUNTS", end="\n"),
    "two.raw": raw2(),
    "three.raw": raw3(),
    "four.raw": raw4(),
    "salt.fxye": gsas(),
    "salt.gsas": gsas("ESD"),
    "salt.gsa": gsas("STD"),
    "salt.gss": gsas("FXY", end="\n"),
}
"""The files that hold ANGLE and COUNTS, by name."""
WITH_RADIATION = [
    name
    for name in WRITTEN
    if name.endswith((".cif", "ml", ".ras", ".rasx", ".asc", ".uxd", ".raw"))
]
"""The files that give the radiation: K-alpha 1 and 2, two to one."""
