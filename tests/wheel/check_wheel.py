"""Install a wheel into a clean environment and predict the example with it, offline.

    python tests/wheel/check_wheel.py dist/cmed_jax-0.1.0-py3-none-any.whl

`make test-wheel` builds the wheel and runs this. It needs the standard library and pip alone. It is
no part of `make test`, since installing all dependencies takes minutes.
"""

import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("cmed_jax", "tfds_builders")
NEEDED = {
    "weights": "cmed_jax/released/all/weights-1-of-3.npz",
    "gate": "cmed_jax/released/all/gate.npz",
    "embedded crystals": "cmed_jax/crystal/embedded/oc20_bulks.jsonl.gz",
    "page of a prediction": "cmed_jax/report/templates/prediction.html",
    "local page": "cmed_jax/app/page.html",
    "dataset builder": "tfds_builders/cmed/cmed_dataset_builder.py",
}
OFFLINE = """\
import runpy, socket, sys

def refuse(*arguments):
    raise OSError("a prediction asked for the network")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
sys.argv = ["predict", *sys.argv[1:]]
runpy.run_module("cmed_jax.predict", run_name="__main__")
"""
QUESTION = "--model cubic --wavelength CuKa --composition NaCl --samples 0 --formats npz cube"


def main(wheel: Path) -> int:
    """Check the wheel; return 0, or 1 after a sentence that says what is wrong."""
    if missing := _missing(wheel):
        print(f"error: {wheel.name} lacks {', '.join(missing)}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        return _predict(wheel.resolve(), Path(folder))


def _missing(wheel: Path) -> list[str]:
    """Return what a prediction needs, and every file of the packages, that the wheel lacks."""
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    lacking = [f"{what} ({name})" for what, name in NEEDED.items() if name not in held]
    files = (path for name in PACKAGES for path in (ROOT / name).rglob("*") if path.is_file())
    names = (path.relative_to(ROOT).as_posix() for path in files)
    return lacking + [name for name in names if "__pycache__" not in name and name not in held]


def _predict(wheel: Path, folder: Path) -> int:
    """Predict the example in an environment that holds the wheel and what it depends on."""
    python = folder / "environment" / "bin" / "python"
    if sys.platform == "win32":
        python = folder / "environment" / "Scripts" / "python.exe"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
    _run([sys.executable, "-m", "venv", "--without-pip", python.parents[1]], folder)
    _run([*pip, "install", "--quiet", wheel], folder)
    _run([python, "-I", "-m", "tfds_builders.cmed", "--help"], folder, quiet=True)
    example = ROOT / "examples" / "halite.xy"
    _run([python, "-I", "-c", OFFLINE, example, *QUESTION.split(), "--out", "halite"], folder)
    [prediction] = json.loads((folder / "halite" / "results.json").read_text())
    edge = prediction["cell"]["conventional"]["parameters"][0]
    files = sorted(path.name for path in (folder / "halite").iterdir())
    print(f"a = {edge} angstrom; {', '.join(files)}")
    expected = {"halite.npz", "halite.cube", "halite.html"} <= set(files)
    return 0 if abs(edge - 5.6402) < 0.002 and expected else 1


def _run(command: list[object], folder: Path, *, quiet: bool = False) -> None:
    output = subprocess.DEVNULL if quiet else None
    subprocess.run([str(word) for word in command], cwd=folder, check=True, stdout=output)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
