"""Our statistics of a file: ``statistics_ours.py csv|parquet SOURCE OUTPUT``, or ``validate OUTPUT``.

``validate`` infers a schema from what the others left and validates by it. The last line has ``seconds``.
"""

import json
import sys
import time
from pathlib import Path

import polars as pl

import lakehouse
from lakehouse.validation.statistics import Statistics

way, *rest = sys.argv[1:]
match way:
    case "validate":
        statistics = Statistics.read(Path(rest[0]).read_bytes())
        infer, validate = lakehouse.infer_schema, lakehouse.validate_statistics  # imported when asked for
        started = time.perf_counter()
        if found := validate(statistics, infer(statistics)):
            sys.exit(str(found))
    case "csv" | "parquet":
        source, output = rest
        generate = lakehouse.generate_statistics
        started = time.perf_counter()
        rows = pl.scan_csv(source, infer_schema=False) if way == "csv" else pl.scan_parquet(source)
        Path(output).write_bytes(generate(rows).to_bytes())
print(json.dumps({"seconds": time.perf_counter() - started}))
