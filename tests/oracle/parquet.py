"""Makes Parquet files as other programs write them (pyarrow 21.0.0).

checksums.parquet: pages carry checksums. empty.parquet: no rows. lists.parquet: a column of lists. shared.parquet: 200,000
rows that share one text of 20,000 characters, as a category; nested.parquet: the same within a structure, for 20,000 rows.
"""

import pathlib

import numpy
import pyarrow
import pyarrow.parquet


def write(name, table, **options):
    pyarrow.parquet.write_table(table, pathlib.Path(__file__).with_name(name), **options)


table = pyarrow.table({"a": [1, 2, 3] * 40, "b": ["x", "yy", "zzz"] * 40, "c": [0.5, None, 2.5] * 40})
write("checksums.parquet", table, write_page_checksum=True, compression="snappy")
write("empty.parquet", pyarrow.table({"a": pyarrow.array([], "int64"), "b": pyarrow.array([], "string")}))
write("lists.parquet", pyarrow.table({"a": [1, 2], "b": [["x"], ["y", "z"]]}))
text = pyarrow.array(["x" * 20_000])
category = pyarrow.DictionaryArray.from_arrays(numpy.zeros(200_000, dtype="int32"), text)
write("shared.parquet", pyarrow.table({"a": category}))
inner = pyarrow.array(["x" * 20_000] * 20_000)
write("nested.parquet", pyarrow.table({"a": pyarrow.StructArray.from_arrays([inner], ["b"])}))
