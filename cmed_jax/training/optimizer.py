"""The optimizer and its learning rate."""

import optax

from cmed_jax.config import OptimizerConfig


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
