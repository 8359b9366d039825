"""TensorFlow Data Validation infers a schema and validates by it: ``tfdv_validate.py STATISTICS``.

STATISTICS is the binary message that ``tfdv_statistics.py`` left. The last line has ``seconds``, without reading it.
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import statistics_pb2

statistics = statistics_pb2.DatasetFeatureStatisticsList()
statistics.ParseFromString(Path(sys.argv[1]).read_bytes())
started = time.perf_counter()
schema = tfdv.infer_schema(statistics)
anomalies = tfdv.validate_statistics(statistics, schema)
seconds = time.perf_counter() - started
if anomalies.anomaly_info:
    sys.exit(str(anomalies.anomaly_info))
print(json.dumps({"seconds": seconds}))
