"""Devices to compile for without having them, and what their makers publish about them."""

import os
from dataclasses import dataclass
from importlib.util import find_spec

import jax
from jax.experimental import topologies

TARGETS = {
    "H100": """
        gpu_device_info {
          cuda_compute_capability { major: 9 }
          threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048
          shared_memory_per_block: 49152 shared_memory_per_block_optin: 232448
          shared_memory_per_core: 233472 registers_per_block_limit: 65536
          registers_per_core_limit: 65536 core_count: 132 fpus_per_core: 128
          block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
          memory_bandwidth: 3350000000000 l2_cache_size: 52428800 clock_rate_ghz: 1.98
          device_memory_size: 80000000000
        }
        platform_name: "CUDA"
        dnn_version_info { major: 9 minor: 8 }
        device_description_str: "NVIDIA H100 80GB HBM3"
    """
}
"""GPUs as XLA describes them, where it compiles for one that is not there."""


@dataclass(frozen=True)
class Chip:
    """What a maker publishes about a device.

    Attributes:
        kind: name that JAX gives it, as in `cmed_jax.training.cost.PEAKS`.
        memory: bytes of its memory.
        bandwidth: bytes per second that it reads from its memory.
        interconnect: bytes per second that it sends to its neighbours over all links.
    """

    kind: str
    memory: float
    bandwidth: float
    interconnect: float


CHIPS = {
    "v5e": Chip("TPU v5 lite", 16e9, 819e9, 200e9),
    "v5p": Chip("TPU v5p", 95e9, 2765e9, 600e9),
    "v6e": Chip("TPU v6 lite", 32e9, 1638e9, 400e9),
    "H100": Chip("NVIDIA H100", 80e9, 3350e9, 450e9),
}
"""TPUs: docs.cloud.google.com/tpu/docs/v5e, v5p and v6e. They state the interconnect in both
directions, and half of it is an all-reduce's. H100: data sheet of the SXM version, NVLink 4.
"""


@dataclass(frozen=True)
class Topology:
    """Some chips in one machine or one slice, written as v5e:2x4 or H100:1x1x8.

    The numbers are the chips along each axis of a TPU slice; for GPUs slices, hosts and devices.
    """

    name: str

    @property
    def chip(self) -> Chip:
        """The chip."""
        return CHIPS[self.name.split(":")[0]]

    @property
    def is_tpu(self) -> bool:
        """Whether the chips are TPUs."""
        return self.chip.kind.startswith("TPU")

    def missing(self) -> str | None:
        """Return why this machine cannot compile for these chips; None where it can."""
        if self.is_tpu:
            return None if find_spec("libtpu") else "libtpu is not installed"
        installed = find_spec("jax_plugins.xla_cuda13") if find_spec("jax_plugins") else None
        return None if installed else "jax-cuda13-pjrt is not installed"

    def devices(self) -> list[jax.Device]:
        """Return devices that can be compiled for, but hold no arrays.

        Raises:
            RuntimeError: the compiler is not installed, or knows no such topology.
        """
        if missing := self.missing():
            raise RuntimeError(f"{self.name}: {missing}")
        kind, _, shape = self.name.partition(":")
        if self.is_tpu:
            # What a machine of a slice would learn from Google's cloud; there is none to ask.
            os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v5litepod-8")
            os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
            os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
            os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")  # no chip to be shared
            found = topologies.get_topology_desc(self.name, "tpu")
        else:
            found = topologies.get_topology_desc(
                "", "cuda", target_config=TARGETS[kind], topology=shape
            )
        return list(found.devices)
