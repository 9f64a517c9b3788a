"""Release the network of a run: `python -m cmed_jax.release RUN --out released/NAME ...`."""

import gzip
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro
from flax import nnx

from cmed_jax import __version__
from cmed_jax.cli import run_command
from cmed_jax.config import Config
from cmed_jax.data.batches import QUERIES
from cmed_jax.data.dataset import (
    fingerprint,
    load_compact_examples,
    load_examples,
    provenance,
)
from cmed_jax.data.domain import FILE as DOMAIN
from cmed_jax.data.domain import keep_domain, load_domain
from cmed_jax.data.memory import Memory
from cmed_jax.data.query import full_query
from cmed_jax.evaluation.comparison import load_results
from cmed_jax.evaluation.metrics import ssim
from cmed_jax.io import released
from cmed_jax.io.integrity import checksum
from cmed_jax.io.run import CONFIG, METRICS, run_folder
from cmed_jax.mixture.gate import load_gate, save_gate
from cmed_jax.model.generator import network_generator
from cmed_jax.prediction.reference import record
from cmed_jax.prediction.restore import Restored, restore
from cmed_jax.report.model_card import card
from cmed_jax.training.checkpoint import find_checkpoint
from cmed_jax.training.lineage import MATERIALS, dataset_of, initial_of, materials_of
from cmed_jax.training.log import timed

CARD = "MODEL_CARD.md"
PREDICTIONS = "predictions.json"
COMPARED = 16
"""The number of validation crystals for comparing predictions before and after rounding."""


@dataclass(frozen=True)
class Options:
    """Release the network of a run: a folder that predicts wherever cmed_jax is installed.

    Attributes:
        run: a run's folder, for its best checkpoint, or a checkpoint inside it.
        out: the folder to create, such as cmed_jax/released/cubic; its name is that of the network.
        aliases: further names by which the network is found if it is part of the package.
        results: results of `python -m cmed_jax.evaluate` for the model card: results.json files or
            their folders.
        data: directory of the dataset that it was trained on, if it has moved since.
        origin: source and licence of the training crystals, for the model card.
        licence: licence of the weights.
        machine: the machine that it was trained on, for the model card.
    """

    run: tyro.conf.Positional[Path]
    out: Path
    origin: str
    aliases: tuple[str, ...] = ()
    results: tuple[Path, ...] = ()
    data: Path | None = None
    licence: str = "Apache-2.0"
    machine: str | None = None


def release(options: Options) -> dict[str, Any]:
    """Write the folder of a released network, whole or not at all, and return its manifest.

    Raises:
        FileNotFoundError: there is no checkpoint, no dataset, or no results.
        ValueError: the folder exists already, the dataset or the results are not the network's, a
            parameter is too large for float16, or the network is too large to be released.
    """
    checkpoint = find_checkpoint(options.run)
    run, before = run_folder(checkpoint), restore(checkpoint)
    data = dataset_of(checkpoint, before.config, options.data)
    _check_dataset(run, data)
    initial = initial_of(run, before.config)
    results = [load_results(path, "test") for path in options.results]
    with _new_folder(options.out) as folder:
        after = _write_network(folder, run, before, data)
        weights = [checksum(nnx.state(each.network)) for each in (before, after)]
        gate = None if after.gate is None else checksum(nnx.state(after.gate))
        for path, found in zip(options.results, results, strict=True):
            scored = found["run"]
            if scored.get("weights") not in weights or scored.get("gate") not in (None, gate):
                raise ValueError(
                    f"{path} is not of {checkpoint}: run python -m cmed_jax.evaluate {run} again"
                )
        materials = materials_of(run, data) | ((initial and initial.materials) or set())
        _write_materials(folder / MATERIALS, materials)
        _write_json(folder / PREDICTIONS, record(after))
        about = {
            "names": [options.out.name, *options.aliases],
            "package": __version__,
            "date": datetime.now(UTC).date().isoformat(),
            "step": int(checkpoint.name),
            "parameters": sum(x.size for x in jax.tree.leaves(nnx.state(after.network, nnx.Param))),
            "weights": weights[1],
            "dataset": {"fingerprint": fingerprint(data)} | provenance(data),
            "training": _training(run, before.config, int(checkpoint.name))
            | {"machine": options.machine},
            "rounding": _rounding(before, after, data),
            "origin": options.origin,
            "licence": options.licence,
        }
        if initial is not None:
            known = initial.materials
            about["initial"] = initial._asdict() | {
                "materials": None if known is None else len(known)
            }
        manifest = released.seal(folder, about)
        text = card(manifest, after.config, after.domain, results)
        (folder / CARD).write_text(text, encoding="utf-8")
    return manifest


def _check_dataset(run: Path, data: Path) -> None:
    trained_on = json.loads((run / CONFIG).read_bytes())["identity"]["dataset"]
    if fingerprint(data) != trained_on:
        raise ValueError(f"{data} is not the dataset that {run} was trained on: give it as --data")


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """Yield a temporary folder, which is renamed to `out` once all has been written."""
    if out.exists():
        raise ValueError(f"{out} is there already: remove it, or give another --out")
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_network(folder: Path, run: Path, before: Restored, data: Path) -> Restored:
    """Write configuration, parameters, gate and training domain; return them as read back."""
    graph, *trees = nnx.split(before.network, nnx.Param, ...)
    released.write_weights(folder, *trees)
    identity = provenance(data)["identity"]
    dataset = f"cmed/{identity['config']}/{identity['version']}"
    config = replace(before.config, data=dataset, run=run.name, initial=None)  # no local paths
    _write_json(folder / CONFIG, config.to_json())
    keep_domain(run, data)  # earlier runs have no such file
    shutil.copyfile(run / DOMAIN, folder / DOMAIN)
    network = nnx.merge(graph, *released.load_weights(folder, *trees))
    weights = checksum(nnx.state(network))
    if before.gate is not None:
        save_gate(folder, before.gate, weights)
    return Restored(config, network, load_domain(folder), load_gate(folder, weights))


def _write_materials(path: Path, materials: Set[str]) -> None:
    """Write the ids of the training crystals, one on each line."""
    text = "".join(f"{name}\n" for name in sorted(materials))
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def _write_json(path: Path, values: Mapping[str, Any] | Sequence[Any]) -> None:
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def _training(run: Path, config: Config, step: int) -> dict[str, float | None]:
    """Return the seconds spent in steps up to a step, and the SSIM of the validation at that step.

    Values that are missing in the metrics are None.
    """
    path = run / METRICS
    written = timed(path, config.batch * QUERIES) if path.exists() else []
    rows = [row for row in written if row["step"] <= step]
    validated = [row for row in rows if row["step"] == step and "validation/ssim" in row]
    return {
        "seconds": (rows[-1]["seconds"] if rows else 0.0) or None,
        "validation_ssim": validated[-1]["validation/ssim"] if validated else None,
    }


def _rounding(before: Restored, after: Restored, data: Path) -> dict[str, Any]:
    """Return how much rounding the parameters changes the densities of some validation crystals.

    Networks that read reflections recall the training crystals, as in an evaluation.
    """
    examples = load_examples(data, "validation").evenly_spaced(COMPARED)
    query, shape = full_query(examples), examples.density.shape[1:]
    reads = before.network.reads_reflections
    memory = Memory.of(load_compact_examples(data, "train")) if reads else None
    old, new = (
        np.asarray(network_generator(each.network, shape, memory=memory)(query))[:, 0]
        for each in (before, after)
    )
    change = np.abs(new - old).mean(axis=(1, 2, 3)) / old.mean(axis=(1, 2, 3))
    return {
        "materials": len(examples),
        "largest_change": float(change.max()),
        "lowest_ssim": float(np.min(ssim(old, new))),
    }


def main(args: list[str] | None = None) -> int:
    """Run the command."""
    options = tyro.cli(Options, args=args, prog="python -m cmed_jax.release")
    manifest = release(options)
    total = sum(file["bytes"] for file in manifest["files"].values())
    rounding = manifest["rounding"]
    print(
        f"rounding to float16 changes the densities of {rounding['materials']} validation crystals "
        f"by at most {rounding['largest_change']:.2%}; SSIM with those before is at least "
        f"{rounding['lowest_ssim']:.6f}"
    )
    print(
        f"{options.out}: {manifest['parameters']:,} parameters of step {manifest['step']:,}, "
        f"{total / 1e6:.1f} MB; read {options.out / CARD} before it is given away"
    )
    return 0


if __name__ == "__main__":
    run_command(main)
