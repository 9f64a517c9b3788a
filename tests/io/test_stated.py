"""The wavelength and the probe that a header states."""

import numpy as np
import pytest

from cmed_jax.io.formats.stated import stated_radiation
from cmed_jax.io.pattern import load_pattern

ROWS = "".join(f"{angle} {100 - angle}\n" for angle in (12.5, 17.8, 25.4, 40.9, 56.6))


@pytest.mark.parametrize(
    ("line", "wavelength"),
    [
        ("Wavelength (calibration): 0.4592", 0.4592),
        ("calibration LaB6, wavelength = 0.4133", 0.4133),
        ("beta-Ga2O3 wavelength 1.5406", 1.5406),
        ("alpha2 stripped, wavelength 1.5406", 1.5406),
        ("Ka2 stripped; wavelength: 1.5406", 1.5406),
        ("configuration B, concentration 2 %, lambda = 0.7093", 0.7093),
        ("Ka2/Ka1 ratio 0.497, wavelength 1.78897", 1.78897),
        ("Cu Ka1 + Ka2, wavelength 1.5418", 1.5418),
        ("Kalpha1/Kalpha2 wavelengths: 1.54056 1.54439", 1.54056),
        ("Cu K-alpha1 wavelength 1.54056", 1.54056),
        ("K-alpha1 1.78897 K-alpha2 wavelength 1.79285", None),
        ("Ka1/Ka2 wavelength ratio = 0.9975", None),
        ("Ratio of the wavelengths: 0.9975", None),
        ("Co K beta radiation wavelength = 1.62083", None),
        ("wavelength Kb: 1.62083", None),
        ("lambda_beta = 1.62083", None),
        ("wavelength (K-alpha2) = 1.79285", None),
        ("K\u03b22 wavelength [\u00c5] 1.60", None),
    ],
)
def test_the_words_beside_wavelength_tell_whose_it_is(line, wavelength):
    found = stated_radiation(line)
    assert (None if found is None else found.wavelengths[0]) == wavelength


@pytest.fixture
def read(tmp_path):
    def read(header):
        path = tmp_path / "pattern.txt"
        path.write_text(f"{header}\n{ROWS}", encoding="utf-8")
        return load_pattern(path, 1.5406)

    return read


@pytest.mark.parametrize(
    "header",
    [
        "Smith J\nThe structure of halite: a neutron powder diffraction study\n"
        "X-RAY WAVELENGTH: 1.541838\n2-THETA INTENSITY",
        "# Spallation Neutron Source, 11 Neutron Road",
        "# radiation: neutron (for the cell)\n# Anode: Cu",
        "# Cu K\u03b1\n# neutron wavelength 1.494 of the reference",
        "# neutron-absorbing glass",
        "# source: neutron science center",
    ],
)
def test_patterns_of_x_rays_may_mention_neutrons(read, header):
    found = read(header)
    np.testing.assert_allclose(found.two_theta[0], 12.5)
    assert found.notes == ()


def test_of_neutrons_in_a_title_a_note_speaks(read):
    (note,) = read("# neutron data of ICSD 1234 used for cell").notes
    assert note.startswith("it says '# neutron data of")
    assert "taken for" in note


@pytest.mark.parametrize(
    "header",
    ["# Probe: neutron", "Radiation = Neutrons", "# source type,neutron", "neutron wavelength 1.8"],
)
def test_stated_neutrons_are_refused(read, header):
    with pytest.raises(ValueError, match="give a pattern of X-rays, not of neutrons"):
        read(header)


@pytest.mark.parametrize(
    "line",
    [
        *("Wavelength: Cu; step time 2.5 s", "wavelength calibrated 5.2.2020: 0.4133 A"),
        *("Detector: LAMBDA, exposure 1.0 s", "Wavelength known to 0.1 %: 0.4133"),
        "wavelength bandwidth 0.14 %",
    ],
)
def test_a_number_with_a_meaning_of_its_own_is_no_wavelength(tmp_path, line):
    path = tmp_path / "pattern.txt"
    path.write_text(f"# {line}\n{ROWS}")
    with pytest.raises(ValueError, match="the wavelength is missing"):
        load_pattern(path)
    path.write_text(f"# {line}\n# Wavelength: 0.4133 A\n{ROWS}")
    assert load_pattern(path).radiation.wavelengths.tolist() == [0.4133]
