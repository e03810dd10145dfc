"""Makes novelty.json: what PyOD and scikit-learn make of rows that are unlike others.

    python -m venv .venv && .venv/bin/pip install -r tests/oracle/requirements.txt
    .venv/bin/python tests/oracle/novelty.py

Rows are made here, so that nothing else is needed. PyOD's ECOD and COPOD count the rows that they are asked about among
those of training, also in the skewness; they are asked about one row at a time, and rows that turn a skewness round are left out.
"""

import json
from pathlib import Path

import numpy as np
from pyod.models.copod import COPOD
from pyod.models.ecod import ECOD
from pyod.models.hbos import HBOS
from pyod.models.knn import KNN
from scipy.stats import skew
from sklearn.covariance import ShrunkCovariance
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.preprocessing import StandardScaler

HERE = Path(__file__).parent


def rows(random, count, is_novel):
    """Two clusters of correlated columns, one of few values and one skewed; what is novel is farther out."""
    centre = random.choice([0.0, 4.0], size=count)
    base = random.normal(size=(count, 2)) * np.where(is_novel, 3.0, 1.0)[:, None] + centre[:, None]
    mixed = np.column_stack([
        base[:, 0],
        base[:, 0] * 0.9 + base[:, 1] * 0.3,
        base[:, 1],
        random.poisson(np.where(is_novel, 4.0, 1.0)),
        random.lognormal(np.where(is_novel, 2.0, 0.0)),
        np.full(count, 7.0),
    ])
    return np.round(mixed, 2)


def one_by_one(model, x, held):
    def told(row):
        signs = [np.sign(np.nan_to_num(skew(rows, axis=0))) for rows in (x, np.vstack([x, row]))]
        return float(model.decision_function(row[None, :])[0]) if (signs[0] == signs[1]).all() else None

    return [told(row) for row in held]


def main():
    random = np.random.default_rng(18)
    x = rows(random, 400, np.zeros(400, bool))
    novel = random.random(120) < 0.4
    held = rows(random, 120, novel)
    held[0] = x[3]
    held[1] = x.min(axis=0) - 100
    held[2] = x.max(axis=0) + 100
    held[3, 0] = x[:, 0].min()
    held[4, 0] = x[:, 0].max()

    knn = KNN(n_neighbors=5).fit(x)
    scaler = StandardScaler().fit(x)
    scaled, held_scaled = scaler.transform(x), scaler.transform(held)
    covariance = ShrunkCovariance(shrinkage=0.01, assume_centered=True).fit(scaled)
    pca = PCA(svd_solver="full").fit(scaled)
    kept = int(np.searchsorted(np.cumsum(pca.explained_variance_ratio_), 0.95) + 1)
    components = pca.components_[:kept]
    left_out = held_scaled - held_scaled @ components.T @ components
    forests = [IsolationForest(n_estimators=200, max_samples=256, random_state=seed).fit(x) for seed in range(10)]
    figures = {
        "x": x.tolist(), "held": held.tolist(), "novel": novel.astype(int).tolist(),
        "knn_distance": knn.decision_function(held).tolist(),
        "knn_distance_fitted": knn.decision_scores_.tolist(),
        "hbos": HBOS(n_bins=10, alpha=0.1, tol=0.5).fit(x).decision_function(held).tolist(),
        "ecod": one_by_one(ECOD().fit(x), x, held),
        "copod": one_by_one(COPOD().fit(x), x, held),
        "mahalanobis": covariance.mahalanobis(held_scaled).tolist(),
        "pca_reconstruction": (left_out ** 2).sum(axis=1).tolist(),
        "isolation_forest": np.mean([-forest.score_samples(held) for forest in forests], axis=0).tolist(),
    }
    (HERE / "novelty.json").write_text(json.dumps(figures) + "\n")


main()
