"""The builder of the dataset: records of pattern and density from the materials of a source."""

import dataclasses
import json
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import tensorflow_datasets.public_api as tfds
from tensorflow_datasets.core.dataset_builder import FileReaderBuilder

from cmed_jax import __version__
from cmed_jax.crystal.material import CRYSTAL_SYSTEMS, SPLITS, Material, Refusal
from cmed_jax.crystal.sources import Source, open_source
from cmed_jax.crystal.splits import DROPPED, assign_splits
from cmed_jax.data import schema
from cmed_jax.data.dataset import PROVENANCE, REFUSED, differences, part_name
from cmed_jax.data.records import Recipe
from cmed_jax.io.lock import held
from cmed_jax.io.processes import worker_pool
from tfds_builders.cmed.workers import Pool, Shard, Writer, write_shard

LOCK = ".lock"
SHARD = 128
"""The number of materials in a shard; a worker computes them at once, in about a second."""

_HOMEPAGE = "https://doi.org/10.1038/s41524-024-01401-8"


@dataclasses.dataclass
class BuilderConfig(tfds.core.BuilderConfig):
    """A configuration: the materials of one crystal system, or of all systems (None)."""

    crystal_system: str | None = None


@dataclasses.dataclass(frozen=True)
class Options:
    """The options of a build.

    Attributes:
        materials: source of the materials, in a form that `cmed_jax.crystal.sources.open_source`
            accepts; None means the embedded materials.
        recipe: options for making a record of a material.
        workers: number of processes.
        part: (k, n) to build only part k = 1 ... n, into its own folder.
        beam: options of a pipeline of Apache Beam, with workers that replace the processes.
    """

    materials: str | None = None
    recipe: Recipe = Recipe()  # noqa: RUF009
    workers: int = 1
    part: tuple[int, int] | None = None
    beam: tuple[str, ...] | None = None


class Builder(FileReaderBuilder):
    """Powder patterns and electron densities of crystals.

    The workers write the shards themselves, because the usual builders of TFDS send every record to
    one process, and those that shuffle need TensorFlow. The records are ordered by material id.

    The attribute `report` may be set to a function of the number of finished materials and the
    total number of materials.

    Besides the records, the builder writes provenance.json (the source and options of the build)
    and refused.jsonl (the refused materials, with reasons). A dataset is readable only once it is
    complete.
    """

    VERSION = tfds.core.Version(schema.VERSION)
    RELEASE_NOTES: ClassVar[dict[str, str]] = {
        "1.0.0": "First release.",
        "2.0.0": "Symmetry found by moyo: crystals near the tolerance change their space group.",
        "3.0.0": "Amplitudes and the Fourier series of the density's logarithm in every record.",
        "3.1.0": "Of crystals in mirror images of one space group, as P3_121 and P3_221, one hand.",
    }
    BUILDER_CONFIGS: ClassVar[list[BuilderConfig]] = [
        *(
            BuilderConfig(name=name, description=f"The {name} materials.", crystal_system=name)
            for name in CRYSTAL_SYSTEMS
        ),
        BuilderConfig(name="all", description="The materials of all crystal systems."),
    ]

    def __init__(
        self,
        *,
        options: Options = Options(),
        file_format: str | None = None,
        **kwargs: Any,
    ):
        """Prepare a build.

        Args:
            options: options of the build.
            file_format: file format of TFDS; None means array_record, which needs no TensorFlow to
                read.
            **kwargs: data_dir, config and version of `tfds.core.DatasetBuilder`.
        """
        self.options = options
        self.report: Callable[[int, int], None] = lambda done, total: None
        self._refused: list[Refusal] = []
        self._coarse = 0
        super().__init__(file_format=file_format or "array_record", **kwargs)
        self._original_state["options"] = options  # pickled builders keep the options

    @cached_property
    def source(self) -> Source:
        """The source of the materials.

        Raises:
            ValueError: the source does not exist or has no known form.
        """
        return open_source(self.options.materials)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The options that decide the records; two builds with the same identity are equal."""
        return {
            "config": self.builder_config.name,
            "version": str(self.version),
            "source": self.source.fingerprint(),
            **dataclasses.asdict(self.options.recipe),
        }

    def is_built(self) -> bool:
        """Return whether the dataset, or the requested part of it, exists already.

        Raises:
            ValueError: another dataset, or a part of another division, is in its place.
        """
        part = Path(self.data_dir)
        whole = part.parent if self.options.part else part
        for place in dict.fromkeys((whole, part, *whole.glob("part_*"))):
            if (place / PROVENANCE).exists():
                self._check_sibling(place)
        return (part / PROVENANCE).exists() or (whole / PROVENANCE).exists()

    def _check_sibling(self, place: Path) -> None:
        found = json.loads((place / PROVENANCE).read_text())
        if change := differences(self.identity, found["identity"]):
            raise ValueError(
                f"{place} holds another dataset: {change}; give another data_dir or remove it"
            )
        if found["part"] and found["part"][1:] != list(self.options.part or ())[1:]:
            raise ValueError(
                f"{place} is a part of a dataset divided otherwise: build its other parts, "
                "or remove it"
            )

    def _build_data_dir(self, given_data_dir: str | None) -> tuple[str, str]:
        root, directory = super()._build_data_dir(given_data_dir)
        if self.options.part:
            directory = os.path.join(directory, part_name(*self.options.part))  # noqa: PTH118
        return root, directory

    def _info(self) -> tfds.core.DatasetInfo:
        """Return the metadata of the dataset; see the superclass."""
        return self.dataset_info_from_configs(features=schema.FEATURES, homepage=_HOMEPAGE)

    def _download_and_prepare(self, *args: Any, **kwargs: Any) -> None:
        """Write the dataset to a temporary directory, which TFDS renames on completion.

        Raises:
            ValueError: no material can be used, or another job builds the same dataset.
        """
        del args, kwargs  # nothing is downloaded
        directory = Path(self.data_dir)
        with _locked(directory), self._pool(directory) as pool:
            _remove_leftovers(directory)
            members = self._materials()
            # The source's own names of held-out materials come after the usual splits.
            splits = (*SPLITS, *sorted(members.keys() - {*SPLITS, DROPPED}))
            shards = [shard for split in splits for shard in self._shards(split, members[split])]
            self.info.set_splits(tfds.core.SplitDict(self._write(shards, pool)))
        if not self.info.splits.total_num_examples:
            raise self._nothing_usable()
        lines = (json.dumps(dataclasses.asdict(refusal)) + "\n" for refusal in self._refused)
        (directory / REFUSED).write_text("".join(lines))
        provenance = self._provenance() | {"dropped": len(members[DROPPED])}
        (directory / PROVENANCE).write_text(json.dumps(provenance, indent=2) + "\n")

    def _pool(self, directory: Path) -> AbstractContextManager[Pool]:
        if self.options.beam is None:
            return worker_pool(self.options.workers)
        try:
            from tfds_builders.cmed.beam import beam_pool
        except ImportError as error:
            raise ValueError(
                f"options for Apache Beam need its package ({error}): pip install 'cmed-jax[beam]'"
            ) from error
        return beam_pool(self.options.beam, directory)

    def _shards(self, split: str, materials: list[Material]) -> list[Shard]:
        """Return the materials of a split, divided into shards."""
        starts = range(0, len(materials), SHARD)
        file = partial(self._get_filename_template(split).sharded_filepath, num_shards=len(starts))
        return [
            Shard(split, file(shard_index=i), materials[start : start + SHARD])
            for i, start in enumerate(starts)
        ]

    def _write(self, shards: list[Shard], pool: Pool) -> list[tfds.core.SplitInfo]:
        """Write the shards, record the refusals, and return the metadata of each split."""
        writer = Writer(self.info.file_format)
        write = partial(write_shard, source=self.source, recipe=self.options.recipe, writer=writer)
        total = sum(len(shard.materials) for shard in shards)
        done = 0
        lengths: dict[str, list[int]] = defaultdict(list)
        size: Counter[str] = Counter()
        for shard, written in zip(shards, pool.map(write, shards), strict=True):
            self._refused += written.refused
            self._coarse += written.coarse
            lengths[shard.split].append(len(shard.materials) - len(written.refused))
            size[shard.split] += shard.path.stat().length
            done += len(shard.materials)
            self.report(done, total)
        template = self._get_filename_template
        return [
            tfds.core.SplitInfo(split, counts, size[split], template(split))
            for split, counts in lengths.items()
            if any(counts)
        ]

    def _materials(self) -> dict[str, list[Material]]:
        """Return the materials of the configuration or its part by split, ordered by id."""
        found, self._refused = _read(self.source)
        splits = assign_splits(found.values())
        system = self.builder_config.crystal_system
        wanted = sorted(key for key, m in found.items() if system in (None, m.crystal_system))
        if not wanted:
            raise self._nothing_usable()
        k, n = self.options.part or (1, 1)
        self._refused = self._refused[k - 1 :: n]
        members: dict[str, list[Material]] = defaultdict(list)
        for key in wanted[k - 1 :: n]:
            members[splits[key]].append(found[key])
        return members

    def _nothing_usable(self) -> ValueError:
        name = self.builder_config.name
        reasons = "".join(f"; {r.material_id}: {r.reason}" for r in self._refused[:3])
        return ValueError(f"no usable material for {name} in {self.source.description}{reasons}")

    def _provenance(self) -> dict[str, Any]:
        return {
            "identity": self.identity,
            "source": self.source.description,
            "part": self.options.part,
            "records": {name: split.num_examples for name, split in self.info.splits.items()},
            "refused": len(self._refused),
            "coarse": self._coarse,
            "software": {"cmed-jax": __version__}
            | {name: version(name) for name in ("moyopy", "pymatgen", "gemmi", "jax")},
        }


def _read(source: Source) -> tuple[dict[str, Material], list[Refusal]]:
    """Return the materials of a source by id, and its refusals."""
    found: dict[str, Material] = {}
    refused = []
    for item in source:
        if isinstance(item, Refusal):
            refused.append(item)
        elif item.material_id in found:
            refused.append(Refusal(item.material_id, "the id appears twice; the first is kept"))
        else:
            found[item.material_id] = item
    return found, refused


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold a directory against other builds, and leave no file of the lock in it."""
    with held(directory / LOCK, f"another job is building {directory}: wait for it"):
        try:
            yield
        finally:
            (directory / LOCK).unlink(missing_ok=True)


def _remove_leftovers(directory: Path) -> None:
    """Remove the temporary directories of earlier, interrupted builds of the same dataset."""
    target = directory.name.split("_", maxsplit=1)[1]
    for leftover in directory.parent.glob(f"incomplete.*_{target}"):
        if leftover != directory:
            with _locked(leftover):
                shutil.rmtree(leftover)
