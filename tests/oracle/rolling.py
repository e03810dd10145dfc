"""Features over the past of made-up rows, by pandas (see requirements.txt).

Times rise, so that the clock of the windows is the time of the row. A window of time (a, b] is pandas' default.

    python rolling.py > rolling.json
"""

import json

import numpy as np
import pandas as pd

rng = np.random.default_rng(7)
ROWS = 400
seconds = np.cumsum(rng.integers(1, 4000, ROWS)) / 1000.0
rows = pd.DataFrame(
    {
        "ts": seconds,
        "src": rng.choice(["a", "b", "c"], ROWS, p=[0.6, 0.3, 0.1]),
        "port": rng.choice([22, 53, 80, 443], ROWS),
        "bytes": np.where(rng.random(ROWS) < 0.1, np.nan, np.round(rng.lognormal(5, 2, ROWS), 3)),
    }
)
rows.index = pd.to_datetime((rows["ts"] * 1000).round().astype("int64"), unit="ms")


def entropy(values):
    shares = pd.Series(values).value_counts(normalize=True).to_numpy()
    return float(-(shares * np.log2(shares)).sum() + 0.0)


def regularity(gaps):
    gaps = gaps[1:]
    return float(np.std(gaps) / np.mean(gaps)) if len(gaps) >= 2 else np.nan


def features(window):
    """`window` is what `rolling` takes: a length of time or a number of rows."""
    told = {name: np.full(ROWS, np.nan) for name in
            ["count", "distinct", "share", "entropy", "sum", "mean", "std", "min", "max", "gap", "regularity"]}
    rows["at"] = np.arange(ROWS)
    for _, group in rows.groupby("src"):
        at = group["at"].to_numpy()
        told["count"][at] = group["port"].rolling(window, min_periods=1).count()
        ports = group["port"].rolling(window, min_periods=1)
        told["distinct"][at] = ports.apply(lambda x: len(set(x)), raw=True)
        told["share"][at] = ports.apply(lambda x: (x == x[-1]).mean(), raw=True)
        told["entropy"][at] = ports.apply(entropy, raw=True)
        size = group["bytes"].rolling(window, min_periods=1)
        told["sum"][at] = size.apply(np.nansum, raw=True)
        told["mean"][at] = size.apply(lambda x: np.nanmean(x) if np.isfinite(x).any() else np.nan, raw=True)
        told["std"][at] = size.apply(lambda x: np.nanstd(x) if np.isfinite(x).any() else np.nan, raw=True)
        told["min"][at] = size.apply(lambda x: np.nanmin(x) if np.isfinite(x).any() else np.nan, raw=True)
        told["max"][at] = size.apply(lambda x: np.nanmax(x) if np.isfinite(x).any() else np.nan, raw=True)
        times = group["ts"].rolling(window, min_periods=1)
        told["gap"][at] = times.apply(lambda x: x[-1] - x[-2] if len(x) > 1 else np.nan, raw=True)
        told["regularity"][at] = times.apply(lambda x: regularity(np.diff(x, prepend=x[0])), raw=True)
    return {name: cells(column) for name, column in told.items()}


def cells(column):
    return [None if not np.isfinite(cell) else float(cell) for cell in column]


print(
    json.dumps(
        {
            "pandas": pd.__version__,
            "ts": cells(rows["ts"]),
            "src": list(rows["src"]),
            "port": [int(port) for port in rows["port"]],
            "bytes": cells(rows["bytes"]),
            "20s": features("20s"),
            "7": features(7),
        }
    )
)
