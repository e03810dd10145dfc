"""`netsec sync` and a shared cache with a bucket of S3, as moto and s3s-fs have it: both ways, damaged, a ref that two move at once, a key
that is wrong; results taken over, tampered with, and how long a hit takes.

    python tests/interop/sync_check.py NETSEC FOLDER [S3S_FS]

NETSEC is the program; FOLDER is where the workspaces are made (it is emptied first); S3S_FS is the server of that name, without which
moto alone is asked. Packages: tests/interop/requirements.txt. Everything listens on the loopback interface.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import boto3

NETSEC, ALL = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
S3S_FS = sys.argv[3:]
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


def start(workspace, *words, **more):
    (FOLDER / workspace).mkdir(parents=True, exist_ok=True)
    return subprocess.Popen([NETSEC, *words], cwd=FOLDER / workspace, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
                            env=os.environ | KEYS | more)


def end(started, codes):
    stdout, stderr = started.communicate(timeout=300)
    assert started.returncode in codes, f"{started.args}: {started.returncode}, not one of {codes}\n{stdout}{stderr}"
    assert SECRET not in stdout + stderr
    return stdout


def netsec(workspace, *words, code=0, **more):
    return end(start(workspace, *words, **more), [code])


def champion(workspace):
    return {model["name"]: model["digest"] for model in json.loads(netsec(workspace, "model", "list", "--json"))}["champion/default"]


def check(what):
    print(f"ok  {FOLDER.name}: {what}", flush=True)


def begin(command):
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", PORT), 1).close()
            return server
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"{command} does not answer")


def another_champion(workspace, rows):
    for folder in ("pipelines", "schemas"):
        shutil.copytree(ROOT / folder, FOLDER / workspace / folder, dirs_exist_ok=True)
    end(start(workspace, "run", "pipelines/default.yaml", "--set", f"rows={rows}"), [0, 6])
    netsec(workspace, "model", "promote", "train.model", "--to", "champion/default", "--by", "it", "--why", "a check")


def story(checks_keys, is_atomic):
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
    for workspace, rows in (("first", 2300), ("second", 2600)):
        another_champion(workspace, rows)
    racers = {}
    for workspace in ("first", "second"):
        racers[workspace] = start(workspace, *push)
        if not is_atomic:
            end(racers[workspace], [0, 2, 4])
    for racer in racers.values():
        end(racer, [0, 2, 4])
    (winner,) = [workspace for workspace, racer in racers.items() if racer.returncode == 0]
    listed = json.loads(netsec("third", "sync", "list", URL, "--json"))["refs"]
    assert [ref["digest"] for ref in listed] == [champion(winner)], listed
    check(f"of two who move a ref {'at once' if is_atomic else 'one after the other'} one does")
    if checks_keys:
        netsec("third", "sync", "list", URL, code=4, AWS_SECRET_ACCESS_KEY="another")
        check("who has a wrong key learns nothing")
    netsec("second", "model", "archive", "champion/default", "--by", "it", "--why", "a check")
    netsec("second", "sync", "push", URL, "--ref", "champion/default", code=2)
    netsec("third", "sync", "pull", URL, "--run", "20200101-000000-00000", code=2)
    netsec("third", "sync", "list", "s3://none/here", code=4)
    check("what points at nothing, a run that is not there and a bucket that is not are told")
    listed = json.loads(netsec("first", "sync", "list", URL, "--json"))
    assert [ref["name"] for ref in listed["refs"]] == ["champion/default"] and len(listed["runs"]) in (2, 3), listed  # The one that lost may have sent its run
    shared_cache(store)
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert files and not any(SECRET.encode() in path.read_bytes() for path in files)
    check("the secret stands nowhere")


def outcomes(summary):
    return {stage["id"]: stage["outcome"] for stage in summary["stages"]}


def outputs(summary):
    return {stage["id"]: stage["outputs"] for stage in summary["stages"]}


def shared_cache(store):
    key = netsec("publisher", "keys", "signing", "team.der").strip()
    writes = {"NETSEC_REMOTE_CACHE": "s3://shared/cache", "NETSEC_REMOTE_MODE": "read-write", "NETSEC_SIGNING_KEY": "team.der"}
    reads = {"NETSEC_REMOTE_CACHE": "s3://shared/cache"}

    def run(workspace, more, file="default.yaml"):
        for folder in ("pipelines", "schemas"):
            shutil.copytree(ROOT / folder, FOLDER / workspace / folder, dirs_exist_ok=True)
        path = FOLDER / workspace / "pipelines/default.yaml"
        path.write_text(f"trust: ['{key}']\n" + path.read_text())
        return json.loads(netsec(workspace, "run", f"pipelines/{file}", "--json", **more))

    made = run("publisher", writes)
    taken = run("reader", reads)
    assert set(outcomes(taken).values()) == {"reused"} and outputs(taken) == outputs(made), taken
    audited = json.loads(netsec("reader", "cache", "audit", "pipelines/default.yaml", "--sample", "9", "--json"))
    assert audited["same"] and len(audited["stages"]) == 7, audited
    check("what one workspace made is taken over by another, and comes out the same when it is made again")
    for entry in store.list_objects_v2(Bucket="shared", Prefix="cache/v1/blobs/")["Contents"]:
        store.put_object(Bucket="shared", Key=entry["Key"], Body=b"poison")
    alone = run("careful", reads)
    assert set(outcomes(alone).values()) == {"made"} and outputs(alone) == outputs(made), alone
    check("poisoned blobs are made again")
    count = 200
    stages = "".join(f"  s{at}: {{ kind: command, with: {{ run: [sh, -c, 'echo {at} > y'], outputs: {{ y: y }} }} }}\n" for at in range(count))
    for workspace, more in (("many", writes), ("more", reads)):
        (FOLDER / workspace).mkdir()
        (FOLDER / workspace / "p.yaml").write_text("stages:\n" + stages)
        shutil.copy(FOLDER / "publisher/team.der", FOLDER / workspace)
        began = time.monotonic()
        summary = json.loads(netsec(workspace, "run", "p.yaml", "--json", **more))
        took = time.monotonic() - began
    assert set(outcomes(summary).values()) == {"reused"}, summary
    check(f"{count} stages at once are taken over, {1000 * took / count:.1f} ms each")


shutil.rmtree(ALL, ignore_errors=True)
(ALL / "buckets").mkdir(parents=True)
SERVERS = {"moto": [Path(sys.executable).parent / "moto_server", "-H", "127.0.0.1", "-p", str(PORT)]}
for program in S3S_FS:
    SERVERS["s3s-fs"] = [program, "--host", "127.0.0.1", "--port", str(PORT), "--access-key", "key", "--secret-key", SECRET, ALL / "buckets"]
for name, command in SERVERS.items():
    FOLDER = ALL / name
    server = begin(command)
    try:
        # s3s-fs looks at the condition of a write first and writes then: of two at once both may win.
        story(checks_keys=name != "moto", is_atomic=name == "moto")
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()
