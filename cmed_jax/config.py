"""The configuration of a run: what decides its weights, and how it is carried out.

It imports nothing that trains, so that a prediction reads it without Grain and Orbax.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from cmed_jax.data.augmentation import AugmentationConfig
from cmed_jax.model.presets import KINDS, NetworkConfig, PublishedConfig

Precision = Literal["float32", "tf32", "bfloat16"]
InputMode = Literal["auto", "resident", "streaming"]
Mode = Literal["jit", "pmap"]


@dataclass(frozen=True)
class StepConfig:
    """What a step draws, and how it computes.

    Attributes:
        augmentation: artefacts and hidden knowledge.
        shared_voxels: all crystals of a batch are asked at the same voxels, so that what depends
            on the coordinate alone is computed once; else each draws its own (published).
        precision: of the arithmetic; parameters are float32 in every case. tf32 rounds the factors
            of matrix products where the device can, bfloat16 all that the layers compute.
        remat: compute the insides of blocks again on the way back, in less memory and more time.
        accumulate: parts of a batch that are taken one after the other, in the memory of one part.
            The step is that of the whole batch, to rounding; but batch statistics (published) are
            those of a part.
    """

    augmentation: AugmentationConfig = AugmentationConfig()
    shared_voxels: bool = True
    precision: Precision = "float32"
    remat: bool = False
    accumulate: int = 1

    def __post_init__(self):
        if self.accumulate < 1:
            raise ValueError(f"accumulate is {self.accumulate}: give at least 1")


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW (Adam where the weight decay is zero) and the course of its learning rate.

    Attributes:
        learning_rate: the highest rate.
        final_rate: the rate at the end of a cosine.
        epsilon: size of a gradient below which a weight is no longer moved by whole steps. Adam
            divides gradients by their sizes, and so the rounding of those that nearly vanish.
        weight_decay: decoupled from the gradient (AdamW).
        clip: largest norm of the gradient; 0 leaves it as it is.
        schedule: one cosine over the whole run, or the article's warm restarts.
        warmup: steps of linear rise before one cosine.
        first_cycle: steps of the first of the restarted cosines; each next one is twice as long.
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
        if self.schedule == "warm_restarts" and self.first_cycle < 1:
            raise ValueError(f"first_cycle is {self.first_cycle}: give at least one step")


@dataclass(frozen=True)
class LoopConfig:
    """How often the loop does what; none of it changes the weights.

    Attributes:
        log_every: steps between two lines of metrics.
        validate_every: steps between two validations on full grids.
        validation_materials: how many materials of the validation split these take.
        checkpoint_every: steps between two checkpoints; a validation is always saved.
        steps_per_dispatch: steps that the device takes without the host; more than one where a step
            takes the device less than some milliseconds.
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


@dataclass(frozen=True)
class HostsConfig:
    """How the processes of a run find each other, where there are several.

    Tasks of SLURM and of Open MPI and the machines of a TPU pod find each other by themselves.
    Elsewhere each process is told; what is not given here is taken from the environment:
    JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES, JAX_PROCESS_ID.

    Attributes:
        coordinator: HOST:PORT of process 0, a port that is free there.
        processes: how many there are.
        process: which of them this one is, counted from 0.
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
        given = (self.coordinator, self.processes, self.process)
        if self.coordinator and None in given:
            raise ValueError("a coordinator is given: give processes and process, too")
        if None not in given and not 0 <= self.process < self.processes:
            raise ValueError(
                f"process is {self.process}: of {self.processes} processes, count from 0"
            )


@dataclass(frozen=True)
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
