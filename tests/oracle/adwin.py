"""Changes that ADWIN of River finds in streams of alarms (see requirements.txt).

    python adwin.py > adwin.json
"""

import json

import numpy as np
from river import drift
import river


def streams():
    rng = np.random.default_rng(11)
    yield "steady", (rng.random(20_000) < 0.01).astype(int)
    yield "rises", np.concatenate([rng.random(8_000) < 0.01, rng.random(4_000) < 0.05]).astype(int)
    yield "falls", np.concatenate([rng.random(6_000) < 0.3, rng.random(6_000) < 0.1]).astype(int)
    yield "drifts", (rng.random(15_000) < np.linspace(0.01, 0.2, 15_000)).astype(int)
    yield "bursts", (rng.random(12_000) < np.where(np.arange(12_000) // 1_500 % 2 == 0, 0.02, 0.2)).astype(int)


told = {}
for name, alarms in streams():
    for delta in (0.002, 0.05):
        detector = drift.ADWIN(delta=delta)
        changes, widths = [], []
        for at, alarm in enumerate(alarms):
            detector.update(int(alarm))
            if detector.drift_detected:
                changes.append(at)
                widths.append(int(detector.width))
        told[f"{name} {delta}"] = {
            "alarms": "".join(map(str, alarms)), "delta": delta, "changes": changes, "widths": widths,
            "estimate": float(detector.estimation),
        }
print(json.dumps({"river": river.__version__, "streams": told}))
