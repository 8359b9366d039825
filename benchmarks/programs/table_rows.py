r"""A table of MariaDB by pymysql's streaming cursor to a hashed, synced file: ``table_rows.py URL TABLE FOLDER``.

Values are the server's text, without pymysql's converters, a tab between them, ``\N`` for NULL; nothing is escaped.
"""

import hashlib
import os
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pymysql
from pymysql.converters import encoders
from pymysql.cursors import SSCursor

url, table, folder = urlsplit(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
folder.mkdir(parents=True)
digest = hashlib.sha256()
connection = pymysql.connect(
    host=url.hostname,
    port=url.port or 3306,
    user=unquote(url.username or ""),
    password=unquote(url.password or ""),
    database=url.path.strip("/"),
    use_unicode=False,
    conv=dict(encoders),
)
half = folder / ".half"
with connection, connection.cursor(SSCursor) as cursor, half.open("wb", buffering=0) as file:
    cursor.execute(f"SELECT * FROM {table}")
    lines = ["\t".join(column[0] for column in cursor.description).encode()]
    while lines:
        data = b"\n".join(lines) + b"\n"
        digest.update(data)
        file.write(data)
        rows = cursor.fetchmany(1000)
        lines = [b"\t".join([rb"\N" if value is None else value for value in row]) for row in rows]
    os.fsync(file.fileno())
half.rename(folder / digest.hexdigest())
