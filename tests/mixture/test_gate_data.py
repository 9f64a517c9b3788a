"""Gate examples: queries are solved without their own crystal, and solutions are kept."""

import json
from collections import Counter

import numpy as np
import pytest
from flax import nnx
from pymatgen.core import Composition

from cmed_jax.cli import PARTIAL
from cmed_jax.crystal.composition import Knowledge
from cmed_jax.data.augmentation import AugmentationConfig
from cmed_jax.data.encoding import decode_density
from cmed_jax.data.examples import CompactExamples
from cmed_jax.data.memory import Memory
from cmed_jax.data.records import Recipe, make_records
from cmed_jax.mixture import gate_data as module
from cmed_jax.mixture.experts import EXPERTS, FEATURES
from cmed_jax.mixture.gate_data import WITHHELD, GateDataset
from cmed_jax.model.base import BaseConfig
from cmed_jax.solution.prototypes import Prototypes
from cmed_jax.solution.solve import solve
from tests.structures import CENTRE, ORIGIN, QUARTER, cubic, hexagonal, pyrite, split

STRUCTURES = [
    *(cubic("Fm-3m", edge, **{cation: ORIGIN, anion: CENTRE}) for cation, anion, edge in [
        ("Na", "Cl", 5.64), ("K", "Cl", 6.29), ("K", "Br", 6.60), ("Mg", "O", 4.21),
    ]),
    cubic("F-43m", 5.41, Zn=ORIGIN, S=QUARTER),
    cubic("F-43m", 5.67, Zn=ORIGIN, Se=QUARTER),
    cubic("F-43m", 6.05, Cd=ORIGIN, Se=QUARTER),
    cubic("Fm-3m", 5.46, Ca=ORIGIN, F=QUARTER),
    pyrite(5.42, "Fe", "S", 0.385),
    pyrite(5.66, "Ni", "S", 0.390),
    hexagonal(3.21, 1.62, "Mg"),
    hexagonal(2.29, 1.62, "Be"),
]  # fmt: skip
FULL = AugmentationConfig()


@pytest.fixture(scope="module")
def crystals():
    return split(STRUCTURES)[1]


@pytest.fixture(scope="module")
def records(crystals):
    return make_records(crystals)


@pytest.fixture(scope="module")
def about(records):
    """Find the row of the crystal that a pattern, or a density, belongs to."""
    patterns = np.stack([record["pattern"][0] for record in records])
    densities = [decode_density(each["density"], each["density_scale"]) for each in records]

    def about(one):
        others = patterns if one.ndim == 1 else np.stack(densities)
        gaps = np.abs(others - one).reshape(len(others), -1).max(axis=1)
        assert gaps.min() < 1e-3 * one.max()
        return int(gaps.argmin())

    return about


@pytest.fixture(scope="module", autouse=True)
def _network():
    """A stand-in for a network, with the same density for every query."""

    def generator(network, shape, *, memory, samples, seed):
        return lambda query: np.ones((len(query.pattern), 1 + samples, *shape), np.float32)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "network_generator", generator)
        yield


@pytest.fixture(scope="module")
def gate_dataset(crystals, tmp_path_factory):
    """A function that makes a gate dataset in a folder, a new one by default."""
    network = nnx.eval_shape(lambda: BaseConfig().build(nnx.Rngs(0)))
    prototypes = Prototypes.of_crystals(crystals, Recipe())

    def gate_dataset(folder=None, seed=0, memory=None):
        folder = folder or tmp_path_factory.mktemp("gate_dataset")
        return GateDataset(network, prototypes, folder, "these crystals", memory, seed)

    return gate_dataset


@pytest.fixture
def asked(monkeypatch):
    """The queries passed to a stand-in for `solve`."""
    questions = []

    def record(prototypes, *question):
        questions.append(question)
        return []

    monkeypatch.setattr(module, "solve", record)
    return questions


def overlap(crystal, others):
    """Return the rows that each kind of withholding removes, by pymatgen's formulas."""

    def formula(other):
        return Composition({int(z): n for z, n in Counter(other.numbers.tolist()).items()})

    own = formula(crystal)
    rows = {name: {others.index(crystal)} for name in WITHHELD}
    for row, other in enumerate(others):
        if other.space_group != crystal.space_group:
            continue
        of = formula(other)
        if of.anonymized_formula != own.anonymized_formula:
            continue
        rows["kind"].add(row)
        new = {e: of[e] for e in of if e not in own}
        gone = {e: own[e] for e in own if e not in of}
        kept = all(of.get_atomic_fraction(e) == own.get_atomic_fraction(e) for e in own if e in of)
        if len(new) == 1 and len(gone) == 1 and kept:
            rows["siblings"].add(row)
    return {name: frozenset(each) for name, each in rows.items()}


def test_a_question_is_asked_without_its_crystal_and_some_of_its_kin(
    gate_dataset, crystals, asked, about
):
    taken = Counter()
    for seed in range(2):
        gate_dataset(seed=seed).examples(crystals, FULL, most=12, withhold=True)
        rows = [about(question[0]) for question in asked[-12:]]
        assert sorted(rows) == list(range(12))
    for pattern, *_, without in asked:
        kinds = overlap(crystals[about(pattern)], crystals)
        names = [name for name, rows in kinds.items() if rows == set(without)]
        assert names, without
        taken.update(names if len(names) == 1 else [])
    assert set(taken) == set(WITHHELD)


def test_the_network_recalls_none_of_the_withheld_crystals(
    gate_dataset, crystals, asked, monkeypatch
):
    known, series = Memory.of(CompactExamples.of_crystals(crystals, Recipe())), []

    def generator(network, shape, *, memory, samples, seed):
        def generate(query):
            recalled = memory(query)
            series.extend(each[there > 0] for each, there in zip(*recalled[3:], strict=True))
            return np.ones((len(query.pattern), 1, *shape), np.float32)

        return generate

    monkeypatch.setattr(module, "network_generator", generator)
    gate_dataset(memory=known).examples(crystals, FULL, most=12, withhold=True)
    for (*_, withheld), recalled in zip(asked, series, strict=True):
        assert len(recalled) > 1
        for stored in known.series[withheld]:
            assert not (recalled == stored).all(axis=1).any()


def test_nothing_is_withheld_from_questions_about_others(gate_dataset, crystals, asked):
    gate_dataset().examples(crystals[:6], FULL, most=9, withhold=False)
    assert [len(question[-1]) for question in asked] == [0] * 6


def test_patterns_are_asked_about_without_noise(gate_dataset, crystals, records, asked, about):
    config = AugmentationConfig(shift=3, noise=0.1)
    gate_dataset().examples(crystals, config, most=6, withhold=True)
    for pattern, composition, knowledge, coverage, _ in asked:
        record = records[about(pattern)]
        np.testing.assert_allclose(pattern, record["pattern"][0], atol=1e-6)
        np.testing.assert_allclose(composition, record["composition"], atol=1e-6)
        assert knowledge == Knowledge.FULL
        assert coverage.all()


def test_compositions_are_stated_as_in_training(gate_dataset, crystals, asked):
    partly = AugmentationConfig(full=0.25, no_ratios=0.25, missing_element=0.25, none=0.25)
    gate_dataset(seed=1).examples(crystals, partly, most=12, withhold=True)
    for kind in Knowledge:
        compositions = [composition for _, composition, knowledge, *_ in asked if knowledge == kind]
        assert compositions
        if kind == Knowledge.FULL:
            np.testing.assert_allclose([each.sum() for each in compositions], 1, rtol=1e-5)
        else:
            assert {*np.unique(compositions)} <= {0, 1}
        assert np.any(compositions) == (kind != Knowledge.NONE)


def test_a_crystal_that_cannot_be_a_record_is_not_asked_about(gate_dataset, crystals, asked):
    coinciding = split([STRUCTURES[0]])[1][0]
    coinciding.frac_coords[:] = 0.0
    found = gate_dataset().examples([coinciding, *crystals[:6]], FULL, most=7, withhold=False)
    assert len(asked) == len(found.truth) == 6


@pytest.fixture(scope="module")
def taught(gate_dataset, crystals, tmp_path_factory):
    """The examples of half of the crystals, and the folder of their solutions."""
    folder = tmp_path_factory.mktemp("taught")
    return gate_dataset(folder).examples(crystals, PARTIAL, most=6, withhold=True), folder


def test_the_truth_stands_beside_the_answers(taught, about):
    examples, _ = taught
    assert examples.densities.shape == (6, EXPERTS, 50, 50, 50)
    assert examples.features.shape == (6, EXPERTS, FEATURES)
    assert np.isfinite(examples.features).all()
    assert examples.present[:, 0].all()
    assert examples.present[:, 1:].any(axis=1).sum() >= 4
    assert not examples.densities[~examples.present].any()
    assert len({about(truth.astype(np.float32)) for truth in examples.truth}) == 6


def solved(folder):
    (path,) = folder.glob("solved-*.jsonl")
    return path, [json.loads(line) for line in path.read_text().splitlines()]


def test_no_answer_comes_from_the_crystal_itself(taught, crystals, about):
    examples, folder = taught
    _, answers = solved(folder)
    for truth, found in zip(examples.truth, answers, strict=True):
        crystal = crystals[about(truth.astype(np.float32))]
        assert crystal.material_id not in {each["material_id"] for each in found}
    assert sum(map(len, answers)) >= 6


@pytest.fixture
def counted(monkeypatch):
    """The number of solved queries."""
    calls = []

    def counting(*question):
        calls.append(question)
        return solve(*question)

    monkeypatch.setattr(module, "solve", counting)
    return calls


def same(one, other):
    for column, expected in zip(one, other, strict=True):
        np.testing.assert_array_equal(column, expected)


@pytest.mark.parametrize("cut", [1, 40, None], ids=["its end", "a part", "two and a half"])
def test_what_a_kill_cut_off_is_solved_again(
    gate_dataset, taught, crystals, counted, tmp_path, cut
):
    examples, folder = taught
    path, _ = solved(folder)
    content = path.read_bytes()
    lines = content.splitlines(keepends=True)
    kept = content[:-cut] if cut else b"".join(lines[:2]) + lines[2][: len(lines[2]) // 2]
    (tmp_path / path.name).write_bytes(kept)
    again = gate_dataset(tmp_path).examples(crystals, PARTIAL, most=6, withhold=True)
    assert len(counted) == 6 - kept.count(b"\n")
    same(again, examples)
    assert (tmp_path / path.name).read_bytes() == content


def test_what_is_solved_is_not_solved_again(gate_dataset, taught, crystals, counted):
    examples, folder = taught
    same(gate_dataset(folder).examples(crystals, PARTIAL, most=6, withhold=True), examples)
    assert not counted


@pytest.mark.parametrize(
    ("seed", "config", "most", "withhold"),
    [(1, PARTIAL, 6, True), (0, FULL, 6, True), (0, PARTIAL, 12, True), (0, PARTIAL, 6, False)],
)
def test_other_questions_have_a_file_of_their_own(
    gate_dataset, taught, crystals, asked, seed, config, most, withhold
):
    _, folder = taught
    path, _ = solved(folder)
    gate_dataset(folder, seed=seed).examples(crystals, config, most=most, withhold=withhold)
    assert len(asked) == most
    for other in set(folder.glob("*.jsonl")) - {path}:
        other.unlink()
