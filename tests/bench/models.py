"""The peers of `cargo bench --bench models`: fits what it is asked for and says what it cost, a line of JSON each.

    models.py FOLDER NAME [categories=N] LEARNER [LEARNER …]     on FOLDER/NAME.train.npy and FOLDER/NAME.test.npy
    models.py FOLDER job                          the whole grid of the job that netsec replaces

The first N columns hold categories by number: LightGBM keeps them, scikit-learn has them one-hot. One thread; processor seconds of fitting, of nearest neighbours and naive Bayes of telling the test rows, too, the least of
some runs.
"""

import json
import resource
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from lightgbm import LGBMClassifier
from sklearn.ensemble import (AdaBoostClassifier, ExtraTreesClassifier, GradientBoostingClassifier,
                              RandomForestClassifier)
from sklearn.impute import KNNImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, log_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

warnings.filterwarnings("ignore")

LEARNERS = {
    "decision_tree": lambda: DecisionTreeClassifier(random_state=0),
    "random_forest": lambda: RandomForestClassifier(100, n_jobs=1, random_state=0),
    "extra_trees": lambda: ExtraTreesClassifier(100, n_jobs=1, random_state=0),
    "gradient_boosting": lambda: LGBMClassifier(n_estimators=100, num_leaves=31, learning_rate=0.1, n_jobs=1, verbose=-1),
    "adaboost": lambda: AdaBoostClassifier(n_estimators=50, random_state=0),
    "knn": lambda: KNeighborsClassifier(5, n_jobs=1),
    "naive_bayes": lambda: GaussianNB(),
    "logistic_regression": lambda: LogisticRegression(C=1.0, max_iter=10000),
}

GRIDS = [
    (RandomForestClassifier(random_state=0), {"n_estimators": [8, 16, 64, 128, 256]}),
    (DecisionTreeClassifier(random_state=0), {"criterion": ["gini", "entropy", "log_loss"]}),
    (GradientBoostingClassifier(random_state=0), {"learning_rate": [0.1, 0.01, 0.001],
                                                  "subsample": [0.6, 0.7, 0.75, 0.85, 0.9],
                                                  "n_estimators": [8, 16, 64, 128, 256]}),
    (LogisticRegression(), {}),
    (AdaBoostClassifier(random_state=0), {"learning_rate": [0.1, 0.01, 0.5, 0.001],
                                          "n_estimators": [8, 16, 64, 128, 256]}),
]


def say(**figures):
    print(json.dumps(figures), flush=True)


def sides(folder, name):
    train, test = (np.load(Path(folder) / f"{name}.{side}.npy") for side in ("train", "test"))
    return np.ascontiguousarray(train[:, :-1]), train[:, -1], np.ascontiguousarray(test[:, :-1]), test[:, -1]


def one_hot(x, held, kept):
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(x[:, :kept])
    return [np.column_stack([encoder.transform(rows[:, :kept]), rows[:, kept:]]) for rows in (x, held)]


def fit(folder, name, learner, kept):
    x, y, held, truth = sides(folder, name)
    if kept and learner != "gradient_boosting":
        x, held = one_hot(x, held, kept)
    least, spent = float("inf"), 0.0
    while spent < 1.0:
        model = LEARNERS[learner]()
        started = time.process_time()
        if kept and learner == "gradient_boosting":
            model.fit(x, y, categorical_feature=list(range(kept)))
        else:
            model.fit(x, y)
        if learner in ("knn", "naive_bayes"):
            model.predict_proba(held)
        taken = time.process_time() - started
        least, spent = min(least, taken), spent + max(taken, 0.3)
    told = {"learner": learner, "cpu": least, "auc": roc_auc_score(truth, model.predict_proba(held)[:, 1])}
    if learner == "logistic_regression":
        told["loss"] = len(y) * log_loss(y, model.predict_proba(x)) + float(np.sum(model.coef_**2)) / 2
    say(**told)


def impute(folder, name):
    x = np.load(Path(folder) / f"{name}.npy")
    started = time.process_time()
    filled = KNNImputer(n_neighbors=3).fit_transform(x)
    say(learner="knn_imputer", cpu=time.process_time() - started, sum=float(filled.sum()),
        memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def job(folder, name):
    started = time.process_time()
    sides_ = [np.genfromtxt(Path(folder) / f"{name}.{side}.csv", delimiter=",", skip_header=1) for side in ("train", "test")]
    imputer = KNNImputer(n_neighbors=3, weights="uniform").fit(sides_[0][:, :-1])
    (x, y), (held, truth) = ((imputer.transform(side[:, :-1]), (side[:, -1] == 1).astype(float)) for side in sides_)
    scores = {}
    for model, grid in GRIDS:
        found = GridSearchCV(model, grid, cv=3).fit(x, y)
        scores[type(model).__name__] = f1_score(truth, found.predict(held))
    say(learner="job", cpu=time.process_time() - started, f1=max(scores.values()), scores=scores)


if __name__ == "__main__":
    folder, name, *asked = sys.argv[1:]
    kept = 0
    for one in asked:
        if one.startswith("categories="):
            kept = int(one.removeprefix("categories="))
        elif one == "job":
            job(folder, name)
        elif one == "knn_imputer":
            impute(folder, name)
        else:
            fit(folder, name, one, kept)
