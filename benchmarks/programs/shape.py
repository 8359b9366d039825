"""A table that is hard to measure: ``shape.py columns|categories|unique FILE.parquet``."""

import sys

import polars as pl

name, file = sys.argv[1:]
row = pl.int_range({"columns": 100_000, "categories": 1_000_000, "unique": 3_000_000}[name], eager=True)
match name:
    case "unique":
        table = pl.DataFrame({"text": "identifier-" + row.cast(pl.String)})
    case "categories":
        table = pl.DataFrame({"text": "category-" + (row * 7_919 % 10_000).cast(pl.String)})
    case _:
        mixed = enumerate(row * (7_919 * number + 13) % (100 + number) for number in range(1_000))
        table = pl.DataFrame({f"c{n}": values if n % 2 else "v" + values.cast(pl.String) for n, values in mixed})
table.write_parquet(file, row_group_size=50_000)
