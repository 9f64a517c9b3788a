"""A dataset of a few materials, built once."""

import contextlib
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from pymatgen.core import Lattice, Structure

from cmed_jax.data.schema import VERSION

SALTS = [(a, b) for a in ("Li", "Na", "K", "Rb", "Cs") for b in ("F", "Cl")]
SPLITS = ["train"] * 6 + ["validation"] * 2 + ["test"] * 2


def rows():
    for i, ((metal, halogen), split) in enumerate(zip(SALTS, SPLITS, strict=True)):
        salt = Structure.from_spacegroup(
            "Fm-3m", Lattice.cubic(4 + 0.2 * i), [metal, halogen], [[0, 0, 0], [0.5, 0.5, 0.5]]
        )
        yield {
            "material_id": f"salt-{9 - i}",
            "space_group": 225,
            "lattice": salt.lattice.matrix.tolist(),
            "species": [site.specie.symbol for site in salt],
            "frac_coords": salt.frac_coords.tolist(),
            "split": split,
        }


@contextlib.contextmanager
def one_thread(workers):
    """A stand-in for the pool of processes, which takes seconds to start."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture(scope="session")
def salts(tmp_path_factory):
    path = tmp_path_factory.mktemp("salts") / "salts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows()))
    return path


@pytest.fixture(scope="session")
def build(salts):
    """Build the salts into a folder and return the dataset's directory."""
    from tfds_builders.cmed import cmed_dataset_builder as module

    def run(data_dir, **options):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "worker_pool", one_thread)
            options = module.Options(materials=str(salts), **options)
            builder = module.Builder(data_dir=data_dir, config="cubic", options=options)
            builder.download_and_prepare()
        return data_dir / "cmed" / "cubic" / VERSION

    return run


@pytest.fixture(scope="session")
def whole(build, tmp_path_factory):
    return build(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="session")
def in_parts(build, tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("parts")
    for k in (3, 1, 2):
        directory = build(data_dir, part=(k, 3))
    return directory
