#!/usr/bin/env bash
# Train on all accelerators of this machine, and go on after every crash until the run is done:
#
#   launch/train.sh base --data DIR --run FOLDER [options of python -m cmed_jax.train]
#
# What is killed from outside (for its memory, say), crashes, or has lost a device or another process
# (exit code 75) is started again from its last checkpoint, RESTARTS times at most (20). Any other
# fault (exit code 2) ends it, and so does SIGTERM or Ctrl-C, after which it saves its state.
#
# On a GPU XLA is asked for sums in an order that no restart changes, so that the weights should be
# those of a run that nothing disturbed, bit for bit; it has not been tried on one. It costs speed, and
# XLA_FLAGS=--xla_gpu_deterministic_ops=false does without it.
set -uo pipefail

if command -v nvidia-smi >/dev/null; then
  export XLA_FLAGS="--xla_gpu_deterministic_ops=true ${XLA_FLAGS-}"
fi

asked= training=
trap 'asked=yes; kill -TERM "$training" 2>/dev/null || true' TERM INT

for ((start = 0; start <= ${RESTARTS:-20}; start++)); do
  [[ $asked ]] && exit 143
  training=
  python -m cmed_jax.train "$@" &
  training=$!
  [[ $asked ]] && kill -TERM "$training" 2>/dev/null # the trap did not know it yet
  wait "$training"
  code=$?
  if [[ $asked ]]; then # wait was cut short by the signal: now for the state to be saved
    wait "$training"
    exit $?
  fi
  ((code == 75 || code > 128)) || exit "$code"
  echo "the run ended with exit code $code and is started again" >&2
done
exit "$code"
