"""TensorFlow Data Validation's statistics: ``tfdv_statistics.py csv|frame SOURCE OUTPUT``.

``csv`` reads the file with its own reader, ``frame`` with pandas; OUTPUT is the binary message. The last line has
``seconds``.
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow_data_validation as tfdv

way, source, output = sys.argv[1:]
started = time.perf_counter()
if way == "csv":
    statistics = tfdv.generate_statistics_from_csv(source)
else:
    import pandas as pd

    statistics = tfdv.generate_statistics_from_dataframe(pd.read_csv(source))
seconds = time.perf_counter() - started
Path(output).write_bytes(statistics.SerializeToString())
print(json.dumps({"seconds": seconds}))
