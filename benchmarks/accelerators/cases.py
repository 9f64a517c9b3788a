"""The cases of the table: a program for some chips, and what came of compiling it."""

import dataclasses
import time
from dataclasses import dataclass
from typing import Any, Literal

import jax
from jax import export
from jax.errors import JaxRuntimeError

from benchmarks.accelerators import programs
from benchmarks.accelerators.analysis import findings
from benchmarks.accelerators.chips import Topology
from cmed_jax.config import Precision
from cmed_jax.physics.reflections import ROWS_OF_ACCELERATORS

Kind = Literal["step", "prediction", "reflections", "densities"]
PLATFORMS = ("cuda", "rocm")
"""The platforms for which programs are also lowered, without the compiler of any device."""
CRYSTALS = 48
"""The number of crystals in a prediction, and in a batch of densities."""


@dataclass(frozen=True)
class Case:
    """A program to compile.

    Attributes:
        kind: the program.
        preset: the network; none in the physics.
        target: the chips, such as v5e:2x4; or a platform for which the program is only lowered.
        precision: precision of the arithmetic.
        held: place of the training split, for a step.
        materials: crystals of the training split.
        share: crystals of a batch on each chip.
    """

    kind: Kind
    preset: str
    target: str
    precision: Precision = "float32"
    held: programs.Input = "resident"
    materials: int = 17_128
    share: int = 16

    def call(self, devices: list[jax.Device]) -> programs.Call:
        """Return the program for some devices; predictions and physics take the first."""
        if self.kind == "step":
            return programs.training_step(
                self.preset,
                devices,
                batch=self.share * len(devices),
                materials=self.materials,
                precision=self.precision,
                held=self.held,
            )
        if self.kind == "prediction":
            return programs.prediction(self.preset, devices[0], batch=CRYSTALS)
        if self.kind == "reflections":
            return programs.physics_reflections(devices[0], rows=ROWS_OF_ACCELERATORS)
        return programs.physics_densities(devices[0], batch=CRYSTALS)

    def run(self) -> dict[str, Any]:
        """Compile the program and return what was found.

        Raises:
            RuntimeError: the compiler is not installed.
            JaxRuntimeError: the compiler refuses the program for another reason than its memory.
        """
        if self.target in PLATFORMS:
            return dataclasses.asdict(self) | self._lowered()
        devices = Topology(self.target).devices()
        began = time.perf_counter()
        call = self.call(devices)
        lowered = call.function.lower(*call.arguments)
        between, processor = time.perf_counter(), time.process_time()
        try:
            compiled = lowered.compile()
        except JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            return dataclasses.asdict(self) | {"refused": str(error).split("\n")[0]}
        rows = self.materials if self.kind == "step" and self.held == "resident" else None
        return {
            **dataclasses.asdict(self),
            "chips": len(devices) if self.kind == "step" else 1,
            "loops": call.loops,
            "seconds_to_lower": between - began,
            "seconds_to_compile": time.perf_counter() - between,
            "processor_seconds_to_compile": time.process_time() - processor,
            **dataclasses.asdict(findings(compiled, call.arguments, rows)),
        }

    def _lowered(self) -> dict[str, Any]:
        """Lower the program for a platform, and return the size of the result."""
        began = time.perf_counter()
        call = self.call(jax.devices("cpu")[:1])
        shapes = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), call.arguments
        )
        exported = export.export(call.function, platforms=[self.target])(*shapes)
        return {
            "seconds_to_lower": time.perf_counter() - began,
            "program_bytes": len(exported.mlir_module_serialized),
            "float64": "f64" in exported.mlir_module(),
        }
