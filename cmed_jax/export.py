"""Export a network for other programs: `python -m cmed_jax.export cubic --out cubic.stablehlo`.

The file holds the network's prediction as one serialised program with its weights, for CPUs, CUDA
and TPUs, with any number of crystals at once. It needs jax and NumPy alone, neither Flax nor this
package. The network recalls no known crystals there, and computes in float32 on every device.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import jax
import jax.numpy as jnp
import tyro
from flax import nnx
from jax import export
from jaxtyping import Array, Float, Integer
from tyro.conf import Positional

from cmed_jax.cli import run_command
from cmed_jax.data.query import Query
from cmed_jax.io.atomic import atomic_write
from cmed_jax.model.network import grid_coordinates
from cmed_jax.physics.density import GRID
from cmed_jax.physics.harmonics import harmonics
from cmed_jax.prediction.restore import restore

PLATFORMS = ("cpu", "cuda", "tpu")
"""The platforms that the program is compiled for when it is called."""

PARTS = 25
"""The number of parts of the grid that are decoded one after the other, which bounds the memory."""


@dataclass(frozen=True)
class Options:
    """Write the prediction of a network as a program for other programs.

    Attributes:
        model: a run's folder, a checkpoint inside it, or the name or folder of a released network.
        out: the file to write.
    """

    model: Annotated[Path, Positional]
    out: Path


def exported(model: str | Path) -> bytes:
    """Return the serialised program of a network that reads reflections.

    Its arguments, for b crystals: composition (b 119), float32; knowledge (b), int32; lattice
    (b 3 3), amplitude (b h) and observed (b h), float32, as in `cmed_jax.data.query.Query`. Its
    result are the densities (b 50 50 50), e/angstrom^3.

    Args:
        model: an argument of `cmed_jax.restore`.

    Raises:
        FileNotFoundError: there is no such network.
        ValueError: the network reads patterns.

    Example:
        >>> program = jax.export.deserialize(bytearray(exported("cubic")))  # doctest: +SKIP
        >>> density = program.call(composition, knowledge, lattice, amplitude, observed)
        ... # doctest: +SKIP
    """
    network = restore(model, alone=True).network
    if not network.reads_reflections:
        raise ValueError(
            f"{model} reads patterns: only networks that read reflections are exported"
        )
    network.eval()
    graph, state = nnx.split(network)
    points = jnp.asarray(grid_coordinates(GRID).reshape(PARTS, -1, 3))

    @jax.default_matmul_precision("float32")
    def predict(
        composition: Float[Array, "b 119"],
        knowledge: Integer[Array, " b"],
        lattice: Float[Array, "b 3 3"],
        amplitude: Float[Array, "b h"],
        observed: Float[Array, "b h"],
    ) -> Float[Array, "b x y z"]:
        crystals = composition.shape[0]
        nothing = jnp.zeros((crystals, 0))
        query = Query(
            nothing, composition, knowledge, nothing, lattice, amplitude, observed, nothing
        )
        built = nnx.merge(graph, state)
        conditioning = built.condition(built.encode(query, None).mean)

        def values(coordinates: Float[Array, "p 3"]) -> Float[Array, "b p"]:
            return nnx.merge(graph, state).values(conditioning, coordinates)

        parts = jax.lax.map(values, points)
        every = jnp.moveaxis(parts, 0, 1).reshape(crystals, math.prod(GRID))
        return built.to_density(every).reshape(crystals, *GRID)

    (b,) = export.symbolic_shape("b")
    read = len(harmonics())
    shapes = [
        jax.ShapeDtypeStruct((b, *shape), kind)
        for shape, kind in (
            ((119,), jnp.float32),
            ((), jnp.int32),
            ((3, 3), jnp.float32),
            ((read,), jnp.float32),
            ((read,), jnp.float32),
        )
    ]
    return bytes(export.export(jax.jit(predict), platforms=PLATFORMS)(*shapes).serialize())


def main(args: list[str] | None = None) -> int:
    """Run the command."""
    options = tyro.cli(Options, args=args, prog="python -m cmed_jax.export")
    program = exported(options.model)
    with atomic_write(options.out) as partial:
        partial.write_bytes(program)
    print(f"{options.out}: {len(program) / 1e6:.1f} MB, for {', '.join(PLATFORMS)}")
    return 0


if __name__ == "__main__":
    run_command(main)
