#!/usr/bin/env bash
# Build a dataset in parts on one machine: what a kill costs is one part, not the whole.
#
#   launch/dataset_in_parts.sh PARTS --config cubic --data_dir data [options of tfds_builders.cmed]
#
# Started again it goes on with the first part that is missing.
set -euo pipefail

parts=${1:?give the number of parts, then the options of python -m tfds_builders.cmed}
shift
for ((k = 1; k <= parts; k++)); do
  python -m tfds_builders.cmed "$@" --part "$k/$parts"
done
