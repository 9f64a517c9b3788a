#!/usr/bin/env bash
# Train on all machines of a TPU pod, from a machine with gcloud:
#
#   ZONE=us-east5-a launch/tpu_train.sh TPU base --data DIR --run FOLDER [options of cmed_jax.train]
#
# TPU is the name of the TPU VM. DIR and FOLDER have to lie where all its machines see them (Filestore,
# for instance). Once, before:
#
#   gcloud compute tpus tpu-vm scp --recurse . TPU:cmed_jax --worker=all --zone=ZONE
#   gcloud compute tpus tpu-vm ssh TPU --worker=all --zone=ZONE --command='pip install "./cmed_jax[tpu]"'
#
# The processes find each other by themselves. Started again, the run continues.
set -euo pipefail

tpu=${1:?give the name of the TPU VM, then the options of python -m cmed_jax.train}
shift
exec gcloud compute tpus tpu-vm ssh "$tpu" --worker=all --zone="${ZONE:?set the zone of the TPU}" \
  --command="python -m cmed_jax.train ${*@Q}"
