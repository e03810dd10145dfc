"""Makes Parquet files as other programs write them (pyarrow 21.0.0).

checksums.parquet: pages carry checksums. empty.parquet: no rows. lists.parquet: a column of lists. shared.parquet: 200,000
rows that share one text of 20,000 characters, as a category; nested.parquet: the same within a structure, for 20,000 rows.
types.parquet: a column of each type that is read, its cells as text in types.json; refused-*.parquet: a column of each that is
not.
"""

import datetime
import decimal
import json
import pathlib
import uuid

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

day = datetime.date(2024, 2, 29)
moment = datetime.datetime(2024, 2, 29, 23, 59, 58, 123456)
zoned = moment.replace(tzinfo=datetime.timezone.utc)
clock = datetime.time(3, 4, 5, 123456)
ids = [uuid.UUID(int=1), uuid.UUID("12345678-9abc-def0-1234-56789abcdef0")]
to_ms = "2024-02-29T23:59:58.123Z"
category = pyarrow.dictionary(pyarrow.int8(), pyarrow.string())
inner = pyarrow.struct([pyarrow.field("b", pyarrow.int64(), nullable=False), pyarrow.field("c", pyarrow.string())])
outer = pyarrow.struct([pyarrow.field("x", inner), pyarrow.field("y", pyarrow.float64())])
# The type, two cells (a third is missing), and them as text.
types = {
    "int8": (pyarrow.int8(), [-128, 127], ["-128", "127"]),
    "int16": (pyarrow.int16(), [-32768, 32767], ["-32768", "32767"]),
    "int32": (pyarrow.int32(), [-(2**31), 7], ["-2147483648", "7"]),
    "int64": (pyarrow.int64(), [-(2**63), 2**63 - 1], ["-9223372036854775808", "9223372036854775807"]),
    "uint8": (pyarrow.uint8(), [0, 255], ["0", "255"]),
    "uint16": (pyarrow.uint16(), [0, 65535], ["0", "65535"]),
    "uint32": (pyarrow.uint32(), [0, 2**32 - 1], ["0", "4294967295"]),
    "uint64": (pyarrow.uint64(), [1, 2**64 - 1], ["1", "18446744073709551615"]),
    "float16": (pyarrow.float16(), [numpy.float16(-0.5), numpy.float16(65504)], ["-0.5", "65504"]),
    "float32": (pyarrow.float32(), [0.5, -3.0], ["0.5", "-3"]),
    "float64": (pyarrow.float64(), [0.1, 1e300], ["0.1", "1" + "0" * 300]),
    "bool": (pyarrow.bool_(), [True, False], ["true", "false"]),
    "text": (pyarrow.string(), ["a", "\u00e4"], ["a", "\u00e4"]),
    "large text": (pyarrow.large_string(), ["a", ""], ["a", ""]),
    "category": (category, ["tcp", "udp"], ["tcp", "udp"]),
    "bytes": (pyarrow.binary(), [b"ab", b"c"], ["ab", "c"]),
    "fixed bytes": (pyarrow.binary(3), [b"abc", b"def"], ["abc", "def"]),
    "uuid": (pyarrow.uuid(), [one.bytes for one in ids], [str(one) for one in ids]),
    "day": (pyarrow.date32(), [day, datetime.date(1969, 12, 31)], ["2024-02-29T00:00:00.000Z", "1969-12-31T00:00:00.000Z"]),
    "time ms": (pyarrow.time32("ms"), [clock, datetime.time(0)], ["03:04:05.123", "00:00:00"]),
    "time us": (pyarrow.time64("us"), [clock, datetime.time(12)], ["03:04:05.123456", "12:00:00"]),
    "time ns": (pyarrow.time64("ns"), [1, 86_399_999_999_999], ["00:00:00.000000001", "23:59:59.999999999"]),
    "moment ms": (pyarrow.timestamp("ms"), [moment, moment], [to_ms, to_ms]),
    "moment us": (pyarrow.timestamp("us"), [moment, moment], [to_ms, to_ms]),
    "moment ns": (pyarrow.timestamp("ns"), [moment, moment], [to_ms, to_ms]),
    "moment of a zone": (pyarrow.timestamp("us", "Europe/Berlin"), [zoned, zoned], [to_ms, to_ms]),
    # What Parquet has no word for is the number that it stores.
    "duration": (pyarrow.duration("us"), [1_500_000, -1], ["1500000", "-1"]),
}
columns = {name: pyarrow.array([*cells, None], kind) for name, (kind, cells, _) in types.items()}
expected = {name: [*texts, None] for name, (_, _, texts) in types.items()}
columns["s"] = pyarrow.array([{"x": {"b": 1, "c": "p"}, "y": 0.5}, {"x": None, "y": None}, None], outer)
expected |= {"s.x.b": ["1", None, None], "s.x.c": ["p", None, None], "s.y": ["0.5", None, None]}
columns["nothing"] = pyarrow.nulls(3)
expected["nothing"] = [None] * 3
write("types.parquet", pyarrow.table(columns))
text = json.dumps(expected, indent=1) + "\n"
pathlib.Path(__file__).with_name("types.json").write_text(text)

refused = {
    "decimal": pyarrow.array([decimal.Decimal("1.5")], pyarrow.decimal128(5, 2)),
    "list": pyarrow.array([[1, 2]], pyarrow.list_(pyarrow.int64())),
    "map": pyarrow.array([[("a", 1)]], pyarrow.map_(pyarrow.string(), pyarrow.int64())),
    "list-in-structure": pyarrow.array([{"a": [1]}], pyarrow.struct([("a", pyarrow.list_(pyarrow.int64()))])),
    "no-text": pyarrow.array([b"fine", b"\xff\xfe"], pyarrow.binary()),
}
for name, cells in refused.items():
    write(f"refused-{name}.parquet", pyarrow.table({"fine": pyarrow.array([0] * len(cells)), "odd": cells}))
