"""Makes the reference figures that the tests compare with.

    python -m venv .venv && .venv/bin/pip install -r tests/oracle/requirements.txt
    netsec run pipelines/default.yaml && netsec run pipelines/phishing.yaml
    for side in train test; do
        netsec cat transform.$side -o NAME.$side.npy      # after either run: NAME is default, then phishing
    done
    .venv/bin/python tests/oracle/generate.py FOLDER_WITH_THE_NPY_FILES

For shap.json the folder also holds the output of `netsec model show train.model --json` for a model of each learner of trees,
fitted to the default pipeline's rows, as LEARNER.model.json.

Writes ks.json, drift.json, intervals.json, metrics.json, paired.json, prep.json, learners.json and shap.json beside itself; without a folder
the last two stay as they are. The bootstraps of paired.json take most of the time: some minutes.
"""

import json
import sys
from pathlib import Path

import numpy as np
import shap
from lightgbm import LGBMClassifier
from scipy import stats
from scipy.optimize import brentq, minimize
from scipy.spatial.distance import jensenshannon
from sklearn import config_context
from sklearn.decomposition import PCA
from sklearn.ensemble import AdaBoostClassifier, ExtraTreesClassifier, RandomForestClassifier
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (accuracy_score, average_precision_score, balanced_accuracy_score, brier_score_loss, f1_score,
                             log_loss, matthews_corrcoef, precision_score, recall_score, roc_auc_score, roc_curve)
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import (MaxAbsScaler, MinMaxScaler, OneHotEncoder, OrdinalEncoder, QuantileTransformer, RobustScaler,
                                   StandardScaler, TargetEncoder)
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint, proportions_ztest

HERE = Path(__file__).parent


def sample(spec):
    """A sample that the Rust side makes bit for bit alike: whole-number arithmetic, then one division."""
    i = np.arange(spec["n"], dtype=np.int64)
    values = ((i * spec["a"] + spec["b"]) % spec["m"]) / spec["m"] * spec["scale"] + spec["shift"]
    if spec["levels"]:
        values = np.floor(values * spec["levels"])
    return values


def spec(n, a=7919, b=13, m=10007, scale=1.0, shift=0.0, levels=0):
    return {"n": n, "a": a, "b": b, "m": m, "scale": scale, "shift": shift, "levels": levels}


def drift():
    """Tests and distances of two samples: counts in categories, shares, and numbers with ties."""
    tables = [
        [[10, 20], [30, 15]],
        [[1, 0], [0, 1]],
        [[8844, 0, 12], [2211, 3, 0]],
        [[500, 300, 200], [120, 90, 40]],
        [[5, 5, 5, 5, 5, 5], [1, 9, 2, 8, 3, 7]],
        [[100000, 5000, 7], [20000, 1100, 9]],
        [[1000, 1000], [900, 1100]],
        [[4, 0, 3, 0], [0, 5, 0, 6]],
    ]
    chi = []
    for table in tables:
        result = stats.chi2_contingency(np.array(table), correction=False)
        js = float(jensenshannon(*table, base=2))
        share = np.maximum(np.array(table) / np.sum(table, axis=1, keepdims=True), 1e-4)
        psi = float(np.sum((share[1] - share[0]) * np.log(share[1] / share[0])))
        v = float(stats.contingency.association(np.array(table), method="cramer"))
        chi.append({"first": table[0], "second": table[1], "statistic": result.statistic, "p": result.pvalue,
                    "jensen_shannon": js, "psi": psi, "cramers_v": v})
    tails = [{"x": x, "degrees": k, "p": float(stats.chi2.sf(x, k))}
             for k in (1, 2, 3, 7, 30, 255) for x in (1e-3, 0.5, 3.0, 12.0, 40.0, 150.0, 400.0)]
    shares = []
    for h1, n1, h2, n2 in [(1, 10, 5, 12), (0, 50, 3, 40), (400, 8844, 150, 2211), (1, 2, 1, 2), (5, 100000, 9, 20000),
                           (0, 8844, 22, 2211), (7000, 8844, 1800, 2211), (3, 3, 0, 4)]:
        z, p = proportions_ztest([h1, h2], [n1, n2])
        fisher = stats.fisher_exact([[h1, n1 - h1], [h2, n2 - h2]])
        shares.append({"first": [h1, n1], "second": [h2, n2], "z": float(z), "p": float(p), "fisher": float(fisher.pvalue)})
    other = {"a": 104729, "b": 7, "m": 10009}
    pairs = [
        (spec(3), spec(4, **other)),
        (spec(2), spec(2, shift=0.5)),
        (spec(7, levels=3), spec(9, levels=3, shift=0.1, **other)),
        (spec(20), spec(20, shift=0.3, **other)),
        (spec(12, levels=2), spec(20, levels=2, **other)),
        (spec(21), spec(5, **other)),
        (spec(40), spec(55, shift=0.2, **other)),
        (spec(500, levels=3), spec(300, levels=3, scale=0.9, **other)),
        (spec(8844), spec(2211, shift=0.01, **other)),
        (spec(3000), spec(2000, shift=0.25, **other)),
        (spec(200), spec(200, scale=0.9, **other)),
        (spec(50), spec(50)),
        (spec(5000), spec(5000, shift=0.8, **other)),
    ]
    numbers = []
    for first, second in pairs:
        a, b = sample(first), sample(second)
        cvm = stats.cramervonmises_2samp(a, b)
        numbers.append({"first": first, "second": second, "statistic": float(cvm.statistic), "p": float(cvm.pvalue),
                        "wasserstein": float(stats.wasserstein_distance(a, b)), "deviation": float(np.std(a)),
                        "auc": float(stats.mannwhitneyu(b, a).statistic / (len(a) * len(b)))})
    p = [0.001, 0.2, 0.03, 0.03, 0.9, 0.0004, 0.049, 1.0, 0.011]
    return {
        "chi": chi, "tails": tails, "shares": shares, "numbers": numbers, "p": p,
        "holm": multipletests(p, method="holm")[1].tolist(),
        "benjamini_hochberg": multipletests(p, method="fdr_bh")[1].tolist(),
    }


def ks():
    other = {"a": 104729, "b": 7, "m": 10009}
    pairs = [
        ("one and one", spec(1), spec(1, shift=0.5)),
        ("tiny", spec(3), spec(4, **other)),
        ("equal", spec(50), spec(50)),
        ("small, shifted", spec(40), spec(55, shift=0.2, **other)),
        ("same size", spec(200), spec(200, scale=0.9, **other)),
        ("apart", spec(30), spec(20, shift=5.0, **other)),
        ("ties of three levels", spec(500, levels=3), spec(300, levels=3, scale=0.9, **other)),
        ("ties of two levels", spec(120, levels=2), spec(80, levels=2, shift=0.1, **other)),
        ("train and test", spec(8844), spec(2211, shift=0.01, **other)),
        ("far tail", spec(3000), spec(2000, shift=0.25, **other)),
        ("the last exact size", spec(10000, m=99991), spec(9999, shift=0.005, m=99989, a=104729, b=7)),
        ("the first asymptotic size", spec(10001, m=99991), spec(9000, shift=0.01, m=99989, a=104729, b=7)),
        ("asymptotic, body", spec(20000, m=999983), spec(30000, scale=0.995, m=999979, a=104729, b=7)),
        ("asymptotic, tail", spec(20000, m=999983), spec(15000, shift=0.03, m=999979, a=104729, b=7)),
        ("asymptotic, far tail", spec(50000, m=999983), spec(40000, shift=0.1, m=999979, a=104729, b=7)),
        ("asymptotic, small second", spec(12000, m=99991), spec(60, shift=0.05, m=99989, a=104729, b=7)),
        ("asymptotic, small second, body", spec(12000, m=99991), spec(100, m=99989, a=104729, b=7)),
        ("asymptotic, tiny second", spec(12000, m=99991), spec(3, shift=0.3, m=99989, a=104729, b=7)),
        ("asymptotic, one", spec(12000, m=99991), spec(1, shift=0.3, m=99989, a=104729, b=7)),
        ("asymptotic, ties", spec(40000, levels=3, m=99991), spec(11000, levels=3, scale=0.99, m=99989, a=104729, b=7)),
        ("asymptotic, close", spec(200000, m=999983), spec(200000, a=104729, b=7, m=999979)),
    ]
    cases = []
    for name, first, second in pairs:
        result = stats.ks_2samp(sample(first), sample(second), method="auto")
        cases.append(
            {"name": name, "first": first, "second": second, "statistic": result.statistic, "p": result.pvalue}
        )
    tails = []
    for n in (1, 2, 5, 20, 100, 140, 141, 500, 5000, 99999, 100001, 2000000):
        for z in (0.2, 0.35, 0.5, 0.8, 1.0, 1.3, 1.48, 1.6, 2.0, 3.0, 5.0):
            d = z / np.sqrt(n)
            # From z² = 2.2 on SciPy takes special.smirnov, which at this n is off by 1e-8: the asymptotic
            # expansion, good to 1e-13 there, says so (0.0119430212 + 2 exp(-8 z²) against 0.0119430341 at z = 1.6).
            if n == 2000000 and z * z > 2.2:
                continue
            if d < 1:
                tails.append({"n": n, "d": d, "p": float(stats.kstwo.sf(d, n))})
    return {"scipy": __import__("scipy").__version__, "cases": cases, "tails": tails}


def knn_by_distance(table, fit, k):
    """KNNImputer(weights="distance") with differences taken directly: scikit-learn's own distances are rounded to 1e-8."""
    filled = table.copy()
    theirs = KNNImputer(n_neighbors=k, weights="distance").fit(table[:fit]).transform(table)
    for row, column in np.argwhere(np.isnan(table)):
        both = ~np.isnan(table[row]) & ~np.isnan(table[:fit])
        squares = np.where(both, (table[row] - table[:fit]) ** 2, 0).sum(axis=1)
        distance = np.sqrt(np.where(both.any(axis=1), squares * table.shape[1] / np.maximum(both.sum(axis=1), 1), np.inf))
        distance[np.isnan(table[:fit, column])] = np.inf
        near = np.argsort(distance, kind="stable")[:k]
        filled[row, column] = np.average(table[near, column], weights=1 / distance[near])
    assert np.allclose(filled, theirs, rtol=1e-6, atol=1e-6)
    return filled


def prep():
    random = np.random.default_rng(20261122)
    table = np.round(random.normal(size=(60, 6)) * [1, 10, 0.1, 1000, 3, 1] + [0, 5, 1, -300, 0, 8], 6)
    table[random.random(table.shape) < 0.18] = np.nan
    fit = 45
    out = {"sklearn": __import__("sklearn").__version__, "fit_rows": fit, "table": rows(table)}
    for k in (1, 3, 7):
        out[f"knn_{k}"] = rows(KNNImputer(n_neighbors=k).fit(table[:fit]).transform(table))
    full = KNNImputer(n_neighbors=3).fit(table[:fit]).transform(table)
    out["scaled"] = rows(StandardScaler().fit(full[:fit]).transform(full))
    out["knn_distance"] = rows(knn_by_distance(table, fit, 4))
    out["indicator"] = rows(SimpleImputer(strategy="median", add_indicator=True).fit(table[:fit]).transform(table))
    rough = np.round(table, 0)
    out["rough"] = rows(rough)
    out["most_frequent"] = rows(SimpleImputer(strategy="most_frequent").fit(rough[:fit]).transform(rough))
    for name, step in {
        "mean": SimpleImputer(strategy="mean"),
        "median": SimpleImputer(strategy="median"),
        "min_max": MinMaxScaler(),
        "robust": RobustScaler(),
        "max_abs": MaxAbsScaler(),
        "uniform": QuantileTransformer(n_quantiles=17, subsample=None),
        "normal": QuantileTransformer(n_quantiles=17, subsample=None, output_distribution="normal"),
    }.items():
        out[name] = rows(step.fit(table[:fit]).transform(table))
    out["uniform_rough"] = rows(QuantileTransformer(n_quantiles=17, subsample=None).fit(rough[:fit]).transform(rough))
    words = random.choice(["tcp", "udp", "icmp", "gre", "esp"], size=60, p=[0.5, 0.3, 0.1, 0.06, 0.04])
    words[fit + 2] = "sctp"
    y = (random.random(60) < np.where(words == "tcp", 0.2, 0.7)).astype(float)
    texts = words[:, None]
    out["words"], out["y"] = words.tolist(), y.tolist()
    onehot = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(texts[:fit])
    out["onehot"] = rows(onehot.transform(texts))
    rare = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=5, sparse_output=False).fit(texts[:fit])
    out["onehot_rare"] = rows(rare.transform(texts))
    ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1).fit(texts[:fit])
    out["ordinal"] = rows(ordinal.transform(texts))
    for name, smooth in {"target_auto": "auto", "target_3": 3.0}.items():
        out[name] = rows(TargetEncoder(smooth=smooth, target_type="binary").fit(texts[:fit], y[:fit]).transform(texts))
    whole = PCA(n_components=4, svd_solver="full").fit(full[:fit])
    signs = np.array([np.sign(row[np.argmax(np.abs(row))]) for row in whole.components_])
    out["pca"] = rows(whole.transform(full) * signs)
    return out


def rows(table):
    return [[None if np.isnan(cell) else float(cell) for cell in row] for row in table]


def platt(p, y):
    """Platt's line through the logarithm of the odds, its targets a little less certain than the classes."""
    ones, x = y.sum(), np.log(np.clip(p, 1e-12, 1 - 1e-12) / np.clip(1 - p, 1e-12, 1 - 1e-12))
    target = np.where(y == 1, (ones + 1) / (ones + 2), 1 / (len(y) - ones + 2))

    def loss(line):
        z = line[0] * x + line[1]
        return np.sum(np.logaddexp(0, z) - target * z)

    def slope(line):
        rest = 1 / (1 + np.exp(-(line[0] * x + line[1]))) - target
        return np.array([np.sum(rest * x), np.sum(rest)])

    line = minimize(loss, [1.0, 0.0], jac=slope, method="BFGS", options={"gtol": 1e-9}).x
    grid = np.linspace(0.025, 0.975, 39)
    return 1 / (1 + np.exp(-(line[0] * np.log(grid / (1 - grid)) + line[1])))


def metrics():
    """Figures of probabilities, with ties and without."""
    cases = []
    for n, levels in [(2000, 0), (2000, 20), (37, 5), (500, 2)]:
        p = sample(spec(n, levels=levels)) / (levels or 1)
        y = (sample(spec(n, a=104729, b=7, m=10009)) < 0.2 + 0.6 * p).astype(float)
        alarms = p >= 0.5
        fpr, tpr, _ = roc_curve(y, p, drop_intermediate=False)
        cases.append({
            "n": n, "levels": levels, "y": y.tolist(), "p": p.tolist(),
            "accuracy": accuracy_score(y, alarms), "balanced_accuracy": balanced_accuracy_score(y, alarms),
            "precision": precision_score(y, alarms), "recall": recall_score(y, alarms), "f1": f1_score(y, alarms),
            "mcc": matthews_corrcoef(y, alarms), "roc_auc": roc_auc_score(y, p), "pr_auc": average_precision_score(y, p),
            "partial_auc_fpr_0_01": roc_auc_score(y, p, max_fpr=0.01), "brier": brier_score_loss(y, p),
            "log_loss": log_loss(y, np.clip(p, 1e-15, 1 - 1e-15)),
            "recall_at_fpr_0_001": float(tpr[fpr <= 0.001].max()), "recall_at_fpr_0_01": float(tpr[fpr <= 0.01].max()),
            "isotonic": IsotonicRegression(out_of_bounds="clip").fit(p, y).predict(np.linspace(0, 1, 41)).tolist(),
            "platt": platt(p, y).tolist(),
        })
    return cases


def placements(y, p):
    """The share of the other class that each positive, then each negative, is on the right side of, a tie counting half."""
    kernel = np.heaviside(p[y == 1][:, None] - p[y == 0][None, :], 0.5)
    return kernel.mean(axis=1), kernel.mean(axis=0)


def midrank_placements(y, p):
    """The same shares from midranks, as Sun and Xu (2014) take them."""
    ones, zeros = p[y == 1], p[y == 0]
    ranks = stats.rankdata(np.concatenate([ones, zeros]))
    above = (ranks[:len(ones)] - stats.rankdata(ones)) / len(zeros)
    return above, 1 - (ranks[len(ones):] - stats.rankdata(zeros)) / len(ones)


def delong(y, first, second):
    """The two ROC areas, and z, p and the variance of their difference by DeLong, DeLong and Clarke-Pearson (1988)."""
    shares = [placements(y, p) for p in (first, second)]
    auc = [float(ones.mean()) for ones, _ in shares]
    variance = float(sum(np.var(a - b, ddof=1) / len(a) for a, b in zip(*shares)))
    quick = [midrank_placements(y, p) for p in (first, second)]
    matrix = sum(np.cov(np.stack(side), ddof=1) / len(side[0]) for side in zip(*quick))
    assert np.allclose(variance, [1, -1] @ matrix @ [1, -1], rtol=1e-9, atol=1e-15)
    assert np.allclose(auc, [ones.mean() for ones, _ in quick], rtol=1e-12, atol=0)
    assert np.allclose(auc, [roc_auc_score(y, p) for p in (first, second)], rtol=1e-12, atol=0)
    if variance == 0:
        assert auc[0] == auc[1]
        return auc, 0.0, 1.0, variance
    z = (auc[0] - auc[1]) / np.sqrt(variance)
    return auc, float(z), float(2 * stats.norm.sf(abs(z))), variance


def bootstrap_p(metric, y, first, second, seed):
    """The two-sided p of the difference of a metric over rows drawn in pairs; draws of one class are skipped."""
    def difference(y, first, second):
        return metric(y, first) - metric(y, second) if 0 < y.sum() < len(y) else np.nan

    with config_context(assume_finite=True, skip_parameter_validation=True):
        drawn = stats.bootstrap((y, first, second), difference, paired=True, vectorized=False, n_resamples=9999,
                                method="percentile", rng=np.random.default_rng(seed)).bootstrap_distribution
    drawn = drawn[~np.isnan(drawn)]
    # Metrics equal but for the rounding of their sums are a tie.
    drawn = np.round(drawn, 12)
    return float(min(1, 2 * min(1 + np.sum(drawn <= 0), 1 + np.sum(drawn >= 0)) / (len(drawn) + 1)))


def bca(figure, samples, seed):
    """The 95 % interval by BCa; None where every draw is the same."""
    with config_context(assume_finite=True, skip_parameter_validation=True):
        found = stats.bootstrap(samples, figure, paired=True, vectorized=False, n_resamples=9999, method="BCa",
                                rng=np.random.default_rng(seed)).confidence_interval
    return None if np.isnan(found.low) else [float(found.low), float(found.high)]


def tango(first_only, second_only, rows, confidence):
    """The score interval of the difference of two shares of the same rows (Tango, 1998): the differences at which the score is
    as large as the quantile, each with the likeliest shares found by search, not by Tango's formula."""
    z = stats.norm.ppf((1 + confidence) / 2)

    def score(delta):
        agree = rows - first_only - second_only
        # Below, the share of rows that count for the second only; those for the first only are that and delta.
        low, high = max(0.0, -delta), (1 - delta) / 2

        def slope(share):
            both = 1 - 2 * share - delta
            return first_only / (share + delta) + second_only / share - 2 * agree / both

        low, high = low + 1e-15, high - 1e-15
        if slope(low) <= 0:
            share = low
        elif slope(high) >= 0:
            share = high
        else:
            share = brentq(slope, low, high, xtol=1e-16, rtol=1e-15, maxiter=1000)
        variance = rows * (2 * share + delta - delta ** 2)
        return (first_only - second_only - rows * delta) / np.sqrt(variance)

    found = (first_only - second_only) / rows
    ends = []
    for target, low, high in ((z, -1 + 1e-12, found), (-z, found, 1 - 1e-12)):
        ends.append(brentq(lambda delta: score(delta) - target, low, high, xtol=1e-14) if low < high else found)
    return ends


def intervals():
    """Exact intervals of shares, and of differences of shares of the same rows."""
    exact = []
    for hits, of in [(0, 1), (1, 1), (0, 10), (10, 10), (3, 10), (1, 44), (44, 44), (500, 1000), (999, 1000), (12, 1_000_000),
                     (999_990, 1_000_000)]:
        for confidence in (0.9, 0.95, 0.975):
            found = stats.binomtest(hits, of).proportion_ci(confidence, method="exact")
            alike = proportion_confint(hits, of, alpha=1 - confidence, method="beta")
            assert np.allclose([found.low, found.high], alike, rtol=1e-9, atol=1e-12)
            exact.append({"hits": hits, "of": of, "confidence": confidence, "interval": [float(found.low), float(found.high)]})
    score = []
    for first_only, second_only, rows in [(1, 1, 10), (12, 9, 100), (9, 12, 100), (40, 20, 2211), (3, 5, 30), (1, 20, 44),
                                          (200, 180, 20_000), (5, 1, 6)]:
        for confidence in (0.9, 0.95):
            score.append({"first_only": first_only, "second_only": second_only, "rows": rows, "confidence": confidence,
                          "interval": [float(end) for end in tango(first_only, second_only, rows, confidence)]})
    return {"clopper_pearson": exact, "tango": score}


def paired():
    """Tests of two models on the same rows: of wins and losses, of ROC areas, and of metrics over redrawn rows."""
    wins = []
    for won, lost in [(0, 0), (1, 0), (5, 0), (0, 7), (2, 1), (3, 3), (4, 5), (12, 9), (9, 12), (40, 20), (6, 60), (100, 70),
                      (1000, 900), (1200, 900)]:
        wins.append({"wins": won, "losses": lost, "p": float(mcnemar([[0, won], [lost, 0]], exact=True).pvalue)})
    metrics = {"roc_auc": roc_auc_score, "pr_auc": average_precision_score,
               "f1": lambda y, p: f1_score(y, p >= 0.5, zero_division=0)}
    models = []
    # Rows, positives, decimals, how far each model lifts the positives, the share of noise both have, the second's power.
    for seed, (n, positives, decimals, lift, shared, power) in enumerate([
        (60, 27, 2, (1.0, 1.6), 0.6, 1),
        (150, 60, 2, (1.2, 1.2), 1.0, 1),
        (300, 120, 3, (2.4, 0.9), 0.5, 1),
        (600, 240, 2, (1.5, 1.3), 0.7, 1),
        (400, 12, 3, (1.4, 1.9), 0.5, 1),
        (240, 80, 2, (1.4, 1.4), 0.9, 2),
    ]):
        random = np.random.default_rng(20261124 + seed)
        y = random.permutation(np.arange(n) < positives).astype(int)
        noise, own = random.normal(size=n), random.normal(size=(2, n))
        score = [lift[k] * (y - 0.5) + np.sqrt(shared) * noise + np.sqrt(1 - shared) * own[k] for k in (0, 1)]
        first, second = (np.round(1 / (1 + np.exp(-s)), decimals) for s in score)
        second = np.round(second ** power, decimals)
        auc, z, p, variance = delong(y, first, second)
        models.append({
            "n": n, "y": y.tolist(), "first": first.tolist(), "second": second.tolist(),
            "auc": auc, "delong_z": z, "delong_p": p, "delong_var": variance,
            "delong_interval": [float(auc[0] - auc[1] + sign * stats.norm.ppf(0.975) * np.sqrt(variance)) for sign in (-1, 1)],
            "bootstrap": {name: {"p": bootstrap_p(metric, y, first, second, seed),
                                 "bca": bca(lambda y, a, b: metric(y, a) - metric(y, b), (y, first, second), seed),
                                 "bca_of_first": bca(metric, (y, first), seed)} for name, metric in metrics.items()},
        })
    return {"mcnemar": wins, "models": models}


def learners(folder):
    ours = {
        "logistic_regression": lambda: LogisticRegression(C=1.0, max_iter=1000),
        "knn": lambda: KNeighborsClassifier(5),
        "decision_tree": lambda: DecisionTreeClassifier(max_depth=6, random_state=0),
        "random_forest": lambda: RandomForestClassifier(100, random_state=0),
        "extra_trees": lambda: ExtraTreesClassifier(100, random_state=0),
        "naive_bayes": lambda: GaussianNB(),
        "gradient_boosting": lambda: LGBMClassifier(n_estimators=100, num_leaves=31, n_jobs=1, verbose=-1),
        "adaboost": lambda: AdaBoostClassifier(n_estimators=50, random_state=0),
    }
    figures = {"sklearn": __import__("sklearn").__version__}
    for name in ("default", "phishing"):
        train, test = (np.load(Path(folder) / f"{name}.{side}.npy") for side in ("train", "test"))
        aucs = {}
        for learner, make in ours.items():
            model = make().fit(train[:, :-1], train[:, -1])
            aucs[learner] = roc_auc_score(test[:, -1], model.predict_proba(test[:, :-1])[:, 1])
        # The loss that both minimise: the sum of the log losses and half the squared weights.
        linear = LogisticRegression(C=1.0, max_iter=10000, tol=1e-10).fit(train[:, :-1], train[:, -1])
        p = linear.predict_proba(train[:, :-1])
        loss = len(train) * log_loss(train[:, -1], p) + float(np.sum(linear.coef_ ** 2)) / 2
        border = {}
        for kernel in ("rbf", "linear"):
            svm = SVC(C=1.0, kernel=kernel, tol=1e-6).fit(train[:, :-1], train[:, -1])
            border[kernel] = svm.decision_function(test[:40, :-1]).tolist()
            if kernel == "rbf":
                aucs["svm"] = roc_auc_score(test[:, -1], svm.decision_function(test[:, :-1]))
        figures[name] = {"rows": [len(train), len(test)], "roc_auc": aucs, "logistic_loss": loss, "svm": border}
    return figures


def explained(folder):
    """SHAP values of our own trees, by shap.TreeExplainer, for some rows of the default pipeline's test side."""
    rows = np.load(Path(folder) / "default.test.npy")[:7, :-1]
    cases = []
    for learner in ("random_forest", "extra_trees", "gradient_boosting", "adaboost"):
        model = json.loads((Path(folder) / f"{learner}.model.json").read_text())["model"]["Trees"]
        link, trees = model["link"], []
        scale, base = 1.0, 0.0
        if link == "Mean":
            scale = 1 / len(model["trees"])
        elif "Logistic" in link:
            base = link["Logistic"]
        else:
            scale = 2 / sum(link["Votes"])
        for tree in model["trees"]:
            leaf = np.array(tree["feature"]) == 2**32 - 1
            below = lambda side: np.where(leaf, -1, np.array(tree[side], dtype=np.int64))
            trees.append({
                "children_left": below("left"), "children_right": below("right"),
                "children_default": np.where(np.array(tree["missing_left"]), below("left"), below("right")),
                "features": np.where(leaf, -2, np.array(tree["feature"], dtype=np.int64)),
                "thresholds": np.array(tree["threshold"]), "values": np.array(tree["value"]).reshape(-1, 1) * scale,
                "node_sample_weight": np.array(tree["cover"]),
            })
        explainer = shap.TreeExplainer({"trees": trees, "input_dtype": np.float64, "internal_dtype": np.float64})
        cases.append({"learner": learner, "model": model, "x": rows.tolist(),
                      "base": float(np.ravel(explainer.expected_value)[0]) + base,
                      "values": explainer.shap_values(rows, check_additivity=False).tolist()})
    return {"shap": shap.__version__, "cases": cases}


def write(name, figures):
    """A line for each figure or case, so that a change is a few lines."""
    line = lambda value: json.dumps(value, allow_nan=False)
    block = lambda cases: "[\n  " + ",\n  ".join(map(line, cases)) + "\n ]"
    listed = lambda key, value: block(value) if key in ("cases", "models") else line(value)
    if isinstance(figures, list):
        (HERE / name).write_text(block(figures) + "\n")
        return
    lines = [f" {line(key)}: {listed(key, value)}" for key, value in figures.items()]
    (HERE / name).write_text("{\n" + ",\n".join(lines) + "\n}\n")


write("drift.json", drift())
write("intervals.json", intervals())
write("ks.json", ks())
write("metrics.json", metrics())
write("paired.json", paired())
write("prep.json", prep())
if len(sys.argv) > 1:
    write("learners.json", learners(sys.argv[1]))
    write("shap.json", explained(sys.argv[1]))
