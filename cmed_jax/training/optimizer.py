"""The optimizer and its learning rate."""

from dataclasses import dataclass
from typing import Literal

import optax


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


def learning_rate(config: OptimizerConfig, steps: int) -> optax.Schedule:
    """Return the learning rate as a function of the step, for a run of `steps`."""
    if config.schedule == "cosine":
        warmup = min(config.warmup, steps // 10)
        return optax.warmup_cosine_decay_schedule(
            0.0 if warmup else config.learning_rate,
            config.learning_rate,
            warmup,
            max(steps, 1),
            config.final_rate,
        )
    cycles: list[optax.Schedule] = []
    starts = [0]
    while starts[-1] < steps or not cycles:
        length = config.first_cycle * 2 ** len(cycles)
        alpha = config.final_rate / config.learning_rate
        cycles.append(optax.cosine_decay_schedule(config.learning_rate, length, alpha))
        starts.append(starts[-1] + length)
    return optax.join_schedules(cycles, starts[1:-1])


def make_optimizer(config: OptimizerConfig, steps: int) -> optax.GradientTransformation:
    """Return the optimizer of a run of `steps`."""
    rate = learning_rate(config, steps)
    clip = optax.clip_by_global_norm(config.clip) if config.clip else optax.identity()
    adam = optax.adamw(rate, eps=config.epsilon, weight_decay=config.weight_decay)
    return optax.chain(clip, adam)
