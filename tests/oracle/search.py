"""Makes search.json: how near Optuna's TPE comes to the least value of functions.

    python -m venv .venv && .venv/bin/pip install -r tests/oracle/requirements.txt
    .venv/bin/python tests/oracle/search.py

Of each function, for 30 and 60 trials, the median over 20 seeds of the best value found, the least there is being 0. The
sampler is `TPESampler(multivariate=True, constant_liar=True)`. The first four functions are those by which ours was made.
"""

import json
import math
import warnings
from pathlib import Path

import numpy as np
import optuna

HERE = Path(__file__).parent
SEEDS = 20


def sphere(x):
    return sum(v * v for v in x)


def rosenbrock(x):
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def branin(x):
    bend = x[1] - 5.1 / (4 * math.pi ** 2) * x[0] ** 2 + 5 / math.pi * x[0] - 6
    return bend ** 2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x[0]) + 10 - 0.39788735772973816


def mixed(x):
    rate, count, choice, share = x
    choice = int(choice)
    slope = 1 if choice == 1 else 2
    far = (math.log10(rate) + 1.5) ** 2 + ((count - 37) / 30) ** 2
    return far + [1.0, 0.0, 0.6, 1.5][choice] + 4 * (share - 0.3) ** 2 * slope


def ackley(x):
    squares, waves = sum(v * v for v in x) / 4, sum(math.cos(2 * math.pi * v) for v in x) / 4
    return -20 * math.exp(-0.2 * math.sqrt(squares)) - math.exp(waves) + 20 + math.e


def styblinski(x):
    return sum(v ** 4 - 16 * v * v + 5 * v for v in x) / 2 + 3 * 39.16616570377142


def levy(x):
    w = [1 + (v - 1) / 4 for v in x]
    middle = sum((v - 1) ** 2 * (1 + 10 * math.sin(math.pi * v + 1) ** 2) for v in w[:-1])
    return math.sin(math.pi * w[0]) ** 2 + middle + (w[-1] - 1) ** 2 * (1 + math.sin(2 * math.pi * w[-1]) ** 2)


def narrow(x):
    near = math.exp(-((x[0] - 0.83) ** 2 + (x[1] - 0.12) ** 2) / 0.01)
    return 1 - near + 0.3 * abs(x[0] - 0.83)


NUMBER, LOG, WHOLE, CHOICE = "number", "log", "whole", "choice"
FUNCTIONS = {
    "sphere": (sphere, [(NUMBER, -5, 5)] * 5),
    "rosenbrock": (rosenbrock, [(NUMBER, -2, 2)] * 2),
    "branin": (branin, [(NUMBER, -5, 10), (NUMBER, 0, 15)]),
    "mixed": (mixed, [(LOG, 1e-4, 1.0), (WHOLE, 1, 100), (CHOICE, 0, 3), (NUMBER, 0, 1)]),
    "ackley": (ackley, [(NUMBER, -10, 20)] * 4),
    "styblinski": (styblinski, [(NUMBER, -5, 5)] * 3),
    "levy": (levy, [(NUMBER, -10, 10)] * 6),
    "narrow": (narrow, [(NUMBER, 0, 1)] * 2),
}


def suggested(trial, at, dimension):
    kind, low, high = dimension
    name = f"x{at}"
    if kind == CHOICE:
        return trial.suggest_categorical(name, list(range(low, high + 1)))
    if kind == WHOLE:
        return trial.suggest_int(name, low, high)
    return trial.suggest_float(name, low, high, log=kind == LOG)


def best(function, space, trials, seed):
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True))
    study.optimize(lambda trial: function([suggested(trial, at, d) for at, d in enumerate(space)]), n_trials=trials)
    return study.best_value


def main():
    warnings.filterwarnings("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    figures = {}
    for name, (function, space) in FUNCTIONS.items():
        for trials in (30, 60):
            found = [best(function, space, trials, seed) for seed in range(SEEDS)]
            figures[f"{name} {trials}"] = float(np.median(found))
    (HERE / "search.json").write_text(json.dumps(figures, indent=1) + "\n")


main()
