"""Runs another program, and tells its peak: ``peak.py PROGRAM ARGUMENTS...``.

What the operating system tells of a process is no less than the peak of the one that started it; this is its own.
"""

import json
import re
import runpy
import sys
import time
from pathlib import Path

started = time.perf_counter()
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
kibibytes = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"))[1]
print(json.dumps({"seconds": time.perf_counter() - started, "peak": int(kibibytes) * 1024}))
