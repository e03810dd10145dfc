"""Makes classes.json: what scikit-learn and LightGBM make of rows of several classes.

    python -m venv .venv && .venv/bin/pip install -r tests/oracle/requirements.txt
    .venv/bin/python tests/oracle/classes.py

Rows are made here, so that nothing else is needed; cells have few digits and few values, so that bins are the values.
"""

import json
from pathlib import Path

import numpy as np
from lightgbm import LGBMClassifier
from sklearn.ensemble import AdaBoostClassifier, ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef, recall_score
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

HERE = Path(__file__).parent
ATTACKS = [False, True, True, True]


def told_classes(p, threshold):
    """Of a row that raises an alarm the likeliest attack, of another the likeliest of the other classes."""
    attacks = np.array(ATTACKS)
    is_alarm = p[:, attacks].sum(axis=1) >= threshold
    side = is_alarm[:, None] == attacks[None, :]
    return np.where(side, p, -1.0).argmax(axis=1)


def rows(random, count):
    """Four classes, the last of a few rows; those of the second and third overlap."""
    y = random.choice(4, size=count, p=[0.5, 0.3, 0.17, 0.03])
    centres = np.array([[0, 0, 0, 0, 0], [2, 1, 0, 0, 1], [2, -1, 1, 0, 0], [-2, 2, 0, 3, 0]])
    x = centres[y] + random.normal(size=(count, 5)) * [1.0, 1.5, 1.0, 2.0, 0.5]
    return np.round(x, 1), y


def metric_cases(random):
    cases = []
    for count in (12, 200, 1000):
        y = random.choice(4, size=count, p=[0.5, 0.3, 0.15, 0.05])
        p = random.dirichlet([1, 1, 1, 1], size=count) + 1.5 * np.eye(4)[y] * random.random((count, 1))
        p = np.round(p / p.sum(axis=1, keepdims=True), 6)
        for threshold in (0.5, 0.8):
            told = told_classes(p, threshold)
            labels = sorted(set(y) | set(told))
            cases.append({
                "y": y.tolist(),
                "p": p.tolist(),
                "threshold": threshold,
                "told": told.tolist(),
                "macro_f1": f1_score(y, told, labels=labels, average="macro", zero_division=0),
                "weighted_f1": f1_score(y, told, labels=labels, average="weighted", zero_division=0),
                "macro_recall": recall_score(y, told, labels=sorted(set(y)), average="macro"),
                "class_accuracy": accuracy_score(y, told),
                "class_mcc": matthews_corrcoef(y, told),
                "class_log_loss": float(-np.log(np.clip(p[np.arange(count), y], 1e-15, 1)).mean()),
            })
    return cases


def logistic_loss(model, x, y):
    p = model.predict_proba(x)
    return float(-np.log(p[np.arange(len(y)), y]).sum() + (model.coef_ ** 2).sum() / 2)


def main():
    random = np.random.default_rng(18)
    (x, y), (held, truth) = rows(random, 900), rows(random, 300)
    logistic = LogisticRegression(C=1.0, tol=1e-12, max_iter=100_000).fit(x, y)
    exact = {
        "naive_bayes": GaussianNB().fit(x, y).predict_proba(held).tolist(),
        "knn": KNeighborsClassifier(n_neighbors=7).fit(x, y).predict_proba(held).tolist(),
        "logistic_regression": logistic.predict_proba(held).tolist(),
    }
    machines = []
    for c in range(4):
        machine = SVC(kernel="rbf", gamma="scale", C=1.0, tol=1e-6).fit(x, y == c)
        machines.append(machine.decision_function(held).tolist())
    boosting = LGBMClassifier(n_estimators=30, max_delta_step=10, max_bin=255, min_data_in_bin=1, verbose=-1,
                              deterministic=True, force_row_wise=True).fit(x, y)
    others = {
        "decision_tree": DecisionTreeClassifier(max_depth=6, random_state=0),
        "random_forest": RandomForestClassifier(100, random_state=0),
        "extra_trees": ExtraTreesClassifier(100, random_state=0),
        "adaboost": AdaBoostClassifier(DecisionTreeClassifier(max_depth=2), n_estimators=50, random_state=0),
        "gradient_boosting": boosting,
    }
    told = {}
    for name, model in others.items():
        p = model.fit(x, y).predict_proba(held)
        told[name] = {
            # Of forests one row that no tree tells rightly would decide an unbounded loss.
            "log_loss": float(-np.log(np.clip(p[np.arange(len(truth)), truth], 1e-3, 1)).mean()),
            "accuracy": accuracy_score(truth, p.argmax(axis=1)),
        }
    figures = {
        "x": x.tolist(), "y": y.tolist(), "held": held.tolist(), "truth": truth.tolist(),
        "exact": exact, "svm": machines, "logistic_loss": logistic_loss(logistic, x, y), "told": told,
        "metrics": metric_cases(random),
    }
    (HERE / "classes.json").write_text(json.dumps(figures) + "\n")


main()
