"""Making and writing of records by the workers of Apache Beam, on any of its runners."""

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import shorten

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions
from etils import epath

from cmed_jax.crystal.material import Refusal
from tfds_builders.cmed.workers import Shard, Written

Write = Callable[[Shard], Written]


@contextmanager
def beam_pool(options: Sequence[str], directory: Path) -> Iterator["BeamPool"]:
    """Yield a pool of Beam workers for the files of a directory.

    Args:
        options: options of the pipeline, in the form of Beam's commands. Workers transfer files
            through their `--temp_location`, such as gs://BUCKET/FOLDER. Without one, they use the
            directory, which they must then be able to reach.
        directory: directory in which the dataset is written.
    """
    pipeline = PipelineOptions(list(options))
    exchange = pipeline.view_as(GoogleCloudOptions).temp_location or str(directory)
    exchange = FileSystems.join(exchange, f"exchange-{directory.name}")
    FileSystems.mkdirs(exchange)
    try:
        yield BeamPool(pipeline, exchange)
    finally:
        FileSystems.delete([exchange])


class BeamPool:
    """A pool with the method `map` of an executor."""

    def __init__(self, options: PipelineOptions, exchange: str):
        self._options, self._exchange = options, exchange

    def map(self, write: Write, shards: Sequence[Shard]) -> Iterator[Written]:
        """Write all shards, then yield the result of each.

        A worker may be a machine without access to this one. It therefore writes two files for each
        shard, which are copied from there: the records, and the result.

        Raises:
            OSError: the pipeline failed, or files cannot be transferred.
        """
        hand_over = beam.Map(_hand_over, write=write, exchange=self._exchange)
        try:
            with beam.Pipeline(options=self._options) as pipeline:
                numbered = pipeline | beam.Create(list(enumerate(shards))) | beam.Reshuffle()
                _ = numbered | hand_over
        except Exception as error:  # runners raise errors of any type
            raise OSError(
                f"the pipeline of Apache Beam failed ({shorten(str(error), 300)})"
            ) from error
        for number, shard in enumerate(shards):
            records, result = _files(self._exchange, number)
            with FileSystems.open(records) as source, shard.path.open("wb") as target:
                shutil.copyfileobj(source, target)
            with FileSystems.open(result) as source:
                content = json.load(source)
            refused = [Refusal(**refusal) for refusal in content["refused"]]
            yield Written(refused, content["coarse"])


def _hand_over(numbered: tuple[int, Shard], write: Write, exchange: str) -> None:
    number, shard = numbered
    with TemporaryDirectory() as folder:  # array_record writes only local files
        path = epath.Path(folder) / "records"
        written = write(dataclasses.replace(shard, path=path))
        records, result = _files(exchange, number)
        with path.open("rb") as source, FileSystems.create(records) as target:
            shutil.copyfileobj(source, target)
        with FileSystems.create(result) as target:
            target.write(json.dumps(dataclasses.asdict(written)).encode())


def _files(exchange: str, number: int) -> list[str]:
    return [FileSystems.join(exchange, f"{number}.{kind}") for kind in ("records", "json")]
