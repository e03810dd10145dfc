"""Scores a file with `netsec predict`, and the same model with ONNX Runtime and pyarrow.

Use: python tests/bench/predict.py target/release/netsec [rows] [columns]

Needs numpy, pyarrow and onnxruntime. Both have one thread. Gradient boosting of 100 trees; Parquet
to Parquet, and CSV to CSV. Told are processor seconds and the most memory of the whole process.
"""

import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile

PIPELINE = """
stages:
  ingest: { kind: ingest, inputs: { data: rows.csv } }
  split: { kind: split, inputs: { data: ingest.data }, with: { target: label } }
  transform:
    kind: transform
    inputs: { train: split.train, test: split.test }
    with: { target: label, target_map: { 0: 0, 1: 1 }, steps: [] }
  train:
    kind: train
    inputs: { train: transform.train, preprocessor: transform.preprocessor }
    with: { candidates: [{ learner: gradient_boosting }], select: { min_score: 0 } }
"""

PEER = """
import sys
import numpy as np, onnxruntime as ort, pyarrow as pa
import pyarrow.csv as csv, pyarrow.parquet as parquet

pa.set_cpu_count(1)
pa.set_io_thread_count(1)
options = ort.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = ort.InferenceSession("model.onnx", options)
read, write = sys.argv[1:]
table = parquet.read_table(read, use_threads=False) if read.endswith("parquet") else csv.read_csv(read)
outputs = [output.name for output in session.get_outputs()]
told = {name: [] for name in outputs}
for batch in table.to_batches(max_chunksize=100_000):
    feed = {
        wanted.name: batch.column(wanted.name).to_numpy(zero_copy_only=False)
        for wanted in session.get_inputs()
    }
    for name, values in zip(outputs, session.run(outputs, feed)):
        told[name].append(values)
for name in outputs:
    table = table.append_column("told_" + name, pa.array(np.concatenate(told[name])))
parquet.write_table(table, write) if write.endswith("parquet") else csv.write_csv(table, write)
"""


def main(netsec, rows=1_000_000, columns=30):
    netsec = os.path.abspath(netsec)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        # In a process of its own: what this one holds would count as what it starts holds.
        made = multiprocessing.Process(target=make, args=(rows, columns))
        made.start()
        made.join()
        for command in (["run", "pipeline.yaml"], ["model", "export", "train.model", "-o", "model.onnx"]):
            subprocess.run([netsec, *command], check=True, capture_output=True)
        for form in ("parquet", "csv"):
            read = f"big.{form}"
            ours = measured([netsec, "predict", "train.model", read, "-o", f"out.{form}", "--threads", "1"])
            theirs = measured([sys.executable, "-c", PEER, read, f"peer.{form}"])
            told = {"form": form, "rows": rows, "columns": columns, "netsec": ours, "onnxruntime": theirs}
            told["ratio"] = round(theirs["cpu"] / ours["cpu"], 2)
            print(json.dumps(told), flush=True)


def make(rows, columns):
    """Writes the table in both forms, a part of it with labels, and the pipeline."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.csv as csv
    import pyarrow.parquet as parquet

    random = np.random.default_rng(0)
    x = random.standard_normal((rows, columns))
    table = pa.table({f"f{column}": x[:, column] for column in range(columns)})
    parquet.write_table(table, "big.parquet")
    csv.write_csv(table, "big.csv")
    label = x[:, 0] * x[:, 1] + x[:, 2] + random.standard_normal(rows) / 2 > 0.3
    some = table.append_column("label", pa.array(label.astype(int))).slice(0, 20_000)
    csv.write_csv(some, "rows.csv")
    with open("pipeline.yaml", "w") as file:
        file.write(PIPELINE)


def measured(command):
    """Runs a program; returns its processor seconds and megabytes."""
    pid = os.fork()
    if pid == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.execv(command[0], command)
    _, status, used = os.wait4(pid, 0)
    if status != 0:
        raise SystemExit(f"{command[:3]} ended with {status}")
    return {"cpu": round(used.ru_utime + used.ru_stime, 2), "mb": used.ru_maxrss // 1024}


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
