"""The evaluation of a split: scores of generators, baselines, controls and curves."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.progress import Progress

from cmed_jax.crystal.material import Material
from cmed_jax.crystal.sources import open_source
from cmed_jax.data.dataset import (
    fingerprint,
    load_compact_examples,
    load_examples,
    load_structures,
    provenance,
)
from cmed_jax.data.examples import CompactExamples, evenly_spaced_rows
from cmed_jax.data.lines import load_lines
from cmed_jax.data.memory import Memory
from cmed_jax.data.query import Control, Generator, Query
from cmed_jax.data.records import Recipe
from cmed_jax.evaluation.baselines import OF_CRYSTALS, OF_PATTERN, OF_TRAINING, baselines
from cmed_jax.evaluation.cache import cached
from cmed_jax.evaluation.overlap import training_overlap
from cmed_jax.evaluation.results import results
from cmed_jax.evaluation.robustness import CONDITIONS, LINES, MATERIALS, robustness_curves
from cmed_jax.evaluation.scoring import DENSITIES, Batch, Scores, evaluate, score_batch
from cmed_jax.evaluation.spread import Entrant, Spread
from cmed_jax.evaluation.structure_metrics import StructureMetrics
from cmed_jax.physics.patterns import MO_K_ALPHA
from cmed_jax.solution.prototypes import Prototypes, canonical_crystals

TRAIN = "train"
"""The name of the training split."""

CACHE = "baselines"
"""The folder beside the records for the scores of baselines; it may be deleted."""


class EvaluationSuite:
    """A split on which generators are scored, with the baselines of its dataset.

    Baselines, refined crystals and the overlap are computed from the `known` crystals. None of
    these is scored. Where the training split itself is scored, the constant map is the only
    baseline, since the others would find each crystal in that split.
    """

    def __init__(
        self,
        data: str | Path,
        split: str,
        *,
        known: str = "training",
        system: str | None = None,
        substitution: bool = True,
        as_published: bool = False,
        console: Console | None = None,
        spread: Spread | None = None,
    ):
        """Load a split and the training split of a dataset.

        Args:
            data: the directory of the dataset.
            split: the split that is scored.
            known: the source of the known crystals: "training", "embedded", or a source for
                `cmed_jax.crystal.sources.open_source`. Crystals of a source other than the training
                split are left out if they have the id, or the formula and space group, of a scored
                crystal.
            system: the crystal system of the scored crystals; None takes all.
            substitution: whether to score the baselines that substitute and refine known crystals,
                which take about a second for each material.
            as_published: whether to compute as the article's code does.
            console: the console that shows the progress.
            spread: the processes that score; None scores in this one.

        Raises:
            FileNotFoundError: there is no dataset.
            ValueError: the dataset has no such split, or no crystal of the system in it, there is
                no such source, or the known crystals are those that are scored.
        """
        if split == TRAIN and known == "training":
            raise ValueError(
                f"known is {known}, which are the scored crystals of the split {split}: give "
                "--known embedded, or another --split"
            )
        self.data, self.split, self.as_published = Path(data), split, as_published
        self.console, self.spread = console or Console(), spread
        self.system, self.substitution = system, substitution
        self.training = load_examples(data, "train")
        self.held_out = load_examples(data, split)
        self.provenance = provenance(data)
        identity = self.provenance["identity"]
        self.recipe = Recipe.of(identity)
        self.crystals = load_structures(data, split)
        if system is not None:
            scored = [each.crystal_system == system for each in self.crystals]
            if not any(scored):
                raise ValueError(
                    f"no crystal of the {split} split is {system}: give another system"
                )
            self.held_out = self.held_out.rows(np.flatnonzero(scored))
            self.crystals = [each for each in self.crystals if each.crystal_system == system]
        self.source, self.known = known, self._known(known)

    def score(self, name: str, entrant: Entrant) -> Scores:
        """Score an entrant, and show the progress under its name.

        Args:
            name: the name of the entrant; the processes of `spread` know it by this name.
            entrant: a generator, the control of its queries, and its number of candidates.
        """
        shown = self.console.is_terminal
        with Progress(console=self.console, transient=True, disable=not shown) as bar:
            task = bar.add_task(name, total=len(self.held_out))
            return evaluate(
                entrant.generator,
                self.held_out,
                control=entrant.control,
                further=self.structure_metrics,
                as_published=self.as_published,
                batch_size=max(DENSITIES // entrant.candidates, 1),
                progress=lambda n: bar.advance(task, n),
                elsewhere=None if self.spread is None else partial(self.spread.score, name),
            )

    def score_batch(self, entrant: Entrant, batch: Batch) -> Any:
        """Return the metrics of an entrant for one batch, as `score` computes them."""
        query = self._queries(entrant.control)
        return score_batch(
            entrant.generator,
            query,
            self.held_out,
            batch,
            self.structure_metrics,
            self.as_published,
        )

    @cached_property
    def _queries(self) -> Callable[[Control], Query]:
        # One at a time: the padded lines of a split of large cells fill the memory.
        return lru_cache(maxsize=1)(lambda control: control(self.held_out))

    @cached_property
    def baselines(self) -> dict[str, Scores]:
        """The scores of every baseline, read from the dataset's folder where they are kept."""
        key = {
            "dataset": fingerprint(self.data),
            "split": self.split,
            "as_published": self.as_published,
        }
        if self.system is not None:
            key["system"] = self.system
        of_known = key | {"known": _digest(self.known)}
        trained_on = self.split == TRAIN
        names = OF_TRAINING[:1] if trained_on else OF_TRAINING
        left_out = frozenset() if self.of_independent_atoms else OF_PATTERN
        keys = {name: key for name in names if name not in left_out}
        if self.substitution and self.of_independent_atoms and not trained_on:
            keys |= dict.fromkeys(OF_CRYSTALS, of_known)
        return {
            name: cached(self.data / CACHE, name, key, partial(self._baseline, name))
            for name, key in keys.items()
        }

    def _baseline(self, name: str) -> Scores:
        return self.score(name, Entrant(self.generators[name]))

    @cached_property
    def generators(self) -> dict[str, Generator]:
        """The baselines; those of lines and of crystals need densities of independent atoms."""
        if not (self.substitution and self.of_independent_atoms):
            return baselines(self.training, self.b_factor)
        return baselines(self.training, self.b_factor, self.prototypes)

    @cached_property
    def prototypes(self) -> Prototypes:
        """The known crystals from which other crystals are made.

        Raises:
            ValueError: densities of the dataset are not of independent atoms.
        """
        if not self.of_independent_atoms:
            raise ValueError(
                f"densities in {self.data} are {self.recipe.density}, and those of refined "
                "crystals are of independent atoms: score the network --alone"
            )
        if self.source == "training":
            return Prototypes.of(self.training, self.known, self.recipe)
        return Prototypes.of_crystals(self.known, self.recipe)

    @cached_property
    def memory(self) -> Memory:
        """The known crystals that a network recalls (`cmed_jax.data.memory`)."""
        if self.source == "training":
            return Memory.of(self.training)
        return Memory.of(CompactExamples.of_crystals(self.known, self.recipe))

    def _known(self, source: str) -> list[Material]:
        if source == "training":
            return load_structures(self.data, "train")
        scored = {(each.formula, each.space_group) for each in self.crystals}
        names = set(self.held_out.material_id.tolist())
        return [
            each
            for each in canonical_crystals(open_source(None if source == "embedded" else source))
            if each.material_id not in names and (each.formula, each.space_group) not in scored
        ]

    @cached_property
    def structure_metrics(self) -> StructureMetrics:
        """The structure metrics of candidates for the crystals of the split."""
        return StructureMetrics(self.held_out, self.crystals, self.b_factor)

    @property
    def of_independent_atoms(self) -> bool:
        """Whether densities follow from structures, and patterns from densities."""
        return self.recipe.density == "iam"

    @property
    def b_factor(self) -> float | None:
        """The isotropic B of densities of independent atoms, angstrom^2; None for others."""
        return self.recipe.b_factor if self.of_independent_atoms else None

    def robustness_curves(self, generator: Generator) -> dict[str, Any]:
        """Score a generator on increasingly perturbed patterns of some materials."""
        every, _ = load_lines(self.data, self.split, 2 / MO_K_ALPHA, LINES)
        names = load_compact_examples(self.data, self.split).material_id
        scored = np.searchsorted(names, self.held_out.material_id)
        rows = scored[evenly_spaced_rows(len(self.held_out), MATERIALS)]
        some = jax.tree.map(lambda values: values[rows], every)
        shown = self.console.is_terminal
        with Progress(console=self.console, transient=True, disable=not shown) as bar:
            task = bar.add_task("robustness", total=len(CONDITIONS))
            examples = self.held_out.evenly_spaced(MATERIALS)
            return robustness_curves(generator, examples, some, lambda name: bar.advance(task))

    def results(
        self,
        model: Scores | None,
        controls: Mapping[str, Scores],
        run: Mapping[str, Any],
        robustness: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return the results of a model (or None) together with those of the baselines."""
        where = {
            "split": self.split,
            "system": self.system,
            "dataset": fingerprint(self.data),
            "provenance": self.provenance,
            "crystals": self.source,
        }
        composition = np.stack([each.composition for each in self.known])
        space_group = np.array([each.space_group for each in self.known])
        overlap = training_overlap(self.held_out, composition, space_group)
        return results(model, self.baselines, controls, {**run, **where}, overlap, robustness)


def _digest(crystals: Sequence[Material]) -> str:
    """Return a hash that identifies crystals, whatever their source is called."""
    content = hashlib.sha256()
    for each in crystals:
        for part in (each.numbers, each.lattice, each.frac_coords):
            content.update(part.tobytes())
    return content.hexdigest()
