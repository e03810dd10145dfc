"""Every learner with its preprocessing, exported as ONNX and asked by ONNX Runtime, against `netsec predict`; the last
also as a model directory of MLflow.

    python tests/interop/onnx_check.py NETSEC FOLDER [CSV TARGET]

NETSEC is the program; FOLDER is where the workspace is made (it is emptied first). Packages: tests/interop/requirements.txt. Without
a CSV the rows are synthetic, with holes and a column of text, once attacks and benign rows and once families. Prints a line for each
model, and ends with 1 if any probability of the test side differs by more than 1e-6, or a row is told to be of another class.
"""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import onnx
import onnxruntime
import pandas

NETSEC, FOLDER = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
STEPS = {
    "usual": "[{finite: {}}, {impute: {with: knn}}, {onehot: {}}, {scale: {}}]",
    "distance": "[{finite: {}}, {impute: {with: knn, neighbours: 4, weights: distance, indicator: true}}, {onehot: {unknown: rare, min_count: 40}},"
                " {scale: {with: robust}}]",
    "simple": "[{finite: {with: clip}}, {ratio: {of: a, and: b}}, {difference: {of: a, and: b}}, {impute: {with: median, indicator: true}},"
              " {impute: {with: constant, text: none}}, {target: {}}, {quantile: {quantiles: 50}}, {drop: {constant: true}}]",
    "other": "[{finite: {}}, {impute: {with: mean}}, {clip: {low_share: 0.01, high_share: 0.99}}, {columns: [c], log1p: {}}, {ordinal: {}},"
             " {scale: {with: min_max}}, {pca: {components: 5}}]",
    "holes": "[{finite: {}}, {onehot: {unknown: error}}]",
    "kept": "[{finite: {}}, {category: {min_count: 50}}]",
    "finite": "[{finite: {with: quantile, share: 0.99}}, {impute: {with: median}}, {onehot: {}}, {scale: {}}]",
}
LEARNERS = ["logistic_regression", "knn", "svm", "naive_bayes", "decision_tree", "random_forest", "extra_trees", "gradient_boosting",
            "adaboost"]
TREES = LEARNERS[4:]
NOVELTY = ["isolation_forest", "knn_distance", "pca_reconstruction", "mahalanobis", "hbos", "ecod", "copod"]


def rows(count, families=False, services=4):
    random = np.random.default_rng(7)
    a, b, c, d = random.normal(size=count), random.normal(2, 3, size=count), random.exponential(size=count), random.integers(0, 3, count)
    if services == 4:
        words, shares, odd = ["tcp", "udp", "icmp", "gre"], [0.6, 0.3, 0.07, 0.03], ["udp"]
    else:
        words = [f"s{number}" for number in range(services)]
        shares, odd = np.full(services, 1 / services), words[::3]
    word = random.choice(words, size=count, p=shares)
    label = (a + b / 3 - c + np.isin(word, odd) + random.normal(size=count) > 0.8).astype(int)
    if families:
        names = np.array(["benign", "dos", "probe", "u2r"])
        label = names[np.where(label == 0, 0, np.where(a > b / 3, 1, np.where(c > 0.1, 2, 3)))]
    table = [[*map(repr, map(float, (a[i], b[i], c[i]))), str(d[i]), word[i], str(label[i])] for i in range(count)]
    for i, j in zip(*np.nonzero(random.random((count, 5)) < 0.06)):
        table[i][j] = ""
    for i in range(0, count, 97):
        table[i][2] = "inf" if i % 2 else "-inf"
    return ["a", "b", "c", "d", "word", "family" if families else "label"], table


def run(*words):
    done = subprocess.run([NETSEC, *words], cwd=FOLDER, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}: {done.stderr}{done.stdout}")
    return done.stdout


def pipeline(target, steps, learner, extra, data):
    classes = "{benign: benign}, other_labels: each" if target == "family" else "{-1: 0, 0: 0, 1: 1}"
    return f"""stages:
  ingest: {{ kind: ingest, inputs: {{ data: "{data}" }} }}
  split: {{ kind: split, inputs: {{ data: ingest.data }}, with: {{ target: {target} }} }}
  transform: {{ kind: transform, inputs: {{ train: split.train, test: split.test }}, with: {{ target: {target}, target_map: {classes}, steps: {steps} }} }}
  train:
    kind: train
    inputs: {{ train: transform.train, preprocessor: transform.preprocessor }}
    with: {{ candidates: [ {{ learner: {learner} }} ], select: {{ min_score: 0 }}{extra} }}
"""


def column(path, name):
    with open(path, newline="") as file:
        return [row[name] for row in csv.DictReader(file)]


def told(name, path):
    model = onnx.load(FOLDER / path)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(FOLDER / path)
    feeds = {}
    for entry in session.get_inputs():
        cells = column(FOLDER / "test.csv", entry.name)
        feeds[entry.name] = (np.array(cells, dtype=object) if entry.type == "tensor(string)"
                             else np.array([float(cell) if cell else np.nan for cell in cells]))
    p, alarm = session.run(["probability", "alarm"], feeds)
    ours = np.array([float(cell) for cell in column(FOLDER / "scored.csv", "netsec_probability")])
    alarms = np.array([cell == "true" for cell in column(FOLDER / "scored.csv", "netsec_alarm")])
    far = np.abs(p - ours).max()
    print(f"{name}: {len(ours)} rows, farthest {far:.1e}, {len(model.graph.node)} nodes", flush=True)
    fine = far <= 1e-6 and (alarm == alarms).all()
    if "review" in [entry.name for entry in session.get_outputs()]:
        review = session.run(["review"], feeds)[0]
        reviewed = np.array([cell == "true" for cell in column(FOLDER / "scored.csv", "netsec_review")])
        print(f"  {reviewed.sum()} rows left to review", flush=True)
        fine &= bool(reviewed.any() and (review == reviewed).all())
    if "class" in [entry.name for entry in session.get_outputs()]:
        told, certain, p = session.run(["class", "class_probability", "probabilities"], feeds)
        theirs = np.array(column(FOLDER / "scored.csv", "netsec_class"))
        ours = np.array([float(cell) for cell in column(FOLDER / "scored.csv", "netsec_class_probability")])
        apart, sums = np.abs(certain - ours)[told == theirs].max(), np.abs(p.sum(axis=1) - 1).max()
        # Two classes may be as likely but for the last bit.
        tied = np.sort(p, axis=1)[:, -1] - np.sort(p, axis=1)[:, -2] < 1e-6
        print(f"  {len(set(theirs))} classes told, farthest {apart:.1e}, sums off by {sums:.1e}", flush=True)
        fine &= bool(apart <= 1e-6 and sums <= 1e-9 and (told[~tied] == theirs[~tied]).all())
    return fine


shutil.rmtree(FOLDER, ignore_errors=True)
FOLDER.mkdir(parents=True)
cases = [("usual", learner, "") for learner in LEARNERS]
families = []
if len(sys.argv) > 3:
    data, target = Path(sys.argv[3]).resolve(), sys.argv[4]
else:
    data, target = FOLDER.resolve() / "rows.csv", "label"
    for path, names, table in [(data, *rows(1500)), (FOLDER / "families.csv", *rows(1500, families=True)),
                               (FOLDER / "services.csv", *rows(1500, services=20)),
                               (FOLDER / "families-services.csv", *rows(1500, families=True, services=20))]:
        with open(path, "w", newline="") as file:
            csv.writer(file).writerows([names, *table])
    families = [("usual", learner, "") for learner in LEARNERS]
    families += [("holes", learner, "") for learner in TREES]
    families += [("usual", learner, ", threshold_fpr: 0.1") for learner in NOVELTY]
    families += [("usual", learner, ", calibrate: platt") for learner in LEARNERS]
    families += [("usual", learner, ", calibrate: isotonic, threshold_fpr: 0.1") for learner in ("knn", "gradient_boosting")]
    cases += [("usual", learner, ", threshold_fpr: 0.1") for learner in NOVELTY]
    cases += [("other", learner, ", calibrate: platt") for learner in NOVELTY]
    cases += [("distance", learner, "") for learner in ("logistic_regression", "knn", "gradient_boosting")]
    cases += [("simple", learner, "") for learner in ("logistic_regression", "random_forest", "svm")]
    cases += [("other", learner, "") for learner in ("knn", "svm", "naive_bayes")]
    cases += [("holes", learner, "") for learner in TREES]
    cases += [("finite", learner, "") for learner in ("logistic_regression", "gradient_boosting")]
    reviewing = [("usual", "gradient_boosting", ", threshold_fpr: 0.02, review_fpr: 0.2")]
    families += reviewing
    cases += reviewing
    cases += [("usual", learner, ", calibrate: platt, threshold_fpr: 0.05") for learner in ("random_forest", "gradient_boosting")]
    cases += [("usual", learner, ", calibrate: isotonic") for learner in ("random_forest", "logistic_regression")]
    cases += [("usual", "knn", ", candidates: [{learner: knn, grid: {weights: [distance]}}]"),
              ("usual", "svm", ", candidates: [{learner: svm, grid: {kernel: [linear]}}]")]
    # Many rows have the very probability of these thresholds.
    cases += [("holes", learner, f", threshold_fpr: 0.02, review_fpr: 0.3, candidates: [{{learner: {learner}, grid: {{trees: [30]}}}}]")
              for learner in ("random_forest", "extra_trees")]
# Trials put together: a model of each rule, of two classes and of families.
MEMBERS = "[{learner: logistic_regression}, {learner: decision_tree}, {learner: naive_bayes}, {learner: hbos}]"
ensembles = [("usual", rule, f", threshold_fpr: 0.1, candidates: {MEMBERS}, ensembles: [{{rule: {rule}}}]")
             for rule in ("voting", "stacking", "either")]
if len(sys.argv) <= 3:
    families += ensembles
    cases += ensembles
fine = True
cases = [(target, data, *case) for case in cases]
cases += [("family", FOLDER.resolve() / "families.csv", *case) for case in families]
if len(sys.argv) <= 3:
    # Twenty services that stay categories, of which the rarest are one together.
    cases = [(side, FOLDER.resolve() / name, "kept", learner, "") for learner in TREES
             for side, name in (("label", "services.csv"), ("family", "families-services.csv"))] + cases
# The last is the one that is also a model of MLflow.
for target, data, steps, learner, extra in cases:
    text = pipeline(target, STEPS[steps], learner, extra, data)
    if "candidates" in extra:
        among = f", among: [{learner}]" if "ensembles" in extra else ""
        text = text.replace(f"candidates: [ {{ learner: {learner} }} ], select: {{ min_score: 0 }}", f"select: {{ min_score: 0{among} }}")
    (FOLDER / "p.yaml").write_text(text)
    run("run", "p.yaml")
    run("cat", "split.test", "-o", "test.csv")
    run("predict", "train.model", "test.csv", "-o", "scored.csv")
    run("model", "export", "train.model", "-o", "model.onnx")
    fine &= told(f"{target}: {steps}, {learner}{extra}", "model.onnx")
run("model", "export", "train.model", "-o", "packed")
table = pandas.read_csv(FOLDER / "test.csv").drop(columns=[target])
p = np.asarray(mlflow.pyfunc.load_model(str(FOLDER / "packed")).predict(table)["probability"])
far = np.abs(p - np.array([float(cell) for cell in column(FOLDER / "scored.csv", "netsec_probability")])).max()
print(f"the last as a model of MLflow: farthest {far:.1e}")
fine &= far <= 1e-6
if "d" in table:
    # Without missing cells pandas reads whole numbers as such.
    whole = table[table["d"].notna()].astype({"d": "int64"})
    same = mlflow.pyfunc.load_model(str(FOLDER / "packed")).predict(whole)["probability"]
    fine &= bool(np.abs(np.asarray(same) - p[table["d"].notna()]).max() <= 1e-12)
    print(f"whole numbers as such: {len(whole)} rows, {'the same' if fine else 'another probability'}")
sys.exit(0 if fine else 1)
