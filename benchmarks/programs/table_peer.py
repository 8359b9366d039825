"""A table of PostgreSQL to Parquet by another tool: ``table_peer.py adbc|connectorx|dlt URL TABLE FOLDER``.

ADBC and connectorx stream record batches into one file; dlt reads through SQLAlchemy with its pyarrow backend. All
else is as they have it.
"""

import sys
from pathlib import Path

name, url, table, folder = sys.argv[1:]
query = f"SELECT * FROM {table}"


def write(batches):
    """Write record batches to one Parquet file."""
    import pyarrow.parquet as pq  # noqa: PLC0415  # only here

    Path(folder).mkdir(parents=True)
    with pq.ParquetWriter(Path(folder, "part.parquet"), batches.schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


match name:
    case "adbc":
        from adbc_driver_postgresql import dbapi

        with dbapi.connect(url) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            write(cursor.fetch_record_batch())
    case "connectorx":
        import connectorx

        write(connectorx.read_sql(url, query, return_type="arrow_stream"))
    case _:
        import dlt
        from dlt.sources.sql_database import sql_table

        pipeline = dlt.pipeline(
            "bench",
            pipelines_dir=f"{folder}/pipelines",
            destination=dlt.destinations.filesystem(Path(folder, "lake").absolute().as_uri()),
            dataset_name="bench",
        )
        rows = sql_table(url.replace("://", "+psycopg://", 1), table=table, backend="pyarrow")
        pipeline.run(rows, loader_file_format="parquet", write_disposition="append").raise_on_failed_jobs()
