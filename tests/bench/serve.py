"""`netsec serve` beside FastAPI, BentoML and ONNX Runtime, in one run on this machine, over the loopback alone.

    apt-get install wrk gcc
    python3 -m venv VENV && VENV/bin/pip install -r tests/bench/serve/requirements.txt
    VENV/bin/python tests/bench/serve.py [PART …] [--netsec target/release/netsec] [--seconds 5] [--quick]

All parts together take some half an hour.

`cpu`      CPU time of the server a request of one row, three learners by four shapes of tables
`batch`    rows a CPU second in requests of 1,000 rows
`latency`  quantiles at constant rates, in an open loop (`serve/pace.c`), with the same of an answer without work
`memory`   what a server with one model takes while it does nothing
`reload`   a ref is moved again and again under load: no error, and no answer of two models
`drain`    SIGTERM under load: no request is lost

netsec trains its models by a pipeline; scikit-learn trains as many trees of the same size behind the same steps.
ONNX Runtime runs two: what `netsec model export` wrote, which is the same model, an input a column, in float64; and
what skl2onnx makes of scikit-learn's, a matrix in float32, which is how it is fastest. Everything is seeded. Peers
have one worker, and one thread a prediction; netsec has a thread a core, or `--workers`.
"""

import argparse
import contextlib
import functools
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

# OpenMP's threads spin while they wait for each other: of one row they make several times the CPU time. Set before
# anything is imported that reads it, and inherited by the peers.
for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[threads] = "1"
os.environ["BENTOML_DO_NOT_TRACK"] = "True"

import joblib
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

HERE = Path(__file__).resolve().parent / "serve"
BIN = Path(sys.executable).parent
JSON = {"Content-Type": "application/json"}
ROWS = 4000

# Columns of numbers; columns of text by how many values they have (NSL-KDD's protocol, flag and service).
SHAPES = {
    "n12": (12, {}),
    "n30": (30, {}),
    "n100": (100, {}),
    "mixed": (30, {"protocol": 3, "flag": 11, "service": 66}),
}

# netsec's learner with its grid, and the same of scikit-learn.
LEARNERS = {
    "gbt": ("gradient_boosting", {"trees": [200], "leaves": [31], "learning_rate": [0.1]},
            lambda: HistGradientBoostingClassifier(max_iter=200, max_leaf_nodes=31, learning_rate=0.1,
                                                   early_stopping=False, random_state=0)),
    "logreg": ("logistic_regression", {"alpha": [1]}, lambda: LogisticRegression(max_iter=1000)),
    "forest": ("random_forest", {"trees": [100]}, lambda: RandomForestClassifier(100, random_state=0)),
}

PIPELINE = """name: {shape}
stages:
  train_rows: {{ kind: ingest, inputs: {{ data: {shape}.train.csv }} }}
  test_rows: {{ kind: ingest, inputs: {{ data: {shape}.test.csv }} }}
  transform:
    kind: transform
    inputs: {{ train: train_rows.data, test: test_rows.data }}
    with:
      target: label
      target_map: {{ 0: 0, 1: 1 }}
      steps: [{{ type: number, impute: {{ with: mean }} }}, {{ type: number, scale: {{}} }}, {{ onehot: {{}} }}]
"""

# Who moves refs, and why.
WHY = ("--why", "bench", "--by", "bench")

STAGE = """  {learner}:
    kind: train
    inputs: {{ train: transform.train, preprocessor: transform.preprocessor }}
    with: {{ folds: 2, select: {{ min_score: 0 }}, candidates: [{{ learner: {name}, grid: {grid} }}] }}
"""


def say(line):
    print(line, flush=True)


# Models.


def columns(wide):
    return [f"feature_{at:02}" for at in range(wide)]


def table(shape):
    """Some thousand rows: a third of the columns are counts, the others measures; 2 % of the numbers are missing."""
    wide, texts = SHAPES[shape]
    draw = np.random.default_rng(wide + len(texts))
    numbers = draw.normal(size=(ROWS, wide))
    score = numbers[:, 0] * numbers[:, 1] + numbers[:, 2:8].sum(1) + draw.normal(size=ROWS)
    numbers[:, ::3] = np.floor(np.exp(numbers[:, ::3] + 3))
    frame = pd.DataFrame(numbers.round(6), columns=columns(wide))
    for name, count in texts.items():
        codes = (draw.beta(1, 3, size=ROWS) * count).astype(int)
        score += codes % 3 - 1
        frame[name] = [f"{name}_{code:02}" for code in codes]
    spoilt = frame.iloc[:, :wide].mask(draw.random((ROWS, wide)) < 0.02)
    return pd.concat([spoilt, frame.iloc[:, wide:]], axis=1), (score > np.median(score)).astype(int)


class Bench:
    """The workspace with the models, and what to ask about them."""

    def __init__(self, folder, asked):
        self.folder, self.asked = Path(folder), asked
        subprocess.run(["gcc", "-O2", "-o", self.folder / "pace", HERE / "pace.c", "-lm"], check=True)

    def file(self, name, data):
        path = self.folder / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    def netsec(self, *args):
        done = subprocess.run([self.asked.netsec, *args], cwd=self.folder, capture_output=True, text=True)
        # A folder that was kept has its refs where they belong.
        assert done.returncode == 0 or "already" in done.stderr, f"{args}: {done.stderr}"

    @functools.cache
    def trained(self, shape):
        """Trains netsec's models; returns the rows and their classes."""
        rows, classes = table(shape)
        labelled = rows.assign(label=classes)
        cut = ROWS * 3 // 4
        labelled[:cut].to_csv(self.folder / f"{shape}.train.csv", index=False)
        labelled[cut:].to_csv(self.folder / f"{shape}.test.csv", index=False)
        stages = [STAGE.format(learner=learner, name=name, grid=json.dumps(grid))
                  for learner, (name, grid, _) in LEARNERS.items()]
        self.file(f"{shape}.yaml", PIPELINE.format(shape=shape) + "".join(stages))
        self.netsec("run", f"{shape}.yaml")
        for learner in LEARNERS:
            model = f"{shape}:{learner}.model"
            self.netsec("model", "promote", model, "--to", f"champion/{learner}-{shape}", *WHY)
            self.netsec("model", "export", model, "-o", f"{learner}-{shape}.onnx")
        return rows, classes

    @functools.cache
    def peers_model(self, shape, learner):
        """Trains scikit-learn's model, and has skl2onnx convert it."""
        from skl2onnx import to_onnx
        from skl2onnx.common.data_types import FloatTensorType, StringTensorType

        rows, classes = self.trained(shape)
        wide, texts = SHAPES[shape]
        steps = make_pipeline(SimpleImputer(), StandardScaler())
        if texts:
            onehot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
            steps = ColumnTransformer([("numbers", steps, list(range(wide))),
                                       ("texts", onehot, list(range(wide, wide + len(texts))))])
        model = make_pipeline(steps, LEARNERS[learner][2]())
        cut = ROWS * 3 // 4
        model.fit(rows.to_numpy()[:cut], classes[:cut])
        joblib.dump(model, self.folder / f"{learner}-{shape}.joblib")
        inputs = [("numbers", FloatTensorType([None, wide]))]
        if texts:
            inputs.append(("texts", StringTensorType([None, len(texts)])))
        converted = to_onnx(model, initial_types=inputs, options={id(model): {"zipmap": False}})
        self.file(f"{learner}-{shape}.skl.onnx", converted.SerializeToString())

    def record(self, shape):
        """A row without missing cells, of those that training had not."""
        rows, _ = self.trained(shape)
        return rows[ROWS * 3 // 4:].dropna().iloc[0].to_dict()

    def matrix(self, shape, count):
        rows, _ = self.trained(shape)
        return rows.fillna(0).to_numpy(dtype=float)[:count]

    # Servers.

    def serve(self, *args):
        """netsec with some models."""
        workers = ["--workers", str(self.asked.workers)] if self.asked.workers else []
        command = [self.asked.netsec, "serve", "-C", self.folder, *args, *workers]
        return Server(lambda port: [*command, "--listen", f"127.0.0.1:{port}"], "/v2/health/ready")

    def serve_ours(self, shape, learner):
        self.trained(shape)
        return self.serve(f"m=ref:champion/{learner}-{shape}")

    def told(self, peer, shape, learner):
        """What `serve/peers.py` needs to know: `sklearn`, `onnx` and `skl2onnx` behind FastAPI, or `bento`."""
        self.peers_model(shape, learner)
        wide, texts = SHAPES[shape]
        suffix = {"onnx": "onnx", "skl2onnx": "skl.onnx"}.get(peer, "joblib")
        return {"kind": "onnx" if "onnx" in peer else "sklearn", "bento": peer == "bento",
                "model": str(self.folder / f"{learner}-{shape}.{suffix}"), "numbers": columns(wide), "texts": list(texts)}

    def serve_peer(self, peer, shape, learner):
        """A peer with a model."""
        told = json.dumps(self.told(peer, shape, learner))
        env = os.environ | {"PEER": told, "BENTOML_HOME": str(self.folder / "bento")}
        if peer == "bento":
            ready = "/readyz"
            command = [BIN / "bentoml", "serve", "peers:Scorer", "--working-dir", HERE, "--host", "127.0.0.1"]
        else:
            ready = "/health"
            command = [BIN / "uvicorn", "peers:app", "--app-dir", HERE, "--workers", "1", "--loop", "uvloop",
                       "--http", "httptools", "--no-access-log", "--log-level", "warning"]
        return Server(lambda port: [*command, "--port", str(port)], ready, env)

    # Load.

    def wrk(self, server, ask, seconds, connections=16, env=None):
        """Begins to send one request over and over."""
        path, headers, body = ask
        pairs = [part for pair in headers.items() for part in pair]
        run = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", HERE / "load.lua", server.url + path, "--",
               self.file("body", body), *pairs]
        return subprocess.Popen(run, stdout=subprocess.PIPE, text=True, env=os.environ | (env or {}))

    def load(self, server, ask, connections=16):
        """Warms a server up and loads it; returns the figures, with `cpu` a request in seconds."""
        result(self.wrk(server, ask, 1, connections))
        before = server.cpu()
        figures = result(self.wrk(server, ask, self.asked.seconds, connections))
        figures["cpu"] = (server.cpu() - before) / max(figures["requests"], 1)
        figures["errors"] = figures["refused"] + figures["broken"] + figures["late"]
        figures["memory"] = server.memory()["rss"]
        return figures


def result(process):
    """Returns what wrk says in the end."""
    text = process.communicate()[0]
    line = next(line for line in text.splitlines() if line.startswith("result "))
    return json.loads(line.removeprefix("result "))


class Server:
    """A process that answers at a port of its own, with all it starts; ended by its id."""

    def __init__(self, command, ready, env=None):
        self.port = free_port()
        self.command, self.ready, self.env = [str(part) for part in command(self.port)], ready, env
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(self.command, env=self.env, stdout=self.log, stderr=self.log)
        for _ in range(600):
            with contextlib.suppress(OSError):
                if self.ask("GET", self.ready)[0] == 200:
                    return self
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        self.__exit__()
        raise RuntimeError(f"{self.command} does not answer: {self.said()}")

    def __exit__(self, *_):
        pids = self.pids()
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def said(self):
        self.log.seek(0)
        return self.log.read().decode()

    def ask(self, method, path, headers={}, body=None):
        """Asks once; returns status, headers and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

    def pids(self):
        """The process and all below it."""
        parents = {}
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        found = [self.process.pid]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found

    def cpu(self):
        """The CPU seconds of all of them so far."""
        spent = 0
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            spent += int(fields[11]) + int(fields[12])
        return spent / os.sysconf("SC_CLK_TCK")

    def memory(self):
        """MB of all of them: resident, the share that is theirs, and what is in no file."""
        total = Counter()
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                name, _, size = line.partition(":")
                if name in ("Rss", "Pss", "Anonymous"):
                    total[name.lower()] += int(size.split()[0]) / 1024
        return total


def free_port():
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# What is asked: a path, headers and a body.


def ask_score(records):
    return "/v1/score", JSON, json.dumps({"rows": records})


def ask_peer(record):
    return "/score", JSON, json.dumps(record)


def ask_split(records):
    split = {"columns": list(records[0]), "data": [list(record.values()) for record in records]}
    return "/invocations", JSON, json.dumps({"dataframe_split": split})


def ask_infer(records, raw):
    """Tensors: `rows` with all cells if they are numbers, otherwise one a column; in JSON, or raw behind it."""
    rows, behind = len(records), b""
    columns = {name: [record[name] for record in records] for name in records[0]}
    if not any(isinstance(cells[0], str) for cells in columns.values()):
        shape, columns = [rows, len(columns)], {"rows": [list(record.values()) for record in records]}
    else:
        shape = [rows]
    inputs = []
    for name, cells in columns.items():
        is_text = isinstance(cells[0], str)
        tensor = {"name": name, "shape": shape, "datatype": "BYTES" if is_text else "FP64"}
        if raw:
            texts = (len(cell).to_bytes(4, "little") + cell.encode() for cell in cells) if is_text else ()
            data = b"".join(texts) if is_text else np.array(cells, dtype="<f8").tobytes()
            tensor["parameters"] = {"binary_data_size": len(data)}
            behind += data
        else:
            tensor["data"] = cells
        inputs.append(tensor)
    head = json.dumps({"inputs": inputs} | ({"parameters": {"binary_data_output": True}} if raw else {})).encode()
    if not raw:
        return "/v2/models/m/infer", JSON, head
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
    return "/v2/models/m/infer", headers, head + behind


def ours(records):
    """The forms in which netsec is asked."""
    return {"/v1/score": ask_score(records), "/v2 JSON": ask_infer(records, False), "/v2 binary": ask_infer(records, True),
            "/invocations": ask_split(records)}


PEERS = {"sklearn": "FastAPI, scikit-learn", "onnx": "FastAPI, ONNX Runtime, netsec's export",
         "skl2onnx": "FastAPI, ONNX Runtime, skl2onnx", "bento": "BentoML, scikit-learn"}


def probability(server, ask):
    """What a server answers; it has to be an answer."""
    path, headers, body = ask
    status, _, answer = server.ask("POST", path, headers, body)
    assert status == 200, f"{path}: {status} {answer[:500]}"
    answer = json.loads(answer)
    return answer["rows"][0]["probability"] if "rows" in answer else answer["probability"]


# The parts.


def cpu(bench):
    say("| model | server | µs CPU a request | × netsec's | requests/s | errors | RSS in MB |")
    say("|---|---|--:|--:|--:|--:|--:|")
    wide = []
    for learner in LEARNERS:
        for shape in SHAPES:
            record, found = bench.record(shape), {}
            with bench.serve_ours(shape, learner) as server:
                expected = probability(server, ask_score([record]))
                for name, ask in ours([record]).items():
                    found[f"netsec {name}"] = bench.load(server, ask)
            for peer, name in PEERS.items():
                with bench.serve_peer(peer, shape, learner) as server:
                    told = probability(server, ask_peer(record))
                    # The same model tells the same.
                    assert peer != "onnx" or abs(told - expected) < 1e-9, (told, expected)
                    found[name] = bench.load(server, ask_peer(record), 8 if peer == "bento" else 16)
            base = found["netsec /v1/score"]["cpu"]
            for name, figures in found.items():
                say(f"| {learner}, {shape} | {name} | {figures['cpu'] * 1e6:.1f} | {figures['cpu'] / base:.1f} | "
                    f"{figures['requests'] / figures['seconds']:.0f} | {figures['errors']} | {figures['memory']:.0f} |")
            wide.append((learner, shape, found))
    say("\nµs CPU a request; in brackets, how many times netsec's /v1/score\n")
    say(f"| model | {' | '.join(wide[0][2])} |")
    say("|---|" + "--:|" * len(wide[0][2]))
    for learner, shape, found in wide:
        base = found["netsec /v1/score"]["cpu"]
        cells = [f"{figures['cpu'] * 1e6:.0f} ({figures['cpu'] / base:.1f})" for figures in found.values()]
        say(f"| {learner}, {shape} | {' | '.join(cells)} |")


def batch(bench, rows=1000):
    say(f"| model | server | {rows} rows a request: rows a CPU second | × of netsec /v1/score | errors |")
    say("|---|---|--:|--:|--:|")
    for learner in LEARNERS:
        for shape in (shape for shape, (_, texts) in SHAPES.items() if not texts):
            matrix, found = bench.matrix(shape, rows), {}
            records = [dict(zip(columns(matrix.shape[1]), row)) for row in matrix.tolist()]
            with bench.serve_ours(shape, learner) as server:
                for name, ask in ours(records).items():
                    found[f"netsec {name}"] = bench.load(server, ask, 4)
            ask = "/batch", JSON, json.dumps({"rows": matrix.tolist()})
            for peer in ("onnx", "skl2onnx", "sklearn"):
                with bench.serve_peer(peer, shape, learner) as server:
                    found[PEERS[peer]] = bench.load(server, ask, 4)
            for peer, name in (("onnx", "netsec's export"), ("skl2onnx", "skl2onnx")):
                found[f"no HTTP: ONNX Runtime, {name}, ready arrays"] = bare(bench, peer, shape, learner, matrix)
            rate = {name: rows / figures["cpu"] for name, figures in found.items()}
            for name, figures in found.items():
                say(f"| {learner}, {shape} | {name} | {rate[name]:,.0f} | {rate[name] / rate['netsec /v1/score']:.2f} | "
                    f"{figures['errors']} |")


def bare(bench, peer, shape, learner, matrix):
    """ONNX Runtime by itself."""
    np.save(bench.folder / "matrix.npy", matrix)
    told = bench.told(peer, shape, learner) | {"seconds": bench.asked.seconds, "matrix": str(bench.folder / "matrix.npy")}
    run = [sys.executable, HERE / "peers.py"]
    done = subprocess.run(run, env=os.environ | {"PEER": json.dumps(told)}, check=True, stdout=subprocess.PIPE)
    return {"cpu": float(done.stdout), "errors": 0}


def latency(bench, shape="n30", learner="gbt"):
    record = bench.record(shape)
    seconds = bench.asked.seconds * 4
    say(f"{learner}, {shape}, one row a request, {seconds} s each; ms from when a request was due to its last byte; "
        "`late` is the generator's own error, by how much it sent later than it could have")
    say("| server | requests/s | p50 | p90 | p99 | p99.9 | worst | late p50 | late p99 | late p99.9 | unanswered |")
    say("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")

    def pace(name, server, method, ask, rate):
        path, headers, body = ask
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{server.port}", f"Content-Length: {len(body)}",
                 *(f"{name}: {value}" for name, value in headers.items())]
        request = bench.file("request", "\r\n".join(lines) + "\r\n\r\n" + body)
        command = [bench.folder / "pace", str(server.port), request, str(rate)]
        subprocess.run([*command, "1", "16"], check=True, stdout=subprocess.DEVNULL)
        told = subprocess.run([*command, str(seconds), "16"], check=True, stdout=subprocess.PIPE).stdout
        late, whole = np.frombuffer(told).reshape(-1, 2).T * 1000
        answered = whole[~np.isnan(whole)]
        quantiles = [*np.quantile(answered, [0.5, 0.9, 0.99, 0.999, 1]), *np.nanquantile(late, [0.5, 0.99, 0.999])]
        say(f"| {name} | {rate} | {' | '.join(f'{value:.3f}' for value in quantiles)} | {len(whole) - len(answered)} |")

    nothing = "/v2/health/live", {}, ""
    with bench.serve_ours(shape, learner) as server:
        for rate in (100, 1000):
            pace("netsec /v2/health/live", server, "GET", nothing, rate)
            pace("netsec /v1/score", server, "POST", ask_score([record]), rate)
    for peer, name in PEERS.items():
        with bench.serve_peer(peer, shape, learner) as server:
            for rate in (100, 1000):
                pace(name, server, "POST", ask_peer(record), rate)


def memory(bench, shape="n30", learner="gbt"):
    record = bench.record(shape)
    say(f"| server with one model ({learner}, {shape}), after 100 requests | RSS in MB | PSS | anonymous |")
    say("|---|--:|--:|--:|")
    servers = {"netsec": (bench.serve_ours(shape, learner), ask_score([record]))}
    servers |= {name: (bench.serve_peer(peer, shape, learner), ask_peer(record)) for peer, name in PEERS.items()}
    for name, (server, ask) in servers.items():
        with server:
            for _ in range(100):
                probability(server, ask)
            time.sleep(2)
            taken = server.memory()
            say(f"| {name} | {taken['rss']:.0f} | {taken['pss']:.0f} | {taken['anonymous']:.0f} |")


def reload(bench, shape="n30", pause=0.1):
    """Moves a ref between two models while wrk asks, and looks at every answer."""
    record, moves = bench.record(shape), bench.asked.moves
    names = {}
    for learner in ("gbt", "forest"):
        with bench.serve_ours(shape, learner) as server:
            status, headers, body = server.ask("POST", *ask_score([record]))
            names[headers["x-netsec-model"]] = f"{learner} {json.loads(body)['rows'][0]['probability']}"
    first, second = names
    bench.netsec("model", "promote", first, "--to", "champion/moving", *WHY)
    admin = free_port()
    with bench.serve("m=ref:champion/moving", "--watch", "0.05", "--admin", f"127.0.0.1:{admin}") as server:
        process = bench.wrk(server, ask_score([record]), 600, env={"VERDICTS": "1"})
        try:
            time.sleep(1)
            before, began = server.memory(), time.monotonic()
            for at in range(moves):
                if at % 2:
                    bench.netsec("model", "rollback", "champion/moving", *WHY)
                else:
                    bench.netsec("model", "promote", second, "--to", "champion/moving", *WHY)
                time.sleep(pause)
            seconds, after = time.monotonic() - began, server.memory()
        finally:
            process.send_signal(signal.SIGINT)
        figures = result(process)
        connection = http.client.HTTPConnection("127.0.0.1", admin)
        connection.request("GET", "/metrics")
        metrics = connection.getresponse().read().decode()
    lines = [line for line in metrics.splitlines() if line.startswith("netsec_reloads_total{") and "Swapped" in line]
    swaps = sum(int(line.split()[1]) for line in lines)
    errors = figures["refused"] + figures["broken"] + figures["late"]
    say(f"{moves} moves in {seconds:.1f} s, {figures['requests']} requests, {errors} errors, {swaps} swaps, "
        f"RSS {before['rss']:.1f} MB before, {after['rss']:.1f} after")
    mixed = 0
    for verdict, count in figures["verdicts"].items():
        status, header, body, told = verdict.split(" ")
        is_whole = status == "200" and header == body and names.get(header, "").endswith(f" {told}")
        mixed += 0 if is_whole else count
        say(f"  {count} × {names.get(header, 'UNKNOWN')}: status {status}, header {header[:12]}, body {body[:12]}, "
            f"probability {told}" + ("" if is_whole else "  WRONG"))
    assert errors == 0 and mixed == 0, "an answer failed, or is of two models"


class Client(threading.Thread):
    """Sends requests until it is refused, and says what became of each.

    A request is *lost* if all of it was sent on a connection that was there, and the connection ended before the
    answer was whole. Not lost is what is refused at `connect`, and a connection that the server had ended before
    the request was sent: that is looked at first, and a server may end what is idle. Of a lost one it is told
    whether it was the first of its connection, and how long the connection had been idle before.

    `kind`: `busy` asks again at once; `new` takes a connection for each request; `slow` sends the body in two parts,
    20 ms apart; `idle` waits up to 3 s, longer than the server announces its end.
    """

    def __init__(self, port, kind, request, seed):
        super().__init__(daemon=True)
        self.port, self.kind, self.request = port, kind, request
        self.draw, self.seen, self.losses, self.ends = random.Random(seed), Counter(), [], threading.Event()

    def run(self):
        connection, idle_since = None, None
        while not self.ends.is_set():
            if connection and self.is_closed(connection):
                self.seen["connections ended while idle"] += 1
                connection.close()
                connection = None
            first = connection is None
            if first:
                connection = socket.socket()
                connection.settimeout(20)
                try:
                    connection.connect(("127.0.0.1", self.port))
                except OSError:
                    self.seen["refused"] += 1
                    return
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                idle_since = time.monotonic()
            sent_at = time.monotonic()
            answer, why = self.once(connection)
            if answer is None:
                self.losses.append((sent_at, self.kind, "first of its connection" if first else "on a kept connection",
                                    sent_at - idle_since, why))
                connection.close()
                connection = None
                continue
            idle_since = time.monotonic()
            status, is_last = answer
            self.seen["answered" if status == 200 else f"status {status}"] += 1
            self.seen["asked to close"] += is_last
            if is_last or self.kind == "new":
                connection.close()
                connection = None
            if self.kind == "idle":
                self.ends.wait(self.draw.uniform(0, 3))

    @staticmethod
    def is_closed(connection):
        try:
            return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def once(self, connection):
        """Returns the status and whether the connection ends, or why there is none."""
        held, why = b"", "was closed"
        try:
            if self.kind == "slow":
                connection.sendall(self.request[:-20])
                time.sleep(0.02)
                connection.sendall(self.request[-20:])
            else:
                connection.sendall(self.request)
            while True:
                head, _, body = held.partition(b"\r\n\r\n")
                lines = head.lower().split(b"\r\n")
                length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), None)
                if length is not None and len(body) >= length:
                    return (int(head[9:12]), b"connection: close" in lines), None
                more = connection.recv(65536)
                if not more:
                    break
                held += more
        except OSError as error:
            why = type(error).__name__
        return None, f"{why} after {len(held)} bytes"


def drain(bench, shape="n30", learner="gbt"):
    """Ends servers with SIGTERM under load, round after round; uvicorn's figures show what the clients can tell."""
    record = bench.record(shape)
    kinds = ["busy"] * 8 + ["new"] * 8 + ["slow"] * 8 + ["idle"] * 24
    everything = {
        "netsec": (lambda: bench.serve_ours(shape, learner), ask_score([record])),
        "FastAPI, skl2onnx": (lambda: bench.serve_peer("skl2onnx", shape, learner), ask_peer(record)),
    }
    failed = {}
    for name, (start, (path, _, body)) in everything.items():
        seen, losses, codes, took = Counter(), Counter(), Counter(), []
        lines = [f"POST {path} HTTP/1.1", "Host: bench", f"Content-Length: {len(body)}", "Content-Type: application/json"]
        request = ("\r\n".join(lines) + "\r\n\r\n" + body).encode()
        for round_ in range(bench.asked.rounds):
            with start() as server:
                clients = [Client(server.port, kind, request, f"{round_} {at}") for at, kind in enumerate(kinds)]
                for client in clients:
                    client.start()
                time.sleep(1 + round_ % 10 / 100)
                asked = time.monotonic()
                server.process.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    codes[server.process.wait(60)] += 1
                took.append(time.monotonic() - asked)
                for client in clients:
                    client.ends.set()
                for client in clients:
                    client.join(30)
                    seen += client.seen
                    for at, kind, which, idle, why in client.losses:
                        waited = "idle over 1 s" if idle > 1 else "not idle"
                        losses[f"{kind}, {which}, {waited}, {why}"] += 1
                        if bench.asked.verbose:
                            say(f"  round {round_}: {at - asked:.4f} s after SIGTERM, of {took[-1]:.4f}: {kind}, {which}, "
                                f"idle {idle:.4f} s, {why}")
        failed[name] = losses.total() > 0 or set(codes) != {0}
        say(f"{name}: {bench.asked.rounds} rounds of {len(kinds)} clients: {losses.total()} requests lost; exit codes "
            f"{dict(codes)}; ended after {min(took):.2f} to {max(took):.2f} s")
        say(f"  {dict(seen)}")
        for loss, count in losses.most_common():
            say(f"  lost {count}: {loss}")
    assert not failed["netsec"], "netsec lost requests, or did not end well"


PARTS = {part.__name__: part for part in (cpu, batch, latency, memory, reload, drain)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="all of them if none is named")
    parser.add_argument("--netsec", type=lambda path: Path(path).resolve(), default=Path("target/release/netsec").resolve())
    parser.add_argument("--seconds", type=int, default=5, help="of each load; four times as long for latencies")
    parser.add_argument("--moves", type=int, default=200, help="of the ref, for `reload`")
    parser.add_argument("--rounds", type=int, default=20, help="of `drain`")
    parser.add_argument("--workers", type=int, help="netsec's threads; as many as there are cores if it is left out")
    parser.add_argument("--folder", help="where to keep models; a temporary one if it is left out")
    parser.add_argument("--quick", action="store_true", help="one learner, two shapes, little time: does it run?")
    parser.add_argument("--verbose", action="store_true", help="tell of every lost request")
    asked = parser.parse_args()
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}: there are {', '.join(PARTS)}")
    if asked.quick:
        asked.seconds, asked.moves, asked.rounds = 1, 20, 2
        for table_, kept in ((LEARNERS, ("gbt", "forest")), (SHAPES, ("n30", "mixed"))):
            for name in set(table_) - set(kept):
                del table_[name]
    failed = []
    with contextlib.ExitStack() as stack:
        folder = asked.folder or stack.enter_context(tempfile.TemporaryDirectory())
        Path(folder).mkdir(parents=True, exist_ok=True)
        bench = Bench(folder, asked)
        for name, part in PARTS.items():
            if not asked.parts or name in asked.parts:
                say(f"\n## {name}\n")
                try:
                    part(bench)
                except AssertionError as error:
                    say(f"FAILED: {error}")
                    failed.append(name)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
