"""The examples in the docstrings of public functions do what they say."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = {
    "crystal.composition": {"anonymous_formula", "parse_composition"},
    "crystal.lattice": {"cell_parameters", "primitive_lattice"},
    "crystal.sources": {"open_source"},
    "io.pattern": {"load_pattern"},
    "physics.crystal": {"Crystal.of"},
    "physics.density": {"electron_density", "structure_factors"},
    "physics.instrument": {"radiation"},
    "physics.reflections": {"reflections"},
    "physics.regrid": {"resample"},
    "physics.simulation": {"simulate_pattern"},
    "powder.preparation": {"Preparation", "prepare"},
    "prediction.diagnostics": {"Diagnostic"},
    "prediction.options": {"PredictionOptions"},
    "prediction.predict": {"restore_and_predict"},
    "prediction.restore": {"restore"},
}


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    module = import_module(f"cmed_jax.{name}")
    examples = [each for each in doctest.DocTestFinder().find(module) if each.examples]
    shown = {each.name.removeprefix(f"{module.__name__}.") for each in examples}
    assert shown >= MODULES[name]
    runner = doctest.DocTestRunner()
    for each in examples:
        runner.run(each)
    assert runner.summarize(verbose=False).failed == 0
