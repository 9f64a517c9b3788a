#!/usr/bin/env bash
# Build a dataset with the workers of Apache Beam, on any of its runners (pip install -e '.[beam]'):
#
#   launch/dataset_beam.sh --config all --data_dir DIR [options of the job] -- [options of the pipeline]
#
# such as
#
#   ... -- --runner=DirectRunner --direct_running_mode=multi_processing --direct_num_workers=8
#   ... -- --runner=FlinkRunner --flink_master=HOST:8081 --temp_location=/shared/folder
#   ... -- --runner=DataflowRunner --project=P --region=R --temp_location=gs://BUCKET/tmp \
#          --extra_package=dist/cmed_jax-0.1.0.tar.gz     (what `python -m build --sdist` makes)
#
# Workers on other machines need this package, and hand over what they wrote at temp_location.
set -euo pipefail

job=()
while (($#)) && [[ $1 != -- ]]; do
  job+=("$1")
  shift
done
[[ ${1-} ]] || { echo "error: give the options of the pipeline after --" >&2 && exit 2; }
shift
exec python -m tfds_builders.cmed "${job[@]}" --beam_options="${*@Q}"
