"""Boosting of categories by LightGBM (see requirements.txt).

    python categories.py > categories.json
"""

import json

import numpy as np
from lightgbm import LGBMClassifier

rng = np.random.default_rng(33)
# By min_data_in_bin and max_delta_step the trees may do what ours may.
SETTING = dict(n_estimators=60, max_delta_step=10, min_data_in_bin=1, verbose=-1, deterministic=True, force_row_wise=True, num_threads=1)


def table(sizes, count):
    """Categories of which few are frequent, each with an effect of its own, beside two numbers of which one counts
    otherwise in every other category."""
    words, score = [], np.full(count, -1.0)
    for size in sizes:
        share = 1 / np.arange(1, size + 1) ** 1.2
        word = rng.choice(rng.permutation(size), count, p=share / share.sum())
        score += rng.normal(0, 1.2, size)[word]
        words.append(np.where(rng.random(count) < 0.03, np.nan, word))
    x = np.round(rng.normal(0, 1, (count, 2)), 3)
    score += x[:, 0] + np.where(words[0] % 2 == 0, x[:, 1], -x[:, 1])
    y = (rng.random(count) < 1 / (1 + np.exp(-score))).astype(int)
    return np.column_stack([*words, x]), y


def loss(truth, p):
    return float(-np.log(np.clip(np.where(truth == 1, p, 1 - p), 1e-9, 1)).mean())


cases = []
for sizes in [[60], [130, 12], [3, 25, 5]]:
    x, y = table(sizes, 5000)
    (x, held), (y, truth) = np.split(x, [2500]), np.split(y, [2500])
    native = LGBMClassifier(**SETTING).fit(x, y, categorical_feature=list(range(len(sizes))))
    cells = lambda rows: [[None if np.isnan(cell) else float(cell) for cell in row] for row in rows]
    cases.append({
        "x": cells(x), "y": y.tolist(), "held": cells(held), "truth": truth.tolist(),
        "categories": [1] * len(sizes) + [0, 0],
        "loss": loss(truth, native.predict_proba(held)[:, 1]),
    })
print(json.dumps(cases))
