"""dlt from a folder to Delta: ``dlt_load.py FOLDER GLOB WORK READER``.

READER is ``default`` (`read_csv`), ``duckdb`` (`read_csv_duckdb` giving Arrow) or ``pyarrow`` (a
transformer that yields Arrow batches, dlt's advice for speed). All else is as dlt has it.
"""

import sys
import time

started = time.perf_counter()

import json  # noqa: E402  # imports count
from pathlib import Path  # noqa: E402

import dlt  # noqa: E402
from dlt.sources.filesystem import filesystem, read_csv, read_csv_duckdb  # noqa: E402

folder, glob, work, reader = sys.argv[1:]
files = filesystem(bucket_url=Path(folder).absolute().as_uri(), file_glob=glob)


@dlt.transformer
def read_arrow(items):
    """Yield each file's record batches."""
    from pyarrow import csv  # noqa: PLC0415  # only here

    for item in items:
        with item.open() as file:
            yield from csv.open_csv(file, read_options=csv.ReadOptions(block_size=16 << 20))


match reader:
    case "duckdb":
        rows = files | read_csv_duckdb(use_pyarrow=True, chunk_size=100_000)
    case "pyarrow":
        rows = files | read_arrow()
    case _:
        rows = files | read_csv()
pipeline = dlt.pipeline(
    "bench",
    pipelines_dir=f"{work}/pipelines",
    destination=dlt.destinations.filesystem(Path(work, "lake").absolute().as_uri()),
    dataset_name="bench",
)
info = pipeline.run(rows.with_name("rows"), table_format="delta", write_disposition="append")
info.raise_on_failed_jobs()
print(json.dumps({"seconds": time.perf_counter() - started}))
