"""Training examples of the gate: queries about known crystals, with the experts' densities.

A query contains the same kind of input as in the training of the network. The crystal itself is
never among the prototypes. For a part of the queries the crystals that differ from it in one
element are removed as well. For another part all crystals of its space group and anonymous formula
are removed, since an unknown crystal may have no overlap with known ones. Solving the queries takes
nearly all the time, so the solutions are kept.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float16, Float32, Integer, Key
from rich.progress import track

from cmed_jax.crystal.composition import Knowledge, one_differs
from cmed_jax.crystal.material import Material, Refusal
from cmed_jax.data.augmentation import AugmentationConfig, augment
from cmed_jax.data.encoding import decode_density
from cmed_jax.data.examples import example_of
from cmed_jax.data.lines import padded_lines
from cmed_jax.data.memory import Memory
from cmed_jax.data.query import Query, no_lines
from cmed_jax.data.records import Record, make_records
from cmed_jax.evaluation.cache import digest
from cmed_jax.evaluation.scoring import DENSITIES
from cmed_jax.mixture.experts import EXPERTS, FEATURES, experts, variance
from cmed_jax.model.generator import network_generator
from cmed_jax.model.network import Network
from cmed_jax.physics.instrument import Lines
from cmed_jax.solution.prototypes import Prototypes
from cmed_jax.solution.refinement import Refined
from cmed_jax.solution.solve import solve

WITHHELD = {"itself": 0.5, "siblings": 0.25, "kind": 0.25}
"""The share of the queries for each set of prototypes that is removed.

The sets are the crystal itself, also the crystals that differ in one element, and also all crystals
of its space group and anonymous formula.
"""

CHUNK = 64
"""The number of patterns rendered at once, which bounds the memory."""


class GateExamples(NamedTuple):
    """Queries, the experts' densities for them, and the truth; densities in e/angstrom^3.

    variance: the variance of the network's samples; 0 where none were drawn.
    """

    densities: Float16[np.ndarray, "n k a b c"]
    features: Float[np.ndarray, "n k f"]
    present: Bool[np.ndarray, "n k"]
    truth: Float16[np.ndarray, "n a b c"]
    variance: Float32[np.ndarray, "n a b c"]


@dataclass(frozen=True, eq=False)
class GateDataset:
    """A maker of training examples, which gives queries to the experts.

    Attributes:
        network: the first of the experts.
        prototypes: the crystals that the others are made from.
        folder: the folder for the solved queries.
        identity: a string for everything else that decides the solutions.
        memory: the known crystals that the network recalls, those of `prototypes` in their order.
        seed: the seed of everything that is drawn.
    """

    network: Network
    prototypes: Prototypes
    folder: Path
    identity: Any
    memory: Memory | None = None
    seed: int = 0

    def examples(
        self,
        crystals: Sequence[Material],
        augmentation: AugmentationConfig,
        *,
        most: int,
        withhold: bool,
        samples: int = 0,
    ) -> GateExamples:
        """Return the examples of some crystals.

        Args:
            crystals: crystals in their canonical cells; with `withhold` they are the prototypes.
            augmentation: how patterns and compositions are augmented; noise and shift are left out.
            most: the largest number of crystals, drawn at random.
            withhold: whether to remove the crystal itself and some overlapping ones from the
                prototypes.
            samples: the number of samples of the network for the variance.
        """
        rows = np.random.default_rng(self.seed).permutation(len(crystals))[:most]
        made = make_records([crystals[row] for row in rows], self.prototypes.recipe)
        rows = rows[[not isinstance(record, Refusal) for record in made]]
        records = [record for record in made if not isinstance(record, Refusal)]
        names = [crystals[row].material_id for row in rows]
        query = _query(records, replace(augmentation, noise=0.0, shift=0, errors=None), self.seed)
        without = list(self._withheld(rows)) if withhold else [np.zeros(0, int)] * len(rows)
        key = digest([self.identity, self.seed, repr(augmentation), withhold, names])
        solved = self._solved(self.folder / f"solved-{key}.jsonl", query, without)
        return self._answered(records, query, solved, without, samples)

    def _withheld(self, rows: Integer[np.ndarray, " q"]) -> Iterator[Integer[np.ndarray, " _"]]:
        """Yield the rows of the prototypes that are removed for each crystal's query."""
        prototypes = self.prototypes
        compositions = np.stack([each.composition for each in prototypes.crystals])
        groups = np.array([each.space_group for each in prototypes.crystals])
        drawn = np.random.default_rng([self.seed, 1]).choice(
            list(WITHHELD), len(rows), p=list(WITHHELD.values())
        )
        for row, overlap in zip(rows, drawn, strict=True):
            out = np.arange(len(groups)) == row
            if overlap == "siblings":
                alike = one_differs(compositions, compositions[row])
                out |= alike & (groups == groups[row])
            if overlap == "kind":
                alike = prototypes.formulas == prototypes.formulas[row]
                out |= alike & (groups == groups[row])
            yield np.flatnonzero(out)

    def _solved(
        self, path: Path, query: Query, without: Sequence[Integer[np.ndarray, " _"]]
    ) -> list[list[Refined]]:
        """Return the refined crystals of each query; those in the file are read back."""
        done = _read(path)
        with path.open("a") as file:
            for number, passed_over in enumerate(track(without, "solving")):
                if number < len(done):
                    continue
                columns = query.pattern, query.composition, query.knowledge, query.coverage
                pattern, composition, knowledge, coverage = (
                    np.asarray(column[number]) for column in columns
                )
                found = solve(
                    self.prototypes, pattern, composition, knowledge, coverage, passed_over
                )
                file.write(json.dumps([_to_json(each) for each in found]) + "\n")
                file.flush()
                done.append(found)
        return done

    def _answered(
        self,
        records: Sequence[Record],
        query: Query,
        solved: Sequence[Sequence[Refined]],
        without: Sequence[Integer[np.ndarray, " _"]],
        samples: int,
    ) -> GateExamples:
        """Return the densities of all experts together with the truth."""
        n, shape = len(records), records[0]["density"].shape
        examples = GateExamples(
            np.zeros((n, EXPERTS, *shape), np.float16),
            np.zeros((n, EXPERTS, FEATURES), np.float32),
            np.zeros((n, EXPERTS), bool),
            np.zeros((n, *shape), np.float16),
            np.zeros((n, *shape), np.float32),  # without samples it takes no memory
        )
        for i in track(range(n), "predicting"):
            if i % DENSITIES == 0:
                part = slice(i, i + DENSITIES)
                asked = Query(*(column[part] for column in query))
                own = self._own(asked, without[part], shape, samples)
            knowledge, coverage = Knowledge(int(query.knowledge[i])), np.asarray(query.coverage[i])
            recipe = self.prototypes.recipe
            answers = own[i % DENSITIES]
            gathered = experts(answers[0], solved[i], recipe, knowledge, coverage)
            truth = decode_density(records[i]["density"], records[i]["density_scale"])
            for column, value in zip(examples, (*gathered[:3], truth), strict=False):
                column[i] = value
            if samples:
                examples.variance[i] = variance(answers)
        return examples

    def _own(
        self,
        query: Query,
        without: Sequence[Integer[np.ndarray, " _"]],
        shape: tuple[int, int, int],
        samples: int,
    ) -> Float[np.ndarray, "b k na nb nc"]:
        """Return the network's densities, for which it recalls none of the withheld crystals."""
        recall = None if self.memory is None else partial(self.memory, without=without)
        generator = network_generator(
            self.network, shape, memory=recall, samples=samples, seed=self.seed
        )
        return np.asarray(generator(query))


def _query(records: Sequence[Record], augmentation: AugmentationConfig, seed: int) -> Query:
    """Return the query of augmented records; the input of record n depends on (seed, n)."""
    lines = None
    if augmentation.artefacts is not None:
        strongest = [_lines(record, augmentation.artefacts.s_max) for record in records]
        lines = Lines(*map(np.stack, zip(*strongest, strict=True)))
    keys = jax.vmap(lambda number: jax.random.fold_in(jax.random.key(seed), number))(
        jnp.arange(len(records))
    )
    patterns = jnp.asarray(np.stack([record["pattern"][0] for record in records]))
    compositions = jnp.asarray(np.stack([record["composition"] for record in records]))
    drawn = _augmented(keys, patterns, jax.tree.map(jnp.asarray, lines), compositions, augmentation)
    pattern, coverage, composition, knowledge = map(np.asarray, drawn)
    lattice, amplitude, observed = (
        np.stack([np.asarray(example[name], np.float32) for example in map(example_of, records)])
        for name in ("lattice", "amplitude", "observed")
    )
    of_pattern = lattice, amplitude, observed, no_lines(len(records))
    return Query(pattern, composition, knowledge, coverage, *of_pattern)


@partial(jax.jit, static_argnames="augmentation")
def _augmented(
    keys: Key[Array, " n"],
    patterns: Float[Array, "n bins"],
    lines: Lines | None,
    compositions: Float[Array, "n 119"],
    augmentation: AugmentationConfig,
) -> tuple[
    Float[Array, "n bins"], Float[Array, "n bins"], Float[Array, "n 119"], Integer[Array, " n"]
]:
    """Return the augmented columns of every record, as one program."""
    columns = keys, patterns, lines, compositions
    return jax.lax.map(
        lambda one: augment(one[0], one[1], one[2], one[3], augmentation), columns, batch_size=CHUNK
    )


def _lines(record: Record, s_max: float) -> Lines:
    """Return the padded lines of a record up to a limit of s."""
    reflections = record["reflections"]
    return padded_lines(record["lattice"], reflections[reflections[:, 0] <= s_max])[0]


def _to_json(refined: Refined) -> dict[str, Any]:
    """Return the values of a refined crystal for a line of the file."""
    crystal = refined.crystal
    return {
        "residual": refined.residual,
        "material_id": crystal.material_id,
        "lattice": crystal.lattice.tolist(),
        "numbers": crystal.numbers.tolist(),
        "frac_coords": crystal.frac_coords.tolist(),
        "space_group": crystal.space_group,
    }


def _read(path: Path) -> list[list[Refined]]:
    """Return the content of a file, without an incomplete last line that a kill left."""
    if not path.exists():
        return []
    whole = path.read_bytes()
    whole = whole[: whole.rfind(b"\n") + 1]
    path.write_bytes(whole)
    return [[_from_json(each) for each in json.loads(line)] for line in whole.splitlines()]


def _from_json(values: dict[str, Any]) -> Refined:
    """Return the refined crystal of the values in a file."""
    lattice, numbers, coords = (
        np.array(values[name]) for name in ("lattice", "numbers", "frac_coords")
    )
    crystal = Material(values["material_id"], lattice, numbers, coords, values["space_group"])
    return Refined(crystal, values["residual"])
