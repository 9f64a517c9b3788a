"""Programs compiled for chips that are not there, and what is read from a compiled program."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from benchmarks.accelerators.analysis import arrays, faults, instructions, whole_reads
from benchmarks.accelerators.chips import Topology
from benchmarks.accelerators.roofline import seconds, seconds_of_collectives

PROGRAM = """
%gathering (part: f16[100,70], place: s32[4,1]) -> f16[4,70] {
  %part = f16[100,70]{1,0:T(8,128)(2,1)} parameter(0)
  %place = s32[4,1]{1,0:T(8,128)} parameter(1)
  ROOT %rows = f16[4,70]{1,0:T(8,128)(2,1)} gather(%part, %place), offset_dims={1}
}

ENTRY %main (one: f16[100,70], other: f16[100,70000], places: s32[4,1]) -> f16[4,70] {
  %one = f16[100,70]{1,0:T(8,128)(2,1)} parameter(0), sharding={replicated}
  %other = f16[100,70000]{0,1:T(8,128)(2,1)} parameter(1), sharding={replicated}
  %places = s32[4,1]{1,0:T(8,128)} parameter(2)
  %turned = f16[100,70000]{1,0:T(8,128)(2,1)} copy(%other)
  %wide = f32[200000,3]{1,0:T(8,128)} broadcast(%places), dimensions={}
  %sum = (f32[512]{0:T(512)}, f32[4,8]{1,0:T(8,128)}) all-reduce(%a, %b), to_apply=%add
  ROOT %fusion = f16[4,70]{1,0:T(8,128)(2,1)} fusion(%one, %places), kind=kLoop, calls=%gathering
}
"""


def test_a_program_tells_what_it_reads_whole_and_what_is_padded():
    program = list(instructions(PROGRAM))
    assert list(whole_reads(program, rows=100)) == [
        "copy reads all 17.9 MB of f16[100,70000] in the table"
    ]
    assert list(faults(program)) == ["an array of 2.4 MB is padded to 102 MB"]
    (reduced,) = (each for each in program if each.opcode == "all-reduce")
    assert [size for size, _ in arrays(reduced.type)] == [2048, 128]


def test_double_precision_and_calls_of_the_host_are_faults():
    lines = (
        '%x = f64[3]{0} add(%a, %b)\n%y = f32[] custom-call(), custom_call_target="xla_callback"\n'
    )
    assert list(faults(list(instructions(lines)))) == [
        "1 arrays are float64, such as x",
        "y calls the host",
    ]


def test_the_least_time_is_that_of_the_slowest_part_and_the_links():
    result = {
        "target": "v5e:2x4",
        "precision": "bfloat16",
        "chips": 8,
        "loops": 2,
        "flops": 197e9,
        "accessed": 819e6,
        "collectives": {"all-reduce": 80e6},
    }
    np.testing.assert_allclose(seconds_of_collectives(result), 2 * 7 / 8 * 80e6 / 200e9)
    np.testing.assert_allclose(seconds(result), 2e-3 + 0.7e-3)


SMALLEST = """
import jax, numpy as np
from benchmarks.accelerators.analysis import findings
from benchmarks.accelerators.chips import Topology
from cmed_jax.training.parallel import DataParallel

parallel = DataParallel(devices=Topology("v5e:2x4").devices())
table = jax.ShapeDtypeStruct((17000, 8100), np.float16)  # more than the chip's fast memory
rows = parallel.abstract_batches(jax.ShapeDtypeStruct((1, 64), np.int32))
gather = jax.jit(lambda table, rows: table[rows[0]].sum())

def found(table):
    return findings(gather.lower(table, rows).compile(), (table, rows), rows=17000)

placed, plain = found(parallel.abstract_table(table)), found(parallel.abstract(table))
assert not placed.faults, placed.faults
assert placed.unpadded == 17000 * 8100 * 2 + 8 * 4
assert placed.arguments < 1.1 * placed.unpadded
assert set(placed.collectives) == {"all-reduce"}
assert "reads all" in plain.faults[0], plain.faults
"""


@pytest.mark.skipif(bool(Topology("v5e:2x4").missing()), reason="libtpu is not installed")
def test_a_tpu_gathers_rows_of_the_table_and_reads_no_others():
    """In a process of its own: the compiler's log goes past pytest, and its locks stay."""
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", SMALLEST], cwd=root, env=os.environ, check=True)
    assert jax.default_backend() == "cpu"
