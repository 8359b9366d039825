"""A Singer tap of the tests' own: numbers from where it was left, a STATE every so often; it fails as it is told."""

# ruff: noqa: T201, PTH116, PTH123  # it writes on its output, and is read as any tap would be

import json
import os
import subprocess
import sys
import time


def file(option):
    """The JSON of the file an option names; {} without it."""
    names = [sys.argv[at + 1] for at, word in enumerate(sys.argv) if word == option]
    if not names:
        return {}
    assert oct(os.stat(names[0]).st_mode)[-3:] == "600"
    with open(names[0]) as opened:
        return json.load(opened)


def tell(**message):
    """Write one message as singer-python does."""
    sys.stdout.write(json.dumps(message) + "\n")


config, state, catalog = file("--config"), file("--state"), file("--catalog")
fields = {"id": {"type": "integer"}, "v": {"type": "string"}}
if "--discover" in sys.argv:
    table = [
        {"breadcrumb": [], "metadata": {}},
        {"breadcrumb": ["properties", "id"], "metadata": {"inclusion": "automatic"}},
    ]
    streams = [
        {"tap_stream_id": name, "stream": name, "schema": {"properties": dict(fields)}, "metadata": table}
        for name in ("numbers", "letters")
    ]
    print(json.dumps({"streams": streams}))
    sys.exit()

start, to, every = state.get("at", 0), config["to"], config.get("every", 1000)
chosen = [stream for stream in catalog.get("streams", ()) if stream["selected"]]
kept = [
    entry["breadcrumb"][1]
    for stream in chosen
    for entry in stream["metadata"]
    if entry["breadcrumb"] and (entry["metadata"].get("selected") or entry["metadata"].get("inclusion") == "automatic")
]
for line in config.get("junk", ()):
    print(line)
if config.get("environment"):
    sys.stderr.write(" ".join(sorted(os.environ)) + "\n")
if config.get("spawn"):
    with open(config["spawn"], "w") as pids:
        pids.write(f"{os.getpid()} {subprocess.Popen(['sleep', '600']).pid} {sys.argv[2]}")
if config.get("echo") and state:
    tell(type="STATE", value=state)
tell(type="SCHEMA", stream="numbers", schema={"properties": fields}, key_properties=["id"])
if config.get("letters"):
    tell(type="SCHEMA", stream="letters", schema={"properties": {"c": {}}}, key_properties=["c"])
for number in range(start + 1, to + 1):
    record = {"id": number, "v": f"v{number}"}
    tell(type="RECORD", stream="numbers", record={k: v for k, v in record.items() if not kept or k in kept})
    if config.get("letters"):
        tell(type="RECORD", stream="letters", record={"c": {"deep": [{"er": number}]}}, more={"a": "}"})
    if every and number % every == 0:
        tell(type="STATE", value={"at": number})
    if number == config.get("fail"):
        sys.stdout.flush()
        sys.stderr.write(f"no more after {number}, says {config.get('password')}\n")
        sys.exit(3)
    if number == config.get("hang"):
        sys.stdout.flush()
        time.sleep(600)
if config.get("final", True):
    tell(type="STATE", value={"at": max(start, to)})
