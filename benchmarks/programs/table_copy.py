"""A table of PostgreSQL by psycopg's COPY to a file that is hashed and synced: ``table_copy.py URL TABLE FOLDER``."""

import hashlib
import os
import sys
from pathlib import Path

import psycopg

STEP = 256 << 10

url, table, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
folder.mkdir(parents=True)
digest = hashlib.sha256()
held = bytearray()
half = folder / ".half"
with psycopg.connect(url, options="-c TimeZone=UTC") as connection, half.open("wb", buffering=0) as file:
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} TO STDOUT (HEADER)") as copy:
        for row in copy:
            held += row
            if len(held) >= STEP:
                digest.update(held)
                file.write(held)
                held.clear()
    digest.update(held)
    file.write(held)
    os.fsync(file.fileno())
half.rename(folder / digest.hexdigest())
