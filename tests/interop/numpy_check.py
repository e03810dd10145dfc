"""The arrays of `transform`, read with NumPy alone.

    python tests/interop/numpy_check.py NETSEC FOLDER

NETSEC is the program; FOLDER is where the workspace is made (it is emptied first). Package: numpy. Ends with 1 if an array is not
what the rows say.
"""

import csv
import io
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

NETSEC, FOLDER = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
PIPELINE = """stages:
  ingest: { kind: ingest, inputs: { data: rows.csv } }
  split: { kind: split, inputs: { data: ingest.data }, with: { target: label } }
  transform:
    kind: transform
    inputs: { train: split.train, test: split.test }
    with: { target: label, target_map: { benign: 0, "": 0 }, other_labels: 1 }
"""


def run(*words):
    done = subprocess.run([NETSEC, *words], cwd=FOLDER, capture_output=True)
    if done.returncode:
        sys.exit(f"{' '.join(words)}: {done.stderr.decode()}")
    return done.stdout


shutil.rmtree(FOLDER, ignore_errors=True)
FOLDER.mkdir(parents=True)
random = np.random.default_rng(3)
words = ["benign", "dos", "scan – ungewöhnlich", ""]
with open(FOLDER / "rows.csv", "w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["bytes", "proto", "label"])
    for row in range(400):
        table.writerow([random.normal(), ["tcp", "udp"][row % 2], words[random.integers(0, 4)]])
(FOLDER / "p.yaml").write_text(PIPELINE)
run("run", "p.yaml")
for side in ["train", "test"]:
    rows = list(csv.DictReader(io.StringIO(run("cat", f"split.{side}").decode())))
    array = np.load(io.BytesIO(run("cat", f"transform.{side}")))
    named = np.load(io.BytesIO(run("cat", f"transform.{side}_labels")))
    assert list(named["features"]) == ["bytes", "proto=tcp", "proto=udp"], named["features"]
    assert list(named["classes"]) == ["benign", "attack"] and list(named["is_attack"]) == [False, True]
    assert array.shape == (len(rows), len(named["features"]) + 1)
    assert (named["class"] == array[:, -1]).all() and named["class"].dtype == np.uint16
    labels = named["label_names"][named["label"]]
    assert list(labels) == [row["label"] for row in rows], "labels are as they were written"
    assert (named["is_attack"][named["class"]] == ~np.isin(labels, ["benign", ""])).all()
    print(f"{side}: {len(rows)} rows, {', '.join(named.files)}")
