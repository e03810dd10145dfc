"""`netsec sync` with a bucket of S3, as moto has it: both ways, cut off, a ref that two move at once, keys that are nowhere.

    python tests/interop/sync_check.py NETSEC FOLDER

NETSEC is the program; FOLDER is where the workspaces are made (it is emptied first). Packages: tests/interop/requirements.txt.
Everything listens on the loopback interface.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import boto3

NETSEC, FOLDER = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
ROOT = Path(__file__).resolve().parents[2]
SECRET = "a-secret-that-is-nowhere-else"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


PORT = free_port()
ENDPOINT = f"http://127.0.0.1:{PORT}"
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "eu-central-1", "AWS_ENDPOINT_URL": ENDPOINT}
URL = "s3://shared/team"


def netsec(workspace, *words, code=0):
    (FOLDER / workspace).mkdir(parents=True, exist_ok=True)
    done = subprocess.run([NETSEC, *words], cwd=FOLDER / workspace, capture_output=True, encoding="utf-8", env=os.environ | KEYS)
    told = done.stdout + done.stderr
    assert done.returncode == code, f"{words}: {done.returncode}, not {code}\n{told}"
    assert SECRET not in told
    return done.stdout


def champion(workspace):
    return {model["name"]: model["digest"] for model in json.loads(netsec(workspace, "model", "list", "--json"))}["champion/default"]


def check(what):
    print(f"ok  {what}", flush=True)


def begin():
    server = subprocess.Popen([Path(sys.executable).parent / "moto_server", "-H", "127.0.0.1", "-p", str(PORT)],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(300):
        try:
            urllib.request.urlopen(ENDPOINT + "/moto-api/", timeout=1)
            return server
        except OSError:
            time.sleep(0.1)
    raise AssertionError("moto does not answer")


def story():
    store = boto3.client("s3", endpoint_url=ENDPOINT, region_name="eu-central-1", aws_access_key_id="key", aws_secret_access_key=SECRET)
    store.create_bucket(Bucket="shared", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    for folder in ("pipelines", "schemas"):
        shutil.copytree(ROOT / folder, FOLDER / "first" / folder)
    netsec("first", "run", "pipelines/default.yaml")
    push = ["sync", "push", URL, "--ref", "champion/default", "--json"]
    pull = ["sync", "pull", URL, "--ref", "champion/default", "--by", "it", "--why", "a check", "--json"]
    sent = json.loads(netsec("first", *push))[0]
    assert sent["changed"] and sent["moved"] == sent["blobs"] > 5, sent
    sent = json.loads(netsec("first", *push))[0]
    assert not sent["changed"] and sent["moved"] == 0, sent
    check("a champion and the run that made it are sent, and not sent again")
    brought = json.loads(netsec("second", *pull))[0]
    assert brought["changed"] and champion("second") == champion("first"), brought
    check("another workspace has it")
    names = [entry["Key"] for entry in store.list_objects_v2(Bucket="shared", Prefix="team/v1/blobs/")["Contents"]]
    body = store.get_object(Bucket="shared", Key=names[0])["Body"].read()
    store.put_object(Bucket="shared", Key=names[0], Body=body[:-1] + b"x" if body else b"x")
    netsec("third", *pull, code=4)
    store.delete_object(Bucket="shared", Key=names[0])
    netsec("third", *pull, code=4)
    sent = json.loads(netsec("first", *push))[0]
    assert sent["moved"] == 1, sent
    netsec("third", *pull)
    check("a blob that was changed or is gone is noticed, and sent again")
    netsec("second", "model", "archive", "champion/default", "--by", "it", "--why", "a check")
    netsec("second", "sync", "push", URL, "--ref", "champion/default", code=2)
    netsec("third", "sync", "pull", URL, "--run", "20200101-000000-00000", code=2)
    netsec("third", "sync", "list", "s3://none/here", code=4)
    check("what points at nothing, a run that is not there and a bucket that is not are told")
    listed = json.loads(netsec("first", "sync", "list", URL, "--json"))
    assert [ref["name"] for ref in listed["refs"]] == ["champion/default"] and len(listed["runs"]) == 1, listed
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert files and not any(SECRET.encode() in path.read_bytes() for path in files)
    check("the secret stands nowhere")


shutil.rmtree(FOLDER, ignore_errors=True)
FOLDER.mkdir(parents=True)
server = begin()
try:
    story()
finally:
    server.send_signal(signal.SIGTERM)
    server.wait()
