"""The configuration: YAML files in, frozen values out, every problem in one error.

`load` reads a folder; nothing here touches the lake, and no user's function is imported before
`curate_function` or `load_functions` is asked for it.
"""

from __future__ import annotations

from lakehouse.config.datasets import change_dataset, dataset_file, schema_text
from lakehouse.config.derived import derivation, downstream, in_order
from lakehouse.config.dotted import curate_function, load_functions, load_object
from lakehouse.config.editing import GONE, Edit
from lakehouse.config.features import FeatureName, FeatureSet, feature_name
from lakehouse.config.feeds import CodeTable, Feed
from lakehouse.config.flow import flow
from lakehouse.config.jobs import Job, Retries
from lakehouse.config.loading import load
from lakehouse.config.models import Config, Dataset, Tolerance
from lakehouse.config.openlineage import OpenLineage, Transport
from lakehouse.config.snapshot_time import name_pattern
from lakehouse.config.validation import HistoryPolicy, Validation

__all__ = [
    "GONE",
    "CodeTable",
    "Config",
    "Dataset",
    "Edit",
    "FeatureName",
    "FeatureSet",
    "Feed",
    "HistoryPolicy",
    "Job",
    "OpenLineage",
    "Retries",
    "Tolerance",
    "Transport",
    "Validation",
    "change_dataset",
    "curate_function",
    "dataset_file",
    "derivation",
    "downstream",
    "feature_name",
    "flow",
    "in_order",
    "load",
    "load_functions",
    "load_object",
    "name_pattern",
    "schema_text",
]
