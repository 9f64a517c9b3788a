#!/usr/bin/env bash
# Train on all accelerators of this machine, and go on after every crash until the run is done:
#
#   launch/train.sh base --data DIR --run FOLDER [options of python -m cmed_jax.train]
#
# What is killed from outside (for its memory, say) or crashes is started again from its last
# checkpoint, RESTARTS times at most (20). A fault that the run has a sentence for (exit code 2)
# ends it, and so does SIGTERM or Ctrl-C, after which it saves its state.
set -uo pipefail

asked=
trap 'asked=yes; kill -TERM "$training"' TERM INT

for ((start = 0; start <= ${RESTARTS:-20}; start++)); do
  python -m cmed_jax.train "$@" &
  training=$!
  wait "$training"
  code=$?
  if [[ $asked ]]; then # wait was cut short by the signal: now for the state to be saved
    wait "$training"
    exit $?
  fi
  ((code > 128)) || exit "$code"
  echo "the run ended with exit code $code and is started again" >&2
done
exit "$code"
