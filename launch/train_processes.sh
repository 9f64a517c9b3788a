#!/usr/bin/env bash
# Train with several processes on this machine, each with an accelerator of its own (or with the
# cores, to try out what a cluster does):
#
#   launch/train_processes.sh PROCESSES base --data DIR --run FOLDER [options of cmed_jax.train]
#
# They meet at 127.0.0.1, on PORT if it is set. When one is killed or crashes the others are ended.
# SIGTERM and Ctrl-C let all save their state after the same step. The exit code is that of the first
# that failed.
#
# On a GPU XLA is asked for sums in an order that no restart changes, so that the weights should be
# those of a run that nothing disturbed, bit for bit; it has not been tried on one. It costs speed, and
# XLA_FLAGS=--xla_gpu_deterministic_ops=false does without it.
set -uo pipefail

if command -v nvidia-smi >/dev/null; then
  export XLA_FLAGS="--xla_gpu_deterministic_ops=true ${XLA_FLAGS-}"
fi

processes=${1:?give the number of processes, then the options of python -m cmed_jax.train}
shift
export JAX_COORDINATOR_ADDRESS=127.0.0.1:${PORT:-$((50000 + RANDOM % 10000))}
export JAX_NUM_PROCESSES=$processes

declare -A number # of a process, by its pid
trap 'kill -TERM "${!number[@]}"' TERM INT
for ((k = 0; k < processes; k++)); do
  JAX_PROCESS_ID=$k JAX_LOCAL_DEVICE_IDS=$k python -m cmed_jax.train "$@" &
  number[$!]=$k
done

failure=0
while ((${#number[@]})); do
  wait -n -p pid
  code=$?
  [[ ${pid-} ]] || continue # it was the wait that ended, by a signal
  ((failure)) || failure=$code
  if ((code > 128 && code != 143)); then # the others would wait for it
    echo "process ${number[$pid]} of $processes ended with exit code $code, and with it the others" >&2
    kill -KILL "${!number[@]}" 2>/dev/null
    break
  fi
  unset "number[$pid]"
done
exit "$failure"
