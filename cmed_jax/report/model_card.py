"""The model card of a released network: the text of card.md, filled with figures."""

from collections.abc import Mapping, Sequence
from importlib import resources
from io import StringIO
from string import Template
from typing import Any

from rich.console import Console

from cmed_jax.config import Config
from cmed_jax.crystal.composition import SYMBOLS
from cmed_jax.data.domain import TrainingDomain
from cmed_jax.mixture.gate import FILE as GATE
from cmed_jax.physics.artefact_ranges import PRESETS
from cmed_jax.prediction.reference import TOLERANCE
from cmed_jax.report.evaluation_page import verdict
from cmed_jax.report.tables import TABLE_WIDTH, print_report

BONDING = {
    "iam": "For charges, bonds or any chemistry of the electrons: it has learned densities of "
    "independent atoms, in which there are none.",
    "chgcar": "For total densities: it has learned valence densities of density functional theory.",
}
"""The limits of each kind of density."""

GATED = """
It does not answer alone. Known crystals with the elements of the question (the embedded ones, or
others that are given) are moved until they explain the pattern, and a gate, trained on questions
about crystals that were withheld from them, weighs their densities against the network's. Of a
measured file with a formula that density is given which explains the pattern best, in a usual
volume. `analogues=0` leaves the network alone. Where samples are drawn `std` is the deviation to
expect of the truth; validation crystals decided its scale, and where a wrong crystal is accepted,
for about one material in ten, it is too small.
"""
"""The text about the gate, for networks that are released with one."""

FILES = {
    "config.json": "the configuration of the training",
    GATE: "the gate that weighs the network's answer against those of refined crystals",
    "familiar.json": "what the training crystals have between them, for the warnings",
    "materials.txt.gz": "the ids of the training crystals, a line each",
    "predictions.json": "recorded predictions",
    "weights": "parameters, float16",
}


def card(
    manifest: Mapping[str, Any],
    config: Config,
    domain: TrainingDomain | None,
    results: Sequence[Mapping[str, Any]],
) -> str:
    """Return the card, in Markdown.

    Args:
        manifest: the manifest of the released folder.
        config: the configuration of the training.
        domain: the training domain, where it is known.
        results: the results of evaluations of this network (`cmed_jax.evaluation.results.results`).
    """
    text = (resources.files("cmed_jax.released") / "card.md").read_text(encoding="utf-8")
    return Template(text).substitute(
        name=manifest["names"][0],
        alias=manifest["names"][0],
        company=GATED if GATE in manifest["files"] else "",
        facts=_table(_facts(manifest, config, domain)),
        figures="\n\n".join(_figures(each, manifest["weights"]) for each in results)
        or "It has not been evaluated.",
        bonding=BONDING[manifest["dataset"]["identity"]["density"]],
        origin=manifest["origin"],
        licence=manifest["licence"],
        files="\n".join(
            f"| `{name}` | {file['bytes']:,} | {FILES[name if name in FILES else 'weights']} |"
            for name, file in manifest["files"].items()
        ),
        tolerance=f"{TOLERANCE:.1%}",
    )


def _facts(
    manifest: Mapping[str, Any], config: Config, domain: TrainingDomain | None
) -> dict[str, str]:
    dataset, training, rounding = (manifest[x] for x in ("dataset", "training", "rounding"))
    identity, records = dataset["identity"], dataset["records"]
    facts = {
        "names": ", ".join(manifest["names"]),
        "released": f"{manifest['date']}, with cmed_jax {manifest['package']}",
        "network": f"{manifest['parameters']:,} parameters, kept as float16, computed in float32",
        "trained on": f"{records['train']:,} crystals; {records.get('validation', 0):,} others for "
        f"validation, {records.get('test', 0):,} for tests",
        "dataset": f"cmed/{identity['config']}/{identity['version']}, fingerprint "
        f"{dataset['fingerprint'][:16]}, densities {_density(identity)}",
        "patterns": _patterns(config),
        "known of the composition": _knowledge(config),
        "training": f"{manifest['step']:,} of {config.steps:,} steps of {config.batch} crystals",
        "rounding to float16": f"changes the densities of {rounding['materials']} validation "
        f"crystals by at most {rounding['largest_change']:.2%} on average over the cell; SSIM with "
        f"those before at least {rounding['lowest_ssim']:.6f}",
    }
    if "initial" in manifest:
        facts["trained further from"] = _initial(**manifest["initial"])
    if domain is not None:
        facts["elements seen"] = " ".join(SYMBOLS[number] for number in domain.elements)
        facts["space groups seen"] = ", ".join(map(str, domain.space_groups))
    if training["seconds"] is not None:
        facts["training"] += f", {training['seconds'] / 60:.0f} minutes in steps"
    if training["machine"]:
        facts["training"] += f", on {training['machine']}"
    if training["validation_ssim"] is not None:
        facts["training"] += (
            f"; the best of its run, with SSIM {training['validation_ssim']:.3f} in validation"
        )
    return facts


def _initial(name: str, weights: int | None, materials: int | None) -> str:
    """Return a description of the network that the training began with."""
    which = name if weights is None else f"{name} (weights {weights})"
    if materials is None:
        return f"{which}, whose training crystals are not known: `materials.txt.gz` lacks them"
    return f"{which}, whose {materials:,} training crystals are in `materials.txt.gz`, too"


def _density(identity: Mapping[str, Any]) -> str:
    if identity["density"] == "iam":
        return f"of independent atoms with B = {identity['b_factor']:g} Å²"
    return "of VASP CHGCAR files"


def _patterns(config: Config) -> str:
    """Return a description of the patterns of the training."""
    augmentation = config.step.augmentation
    if config.network.reads_reflections:
        if augmentation.errors is None:
            return "ideal reflections"
        share = augmentation.stored
        return f"{1 - share:.0%} reflections with the errors of a laboratory, {share:.0%} ideal"
    if augmentation.artefacts is None:
        return "ideal lines"
    known = (name for name, preset in PRESETS.items() if preset == augmentation.artefacts)
    fresh = f"measurements simulated afresh in each step ({next(known, 'ranges in config.json')})"
    if not augmentation.stored:
        return fresh
    return f"{1 - augmentation.stored:.0%} {fresh}, {augmentation.stored:.0%} ideal lines"


def _knowledge(config: Config) -> str:
    names = ("all", "the elements", "all elements but one", "nothing")
    shares = zip(names, config.step.augmentation.shares, strict=True)
    return ", ".join(f"{name} ({share:.0%})" for name, share in shares if share)


def _figures(results: Mapping[str, Any], weights: int) -> str:
    """Return the printed report of an evaluation, its assessment, and the robustness figures."""
    run, protocol = results["run"], results["protocol"]
    dataset = run.get("system") or run["provenance"]["identity"]["config"]
    printed = StringIO()
    print_report(results, Console(file=printed, width=TABLE_WIDTH))
    rounded = "as they are here" if run["weights"] == weights else "before they were rounded"
    table = "\n".join(line.rstrip() for line in printed.getvalue().splitlines())
    return "\n\n".join(
        [
            f"### {dataset}, {run['split']}: {len(results['materials'])} crystals, {_who(run)}",
            f"Of the parameters {rounded}. Plain: {protocol['plain']}. Published: "
            f"{protocol['published']}. Interval: {protocol['interval']}. Substitution: other "
            f"elements in known crystals ({run['crystals']}).",
            f"```\n{table}\n```",
            "\n".join(f"- {sentence}" for _, sentence in verdict(results)),
            *([] if results["degradation"] is None else [_degradation(results["degradation"])]),
        ]
    )


def _who(run: Mapping[str, Any]) -> str:
    """Return the source of the scored densities."""
    if run.get("known") is None:
        return "the network alone"
    if run.get("gate") is None:
        return f"the network, which recalls known crystals ({run['known']})"
    return f"the network with crystals refined from known ones ({run['known']})"


def _degradation(found: Mapping[str, Any]) -> str:
    """Return the mean SSIM for perturbed measurements, one condition a line."""
    rows = {
        f"{name}, {curve['label']}": ", ".join(
            f"{value:g}: {ssim:.3f}"
            for value, ssim in zip(curve["values"], curve["ssim"], strict=True)
        )
        for name, curve in found["curves"].items()
    }
    return (
        f"As measurements get worse, of {found['materials']} of the crystals, whose mean SSIM is "
        f"{found['ideal']:.3f} on ideal patterns:\n\n" + _table(rows)
    )


def _table(rows: Mapping[str, str]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {key} | {text} |" for key, text in rows.items())])
