"""The peers of `netsec serve`: a model behind FastAPI or BentoML, as one would write it with care for speed.

`PEER` in the environment is JSON: `kind` (`sklearn`, or `onnx`, which takes both ONNX files), `model` (a file),
`numbers` and `texts` (names of columns), `bento` (whether BentoML asks). Handlers are `async`: a thread pool
costs more than the models do. No access log, one worker, one thread a prediction.
"""

import json
import os

import numpy as np
from pydantic import BaseModel, create_model

PEER = json.loads(os.environ["PEER"])
NUMBERS, TEXTS = PEER["numbers"], PEER["texts"]

# One record as it comes from a log: {column: value}.
Record = create_model("Record", **dict.fromkeys(NUMBERS, (float, ...)), **dict.fromkeys(TEXTS, (str, ...)))


class Verdict(BaseModel):
    probability: float
    alarm: bool


class Rows(BaseModel):
    rows: list[list[float]]


class Sklearn:
    """A pipeline of scikit-learn."""

    def __init__(self, path):
        import joblib
        import sklearn

        sklearn.set_config(assume_finite=True, skip_parameter_validation=True)
        self.model = joblib.load(path)

    def one(self, record):
        # An array is asked about several times faster than a data frame.
        row = np.array([list(record.model_dump().values())], dtype=object if TEXTS else float)
        return float(self.model.predict_proba(row)[0, 1])

    def many(self, matrix):
        return self.model.predict_proba(matrix)[:, 1]


class Onnx:
    """A session of ONNX Runtime: of netsec's export, an input a column; or of skl2onnx', a matrix of float32
    and a matrix of texts."""

    def __init__(self, path):
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.by_column = "numbers" not in {given.name for given in self.session.get_inputs()}

    def run(self, inputs):
        if self.by_column:
            return self.session.run(["probability"], inputs)[0]
        return self.session.run(["probabilities"], inputs)[0][:, 1]

    def one(self, record):
        cells = record.model_dump()
        if self.by_column:
            inputs = {name: np.array([cells[name]]) for name in NUMBERS}
            inputs.update((name, np.array([cells[name]], dtype=object)) for name in TEXTS)
        else:
            inputs = {"numbers": np.array([[cells[name] for name in NUMBERS]], dtype=np.float32)}
            if TEXTS:
                inputs["texts"] = np.array([[cells[name] for name in TEXTS]], dtype=object)
        return float(self.run(inputs)[0])

    def inputs(self, matrix):
        """What `run` takes of rows of numbers alone."""
        if self.by_column:
            return dict(zip(NUMBERS, np.ascontiguousarray(matrix.T)))
        return {"numbers": matrix.astype(np.float32)}

    def many(self, matrix):
        return self.run(self.inputs(matrix))


model = {"sklearn": Sklearn, "onnx": Onnx}[PEER["kind"]](PEER["model"])


def verdict(record):
    probability = model.one(record)
    return Verdict(probability=probability, alarm=probability >= 0.5)


if PEER.get("bento"):
    import bentoml

    @bentoml.service(workers=1, traffic={"timeout": 60}, logging={"access": {"enabled": False}})
    class Scorer:
        @bentoml.api
        async def score(self, record: Record, /) -> Verdict:
            return verdict(record)

elif __name__ == "__main__":
    # No server at all: the CPU seconds that `run` takes of a ready matrix.
    import time

    inputs = model.inputs(np.load(PEER["matrix"]))
    model.run(inputs)
    count, begin = 0, time.process_time()
    while time.process_time() - begin < PEER["seconds"]:
        model.run(inputs)
        count += 1
    print((time.process_time() - begin) / count)

else:
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/health")
    async def health() -> dict:
        return {}

    @app.post("/score")
    async def score(record: Record) -> Verdict:
        return verdict(record)

    @app.post("/batch")
    async def batch(body: Rows) -> dict[str, list[float]]:
        return {"probability": model.many(np.array(body.rows)).tolist()}
