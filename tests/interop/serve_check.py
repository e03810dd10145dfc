"""`netsec serve` asked by the clients of others: every verdict has the very bits that `netsec predict` writes for the same row.

    python tests/interop/serve_check.py NETSEC FOLDER

NETSEC is the program; FOLDER is where the workspace is made (it is emptied first). Packages: tests/interop/requirements.txt; the
programs `curl` and `openssl`. Asks two models, one of numbers alone and one of everything, over the loopback interface: with
tritonclient, MLflow, pandas and plain HTTP; checks the API document with openapi-spec-validator and the server against it with
jsonschema and schemathesis, the metrics with prometheus_client, TLS with curl and openssl, and API keys. Prints a line for each check, and ends
with 1 if any failed; what schemathesis found is then in FOLDER/schemathesis.
"""

import csv
import gzip
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import blake3
import jsonschema
import mlflow.models
import numpy as np
import openapi_spec_validator
import pandas
import prometheus_client.openmetrics.parser
import prometheus_client.parser
import tritonclient.http as triton
from mlflow.pyfunc.scoring_server.client import ScoringServerClient
from checking import check, failed
from tritonclient.utils import InferenceServerException

NETSEC, FOLDER = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
ROOT = Path(__file__).resolve().parents[2]
JSON, NDJSON, CSV, PROBLEM = "application/json", "application/x-ndjson", "text/csv", "application/problem+json"

# The columns of the table of flows, and as what a client of the Open Inference Protocol sends them.
FLOWS = {"duration": "FP64", "bytes": "INT64", "rate": "FP32", "ttl": "INT32", "retried": "BOOL", "protocol": "BYTES", "service": "BYTES"}
TYPES = {"FP64": np.float64, "INT64": np.int64, "FP32": np.float32, "INT32": np.int32, "BOOL": np.bool_, "BYTES": np.object_}
FLOWS_PIPELINE = """
name: flows
stages:
  ingest: { kind: ingest, inputs: { data: flows.csv }, with: { types: { protocol: text, service: text } } }
  split: { kind: split, inputs: { data: ingest.data }, with: { target: label } }
  transform:
    kind: transform
    inputs: { train: split.train, test: split.test }
    with:
      target: label
      target_map: { 0: 0, 1: 1 }
      steps: [ { finite: {} }, { impute: { with: median, indicator: true } }, { onehot: {} }, { scale: {} } ]
  train:
    kind: train
    inputs: { train: transform.train, preprocessor: transform.preprocessor }
    with: { candidates: [ { learner: logistic_regression } ], select: { min_score: 0 } }
"""
MODELS = {"flows": "flows.yaml:train.model", "default": "ref:champion/default"}


def run(*words, codes=(0,)):
    done = subprocess.run([NETSEC, *words], cwd=FOLDER, capture_output=True, encoding="utf-8")
    if done.returncode not in codes:
        sys.exit(f"{' '.join(map(str, words))}: {done.stderr}{done.stdout}")
    return done.stdout


# Rows, and what `netsec predict` says of them. A row is a record: numbers, truth values and text by column; None is missing.


def flows(count):
    random = np.random.default_rng(11)
    table = []
    for _ in range(count):
        protocol = random.choice(["tcp", "udp", "icmp", "6in4"], p=[0.6, 0.3, 0.06, 0.04])
        service = random.choice(["http", "dns", "smb, v2", 'say "hi"', "größe", " ftp", "007"])
        row = {
            "duration": float(random.exponential()),
            # More than a number of 64 bits holds exactly.
            "bytes": int(random.integers(2**53, 2**62)) | 1 if random.random() < 0.1 else int(random.integers(0, 10**6)),
            "rate": float(np.float32(random.normal())),
            "ttl": int(random.choice([32, 64, 128, 255])),
            "retried": bool(random.random() < 0.3),
            "protocol": str(protocol),
            "service": str(service),
        }
        risk = row["duration"] + row["rate"] + row["retried"] + (protocol == "udp") - (service == "dns") + random.normal() / 2
        for name in ("duration", "rate", "protocol", "service"):
            if random.random() < 0.07:
                row[name] = None
        table.append(row | {"label": int(risk > 2)})
    return table


def text_of(cell):
    return "" if cell is None else str(cell).lower() if isinstance(cell, bool) else repr(cell) if isinstance(cell, float) else str(cell)


def write_csv(path, table):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: text_of(cell) for name, cell in row.items()} for row in table)


def predict(model, table):
    """Of every row its probability and whether it is an alarm; or the error."""
    write_csv(FOLDER / "asked.csv", table)
    run("predict", MODELS[model], "asked.csv", "-o", "told.csv", codes=(0, 4))
    with open(FOLDER / "told.csv", newline="", encoding="utf-8") as file:
        told = list(csv.DictReader(file))
    return [row["netsec_error"] or (float(row["netsec_probability"]), row["netsec_alarm"] == "true") for row in told]


def same(found, wanted):
    found = list(found)
    assert len(found) == len(wanted), f"{len(found)} verdicts on {len(wanted)} rows"
    far = [(at, told, told_before) for at, (told, told_before) in enumerate(zip(found, wanted), 1) if told != told_before]
    assert not far, f"{len(far)} of {len(wanted)} verdicts differ; row {far[0][0]}: {far[0][1]}, predict says {far[0][2]}"


def equal(found, wanted):
    assert found == wanted, f"{found!r}, expected {wanted!r}"


def frame_of(table):
    return pandas.DataFrame(table).astype({"protocol": object, "service": object})


def without_holes(table):
    return [row for row in table if None not in row.values()]


# A server, and plain requests.


@contextmanager
def server(name, *words):
    log = FOLDER / f"{name}.log"
    words = [*words, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--drain-delay", "0"]
    with open(log, "w") as file:
        process = subprocess.Popen([NETSEC, "serve", *words], cwd=FOLDER, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    try:
        told = {}
        while len(told) < 2:
            if process.poll() is not None:
                sys.exit(f"the server `{name}` ended: {log.read_text()}")
            time.sleep(0.01)
            lines = [line.split(" at ") for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
            told = {line[0]: urlsplit(line[1].strip()) for line in lines if line[0] in ("scores rows", "tells metrics")}
        yield SimpleNamespace(rows=told["scores rows"].netloc, admin=told["tells metrics"].netloc, port=told["scores rows"].port)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
    with check(f"the server `{name}` ends in order, and no panic was caught"):
        equal(code, 0)
        assert "panic" not in log.read_text(), log.read_text()


def ask(address, method, path, body=None, kind=None, **headers):
    """Returns status, headers and body, without looking at them."""
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        headers = {name.replace("_", "-"): value for name, value in headers.items()} | ({"Content-Type": kind} if kind else {})
        connection.request(method, path, body.encode() if isinstance(body, str) else body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def good(answer):
    status, headers, body = answer
    assert status == 200, f"{status}: {body.decode(errors='replace')}"
    return json.loads(body)


def refused(answer, status, **headers):
    """A problem as RFC 9457 has it, of this status, or of one of these."""
    told, found, body = answer
    expected = status if isinstance(status, tuple) else (status,)
    assert told in expected, f"{told}: {body.decode(errors='replace')}, expected {status}"
    equal(found.get_content_type(), PROBLEM)
    equal(json.loads(body)["status"], told)
    for name, value in headers.items():
        assert (found[name.replace("_", "-")] or "").startswith(value), f"{name}: {found[name.replace('_', '-')]}"
    return json.loads(body)


# 1. The Open Inference Protocol.


def tensor(name, kind, cells, binary, shape=None):
    blank = "" if kind == "BYTES" else np.nan
    cells = np.array([blank if cell is None else cell for cell in cells], dtype=TYPES[kind])
    cells = cells if shape is None else cells.reshape(shape)
    return triton.InferInput(name, list(cells.shape), kind).set_data_from_numpy(cells, binary_data=binary)


def tensors(table, kinds, binary):
    return [tensor(name, kind, [row[name] for row in table], binary) for name, kind in kinds.items()]


def texts(table):
    return [{name: text_of(cell) for name, cell in row.items()} for row in table]


OUTPUTS = {
    "outputs by default": None,
    "outputs raw": [triton.InferRequestedOutput(name, binary_data=True) for name in ("probability", "alarm")],
    "outputs in JSON": [triton.InferRequestedOutput(name, binary_data=False) for name in ("alarm", "probability")],
    "one output raw": [triton.InferRequestedOutput("alarm", binary_data=True), triton.InferRequestedOutput("probability", binary_data=False)],
}


def verdicts(result):
    p, alarms = result.as_numpy("probability"), result.as_numpy("alarm")
    equal((p.dtype, alarms.dtype), (np.float64, np.bool_))
    return list(zip(p.tolist(), alarms.tolist()))


def check_triton(address, flows, told_of_flows, numbers, told_of_numbers, digest):
    client = triton.InferenceServerClient(address)
    whole = without_holes(flows)
    told_of_whole = predict("flows", whole)
    with check("tritonclient: live, ready, and the model, also by its version"):
        assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("flows")
        assert client.is_model_ready("flows", digest) and not client.is_model_ready("flows", "0" * 64) and not client.is_model_ready("none")
    with check("tritonclient: metadata of the server and of a model"):
        assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
        told = client.get_model_metadata("flows")
        equal((told["name"], told["versions"]), ("flows", [digest]))
        kinds = {name: "BYTES" if kind == "BYTES" else "FP64" for name, kind in FLOWS.items()}
        equal({entry["name"]: (entry["datatype"], entry["shape"]) for entry in told["inputs"]}, {name: (kind, [-1]) for name, kind in kinds.items()})
        equal({entry["name"]: entry["datatype"] for entry in told["outputs"]}, {"probability": "FP64", "alarm": "BOOL"})
    for what, outputs in OUTPUTS.items():
        with check(f"tritonclient: raw FP64, INT64, FP32, INT32, BOOL and BYTES with holes; {what}"):
            result = client.infer("flows", tensors(flows, FLOWS, True), outputs=outputs, request_id="seven")
            same(verdicts(result), told_of_flows)
            equal([result.get_response()[name] for name in ("id", "model_name", "model_version")], ["seven", "flows", digest])
        with check(f"tritonclient: the same in JSON, without holes; {what}"):
            same(verdicts(client.infer("flows", tensors(whole, FLOWS, False), outputs=outputs)), told_of_whole)
    with check("tritonclient: all columns as BYTES, where a hole is no text; raw and in JSON"):
        for binary in (True, False):
            kinds = dict.fromkeys(FLOWS, "BYTES")
            same(verdicts(client.infer("flows", tensors(texts(flows), kinds, binary))), told_of_flows)
    with check("tritonclient: some tensors raw and others in JSON, columns besides, shape [rows, 1], one row, a version"):
        some = [tensor(name, kind, [row[name] for row in whole], at % 2 == 0) for at, (name, kind) in enumerate(FLOWS.items())]
        some.insert(3, tensor("label", "INT64", [row["label"] for row in whole], True))
        same(verdicts(client.infer("flows", some)), told_of_whole)
        some = [tensor(name, kind, [row[name] for row in flows], True, (len(flows), 1)) for name, kind in FLOWS.items()]
        same(verdicts(client.infer("flows", some, model_version=digest[:12])), told_of_flows)
        same(verdicts(client.infer("flows", tensors(flows[:1], FLOWS, True))), told_of_flows[:1])
    with check("tritonclient: raw NaN is missing, and raw infinity is what `inf` is in CSV"):
        odd = [row | {"duration": number} for row, number in zip(whole, [np.inf, -np.inf, np.nan])]
        same(verdicts(client.infer("flows", tensors(odd, FLOWS, True))), predict("flows", odd))
    names = list(numbers[0])
    cells = [cell for row in numbers for cell in row.values()]
    for kind in ("FP64", "FP32"):
        with check(f"tritonclient: a tensor `rows` of {kind} for a model of numbers alone, raw and in JSON"):
            told = [{name: None if cell is None else float(TYPES[kind](cell)) for name, cell in row.items()} for row in numbers]
            told = told_of_numbers if kind == "FP64" else predict("default", told)
            same(verdicts(client.infer("default", [tensor("rows", kind, cells, True, (len(numbers), len(names)))])), told)
            full = [at for at, row in enumerate(numbers) if None not in row.values()]
            some = [cell for at in full for cell in numbers[at].values()]
            same(verdicts(client.infer("default", [tensor("rows", kind, some, False, (len(full), len(names)))])), [told[at] for at in full])
    with check("tritonclient: no rows, no verdicts"):
        same(verdicts(client.infer("flows", tensors([], FLOWS, True))), [])
    with check("tritonclient: its exception has the words of the server"):
        for name, inputs, status, words in [
            ("none", tensors(flows, FLOWS, True), "404", "there is no model `none`"),
            ("flows", tensors(flows, {"bytes": "INT64"}, True), "422", "`duration`"),
            ("flows", tensors([row | {"duration": "long"} for row in texts(flows)], dict.fromkeys(FLOWS, "BYTES"), True), "422", "row 1: `duration`"),
        ]:
            try:
                client.infer(name, inputs)
            except InferenceServerException as error:
                assert error.status() == status and words in error.message(), f"{error.status()}: {error.message()}"
            else:
                raise AssertionError(f"`{words}` was expected, and verdicts came")
    client.close()


# 2. The forms of MLflow.


def check_mlflow(address, flows, told):
    def invoke(body, kind=JSON):
        answer = ask(address, "POST", "/invocations", body if isinstance(body, (str, bytes)) else json.dumps(body), kind)
        return [(row["probability"], bool(row["alarm"])) for row in good(answer)["predictions"]]

    order = [entry["name"] for entry in good(ask(address, "GET", "/v2/models/flows"))["inputs"]]
    records = [{name: row[name] for name in order} for row in flows]
    lists = [list(row.values()) for row in records]
    columns = {name: [row[name] for row in records] for name in order}
    whole = without_holes(flows)
    told_of_whole = predict("flows", whole)
    frame, whole_frame = frame_of(flows), frame_of(whole)
    host, port = address.split(":")
    client = ScoringServerClient(host, port)

    with check("MLflow's client: ping, and a DataFrame"):
        client.ping()
        answer = client.invoke(whole_frame).get_predictions()
        same(zip(answer["probability"], answer["alarm"] == 1), told_of_whole)
    with check("MLflow's client: a DataFrame with holes, which it sends as NaN"):
        answer = client.invoke(frame).get_predictions()
        same(zip(answer["probability"], answer["alarm"] == 1), told)
    with check("MLflow's client: a list of rows, and parameters"):
        answer = client.invoke([[row[name] for name in order] for row in whole], params={"seed": 1}).get_predictions()
        same(zip(answer["probability"], answer["alarm"] == 1), told_of_whole)
    with check("MLflow's serving input of an example: a DataFrame with holes, and a dictionary of arrays"):
        same(invoke(mlflow.models.convert_input_example_to_serving_input(frame)), told)
        arrays = {name: np.array([row[name] for row in whole]) for name in order}
        same(invoke(mlflow.models.convert_input_example_to_serving_input(arrays)), told_of_whole)
    for orient in ("split", "records"):
        with check(f"pandas: dataframe_{orient} by to_json, which rounds, and by to_dict, which does not"):
            text = frame.to_json(orient=orient, double_precision=15)
            rounded = json.loads(frame.to_json(orient="records", double_precision=15))
            same(invoke(f'{{"dataframe_{orient}": {text}}}'), predict("flows", rounded))
            same(invoke({f"dataframe_{orient}": frame.astype(object).where(frame.notna(), None).to_dict(orient=orient)}), told)
    with check("instances of records and of lists, inputs of columns, of columns with numbers in brackets, and of lists"):
        for body in [
            {"instances": records},
            {"instances": lists},
            {"inputs": columns},
            # A number may stand in brackets, as in a column of a matrix; a list in a column of text is its text.
            {"inputs": {name: cells if any(isinstance(cell, str) for cell in cells) else [[cell] for cell in cells]
                        for name, cells in columns.items()}},
            {"inputs": lists},
            {"signature_name": "serving_default", "inputs": columns, "params": {}},
        ]:
            same(invoke(body), told)
    with check("text/csv by pandas, and with a charset"):
        same(invoke(frame.to_csv(index=False), CSV), told)
        same(invoke(frame.to_csv(index=False), "text/csv; charset=utf-8"), told)
        same(invoke({"instances": records}, "application/json; charset=utf-8"), told)
    with check("one row, by a small body"):
        same(invoke({"dataframe_records": records[:1]}), told[:1])
        same(invoke(frame[:1].to_csv(index=False), CSV), told[:1])
    with check("text/csv is CSV: what is packed is refused before it is unpacked, and so are lines of JSON"):
        for body in [gzip.compress(frame.to_csv(index=False).encode()), "\n".join(map(json.dumps, records))]:
            refused(ask(address, "POST", "/invocations", body, CSV), (400, 415, 422))
    with check("what is no form of MLflow, and what does not fit, is refused with its error_code and message"):
        for body, kind, status in [
            ("[]", JSON, 400),
            ("{", JSON, 400),
            ('{"dataframe_split": {"columns": ["a"]}}', JSON, 400),
            ('{"instances": [[1, 2]]}', JSON, 422),
            ('{"dataframe_records": [{"duration": 1}]}', JSON, 422),
            ("duration\n1\n", CSV, 422),
            ("{}", "application/xml", 415),
        ]:
            problem = refused(ask(address, "POST", "/invocations", body, kind), status)
            assert problem["error_code"] and problem["message"], problem


# 3. Records, whole and as a stream.


def check_scores(address, flows, told, digest):
    def verdict(row):
        return row.get("error") or (row["probability"], row["alarm"])

    spoiled = [row | {"duration": "long"} if at % 50 == 7 else row for at, row in enumerate(flows)]
    told_of_spoiled = predict("flows", spoiled)
    assert sum(isinstance(row, str) for row in told_of_spoiled) == len(flows) // 50
    with check("/v1/score: records"):
        answer = good(ask(address, "POST", "/v1/score?model=flows", json.dumps({"rows": flows}), JSON))
        same(map(verdict, answer["rows"]), told)
        equal((answer["model"], answer["digest"]), ("flows", digest))
        answer = good(ask(address, "POST", "/v1/score?model=flows", json.dumps({"rows": flows[:1]}), JSON))
        same(map(verdict, answer["rows"]), told[:1])
    with check("/v1/score: a row that is no row spoils itself alone, in the words of predict"):
        answer = good(ask(address, "POST", "/v1/score?model=flows", json.dumps({"rows": spoiled}), JSON))
        same(map(verdict, answer["rows"]), told_of_spoiled)
    with check("/v1/score/stream: lines, in pieces that end anywhere, the last without an end"):
        text = "\n".join(json.dumps(row, ensure_ascii=False) for row in spoiled).encode()
        pieces = [text[at : at + 1777] for at in range(0, len(text), 1777)]
        status, headers, body = ask(address, "POST", "/v1/score/stream?model=flows", iter(pieces), NDJSON)
        assert status == 200 and headers["Content-Type"] == NDJSON, f"{status}: {body}"
        lines = [json.loads(line) for line in body.splitlines()]
        same(map(verdict, lines), told_of_spoiled)
        equal([line["line"] for line in lines], list(range(1, len(spoiled) + 1)))
        equal({line["digest"] for line in lines}, {digest})
    with check("/v1/score/stream: an answer comes while the stream is open"):
        connection = http.client.HTTPConnection(address, timeout=30)
        connection.putrequest("POST", "/v1/score/stream?model=flows")
        for name, value in [("Content-Type", NDJSON), ("Transfer-Encoding", "chunked")]:
            connection.putheader(name, value)
        connection.endheaders()
        answer = None
        for row, wanted in zip(flows[:5], told):
            line = json.dumps(row).encode() + b"\n"
            connection.send(b"%x\r\n%s\r\n" % (len(line), line))
            answer = answer or connection.getresponse()
            same([verdict(json.loads(answer.readline()))], [wanted])
        connection.send(b"0\r\n\r\n")
        equal(answer.read(), b"")
        connection.close()


# 4. and 5. The API document, and the server against it.


class Document:
    """The API document, and whether what is sent and answered keeps to it."""

    def __init__(self, address):
        self.text = good(ask(address, "GET", "/openapi.json"))

    def body(self, schema, value):
        schema = {"$ref": f"#/components/schemas/{schema}", "components": self.text["components"]}
        error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(value))
        assert error is None, f"{schema['$ref']}: {error.json_path}: {error.message[:300]}"

    def answer(self, method, path, answer):
        """An answer of a route: its status, its type and its body are declared."""
        status, headers, body = answer
        declared = self.text["paths"][path][method.lower()]["responses"]
        assert str(status) in declared, f"{method} {path}: {status} is not declared"
        kinds = declared[str(status)]["content"]
        kind = headers.get_content_type()
        assert kind in kinds, f"{method} {path}: {status} comes as {kind}, declared are {', '.join(kinds)}"
        for line in body.splitlines() if kind == NDJSON else [body] if kind in (JSON, PROBLEM) else []:
            self.body(kinds[kind]["schema"]["$ref"].rpartition("/")[2], json.loads(line))
        return answer


def check_document(address, table):
    document = Document(address)
    rows = [{name: row[name] for name in FLOWS} for row in without_holes(table)[:3]]
    columns = {name: [row[name] for row in rows] for name in FLOWS}
    split = {"columns": list(FLOWS), "data": [list(row.values()) for row in rows]}
    inputs = [{"name": name, "shape": [len(rows)], "datatype": kind, "data": columns[name]} for name, kind in FLOWS.items()]
    empty = [{"name": name, "shape": [0], "datatype": kind, "data": []} for name, kind in FLOWS.items()]
    raw = {"inputs": inputs, "outputs": [{"name": "probability", "parameters": {"binary_data": True}}]}
    infer, scores = "/v2/models/flows/infer", "/v1/score?model=flows"
    with check("openapi-spec-validator: the API document is one"):
        openapi_spec_validator.validate(document.text)
    for what, schema, path, body in [
        ("records", "ScoreRequest", scores, {"rows": rows}),
        ("records, and reasons", "ScoreRequest", scores, {"rows": rows, "explain": 2}),
        ("no records", "ScoreRequest", scores, {"rows": [], "explain": 1}),
        ("dataframe_split", "InvocationsRequest", "/invocations?model=flows", {"dataframe_split": split | {"index": [0, 1, 2]}}),
        ("dataframe_records", "InvocationsRequest", "/invocations?model=flows", {"dataframe_records": rows}),
        ("instances of records", "InvocationsRequest", "/invocations?model=flows", {"instances": rows}),
        ("instances of lists", "InvocationsRequest", "/invocations?model=flows", {"instances": split["data"]}),
        ("inputs of columns", "InvocationsRequest", "/invocations?model=flows", {"inputs": columns}),
        ("inputs of lists", "InvocationsRequest", "/invocations?model=flows", {"inputs": split["data"]}),
        ("tensors", "InferRequest", infer, {"id": "a", "inputs": inputs, "outputs": [{"name": "alarm"}]}),
        ("empty tensors", "InferRequest", infer, {"inputs": empty}),
        ("tensors, answered raw", "InferRequest", infer, raw),
    ]:
        declared = path.partition("?")[0].replace("/flows/", "/{name}/")
        with check(f"the document has what is sent and answered: {what}"):
            answer = ask(address, "POST", path, json.dumps(body), JSON)
            assert answer[0] == 200, answer
            faults = []
            for look in [lambda: document.body(schema, body), lambda: document.answer("POST", declared, answer)]:
                try:
                    look()
                except AssertionError as error:
                    faults.append(str(error))
            assert not faults, "; ".join(faults)
    with check("the document has what is sent and answered: text/csv, a stream, metadata"):
        write_csv(FOLDER / "three.csv", rows)
        document.answer("POST", "/invocations", ask(address, "POST", "/invocations?model=flows", (FOLDER / "three.csv").read_bytes(), CSV))
        lines = "\n".join([*map(json.dumps, rows), "{", "[]"])
        document.answer("POST", "/v1/score/stream", ask(address, "POST", "/v1/score/stream?model=flows", lines, NDJSON))
        for path in ["/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/{name}", "/v2/models/{name}/ready"]:
            document.answer("GET", path, ask(address, "GET", path.replace("{name}", "flows")))
    for method, path, asked, kind, status in [
        ("POST", "/v1/score", "/v1/score", JSON, 400),  # There are several models.
        ("POST", "/v1/score/stream", "/v1/score/stream", NDJSON, 400),
        ("POST", "/invocations", "/invocations", JSON, 400),
        ("POST", "/v1/score", "/v1/score?model=flows&model=default", JSON, 400),
        ("POST", "/v1/score", "/v1/score?model=none", JSON, 404),
        ("POST", "/v1/score", "/v1/score?model=flows", "text/plain", 415),
        ("POST", "/v1/score/stream", "/v1/score/stream?model=flows", "text/plain", 415),
        ("POST", "/invocations", "/invocations?model=flows", "text/plain", 415),
        ("POST", "/v2/models/{name}/infer", "/v2/models/flows/infer", "text/plain", 415),
        ("POST", "/v2/models/{name}/infer", "/v2/models/%FF/infer", JSON, (400, 404)),  # Not UTF-8.
        ("GET", "/v2/models/{name}", "/v2/models/%FF", None, (400, 404)),
        ("GET", "/v2/models/{name}", "/v2/models/none", None, 404),
        ("GET", "/v2/models/{name}/ready", "/v2/models/none/ready", None, 404),
    ]:
        with check(f"the document has how this is refused: {method} {asked} {kind or ''}"):
            answer = ask(address, method, asked, "{}" if method == "POST" else None, kind)
            refused(answer, status)
            document.answer(method, path, answer)


def check_fuzzed(address, key):
    report = FOLDER / "schemathesis"
    with check("schemathesis: the server does what the document says"):
        report.mkdir()
        (report / "schemathesis.toml").write_text(SCHEMATHESIS)
        (report / "hooks.py").write_text(HOOKS)
        words = ["run", f"http://{address}/openapi.json", "--seed", "1", "--max-examples", "40", "--checks", "all", "--generation-database", "none",
                 "--header", f"Authorization: Bearer {key}", "--no-color", "--continue-on-failure", "--report", "junit,ndjson", "--report-dir", "."]
        program = Path(sys.executable).with_name("schemathesis")
        done = subprocess.run([program, *words], cwd=report, capture_output=True, encoding="utf-8")
        (report / "report.txt").write_text(done.stdout + done.stderr)
        assert done.returncode == 0, f"see {report}: {done.stdout[-1500:]}{done.stderr}"


SCHEMATHESIS = """
hooks = "hooks.py"
# Names of models: one that is there most of the time, otherwise any.
[dictionaries.models]
values = ["flows"]
[parameters]
"path.name" = { dictionary = "models", probability = 0.7 }
"query.model" = { dictionary = "models", probability = 0.7 }
[phases.coverage]
generate-duplicate-query-parameters = true
# Which columns a model needs is no part of the document: a body that keeps to it may still be refused as not fit (422).
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 403, 404, 422]
# That a tensor has as many cells as its shape says, of its datatype and in one place, no schema says: they may be malformed (400).
[[operations]]
include-operation-id = "infer"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 403, 404, 422]
"""
# To the document CSV and lines of JSON are any text. These are tables and records, of cells that fit or do not; text with
# a NUL is refused as none (400).
HOOKS = f"""
import json
import schemathesis
from hypothesis import strategies as st

columns = {list(FLOWS)!r}
cells = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(st.characters(codec="utf-8", exclude_characters="\\0"))
rows = st.lists(st.tuples(*[cells] * len(columns)), min_size=1, max_size=5)
quoted = lambda cell: '"' + ("" if cell is None else str(cell)).replace('"', '""') + '"'
table = lambda rows: "\\n".join(",".join(map(quoted, row)) for row in [columns, *rows]).encode()
schemathesis.openapi.media_type("text/csv", rows.map(table))
records = lambda rows: "\\n".join(json.dumps(dict(zip(columns, row))) for row in rows).encode()
schemathesis.openapi.media_type("application/x-ndjson", rows.map(records) | st.binary())
"""


# 6. Metrics.


def check_metrics(server, flows, digest):
    address, rows = server.rows, json.dumps({"rows": flows[:10]})
    told = predict("flows", flows[:10])
    alarms = sum(alarm for _, alarm in told)
    for _ in range(3):
        good(ask(address, "POST", "/v1/score", rows, JSON))
    good(ask(address, "POST", "/invocations", json.dumps({"dataframe_records": flows[:10]}), JSON))
    good(ask(address, "POST", "/v1/score", '{"rows": [{}, 1]}', JSON))
    refused(ask(address, "POST", "/v1/score", "{", JSON), 400)
    refused(ask(address, "POST", "/v2/models/none/infer", "{}", JSON), 404)
    refused(ask(address, "GET", "/none"), 404)
    parsers = {"the format of Prometheus": prometheus_client.parser, "OpenMetrics": prometheus_client.openmetrics.parser}
    for name, parser in parsers.items():
        with check(f"prometheus_client reads the metrics as {name}, and they are right"):
            status, headers, body = ask(server.admin, "GET", "/metrics")
            assert status == 200 and headers.get_content_type() == "application/openmetrics-text", headers
            families = list(parser.text_string_to_metric_families(body.decode()))
            assert name != "OpenMetrics" or all(family.documentation for family in families)
            found = {(sample.name, *sorted(sample.labels.items())): sample.value for family in families for sample in family.samples}

            def value(name, **labels):
                return found[("netsec_" + name, *sorted(labels.items()))]

            requests = [("/v1/score", 200, 4), ("/v1/score", 400, 1), ("/invocations", 200, 1), ("/v2/models/{name}/infer", 404, 1), ("none", 404, 1)]
            for route, status, count in requests:
                equal(value("requests_total", route=route, status=str(status)), count)
            equal(value("request_seconds_count", route="/v1/score"), 5)
            equal(value("request_seconds_bucket", route="/v1/score", le="+Inf"), 5)
            equal([value("rows_total", model="flows", digest=digest[:12], outcome=outcome) for outcome in ("Alarm", "NoAlarm", "Error")], [4 * alarms, 4 * (10 - alarms), 2])
            equal(value("probability_count", model="flows", digest=digest[:12]), 40)
            equal(value("probability_bucket", model="flows", digest=digest[:12], le="0.5"), 4 * sum(p <= 0.5 for p, _ in told))
            equal(round(value("probability_sum", model="flows", digest=digest[:12]), 9), round(4 * sum(p for p, _ in told), 9))
            equal((value("ready"), value("model_info", model="flows", digest=digest)), (1, 1))
            assert value("scoring_seconds_total") > 0


# 7. TLS.


def openssl(*words):
    # What a server says first in HTTP/2 is no text.
    done = subprocess.run(["openssl", *words], cwd=FOLDER, capture_output=True, encoding="utf-8", errors="replace", input="")
    return done.returncode, done.stdout + done.stderr


def certificates():
    """A CA with a server and a client, and another CA with a client."""
    def made(*words):
        code, told = openssl(*words)
        assert code == 0, f"openssl {' '.join(words)}: {told}"

    for authority in ("ca", "other"):
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        made("req", "-x509", *key, "-keyout", f"{authority}.key", "-out", f"{authority}.pem", "-days", "2", "-subj", f"/CN={authority}",
             "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
    for name, authority, extensions in [
        ("server", "ca", "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth"),
        ("client", "ca", "extendedKeyUsage=clientAuth"),
        ("stranger", "other", "extendedKeyUsage=clientAuth"),
    ]:
        (FOLDER / f"{name}.cnf").write_text(extensions + "\n")
        made("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        made("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key", "-CAcreateserial", "-days", "2",
             "-out", f"{name}.pem", "-extfile", f"{name}.cnf")


def curl(*words):
    words = ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "20", "--write-out", "\n%{http_code} %{http_version}", *words]
    done = subprocess.run(words, cwd=FOLDER, capture_output=True, encoding="utf-8")
    body, _, told = done.stdout.rpartition("\n")
    return done.returncode, told, body, done.stderr


def answered(server):
    text = ask(server.admin, "GET", "/metrics")[2].decode()
    return [line for line in text.splitlines() if line.startswith('netsec_requests_total{route="/v1/score"')]


def check_tls(server, flows, told):
    (FOLDER / "rows.json").write_text(json.dumps({"rows": flows}))
    us = ["--cert", "client.pem", "--key", "client.key"]
    score = [f"https://localhost:{server.port}/v1/score", "--header", f"Content-Type: {JSON}", "--data-binary", "@rows.json"]
    for flag, version in [("--http2", "2"), ("--http1.1", "1.1")]:
        with check(f"curl: verdicts over TLS with the certificate of a client, HTTP/{version}"):
            code, status, body, error = curl("--cacert", "ca.pem", *us, flag, *score)
            equal((code, status, error), (0, f"200 {version}", ""))
            same([(row["probability"], row["alarm"]) for row in json.loads(body)["rows"]], told)
    with check("curl: by the address in the certificate, too, and no older than TLS 1.2"):
        ready = f"https://127.0.0.1:{server.port}/v2/health/ready"
        equal(curl("--cacert", "ca.pem", *us, ready)[1], "200 2")
        equal(curl("--cacert", "ca.pem", *us, "--tls-max", "1.2", ready)[1], "200 2")
        code, status, _, error = curl("--cacert", "ca.pem", *us, "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0", ready)
        assert code and status == "000 0", f"{code}: {status} {error}"
    for what, words in [
        ("without a certificate", ["--cacert", "ca.pem"]),
        ("with the certificate of another CA", ["--cacert", "ca.pem", "--cert", "stranger.pem", "--key", "stranger.key"]),
    ]:
        with check(f"curl: a client {what} is refused in the handshake"):
            before = answered(server)
            for most in ("1.2", "1.3"):
                # How that looks to the client depends on what it sends meanwhile.
                code, status, body, error = curl(*words, "--tls-max", most, *score)
                assert code and (status, body) == ("000 0", ""), f"{code}: {status} {error}{body}"
            equal(answered(server), before)
    with check("curl: trusts this server by its CA alone"):
        equal(curl("--cacert", "other.pem", *us, *score)[0], 60)
    with check("openssl s_client: verified, TLS 1.3, h2"):
        words = ["s_client", "-connect", f"127.0.0.1:{server.port}", "-CAfile", "ca.pem", "-verify_ip", "127.0.0.1", "-alpn", "h2,http/1.1"]
        code, text = openssl(*words, "-cert", "client.pem", "-key", "client.key", "-verify_return_error")
        assert code == 0 and "Verify return code: 0 (ok)" in text and "TLSv1.3" in text and "ALPN protocol: h2" in text, text
        assert "Acceptable client certificate CA names\nCN=ca" in text.replace(" = ", "="), text
    with check("a client that does not speak TLS gets no answer of HTTP"):
        try:
            answer = ask(server.rows, "GET", "/v2/health/live")
        except (OSError, http.client.HTTPException):
            return
        raise AssertionError(answer)


# 8. API keys.


def check_keys(server, keys, flows, told):
    def score(model, **headers):
        return ask(server.rows, "POST", f"/v1/score?model={model}", json.dumps({"rows": flows}), JSON, **headers)

    def bearer(key):
        return {"Authorization": f"Bearer {key}"}

    with check("a key in Authorization, in any case of its scheme, or in X-API-Key: verdicts"):
        for headers in [bearer(keys["all"]), bearer(keys["one"]), {"X_API_Key": keys["one"]}, {"Authorization": f"bearer {keys['one']}"}]:
            same([(row["probability"], row["alarm"]) for row in good(score("flows", **headers))["rows"]], told)
    with check("no key, a wrong key, one that has ended, and one of another scheme: 401, and how to send one"):
        for headers in [{}, bearer("netsec_" + "0" * 64), bearer(keys["old"]), bearer(""), {"Authorization": f"Basic {keys['all']}"}]:
            refused(score("flows", **headers), 401, WWW_Authenticate="Bearer")
    with check("a key for another model: 403, whether that model is there or not"):
        for model in ("default", "none"):
            refused(score(model, **bearer(keys["one"])), 403)
            refused(ask(server.rows, "GET", f"/v2/models/{model}", **bearer(keys["one"])), 403)
    with check("every route of a model asks for a key, health and the API document for none"):
        document = good(ask(server.rows, "GET", "/openapi.json"))
        for path, methods in document["paths"].items():
            for method, told_of_it in methods.items():
                answer = ask(server.rows, method.upper(), path.replace("{name}", "flows"))
                asked = bool(told_of_it.get("security"))
                assert (answer[0] == 401) == asked, f"{method} {path}: {answer[0]}, its security is {told_of_it.get('security')}"
    with check("tritonclient with a key in its headers"):
        client = triton.InferenceServerClient(server.rows)
        same(verdicts(client.infer("flows", tensors(flows, FLOWS, True), headers=bearer(keys["one"]))), told)
        assert not client.is_model_ready("flows") and client.is_server_ready()
        client.close()
    with check("the file of keys holds none of them"):
        text = (FOLDER / "keys.json").read_text()
        assert not any(key in text for key in keys.values())


os.environ["NO_PROXY"] = "*"
signal.signal(signal.SIGTERM, lambda *_: sys.exit("it was ended"))  # After the servers.
shutil.rmtree(FOLDER, ignore_errors=True)
FOLDER.mkdir(parents=True)
for folder in ["pipelines", "schemas"]:
    shutil.copytree(ROOT / folder, FOLDER / folder)
run("run", "pipelines/default.yaml")
run("cat", "split.test", "-o", "numbers.csv")
with open(FOLDER / "numbers.csv", newline="") as file:
    numbers = [{name: float(cell) if cell else None for name, cell in row.items() if name != "result"} for row in csv.DictReader(file)]
table = flows(600)
write_csv(FOLDER / "flows.csv", table)
(FOLDER / "flows.yaml").write_text(FLOWS_PIPELINE)
run("run", "flows.yaml")
run("cat", MODELS["flows"], "-o", "flows.model")
digest = blake3.blake3((FOLDER / "flows.model").read_bytes()).hexdigest()
both = [f"{name}={target}" for name, target in MODELS.items()]
told = predict("flows", table)
assert len(set(told)) > 500 and {alarm for _, alarm in told} == {True, False}, "the model tells no rows apart"

with server("plain", *both) as plain:
    check_triton(plain.rows, table, told, numbers, predict("default", numbers), digest)
    check_scores(plain.rows, table, told, digest)
    check_document(plain.rows, table)
with server("alone", both[0]) as alone:
    check_mlflow(alone.rows, table, told)
with server("counted", both[0]) as counted:
    check_metrics(counted, table, digest)

certificates()
with server("locked", both[0], "--tls-cert", "server.pem", "--tls-key", "server.key", "--tls-client-ca", "ca.pem") as locked:
    check_tls(locked, table, told)
keys = {"all": [], "one": ["--model", "flows"], "old": ["--expires", "0"]}
keys = {name: run("keys", "api", name, "--file", "keys.json", *words).strip() for name, words in keys.items()}
with server("keyed", *both, "--keys", "keys.json") as keyed:
    check_keys(keyed, keys, table, told)
with server("fuzzed", both[0], "--keys", "keys.json") as fuzzed:
    check_fuzzed(fuzzed.rows, keys["all"])
if failed:
    sys.exit(f"{len(failed)} failed: {'; '.join(failed)}")
