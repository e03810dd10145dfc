"""What a signed export carries, checked by the programs of others.

    python tests/interop/attest_check.py NETSEC FOLDER

NETSEC is the program; FOLDER is where the workspace is made (it is emptied first). Packages:
tests/interop/requirements.txt. Runs pipelines/default.yaml, makes a pair of keys and exports the champion as a
folder, a bill of materials and one file. Envelopes are checked by securesystemslib, what they hold by the classes of
in-toto-attestation, the folder by model-signing, bills of materials by the schema of cyclonedx-python-lib. Prints a
line for each check, and ends with 1 at the first that fails.
"""

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

NETSEC, FOLDER = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
ROOT = Path(__file__).resolve().parents[2]
BLAKE3 = re.compile("[0-9a-f]{64}")


def run(*words):
    done = subprocess.run([NETSEC, *words], cwd=FOLDER, capture_output=True, encoding="utf-8")
    if done.returncode:
        sys.exit(f"{' '.join(words)}: {done.stderr}{done.stdout}")


def export(output, *sign):
    run("model", "export", "ref:champion/default", "-o", output, *sign)


@contextmanager
def check(what):
    try:
        yield
    except Exception as error:
        sys.exit(f"{what}: {type(error).__name__}: {error}")
    print(what, flush=True)


def changed(data):
    """Bytes of which the one in the middle is another."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def check_envelope(envelope, key):
    assert envelope.payload_type == "application/vnd.in-toto+json", envelope.payload_type
    envelope.verify([key], 1)
    other = Envelope(changed(envelope.payload), envelope.payload_type, envelope.signatures)
    try:
        other.verify([key], 1)
    except VerificationError:
        return
    raise AssertionError("it verifies with a changed byte, too")


def check_statement(payload, model):
    statement = json_format.Parse(payload, statement_pb2.Statement())
    Statement.copy_from_pb(statement).validate()
    assert statement.predicate_type == "https://slsa.dev/provenance/v1", statement.predicate_type
    told, wanted = [subject.digest["sha256"] for subject in statement.subject], hashlib.sha256(model).hexdigest()
    assert told == [wanted], f"subjects {told}, but the SHA-256 of the model is {wanted}"
    provenance = json_format.ParseDict(json_format.MessageToDict(statement.predicate), Provenance())
    made, by = provenance.build_definition, provenance.run_details
    assert made.build_type and made.external_parameters and by.builder.id, "a field that SLSA requires is missing"
    assert made.resolved_dependencies, "no resolvedDependencies"
    for used in made.resolved_dependencies:
        assert BLAKE3.fullmatch(used.digest["blake3"]), f"{used.name} has the digests {dict(used.digest)}"


def model_signing(folder):
    words = ["verify", "key", folder, "--signature", f"{folder}/model.sig", "--public_key", "team.pub.pem"]
    words = [sys.executable, "-m", "model_signing", *words]
    return subprocess.run(words, cwd=FOLDER, capture_output=True, encoding="utf-8")


def bytes_of(name):
    path = FOLDER / name
    files = path.rglob("*") if path.is_dir() else [path]
    return {file.relative_to(path): file.read_bytes() for file in files if file.is_file()}


shutil.rmtree(FOLDER, ignore_errors=True)
FOLDER.mkdir(parents=True)
for folder in ["pipelines", "schemas"]:
    shutil.copytree(ROOT / folder, FOLDER / folder)
run("run", "pipelines/default.yaml", "--set", "rows=600")
run("keys", "new", "-o", "team")
exports = [
    ("out", "again", "--sign", "team.pem"),
    ("bill.cdx.json", "again.cdx.json"),
    ("champion.netsec-model", "again.netsec-model", "--sign", "team.pem"),
]
for name, _, *sign in exports:
    export(name, *sign)

public = (FOLDER / "team.pub.pem").read_text()
key = SSlibKey(hashlib.sha256(public.encode()).hexdigest(), "ecdsa", "ecdsa-sha2-nistp256", {"public": public})
package = json.loads((FOLDER / "champion.netsec-model").read_bytes())
model = base64.b64decode(package["model"], validate=True)
for name, told in [
    ("out/provenance.dsse.json", json.loads((FOLDER / "out/provenance.dsse.json").read_bytes())),
    ("champion.netsec-model", package["provenance"]),
]:
    envelope = Envelope.from_dict(told)
    with check(f"{name}: the envelope verifies, and not after a byte was changed"):
        check_envelope(envelope, key)
    with check(f"{name}: an in-toto statement with SLSA provenance of the model"):
        check_statement(envelope.payload, model)

with check("out: model-signing verifies it"):
    done = model_signing("out")
    assert done.returncode == 0, done.stderr + done.stdout
with check("out: model-signing refuses it by name after a byte of model.onnx was changed"):
    shutil.copytree(FOLDER / "out", FOLDER / "changed")
    onnx = FOLDER / "changed/model.onnx"
    onnx.write_bytes(changed(onnx.read_bytes()))
    done = model_signing("changed")
    # Python escapes the quotes where a digest's bytes hold one.
    assert done.returncode and "Hash mismatch for 'model.onnx'" in done.stderr.replace("\\'", "'"), done.stderr + done.stdout

for name in ["out/bom.cdx.json", "bill.cdx.json"]:
    with check(f"{name}: CycloneDX 1.6"):
        error = JsonStrictValidator(SchemaVersion.V1_6).validate_str((FOLDER / name).read_text("utf-8"))
        assert error is None, f"{error.data.json_path}: {error.data.message}"

time.sleep(1)  # A time of day among the bytes would be another one now.
for name, again, *sign in exports:
    export(again, *sign)
    with check(f"{name}: the same bytes again"):
        before, after = bytes_of(name), bytes_of(again)
        differ = sorted(str(file) for file in before.keys() | after.keys() if before.get(file) != after.get(file))
        assert not differ, f"other bytes in {', '.join(differ)}"
