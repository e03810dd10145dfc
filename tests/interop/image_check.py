"""Container images of `netsec image`, taken by the tools of others: skopeo, umoci, a registry with a password, podman with runc.

    python tests/interop/image_check.py NETSEC FOLDER

NETSEC is the program; FOLDER is where the workspace is made (it is emptied first). Needs skopeo, umoci, docker-registry, htpasswd,
podman and runc, as Debian has them, and to be root: without them it says so and is done. Everything listens on the loopback interface.
"""

import filecmp
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

NETSEC, FOLDER = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
ROOT = Path(__file__).resolve().parents[2]
TOOLS = ["skopeo", "umoci", "docker-registry", "htpasswd", "podman", "runc", "strip"]
PASSWORD = "a-password-that-is-nowhere-else"


def skip():
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing or os.geteuid() != 0:
        print(f"skipped: needs root and {', '.join(missing) or 'nothing else'}")
        sys.exit(0)


def run(*words, code=0, text=None):
    """Runs a program that has to end with a code; returns what it wrote."""
    done = subprocess.run([str(word) for word in words], cwd=FOLDER, input=text, capture_output=True, encoding="utf-8")
    told = done.stdout + done.stderr
    assert done.returncode == code, f"{words}: {done.returncode}, not {code}\n{told}"
    assert PASSWORD not in told
    return done.stdout


def netsec(*words, **more):
    return run(NETSEC, *words, **more)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def answered(port, path, body=None, headers=None, tries=100):
    """Asks until somebody answers."""
    for attempt in range(tries):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("POST" if body else "GET", path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            assert attempt + 1 < tries, f"nobody answers at port {port}"
            time.sleep(0.1)


def blobs(folder):
    return {path.name: path for path in (FOLDER / folder / "blobs/sha256").iterdir()}


def manifest(folder):
    index = json.loads((FOLDER / folder / "index.json").read_text())
    digest = index["manifests"][0]["digest"]
    return digest, json.loads((FOLDER / folder / "blobs/sha256" / digest[7:]).read_text())


def check(what):
    print(f"ok  {what}", flush=True)


def models():
    """A workspace with two models, and a program that is not larger than it needs to be."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    for folder in ("pipelines", "schemas"):
        shutil.copytree(ROOT / folder, FOLDER / folder)
    netsec("run", "pipelines/default.yaml")
    pipeline = (FOLDER / "pipelines/default.yaml").read_text().replace("champion/default", "champion/other").replace("seed: 42", "seed: 7")
    (FOLDER / "pipelines/other.yaml").write_text(pipeline)
    netsec("run", "pipelines/other.yaml")
    run("strip", "-o", "program", NETSEC)


def layouts():
    build = ["image", "build", "--program", "program", "--name", "phishing"]
    netsec(*build, "ref:champion/default", "-o", "first")
    netsec(*build, "ref:champion/default", "-o", "again")
    os.utime(FOLDER / "program", (1, 1))
    netsec(*build, "ref:champion/other", "-o", "second", "--tag", "v2")
    same = filecmp.dircmp(FOLDER / "first", FOLDER / "again")
    assert not (same.left_only or same.right_only or same.diff_files)
    assert blobs("first").keys() == blobs("again").keys()
    check("the same model is the same image, byte for byte")
    _, first = manifest("first")
    _, second = manifest("second")
    assert first["layers"][0] == second["layers"][0] and first["layers"][1] != second["layers"][1]
    assert second["layers"][1]["size"] < 1 << 20 < second["layers"][0]["size"]
    check("another model is one small layer more")
    netsec(*build, "ref:champion/default", "-o", "first", code=2)
    netsec("image", "build", "ref:champion/none", "-o", "none", code=2)
    netsec("image", "build", "pipelines/default.yaml:evaluate.decision", "-o", "none", code=4)
    check("a folder that is there, and what is no model, are refused")


def tools():
    told = json.loads(run("skopeo", "inspect", "oci:first:latest"))
    assert told["Digest"] == manifest("first")[0] and told["Labels"]["netsec.model.name"] == "phishing", told
    config = json.loads(run("skopeo", "inspect", "--config", "oci:first:latest"))["config"]
    assert config["User"] == "65532:65532" and config["Cmd"] == ["--keys", "/etc/netsec/keys.json"], config
    check("skopeo reads it")
    run("umoci", "unpack", "--image", "first:latest", "bundle")
    root = FOLDER / "bundle/rootfs"
    assert os.access(root / "usr/bin/netsec", os.X_OK) and (root / "models/phishing.netsec-model").exists()
    assert not (root / "bin/sh").exists() and not (root / "usr/bin/sh").exists()
    check("umoci unpacks it; there is no shell in it")


def registry():
    port = free_port()
    run("htpasswd", "-Bbc", "users", "AWS", PASSWORD)
    (FOLDER / "registry.yml").write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {FOLDER}/registry}}}}\nhttp: {{addr: 127.0.0.1:{port}}}\n"
        f"auth: {{htpasswd: {{realm: here, path: {FOLDER}/users}}}}\n"
    )
    server = subprocess.Popen(["docker-registry", "serve", FOLDER / "registry.yml"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        answered(port, "/v2/")
        place = f"127.0.0.1:{port}/team/phishing"
        push = ["image", "push", "--user", "AWS", "--password-stdin", "--json"]
        netsec("image", "push", "first", f"{place}:v1", code=4)
        netsec("image", "push", "--user", "AWS", "--password-stdin", "first", f"{place}:v1", code=4, text="wrong\n")
        check("nobody without the password sends anything")
        sent = json.loads(netsec(*push, "first", f"{place}:v1", text=PASSWORD + "\n"))
        assert (sent["digest"], sent["sent"], sent["there"]) == (manifest("first")[0], 3, 0), sent
        there = json.loads(run("skopeo", "inspect", "--tls-verify=false", "--creds", f"AWS:{PASSWORD}", f"docker://{place}:v1"))
        assert there["Digest"] == sent["digest"]
        check("the registry has it under the same digest")
        sent = json.loads(netsec(*push, "first", f"{place}:v1", text=PASSWORD))
        assert (sent["sent"], sent["there"]) == (0, 3), sent
        sent = json.loads(netsec(*push, "second", f"{place}:v2", text=PASSWORD))
        assert (sent["sent"], sent["there"]) == (2, 1) and sent["bytes"] < 1 << 20, sent
        check(f"another model sends {sent['bytes']} bytes")
        netsec(*push, "second", f"{place}:v1", code=2, text=PASSWORD)
        netsec(*push, "--move-tag", "second", f"{place}:v1", text=PASSWORD)
        check("a tag is moved only when that is asked for")
        model = blobs("second")[manifest("second")[1]["layers"][1]["digest"][7:]]
        model.write_bytes(model.read_bytes()[:-1] + b"x")
        shutil.rmtree(FOLDER / "registry")
        netsec(*push, "second", f"{place}:v3", code=4, text=PASSWORD)
        check("a layer that was changed is not sent")
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()
    files = [path for path in FOLDER.rglob("*") if path.is_file() and not path.is_relative_to(FOLDER / "registry")]
    assert not any(PASSWORD.encode() in path.read_bytes() for path in files if path.stat().st_size < 1 << 20)


def container():
    key = netsec("keys", "api", "sensor", "--file", "keys.json").strip()
    os.chmod(FOLDER / "keys.json", 0o644)
    store = ["--root", FOLDER / "podman", "--runroot", FOLDER / "podman-run", "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs",
             "--events-backend", "file", "--runtime", "runc"]
    limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]
    name = f"netsec-check-{os.getpid()}"
    words = ["podman", *store, "run", "--rm", "--name", name, "--read-only", "--network", "host", *limits,
             "-v", f"{FOLDER}/keys.json:/etc/netsec/keys.json:ro", "oci:first:latest"]
    # The network is this machine's: the ports of the image are taken by another only by accident.
    container = subprocess.Popen([str(word) for word in words], cwd=FOLDER)
    try:
        status, _ = answered(8080, "/v2/health/ready", tries=600)
        assert status == 200
        headers = {"content-type": "application/json"}
        body = '{"rows": [{"url_length": 95, "dots": 6}]}'
        assert answered(8080, "/v1/score", body, headers)[0] == 401
        status, told = answered(8080, "/v1/score", body, headers | {"authorization": f"Bearer {key}"})
        assert status == 200, told
        (FOLDER / "row.csv").write_text("url_length,dots\n95,6\n")
        told = json.loads(told)
        assert told["model"] == "phishing" and told["digest"] == manifest("first")[1]["annotations"]["netsec.model.digest"]
        names = [tensor["name"] for tensor in json.loads(answered(8080, "/v2/models/phishing", headers={"authorization": f"Bearer {key}"})[1])["inputs"]]
        (FOLDER / "row.csv").write_text(",".join(names) + "\n" + ",".join({"url_length": "95", "dots": "6"}.get(name, "") for name in names) + "\n")
        expected = netsec("predict", "ref:champion/default", "row.csv").splitlines()
        at = expected[0].split(",").index("netsec_probability")
        assert float(expected[1].split(",")[at]) == told["rows"][0]["probability"]
        check("podman runs it: read-only, as nobody, with the bits of `netsec predict`")
    finally:
        subprocess.run([str(word) for word in ["podman", *store, "stop", "-t", "10", name]], capture_output=True)
        ended = container.wait()
    assert ended == 0, ended
    check("it ends in order when it is stopped")


skip()
models()
layouts()
tools()
registry()
container()
