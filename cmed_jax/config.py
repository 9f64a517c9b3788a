"""The configuration of a run, its presets, and how commands read it and answer mistakes."""

import dataclasses
import os
import sys
from collections.abc import Callable
from textwrap import shorten
from typing import Any

import tyro
from jax.errors import JaxRuntimeError

from cmed_jax.data.augmentation import AugmentationConfig
from cmed_jax.model.presets import KINDS, BaseConfig, NetworkConfig, PublishedConfig
from cmed_jax.training.hosts import HostsConfig, leave
from cmed_jax.training.inputs import InputMode
from cmed_jax.training.loop import LoopConfig
from cmed_jax.training.optimizer import OptimizerConfig
from cmed_jax.training.parallel import Mode
from cmed_jax.training.step import StepConfig


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that a run is made of.

    Attributes:
        data: directory of the dataset, such as data/cmed/cubic/2.0.0.
        run: folder of the run; started again with the same options, it continues.
        network: the architecture.
        optimizer: the optimizer and its schedule.
        step: what a step draws, and how it computes.
        loop: how often to log, validate and save.
        steps: length of the training.
        batch: crystals in a step, over all devices.
        seed: of everything that is random.
        parallel: how several devices share the batch.
        hosts: how several processes find each other.
        input: resident puts the training split on the devices once, streaming reads it from the
            disk all along; auto is resident where it takes at most half of a device's memory.
        profile: write a trace of so many steps into the run's folder, for TensorBoard and Perfetto.
    """

    data: str
    run: str
    network: NetworkConfig
    optimizer: OptimizerConfig = OptimizerConfig()
    step: StepConfig = StepConfig()
    loop: LoopConfig = LoopConfig()
    steps: int = 10_000
    batch: int = 128
    seed: int = 0
    parallel: Mode = "jit"
    hosts: HostsConfig = HostsConfig()
    input: InputMode = "auto"
    profile: int = 0

    def __post_init__(self):
        for place in (self.data, self.run):
            if "://" in str(place):
                raise ValueError(
                    f"{place} is an address: give a folder, on a disk that all processes share"
                )
        if self.steps < 1:
            raise ValueError(f"steps is {self.steps}: give at least 1")
        if self.profile < 0:
            raise ValueError(
                f"profile is {self.profile}: give a number of steps, or 0 for no trace"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the configuration as JSON values."""
        kind = next(name for name, cls in KINDS.items() if type(self.network) is cls)
        return dataclasses.asdict(self) | {"kind": kind}

    def identity(self) -> dict[str, Any]:
        """Return what decides the weights but for rounding; a run continues where it is the same.

        What fits a step into memory may change on the way, as devices may; but batch statistics
        (published) are those of the parts in which a batch is taken.
        """
        operational = ("data", "run", "loop", "parallel", "hosts", "input", "profile")
        parts = {name: part for name, part in self.to_json().items() if name not in operational}
        memory = {"remat"} if isinstance(self.network, PublishedConfig) else {"remat", "accumulate"}
        step = {name: part for name, part in parts["step"].items() if name not in memory}
        return parts | {"step": step}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Config":
        """Return the configuration that `to_json` wrote.

        Raises:
            ValueError: another version of the package wrote it, in which it meant something else.
        """
        parts = {name: part for name, part in values.items() if name != "kind"}
        try:
            augmentation = AugmentationConfig.from_json(values["step"]["augmentation"])
            parts |= {
                "network": KINDS[values["kind"]](**values["network"]),
                "optimizer": OptimizerConfig(**values["optimizer"]),
                "step": StepConfig(**values["step"] | {"augmentation": augmentation}),
                "loop": LoopConfig(**values["loop"]),
                "hosts": HostsConfig(**values.get("hosts", {})),
            }
            return cls(**parts)
        except (TypeError, KeyError) as error:
            raise ValueError(
                f"the configuration is of another version of cmed_jax ({error}): train the run "
                "again, or install that version"
            ) from error


PARTIAL = AugmentationConfig(
    shift=0, noise=1e-3, full=0.7, no_ratios=0.1, missing_element=0.1, none=0.1
)
"""Every kind of knowledge; the positions of the lines are left alone, for they tell the cell."""

PRESETS: dict[str, tuple[str, Config]] = {
    "demo": (
        "a small network that trains in minutes on two cores",
        Config(
            data=tyro.MISSING,
            run=tyro.MISSING,
            network=BaseConfig(width=1024),
            optimizer=OptimizerConfig(epsilon=1e-7, weight_decay=1e-2, clip=1.0),
            step=StepConfig(PARTIAL),
            steps=2500,
        ),
    ),
    "base": (
        "our network",
        Config(
            data=tyro.MISSING,
            run=tyro.MISSING,
            network=BaseConfig(),
            optimizer=OptimizerConfig(epsilon=1e-7, weight_decay=1e-2, clip=1.0),
            step=StepConfig(PARTIAL),
            steps=50_000,
        ),
    ),
    "published": (
        "CrystalNet as the article describes it: 1,500 epochs of the cubic materials",
        Config(
            data=tyro.MISSING,
            run=tyro.MISSING,
            network=PublishedConfig(),
            optimizer=OptimizerConfig(schedule="warm_restarts"),
            step=StepConfig(AugmentationConfig(), shared_voxels=False),
            steps=190_500,
        ),
    ),
}


def parse(args: list[str] | None = None) -> Config:
    """Read a configuration from the command line: a preset, then what differs from it."""
    return tyro.extras.overridable_config_cli(
        PRESETS,
        prog="python -m cmed_jax.train",
        description="Train a network on a dataset, or continue where a run was stopped.",
        args=args,
    )


def run_command(command: Callable[[], int | None]) -> None:
    """Run a command and leave the process; a mistake or a fault is one sentence.

    Notes that an error was given on its way follow it. The exit code is 2, or 75 (EX_TEMPFAIL)
    where the same command may succeed when it is started again: a device failed, or another process
    is out of reach.
    """
    try:
        code = command() or 0
    except (ValueError, OSError, JaxRuntimeError) as error:
        device = isinstance(error, JaxRuntimeError)
        said = f"the device failed ({shorten(str(error), 300)}): start again" if device else error
        print("; ".join([f"error: {said}", *getattr(error, "__notes__", [])]), file=sys.stderr)
        code = os.EX_TEMPFAIL if device or isinstance(error, ConnectionError) else 2
    leave(code)
