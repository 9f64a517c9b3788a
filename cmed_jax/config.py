"""The configuration of a run: the options that decide its weights, and those of its execution.

This module imports no training code, so that predictions can read it without Grain and Orbax.
"""

import dataclasses
import json
import math
import os
from dataclasses import dataclass
from typing import Any, Literal

from cmed_jax.data.augmentation import AugmentationConfig
from cmed_jax.io.writable import check_local
from cmed_jax.model.presets import KINDS, NetworkConfig

Precision = Literal["float32", "tf32", "bfloat16"]
InputMode = Literal["auto", "resident", "streaming"]
Mode = Literal["jit", "pmap"]

SEEDS = 2**32
"""The number of seeds that JAX tells apart."""


def _check_finite(part: object) -> None:
    """Raise ValueError where a number of a part of the configuration is not finite."""
    for name, value in vars(part).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name} is {value}: give a finite number")


@dataclass(frozen=True)
class StepConfig:
    """The random choices and the arithmetic of a training step.

    Attributes:
        augmentation: artefacts and hidden knowledge.
        shared_voxels: use the same voxels for all crystals of a batch, so that terms of the
            coordinate alone are computed once; otherwise each crystal draws its own (published).
        precision: precision of the arithmetic; parameters are float32 in every case. tf32 rounds
            the factors of matrix products on devices that support it, bfloat16 all computations of
            the layers.
        remat: recompute the insides of blocks in the backward pass, in less memory and more time.
        accumulate: number of parts of a batch that are processed one after the other, in the memory
            of one part. The step equals that of the whole batch, to rounding, except for batch
            statistics (published), which are those of a part.
    """

    augmentation: AugmentationConfig = AugmentationConfig()
    shared_voxels: bool = True
    precision: Precision = "float32"
    remat: bool = False
    accumulate: int = 1

    def __post_init__(self):
        if self.accumulate < 1:
            raise ValueError(f"accumulate is {self.accumulate}: give at least 1")
        _check_finite(self.augmentation)


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW (Adam where the weight decay is zero) and the schedule of its learning rate.

    Attributes:
        learning_rate: highest rate.
        final_rate: rate at the end of a cosine, at most the highest.
        epsilon: size of a gradient below which a weight no longer moves by whole steps. Adam
            divides gradients by their sizes, which amplifies the rounding errors of tiny ones.
        weight_decay: weight decay, decoupled from the gradient (AdamW).
        clip: largest norm of the gradient; 0 means no clipping.
        schedule: one cosine over the whole run, or the article's warm restarts.
        warmup: number of steps of linear rise before the single cosine; at most a tenth of the
            steps of the run are used.
        first_cycle: number of steps of the first restarted cosine; each next one is twice as long.
    """

    learning_rate: float = 1e-3
    final_rate: float = 1e-6
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    clip: float = 0.0
    schedule: Literal["cosine", "warm_restarts"] = "cosine"
    warmup: int = 100
    first_cycle: int = 12_700

    def __post_init__(self):
        for name in ("learning_rate", "epsilon"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}: give a positive number")
        _check_finite(self)
        for name in ("weight_decay", "clip", "warmup"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}: give 0 or more")
        if not 0 <= self.final_rate <= self.learning_rate:
            raise ValueError(
                f"final_rate is {self.final_rate}: give a number from 0 to the learning rate, "
                f"which is {self.learning_rate}"
            )
        if self.schedule == "warm_restarts" and self.first_cycle < 1:
            raise ValueError(f"first_cycle is {self.first_cycle}: give at least one step")


@dataclass(frozen=True)
class LoopConfig:
    """The intervals of the training loop; they do not change the weights.

    Attributes:
        log_every: number of steps between two lines of metrics.
        validate_every: number of steps between two validations on full grids.
        validation_materials: number of materials of the validation split in a validation.
        checkpoint_every: number of steps between two checkpoints; each validation is also saved.
        steps_per_dispatch: number of steps of the device without the host. Use more than one where
            a step takes less than a few milliseconds on the device.
    """

    log_every: int = 50
    validate_every: int = 1000
    validation_materials: int = 64
    checkpoint_every: int = 500
    steps_per_dispatch: int = 1

    def __post_init__(self):
        for name, value in vars(self).items():
            if value < 1:
                raise ValueError(f"{name} is {value}: give at least 1")


ENVIRONMENT = {"processes": "JAX_NUM_PROCESSES", "process": "JAX_PROCESS_ID"}
"""The environment variables that stand for options of several processes."""


def given_or_environment(name: str, option: int | None) -> int | None:
    """Return an option of several processes, or the number in its environment variable.

    Args:
        name: the name of the option, one of `ENVIRONMENT`.
        option: its value; None where it is not given.

    Raises:
        ValueError: the variable is no whole number.
    """
    text = os.environ.get(ENVIRONMENT[name])
    if option is not None or text is None:
        return option
    try:
        return int(text)
    except ValueError as error:
        raise ValueError(f"{ENVIRONMENT[name]} is {text!r}: give a whole number") from error


@dataclass(frozen=True)
class HostsConfig:
    """The addresses and time limits of the processes of a run with several processes.

    Tasks of SLURM and of Open MPI and the machines of a TPU pod find each other by themselves.
    Elsewhere each process needs these options. Options that are not given are read from the
    environment variables JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID.

    Attributes:
        coordinator: HOST:PORT of process 0, with a port that is free on its machine.
        processes: number of processes.
        process: number of this process, counted from 0.
        patience: seconds that processes wait for each other at the start.
        timeout: seconds of silence after which a process counts as dead, and the others end.
    """

    coordinator: str | None = None
    processes: int | None = None
    process: int | None = None
    patience: int = 300
    timeout: int = 60

    def __post_init__(self):
        for name in ("patience", "timeout"):
            if (seconds := getattr(self, name)) < 1:
                raise ValueError(f"{name} is {seconds}: give at least 1 second")
        if self.coordinator:
            for name in ENVIRONMENT:
                # As if it were given: the run's configuration is read elsewhere, too.
                object.__setattr__(self, name, given_or_environment(name, getattr(self, name)))
        given = (self.coordinator, self.processes, self.process)
        if self.coordinator and None in given:
            raise ValueError("a coordinator is given: give processes and process, too")
        if None not in given and not 0 <= self.process < self.processes:
            raise ValueError(
                f"process is {self.process}: of {self.processes} processes, count from 0"
            )


@dataclass(frozen=True)
class Config:
    """The complete configuration of a run.

    Attributes:
        data: directory of the dataset, such as data/cmed/cubic/3.1.0.
        run: folder of the run; a run that is started again with the same options continues.
        network: architecture of the network.
        optimizer: optimizer and its schedule.
        step: random choices and arithmetic of a training step.
        loop: intervals of logging, validation and checkpoints.
        steps: number of training steps.
        batch: number of crystals in a step, over all devices.
        seed: seed of all random numbers.
        parallel: method by which several devices share the batch.
        hosts: addresses and time limits of several processes.
        input: place of the training split. resident puts it on the devices once, streaming reads it
            from the disk throughout; auto is resident where it takes at most half of a device's
            memory.
        profile: number of steps in a trace, written into the run's folder for TensorBoard and
            Perfetto; 0 for no trace.
        initial: the network whose weights training begins with: a run, a checkpoint inside it, or a
            released network. None for random weights. It must stay as it is until the run ends.
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
    initial: str | None = None

    def __post_init__(self):
        for place in (self.data, self.run):
            check_local(str(place))  # it may not be known yet (tyro.MISSING)
        kind, _, _ = self._kind().partition("-")  # the number of its design is of no interest
        augmentation = self.step.augmentation
        read = self.network.reads_reflections
        if read and augmentation.artefacts is not None:
            raise ValueError(
                f"{kind} reads reflections, and artefacts are of patterns: give errors in their "
                "place"
            )
        if read and augmentation.shift not in (0, AugmentationConfig.shift):
            raise ValueError(
                f"{kind} reads reflections, and a shift of {augmentation.shift} bins is one of "
                "patterns: leave it out"
            )
        if not read and augmentation.errors is not None:
            raise ValueError(
                f"{kind} reads patterns, and errors are of reflections: give artefacts in their "
                "place"
            )
        if read and self.input == "streaming":
            raise ValueError(
                f"{kind} keeps about 8 kB of each crystal on the devices: give input resident"
            )
        if not 0 <= self.seed < SEEDS:
            raise ValueError(f"seed is {self.seed}: give a number from 0 to {SEEDS - 1}")
        if self.steps < 1:
            raise ValueError(f"steps is {self.steps}: give at least 1")
        if self.profile < 0:
            raise ValueError(
                f"profile is {self.profile}: give a number of steps, or 0 for no trace"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the configuration as JSON values."""
        # As it comes back from a file: tuples become lists.
        return json.loads(json.dumps(dataclasses.asdict(self))) | {"kind": self._kind()}

    def _kind(self) -> str:
        """Return the name of the kind of the network."""
        return next(name for name, cls in KINDS.items() if type(self.network) is cls)

    def identity(self) -> dict[str, Any]:
        """Return the options that decide the weights, up to rounding.

        A run continues only with the same identity. Options that save memory may change during a
        run, as devices may. With batch statistics (published), `accumulate` is part of the
        identity, because the statistics are those of a part of the batch. Of the initial network
        the weights count, which are not known here, and not the place.
        """
        operational = ("data", "run", "loop", "parallel", "hosts", "input", "profile", "initial")
        parts = {name: part for name, part in self.to_json().items() if name not in operational}
        memory = {"remat"} if self.network.batch_statistics else {"remat", "accumulate"}
        step = {name: part for name, part in parts["step"].items() if name not in memory}
        return parts | {"step": step}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Config":
        """Return the configuration from the values of `to_json`.

        Raises:
            ValueError: another version of the package wrote the values, with other options.
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
