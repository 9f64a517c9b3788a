"""Compilation of programs that take longer to compile than to run."""

from functools import partial

import jax

jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
"""`jax.jit` without LLVM's optimization, which halves the time that a large program takes.

It is for programs that a test composes and calls from outside of any other program. Those of the
package are compiled as they are.
"""
