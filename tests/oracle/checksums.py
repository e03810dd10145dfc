"""Makes `checksums.parquet`: a table whose pages carry checksums (pyarrow 21.0.0)."""

import pathlib

import pyarrow
import pyarrow.parquet

table = pyarrow.table({"a": [1, 2, 3] * 40, "b": ["x", "yy", "zzz"] * 40, "c": [0.5, None, 2.5] * 40})
pyarrow.parquet.write_table(
    table, pathlib.Path(__file__).with_name("checksums.parquet"), write_page_checksum=True, compression="snappy"
)
