"""Models fitted to rows that count differently, by scikit-learn and LightGBM (see requirements.txt).

    python weights.py > weights.json
"""

import json

import numpy as np
from lightgbm import LGBMClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

rng = np.random.default_rng(21)


def rows(count):
    x = np.round(rng.normal(0, 1, (count, 4)), 3)
    score = x[:, 0] + x[:, 1] ** 2 - 0.7 * x[:, 2] + rng.normal(0, 0.7, count)
    y = (score > 0.8).astype(int)
    families = np.where(y == 0, 0, np.where(x[:, 3] > 0, 1, 2))
    return x, y, families


def loss(truth, p):
    return float(-np.log(np.clip(np.where(truth == 1, p, 1 - p), 1e-3, 1)).mean())


(x, y, families), (held, truth, _) = rows(700), rows(500)
weights = np.round(rng.gamma(0.7, 1.5, 700), 3)
weights[::50] = 0.0

logistic = LogisticRegression(C=1.0, tol=1e-12, max_iter=10_000).fit(x, y, sample_weight=weights)
softmax = LogisticRegression(C=1.0, tol=1e-12, max_iter=10_000).fit(x, families, sample_weight=weights)
bayes = GaussianNB().fit(x, y, sample_weight=weights)
machine = SVC(kernel="rbf", gamma=0.5, C=1.0, tol=1e-8).fit(x, y, sample_weight=weights)
tree = DecisionTreeClassifier(max_depth=4, random_state=0).fit(x, y, sample_weight=weights)
forest = RandomForestClassifier(300, random_state=0).fit(x, y, sample_weight=weights)
boosting = LGBMClassifier(n_estimators=40, max_delta_step=10, min_data_in_bin=1, verbose=-1,
                          deterministic=True, force_row_wise=True).fit(x, y, sample_weight=weights)
print(
    json.dumps(
        {
            "x": x.tolist(), "y": y.tolist(), "families": families.tolist(), "weights": weights.tolist(),
            "held": held.tolist(), "truth": truth.tolist(),
            "logistic_regression": logistic.predict_proba(held)[:, 1].tolist(),
            "softmax": softmax.predict_proba(held).tolist(),
            "naive_bayes": bayes.predict_proba(held)[:, 1].tolist(),
            "svm": machine.decision_function(held).tolist(),
            "random_forest": forest.predict_proba(held)[:, 1].tolist(),
            "loss": {
                "decision_tree": loss(truth, tree.predict_proba(held)[:, 1]),
                "random_forest": loss(truth, forest.predict_proba(held)[:, 1]),
                "gradient_boosting": loss(truth, boosting.predict_proba(held)[:, 1]),
            },
        }
    )
)
