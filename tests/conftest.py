"""Settings of the whole suite, and a dataset of a few embedded materials that is built once."""

import contextlib
import functools
import gc
import gzip
import json
import os
import shutil
import socket
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# Set before jax is imported; the processes that tests start, and those of xdist, inherit it.
# The all-reduce of several CPU devices needs more threads than cores.
os.environ.setdefault("NPROC", "16")
# The two processes of the suite fill two cores; further threads of products would only wait there.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Tests compile more than they compute. XLA's older emitters compile in half the time of the new
# ones, and releases without them ignore the option. `make coverage` uses the settings of users.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=1 "
    "--xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters=true",
)
# Every program is kept (`pytest_configure` sets the folder), however small.
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
# A program that another process is writing at the same time is compiled again. pyproject.toml
# ignores that warning in the processes of pytest, and this line in those that tests start.
os.environ.setdefault("PYTHONWARNINGS", "ignore:Error reading persistent compilation cache entry")

import pytest
import spglib
from filelock import FileLock
from hypothesis import settings

from tests import first_calls

spglib.error.OLD_ERROR_HANDLING = False  # errors are raised, as they always are from spglib 3 on

# The same examples are drawn each time, however slow the machine is.
settings.register_profile("suite", deadline=None, derandomize=True, database=None)
settings.register_profile("thorough", settings.get_profile("suite"), max_examples=10_000)
settings.load_profile("suite")

COMPUTING_LITTLE = {
    "benchmarks", "data", "mixture", "model", "physics", "powder", "prediction", "training",
}  # fmt: skip
"""The folders of tests that compile without LLVM's optimization, which takes half as long.

SSIM takes seven times as long then, and equal programs may round differently: tests with many
scores, or of equal bits, are marked as `optimised`.
"""

EMBEDDED = Path(__file__).parents[1] / "cmed_jax" / "crystal" / "embedded" / "oc20_bulks.jsonl.gz"
SPLITS = ["train"] * 20 + ["validation"] * 4 + ["test"] * 6


def pytest_addoption(parser):
    parser.addoption("--kills", type=int, default=3, help="how often to kill a job (test_kills.py)")


def pytest_configure(config):
    """Let all processes of the suite share compiled programs, which saves most of its time.

    A folder that JAX_COMPILATION_CACHE_DIR names is kept from one call of pytest to the next.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = tempfile.TemporaryDirectory(prefix="programs-", ignore_cleanup_errors=True)
        config.add_cleanup(folder.cleanup)
        os.environ["JAX_COMPILATION_CACHE_DIR"] = folder.name


def pytest_collection_modifyitems(items):
    """Put slow tests that wait for processes first, so that the suite does not end with waiting."""
    first = ["test_kills.py", "test_train_processes.py", "test_train.py", "test_parallel.py"]
    items.sort(key=lambda item: item.path.name not in first)


@functools.cache
def keep_space_groups():
    """Let pymatgen make each space group once; its cache forgets those that nothing refers to.

    It compares all pairs of operations, which takes a second for the 192 of Fm-3m.
    """
    from pymatgen.symmetry.groups import SpaceGroup

    SpaceGroup.__new__ = functools.cache(SpaceGroup.__new__)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    """Check the types of the first calls in this test."""
    first_calls.next_test()


def pytest_collectstart():
    """Prepare a process that imports tests; the one that only starts others collects nothing."""
    keep_space_groups()


def pytest_collection_finish():
    """Let the garbage collector pass over what was imported, and look for garbage less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest.fixture
def unoptimised():
    """Compile without optimization, unless the settings of users are asked for."""
    import jax

    jax.config.update("jax_disable_most_optimizations", bool(os.environ["XLA_FLAGS"]))
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(autouse=True)
def unoptimised_where_little_is_computed(request):
    """Choose how the programs of a test are compiled."""
    optimised = request.node.get_closest_marker("optimised")
    if request.path.parent.name in COMPUTING_LITTLE and not optimised:
        request.getfixturevalue("unoptimised")


@pytest.fixture(scope="session")
def built_once(tmp_path_factory):
    """A function that builds a folder in one process of the suite and returns it in all of them.

    Nothing may be changed in the folder: a test that would, copies it.
    """
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def built_once(name, build):
        folder, built = root / name, root / f"{name}.built"
        with FileLock(root / f"{name}.lock"):
            if not built.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                build(folder)
                built.touch()
        return folder

    return built_once


@contextlib.contextmanager
def one_thread(workers):
    """A stand-in for the pool of processes, which takes seconds to start."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


def few_materials():
    """Thirty embedded cubic materials of two or three atoms, with splits of our own."""
    with gzip.open(EMBEDDED, "rt") as file:
        rows = (json.loads(line) for line in file)
        small = (row for row in rows if row["space_group"] >= 195 and 2 <= len(row["species"]) <= 3)
        for split, row in zip(SPLITS, small, strict=False):
            yield row | {"split": split}


@pytest.fixture(scope="session")
def dataset(built_once):
    """The directory of a dataset of 20 + 4 + 6 materials that the builder wrote."""

    def build(folder):
        from tfds_builders.cmed import cmed_dataset_builder as module

        materials = folder / "materials.jsonl"
        materials.write_text("".join(json.dumps(row) + "\n" for row in few_materials()))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "worker_pool", one_thread)
            options = module.Options(materials=str(materials))
            builder = module.Builder(data_dir=folder, config="cubic", options=options)
            builder.download_and_prepare()

    (provenance,) = built_once("dataset", build).glob("*/*/*/provenance.json")
    return provenance.parent


@pytest.fixture(scope="session")
def test_split():
    """Eleven synthetic examples to score."""
    from tests.synthetic import synthetic_examples

    return synthetic_examples(11, seed=0)


@pytest.fixture(scope="session")
def training_split():
    """Thirty synthetic examples for baselines."""
    from tests.synthetic import synthetic_examples

    return synthetic_examples(30, seed=1)


@pytest.fixture(scope="session")
def tiny(dataset):
    """Options of a network and a run that take seconds."""
    network = {"width": 16, "blocks": 1, "hidden": 16, "harmonics": 3, "recalled": 2}
    loop = {"log-every": 1, "checkpoint-every": 5, "validate-every": 6, "validation-materials": 3}
    options = {"data": dataset, "batch": 8, "steps": 16}
    options |= {f"network.{name}": value for name, value in network.items()}
    options |= {f"loop.{name}": value for name, value in loop.items()}
    return [str(word) for name, value in options.items() for word in (f"--{name}", value)]


@pytest.fixture(scope="session")
def finished(tiny, built_once, tmp_path_factory):
    """This process's copy of a tiny run that nothing interrupted: tests lock it and go on in it."""

    def build(folder):
        from cmed_jax.train import main

        assert main(["demo", *tiny, "--run", str(folder)]) == 0

    return shutil.copytree(
        built_once("finished", build), tmp_path_factory.mktemp("runs") / "finished"
    )


@pytest.fixture(scope="session")
def gated(finished, tmp_path_factory):
    """The tiny run with a new gate, which gives all experts equal weights."""
    from flax import nnx

    from cmed_jax.io.integrity import checksum
    from cmed_jax.mixture.experts import FEATURES
    from cmed_jax.mixture.gate import Gate, save_gate
    from cmed_jax.prediction.restore import restore

    folder = shutil.copytree(finished, tmp_path_factory.mktemp("runs") / "gated")
    network = restore(folder).network
    save_gate(folder, Gate(FEATURES, nnx.Rngs(0)), checksum(nnx.state(network)))
    return folder


@pytest.fixture(scope="session")
def valence(dataset, tmp_path_factory):
    """The dataset, marked as if its densities had been read from VASP."""
    folder = tmp_path_factory.mktemp("valence") / dataset.name
    # Baselines are kept beside the data while other tests run.
    shutil.copytree(dataset, folder, ignore=shutil.ignore_patterns("baselines"))
    provenance = json.loads((folder / "provenance.json").read_text())
    provenance["identity"]["density"] = "chgcar"
    (folder / "provenance.json").write_text(json.dumps(provenance))
    return folder


@pytest.fixture
def programs_of_its_own():
    """Disable the compilation cache of the suite, as for a user without a cache."""
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    name = "jax_compilation_cache_dir"
    before = jax.config.values[name]
    jax.config.update(name, None)
    compilation_cache.reset_cache()
    yield
    jax.config.update(name, before)
    compilation_cache.reset_cache()


@pytest.fixture
def unused_port():
    """A port on which the processes of a run can meet."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture
def small_disk(tmp_path):
    """A disk of sixteen megabytes."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", tmp_path]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a disk")
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


@pytest.fixture
def answer(capsys):
    """Run a command in this process and return its exit code, its output, and its errors."""
    from cmed_jax.cli import run_command

    def answer(main, *arguments):
        with pytest.raises(SystemExit) as end:
            run_command(lambda: main([str(argument) for argument in arguments]))
        captured = capsys.readouterr()
        return end.value.code, captured.out, captured.err

    return answer


@pytest.fixture(scope="session")
def known(tmp_path_factory):
    """A file of one known crystal, MgO as rock salt."""
    corners = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    centres = [[x + 0.5, y, z] for x, y, z in corners]
    row = {
        "material_id": "salt",
        "lattice": [[4.2, 0, 0], [0, 4.2, 0], [0, 0, 4.2]],
        "species": ["Mg"] * 4 + ["O"] * 4,
        "frac_coords": corners + centres,
    }
    path = tmp_path_factory.mktemp("known") / "known.jsonl"
    path.write_text(json.dumps(row) + "\n")
    return str(path)
