"""The configuration: YAML files in, frozen values out, every problem in one error.

`load` reads a folder; nothing here touches the lake, and no user's function is imported before
`curate_function` or `load_functions` is asked for it.
"""

from __future__ import annotations

from lakehouse.config.cron import Cron
from lakehouse.config.dotted import curate_function, load_functions, load_object
from lakehouse.config.loading import load
from lakehouse.config.models import Config, Dataset, Job, Retries, Tolerance
from lakehouse.config.openlineage import OpenLineage, Transport

__all__ = [
    "Config",
    "Cron",
    "Dataset",
    "Job",
    "OpenLineage",
    "Retries",
    "Tolerance",
    "Transport",
    "curate_function",
    "load",
    "load_functions",
    "load_object",
]
