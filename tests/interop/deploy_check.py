"""What `netsec deploy init` writes, run for real: rollouts with podman and runc out of a registry with a password, behind nginx.

    python tests/interop/deploy_check.py NETSEC FOLDER

NETSEC is the program; FOLDER is where the workspace is made (it is emptied first). Packages: tests/interop/requirements.txt; the programs
podman, runc, docker-registry, nginx and some small ones, which are installed from Debian where root lacks them. Needs root; all of it runs in a network of
its own, of the loopback interface and podman's bridge. The template's stack is made in moto. A model goes out by `rollout.sh`: v1, v2, broken
ones, ones whose front fails or whose rollout is killed, back to v1, with requests coming all the time, none of which may fail. Then by the steps of
the workflow and the document of the stack, which an agent runs that stands in for the one of SSM. Prints a line for each check, and ends
with 1 if any failed.
"""

import ast
import contextlib
import fcntl
import gzip
import hashlib
import http.client
import http.server
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
import urllib.parse
from contextlib import contextmanager
from pathlib import Path

NETSEC, FOLDER = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
ROOT = Path(__file__).resolve().parents[2]
DEBIAN = {"podman": "podman", "runc": "runc", "docker-registry": "docker-registry", "nginx": "nginx", "iptables": "iptables", "ip": "iproute2",
          "curl": "curl", "jq": "jq", "htpasswd": "apache2-utils", "strip": "binutils"}
# The registry of AWS, which is the one that is started here.
HOST = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
APART = "NETSEC_DEPLOY_CHECK_APART"


def prepare():
    """Ends where this cannot run, and goes on in a network of its own."""
    os.environ["PATH"] = ":".join([str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin", "/sbin"])
    if APART in os.environ:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        hosts = FOLDER.parent / f"{FOLDER.name}.hosts"
        hosts.write_text(f"127.0.0.1 localhost {HOST}\n")
        subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
        hosts.unlink()
        return
    missing = [package for program, package in DEBIAN.items() if not shutil.which(program)]
    if os.geteuid() != 0 or missing and not shutil.which("apt-get"):
        print(f"SKIPPED: rollouts take root{', ' + ', '.join(missing) if missing else ''}")
        sys.exit(0)
    if missing:
        # Without starting what they would start.
        environment = os.environ | {"RUNLEVEL": "1", "DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update"], ["install", "--yes", "--no-install-recommends", *missing]):
            subprocess.run(["apt-get", *words], env=environment, stdout=subprocess.DEVNULL, check=True)
    apart = ["unshare", "--net", "--mount", "--"]
    if subprocess.run([*apart, "true"], stderr=subprocess.DEVNULL).returncode:
        print("SKIPPED: rollouts take a network of their own, which cannot be made here")
        sys.exit(0)
    os.environ[APART] = "1"
    os.execvp("unshare", [*apart, sys.executable, *sys.argv])


prepare()

import boto3  # noqa: E402
import yaml  # noqa: E402
from cfnlint.decode import cfn_yaml  # noqa: E402
from checking import check, failed  # noqa: E402

MOTO, AGENT, REGISTRY, FRONT, ADMIN = 5555, 5556, 80, 8080, 9090
HERE = f"127.0.0.1:{REGISTRY}"  # The registry, at the port that HTTP has: it leaves that out where it says where a layer goes.
REPOSITORY = f"{HERE}/netsec/default"
STATE = FOLDER / "state"
PODMAN = f"--root {FOLDER}/root --runroot {FOLDER}/run --storage-driver overlay --cgroup-manager cgroupfs --events-backend file --runtime runc"
ENVIRONMENT = os.environ | {
    "ENGINE": "podman", "ENGINE_FLAGS": PODMAN, "RUN_FLAGS": "--ulimit nofile=1024:1024 --ulimit nproc=1024:1024", "STATE": str(STATE),
    "RELOAD": f"nginx -p {FOLDER}/front -c front.conf -s reload", "FRONT": f"127.0.0.1:{FRONT}", "FRONT_ADMIN": f"127.0.0.1:{ADMIN}",
    "TRIES": "8", "STOP": "20", "WAIT": "60", "CONTAINERS_REGISTRIES_CONF": str(FOLDER / "registries.conf"),
    "REGISTRY_AUTH_FILE": str(FOLDER / "auth.json"), "NO_PROXY": "*", "no_proxy": "*",
    "AWS_ENDPOINT_URL": f"http://127.0.0.1:{MOTO}", "AWS_ENDPOINT_URL_SSM": f"http://127.0.0.1:{AGENT}", "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "moto", "AWS_SECRET_ACCESS_KEY": "moto", "AWS_EC2_METADATA_DISABLED": "true", "POLL": "0.5",
}


def equal(found, wanted):
    assert found == wanted, f"{found!r}, expected {wanted!r}"


def run(*words, codes=(0,), **more):
    done = subprocess.run(list(map(str, words)), **({"cwd": FOLDER, "capture_output": True, "encoding": "utf-8", "timeout": 300} | more))
    if done.returncode not in codes:
        sys.exit(f"{' '.join(map(str, words))}: {done.returncode}: {done.stderr}{done.stdout}")
    return done


def netsec(*words, **more):
    return run(NETSEC, *words, **more).stdout


def podman(*words, codes=(0,)):
    return run("podman", *PODMAN.split(), *words, codes=codes, env=ENVIRONMENT).stdout


def program():
    """A folder with `netsec`, no larger than it has to be: it goes into each image."""
    (FOLDER / "bin").mkdir()
    run("strip", "-o", FOLDER / "bin/netsec", NETSEC)
    return FOLDER / "bin"


def init(folder):
    """A repository with the pipelines of the project, and what `netsec deploy init` writes."""
    for name in ("pipelines", "schemas"):
        shutil.copytree(ROOT / name, folder / name)
    names = {"repository": "acme/detector", "account": "123456789012", "region": "eu-central-1", "model": "default", "pipeline": "pipelines/default.yaml"}
    run(TOOLS / "netsec", "deploy", "init", *(word for name, value in names.items() for word in (f"--{name}", value)), cwd=folder)


# Servers. ---------------------------------------------------------------------------------------------------------------------------


@contextmanager
def process(name, *words, port, **more):
    with open(FOLDER / f"{name}.log", "w") as log:
        started = subprocess.Popen(list(map(str, words)), **({"cwd": FOLDER, "stdin": subprocess.DEVNULL, "stdout": log, "stderr": log} | more))
    try:
        for _ in range(300):
            if started.poll() is not None:
                sys.exit(f"`{name}` ended: {(FOLDER / f'{name}.log').read_text()}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        yield started
    finally:
        started.terminate()
        try:
            started.wait(20)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


@contextmanager
def registry(password):
    run("htpasswd", "-B", "-i", "-c", "htpasswd", "AWS", input=password)
    config = {
        "version": 0.1, "log": {"level": "warn"}, "storage": {"filesystem": {"rootdirectory": str(FOLDER / "registry")}},
        "http": {"addr": f"127.0.0.1:{REGISTRY}", "secret": "none"}, "auth": {"htpasswd": {"realm": "netsec", "path": str(FOLDER / "htpasswd")}},
    }
    (FOLDER / "registry.yml").write_text(yaml.safe_dump(config))
    (FOLDER / "registries.conf").write_text(
        f'[[registry]]\nlocation = "{HERE}"\ninsecure = true\n[[registry]]\nlocation = "{HOST}"\ninsecure = true\n'
    )
    with process("registry", "docker-registry", "serve", "registry.yml", port=REGISTRY):
        run("podman", *PODMAN.split(), "login", "--username", "AWS", "--password-stdin", HERE, input=password, env=ENVIRONMENT)
        yield


@contextmanager
def front():
    """nginx as the instance has it, but for where it keeps its files."""
    template = cfn_yaml.load(str(FOLDER / "repo/docs/deploy/netsec.cfn.yaml"))
    data = template["Resources"]["Instance"]["Properties"]["UserData"]["Fn::Base64"]
    config = re.search(r"<< 'END'\n(.*?)^END$", data, re.S | re.M)[1]
    folder = FOLDER / "front"
    (folder / "temp").mkdir(parents=True)
    temp = "".join(f"    {name}_temp_path {folder}/temp/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    config = config.replace("user nginx;", "user root;\ndaemon off;").replace("/run/nginx.pid", f"{folder}/pid").replace("worker_processes auto", "worker_processes 2")
    config = config.replace("/var/log/nginx", str(folder)).replace("http {\n", f"http {{\n{temp}    server {{ listen 127.0.0.1:8099; return 204; }}\n")
    (folder / "front.conf").write_text(config.replace("/var/lib/netsec", str(STATE)))
    with process("front", "nginx", "-p", folder, "-c", "front.conf", port=8099):
        yield


class Agent(http.server.BaseHTTPRequestHandler):
    """SSM, which passes on what moto knows, and runs commands as the agent of an instance does."""

    commands = {}

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        asked = json.loads(body or b"{}")
        match self.headers["X-Amz-Target"].split(".")[1]:
            case "SendCommand":
                status, told = self.send(asked)
            case "GetCommandInvocation":
                status, told = 200, self.commands.get(asked["CommandId"])
                if not told:
                    status, told = 400, {"__type": "InvocationDoesNotExist"}
            case _:
                connection = http.client.HTTPConnection("127.0.0.1", MOTO, timeout=30)
                connection.request("POST", "/", body, dict(self.headers))
                answer = connection.getresponse()
                status, told = answer.status, json.loads(answer.read())
        data = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def send(self, asked):
        content = ssm().get_document(Name=asked["DocumentName"], DocumentVersion=asked["DocumentVersion"])["Content"]
        content = plain(content)
        given = {name: value[0] for name, value in asked["Parameters"].items()}
        equal(set(given), set(content["parameters"]))
        for name, value in given.items():
            if not re.search(content["parameters"][name]["allowedPattern"], value):
                return 400, {"__type": "InvalidParameters", "message": f"{name} does not match"}
        (step,) = content["mainSteps"]
        script = "\n".join(step["inputs"]["runCommand"])
        for name, value in given.items():
            script = re.sub(r"\{\{ *" + name + r" *\}\}", value, script)
        identity = f"{len(self.commands):08}-0000-0000-0000-000000000000"
        command = self.commands[identity] = {"CommandId": identity, "InstanceId": asked["InstanceIds"][0], "Status": "Pending"}
        threading.Thread(target=self.perform, args=(command, script), daemon=True).start()
        return 200, {"Command": {"CommandId": identity, "Status": "Pending"}}

    @staticmethod
    def perform(command, script):
        command["Status"] = "InProgress"
        path = FOLDER / f"{command['CommandId']}.sh"
        path.write_text(script)
        environment = {name: value for name, value in ENVIRONMENT.items() if name not in ("HOME", "REGISTRY_AUTH_FILE", "AWS_DEFAULT_REGION")}
        environment["AWS_ENDPOINT_URL_SSM"] = ENVIRONMENT["AWS_ENDPOINT_URL"]
        done = subprocess.run(["sh", path], env=environment, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", timeout=300)
        command |= {"StandardOutputContent": done.stdout, "StandardErrorContent": done.stderr, "ResponseCode": done.returncode}
        command["Status"] = "Success" if done.returncode == 0 else "Failed"


def aws(service, account=None):
    keys = {"aws_access_key_id": "moto", "aws_secret_access_key": "moto"}
    if account:
        told = aws("sts").assume_role(RoleArn=f"arn:aws:iam::{account}:role/any", RoleSessionName="any")["Credentials"]
        keys = {"aws_access_key_id": told["AccessKeyId"], "aws_secret_access_key": told["SecretAccessKey"], "aws_session_token": told["SessionToken"]}
    return boto3.client(service, endpoint_url=ENVIRONMENT["AWS_ENDPOINT_URL"], region_name="eu-central-1", **keys)


def plain(content):
    """What moto keeps of the content of a template: JSON in AWS, and here what Python prints."""
    if not isinstance(content, str):
        return content
    content = urllib.parse.unquote(content)
    return json.loads(content) if content.startswith('{"') else ast.literal_eval(content)


def ssm():
    return aws("ssm")


# What is asked. -----------------------------------------------------------------------------------------------------------------------


def ask(path, body=None, key=None, port=FRONT):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        connection.request("POST" if body else "GET", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


class Clients:
    """Asks the front without pause, on connections that are kept and on new ones, what the golden prediction asks."""

    def __init__(self, request, key):
        self.request, self.key, self.found, self.bad, self.going = request, key, [], [], True
        self.threads = [threading.Thread(target=self.go, args=(kept,), daemon=True) for kept in (True, False)]

    def go(self, kept):
        connection = http.client.HTTPConnection("127.0.0.1", FRONT, timeout=20)
        while self.going:
            try:
                connection.request("POST", "/v1/score", self.request, {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"})
                answer = connection.getresponse()
                body = answer.read()
                if answer.status == 200:
                    self.found.append(json.loads(body)["digest"])
                else:
                    self.bad.append(f"{answer.status}: {body[:300]}")
            except (OSError, http.client.HTTPException) as error:
                # nginx closes a kept connection between two requests when it is reloaded, as any server may.
                if not (kept and isinstance(error, (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError))):
                    self.bad.append(repr(error))
                connection.close()
            if not kept:
                connection.close()
            time.sleep(0.005)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.going = False
        for thread in self.threads:
            thread.join(30)


def rollout(*words, code, **environment):
    path = FOLDER / "repo/docs/deploy/rollout.sh"
    done = run("sh", path, *words, codes=range(-20, 256), env=ENVIRONMENT | environment)
    equal((done.returncode, done.stderr if code == 0 else ""), (code, ""))
    return done


def pid_of(name):
    return json.loads(podman("inspect", name))[0]["State"]["Pid"]


def half_way(image):
    """A rollout whose container has been started, and will not get ready."""
    going = subprocess.Popen(["sh", FOLDER / "repo/docs/deploy/rollout.sh", image], env=ENVIRONMENT | {"TRIES": "60"}, stderr=subprocess.DEVNULL)
    for _ in range(200):
        if len(containers()) == 2:
            break
        time.sleep(0.1)
    equal(len(containers()), 2)
    return going


def containers():
    names = podman("ps", "--all", "--format", "{{.Names}} {{.State}}").split("\n")
    return sorted(name for name in names if name)


def serves(model, state=None):
    """One container, behind the front, of this model."""
    status, body = ask("/v1/score", model.request, key)
    equal(status, 200)
    equal(json.loads(body)["rows"], model.rows)
    equal(len(containers()), 1)
    assert " Up " in containers()[0], containers()
    if state is not None:
        equal((STATE / "current.conf").read_text(), state)
    return (STATE / "current.conf").read_text()


class Model:
    """A model, its image in the registry, and its golden prediction."""

    def __init__(self, name, target, request, password):
        self.name, self.request = name, request
        layout = FOLDER / f"image-{name}"
        self.build(target, layout)
        told = run(TOOLS / "netsec", "image", "push", layout, f"{REPOSITORY}:{name}", "--user", "AWS", "--password-stdin", input=password)
        self.image = told.stdout.strip()
        self.hex = self.image.rpartition(":")[2]
        assert re.fullmatch(re.escape(REPOSITORY) + "@sha256:[0-9a-f]{64}", self.image), self.image
        self.rows = None

    def build(self, target, layout):
        run(TOOLS / "netsec", "image", "build", target, "-o", layout)

    def ask(self, target):
        """What the model answers where it was trained."""
        with process(f"serve-{self.name}", NETSEC, "serve", target, "--listen", "127.0.0.1:8090", port=8090):
            status, body = ask("/v1/score", self.request, port=8090)
        equal(status, 200)
        self.rows = json.loads(body)["rows"]
        self.answer = body
        return self

    def golden(self, rows=None):
        folder = STATE / "golden" / self.hex
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "request.json").write_bytes(self.request)
        (folder / "rows.json").write_text(json.dumps(rows or self.rows))
        return self


class BrokenModel(Model):
    """An image whose model is cut off."""

    def build(self, target, layout):
        super().build(target, layout)
        top = json.loads((layout / "index.json").read_text())["manifests"][0]
        blobs = layout / "blobs" / "sha256"
        manifest = json.loads((blobs / top["digest"][7:]).read_text())
        config = json.loads((blobs / manifest["config"]["digest"][7:]).read_text())
        whole, cut = (blobs / manifest["layers"][-1]["digest"][7:]).read_bytes(), io.BytesIO()
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(whole))) as tar, tarfile.open(fileobj=cut, mode="w") as less:
            for member in tar.getmembers():
                member.size //= 2
                less.addfile(member, tar.extractfile(member))
        cut = cut.getvalue()

        def put(data):
            digest = hashlib.sha256(data).hexdigest()
            (blobs / digest).write_bytes(data)
            return {"digest": f"sha256:{digest}", "size": len(data)}

        config["rootfs"]["diff_ids"][-1] = f"sha256:{hashlib.sha256(cut).hexdigest()}"
        manifest["layers"][-1] |= put(gzip.compress(cut, 1, mtime=0))
        manifest["config"] |= put(json.dumps(config).encode())
        (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top | put(json.dumps(manifest).encode())]}))


# 1. The stack. --------------------------------------------------------------------------------------------------------------------------


def create(template, account=None, **given):
    client = aws("cloudformation", account)
    given = [{"ParameterKey": name, "ParameterValue": value} for name, value in given.items()]
    client.create_stack(StackName="netsec-default", TemplateBody=template.read_text(), Capabilities=["CAPABILITY_NAMED_IAM"], Parameters=given)
    return client.describe_stacks(StackName="netsec-default")["Stacks"][0]


def check_stack(template):
    ec2 = aws("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]
    clients = ec2.create_security_group(GroupName="clients", Description="clients", VpcId=subnet["VpcId"])["GroupId"]
    stack = create(template, Vpc=subnet["VpcId"], Subnet=subnet["SubnetId"], Clients=clients, Image=ec2.describe_images()["Images"][0]["ImageId"], OwnerId="12", RepositoryId="345")
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    with check("moto makes the stack, with its outputs; in another account without an instance"):
        other = create(template, account="111111111111")
        assert "Instance" not in {output["OutputKey"] for output in other["Outputs"]}, other
        equal(stack["StackStatus"], "CREATE_COMPLETE")
        equal(outputs["Registry"], f"{HOST}/netsec/default")
        equal(outputs["Bucket"], "netsec-default-123456789012-eu-central-1")
    with check("the repository is immutable, the bucket versioned, private and for TLS alone"):
        equal(aws("ecr").describe_repositories()["repositories"][0]["imageTagMutability"], "IMMUTABLE")
        # moto makes the bucket, without its properties.
        resources = cfn_yaml.load(str(template))["Resources"]
        properties = resources["Artifacts"]["Properties"]
        equal(properties["VersioningConfiguration"]["Status"], "Enabled")
        assert all(properties["PublicAccessBlockConfiguration"][f"{what}"] for what in ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"))
        policy = resources["ArtifactsPolicy"]["Properties"]["PolicyDocument"]
        assert any(each["Effect"] == "Deny" and each["Condition"].get("Bool") == {"aws:SecureTransport": "false"} for each in policy["Statement"]), policy
    with check("each role is for the jobs of one branch or environment, by equality"):
        for account, repository in {None: "acme@12/detector@345", "111111111111": "acme/detector"}.items():
            for role, subject in {"deploy": "environment:production", "train": "ref:refs/heads/main"}.items():
                (statement,) = aws("iam", account).get_role(RoleName=f"netsec-{role}-default")["Role"]["AssumeRolePolicyDocument"]["Statement"]
                told = {"aud": "sts.amazonaws.com", "sub": f"repo:{repository}:{subject}"}
                if role == "deploy":
                    told["ref"] = "refs/heads/main"
                equal(statement["Condition"], {"StringEquals": {f"token.actions.githubusercontent.com:{name}": value for name, value in told.items()}})
                equal(statement["Action"], "sts:AssumeRoleWithWebIdentity")
    with check("no policy allows any action, or more than its own resources, where AWS can tell resources apart"):
        iam = aws("iam")
        policies = {role: plain(iam.get_role_policy(RoleName=f"netsec-{role}-default", PolicyName=role)["PolicyDocument"]) for role in ("deploy", "train", "instance")}
        for role, anything in {"deploy": {"ecr:GetAuthorizationToken", "ssm:GetCommandInvocation"}, "train": set(), "instance": {"ecr:GetAuthorizationToken"}}.items():
            allowed = [statement for statement in policies[role]["Statement"] if statement["Effect"] == "Allow"]
            pairs = {(action, str(each["Resource"])) for each in allowed for action in ([each["Action"]] if isinstance(each["Action"], str) else each["Action"])}
            equal({action for action, resource in pairs if resource == "*"}, anything)
            assert not any("*" in action for action, _ in pairs), pairs
        sent = [statement for statement in policies["deploy"]["Statement"] if statement["Action"] == "ssm:SendCommand"]
        equal([statement["Resource"] for statement in sent], ["arn:aws:ssm:eu-central-1:123456789012:document/netsec-rollout-default",
                                                             "arn:aws:ec2:eu-central-1:123456789012:instance/*"])
        equal(sent[1]["Condition"], {"StringEquals": {"ssm:resourceTag/netsec": "default"}})
    with check("the document takes a digest and nothing else, and holds rollout.sh as it is"):
        content = plain(ssm().get_document(Name="netsec-rollout-default")["Content"])
        equal(list(content["parameters"]), ["digest"])
        equal(content["parameters"]["digest"]["allowedPattern"], "^sha256:[0-9a-f]{64}$")
        script = (FOLDER / "repo/docs/deploy/rollout.sh").read_text()
        equal(content["mainSteps"][0]["inputs"]["runCommand"][2], script)
        assert "{{" not in script
    with check("what moto passes over stands in the template: scanning, IMDSv2 and one hop, an encrypted volume, clients alone"):
        resources = cfn_yaml.load(str(template))["Resources"]
        equal(resources["Images"]["Properties"]["ImageScanningConfiguration"], {"ScanOnPush": True})
        instance = resources["Instance"]["Properties"]
        equal(instance["MetadataOptions"], {"HttpTokens": "required", "HttpPutResponseHopLimit": 1})
        equal([entry["Ebs"]["Encrypted"] for entry in instance["BlockDeviceMappings"]], [True])
        (inward,) = resources["Firewall"]["Properties"]["SecurityGroupIngress"]
        equal((inward["SourceSecurityGroupId"], inward["FromPort"], inward["ToPort"]), ({"Ref": "Clients"}, FRONT, FRONT))
    return outputs


PAGE_ACCOUNT = "222222222222"
GH = """#!/bin/sh
printf '%s\\n' "$*" >> "$GH_TOLD"
case $* in *owner.id*) echo 'OwnerId=12 RepositoryId=345' ;; esac
"""


def check_page():
    """The commands of docs/deploy.md from the empty account on, in an account that is empty; the model is that of the default pipeline."""
    text = (ROOT / "docs/deploy.md").read_text().partition("## From an empty account")[2].partition("\n## ")[0]
    text = text.replace("phishing", "default").replace("Result", "result").replace("123456789012", PAGE_ACCOUNT)
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.S | re.M)
    folder, tools = FOLDER / "page", FOLDER / "page-tools"
    for path in (folder, tools):
        path.mkdir()
    for name in ("pipelines", "schemas"):
        shutil.copytree(ROOT / name, folder / name)
    (tools / "gh").write_text(GH)
    (tools / "gh").chmod(0o755)
    told = aws("sts").assume_role(RoleArn=f"arn:aws:iam::{PAGE_ACCOUNT}:role/any", RoleSessionName="any")["Credentials"]
    keys = {"AWS_ACCESS_KEY_ID": told["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": told["SecretAccessKey"], "AWS_SESSION_TOKEN": told["SessionToken"]}
    author = {f"GIT_{who}_{what}": "test@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = ENVIRONMENT | keys | author | {"PATH": f"{TOOLS}:{tools}:{os.environ['PATH']}", "GH_TOLD": str(FOLDER / "gh.log"), "HOME": str(FOLDER)}
    environment["AWS_ENDPOINT_URL_SSM"] = ENVIRONMENT["AWS_ENDPOINT_URL"]
    netsec("run", "pipelines/default.yaml", "--quiet", cwd=folder)
    run("git", "init", "--quiet", "--bare", "remote.git")
    for words in (["init", "--quiet", "--initial-branch", "main"], ["remote", "add", "origin", FOLDER / "remote.git"], ["config", "push.autoSetupRemote", "true"]):
        run("git", *words, cwd=folder)
    for number, block in enumerate(blocks[:-1], 1):
        with check(f"the page, block {number} of {len(blocks) - 1}: {block.split(' -')[0].splitlines()[0][:60]}"):
            done = run("bash", "-euo", "pipefail", "-c", block, codes=range(256), cwd=folder, env=environment)
            assert done.returncode == 0, f"{done.returncode}: {done.stdout}{done.stderr}"
    with check("what the page made: the stack with an instance, the program that the workflow allows, both keys, rows to answer, the commands of gh"):
        # moto tells no outputs of a stack that came by a change set.
        resources = aws("cloudformation", PAGE_ACCOUNT).list_stack_resources(StackName="netsec-default")["StackResourceSummaries"]
        equal({each["ResourceStatus"] for each in resources if each["LogicalResourceId"] in ("Images", "Artifacts", "Rollout", "Instance")}, {"CREATE_COMPLETE"})
        equal(len(aws("ec2", PAGE_ACCOUNT).describe_instances()["Reservations"]), 1)
        program = aws("s3", PAGE_ACCOUNT).get_object(Bucket=f"netsec-default-{PAGE_ACCOUNT}-eu-central-1", Key="bin/netsec")["Body"].read()
        assert hashlib.sha256(program).hexdigest() in (folder / ".github/workflows/train-and-deploy.yml").read_text()
        kept = {name: aws("ssm", PAGE_ACCOUNT).get_parameter(Name=f"/netsec/default/{name}", WithDecryption=True)["Parameter"] for name in ("keys", "gate-key")}
        equal({each["Type"] for each in kept.values()}, {"SecureString"})
        equal({each["name"] for each in json.loads(kept["keys"]["Value"])["keys"]}, {"gate", "sensor-1"})
        assert kept["gate-key"]["Value"].strip() not in kept["keys"]["Value"]
        golden = json.loads((folder / "docs/deploy/golden.json").read_bytes())
        equal(len(golden["rows"]), 20)
        with process("serve-page", NETSEC, "serve", "ref:champion/default", "--listen", "127.0.0.1:8090", port=8090, cwd=folder):
            status, body = ask("/v1/score", json.dumps(golden).encode(), port=8090)
        equal((status, [sorted(row)[-1] for row in json.loads(body)["rows"] if "probability" not in row]), (200, []))
        equal([line.split()[0] for line in (FOLDER / "gh.log").read_text().splitlines()], ["api", "api", "api", "variable", "workflow", "run"])


# 2. Rollouts by the script. ---------------------------------------------------------------------------------------------------------------


def check_arguments(image):
    with check("what is not one image by digest: exit code 64, and nothing happens"):
        name, _, digest = image.partition("@")
        for words in [
            [], [image, image], [f"{name}:v1"], [name], [f"{name}:v1@{digest}"], [digest], [f"@{digest}"], [image[:-1]], [image + "0"], [image.replace("sha256", "sha512")],
            [image.upper()], [f"{name}@{digest}@{digest}"], [f"-{image}"], ["--rollback=1"], [""], [f"x\n{image}"], [f"{image}\nx"], [f"{image};id"], [f"$(id)@{digest}"],
            [f"{name}/@{digest}"], [f"{name}@sha256:{'g' * 64}"],
        ]:
            done = rollout(*words, code=64)
            assert done.stderr and not done.stdout, done
        assert not STATE.joinpath("current.conf").exists()


def check_confinement(model):
    slot = re.search("^# slot (.)$", (STATE / "current.conf").read_text(), re.M)[1]
    told = json.loads(podman("inspect", f"netsec-default-{slot}"))[0]
    with check("the container: a read-only root, no capabilities, no new ones, user 65532, a memory limit, ports of this machine alone"):
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{told['State']['Pid']}/status").read_text().splitlines() if ":\t" in line)
        equal({status[name].strip() for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")}, {"0" * 16})
        equal((status["NoNewPrivs"], status["Uid"].split(), status["Gid"].split()), ("1", ["65532"] * 4, ["65532"] * 4))
        assert status["Seccomp"] == "2", status["Seccomp"]
        equal(told["HostConfig"]["ReadonlyRootfs"], True)
        mounts = [line.split() for line in Path(f"/proc/{told['State']['Pid']}/mountinfo").read_text().splitlines()]
        options = {fields[4]: fields[5].split(",")[0] for fields in mounts}
        equal((options["/"], options["/etc/netsec"]), ("ro", "ro"))
        equal(told["HostConfig"]["Memory"], 512 << 20)
        equal({entry["HostIp"] for ports in told["NetworkSettings"]["Ports"].values() for entry in ports}, {"127.0.0.1"})
    with check("the front asks for a key, passes on metrics for operators, and knows no other page"):
        equal(ask("/v1/score", model.request)[0], 401)
        equal(ask("/v2/health/ready")[0], 200)
        equal(ask("/metrics")[0], 404)
        status, body = ask("/metrics", key=operator, port=ADMIN)
        assert status == 200 and b"netsec_requests_total" in body, (status, body[:300])


def check_rollouts(v1, v2, broken):
    with check("a first image that is broken is refused: nothing is in service, and nothing stays"):
        done = rollout(broken.image, code=1)
        assert "is not ready" in done.stderr, done.stderr
        equal((containers(), podman("images", "--quiet"), (STATE / "golden" / broken.hex).exists()), ([], "", False))
        assert not (STATE / "current.conf").exists()
    with check("v1: in service"):
        done = rollout(v1.image, code=0)
        equal(done.stdout, f"in service: {v1.image}\nprevious: \n")
        before = serves(v1)
    check_confinement(v1)
    with check("the lock is free while the container runs"):
        run("flock", "--nonblock", STATE / "lock", "true")
    with check("there is nothing to go back to: exit code 1"):
        assert "no image to go back to" in rollout("--rollback", code=1).stderr
        serves(v1, before)

    with Clients(v1.request, key) as clients:
        with check("v1 again: it is in service already, and reads its keys again"):
            late = netsec("keys", "api", "late", "--file", STATE / "keys/keys.json").strip()
            equal(ask("/v1/score", v1.request, late)[0], 401)
            equal(rollout(v1.image, code=0).stdout, f"in service already: {v1.image}\nprevious: \n")
            equal(ask("/v1/score", v1.request, late)[0], 200)
            serves(v1, before)
        with check("v2: in service, and v1 is gone"):
            equal(rollout(v2.image, code=0).stdout, f"in service: {v2.image}\nprevious: {v1.image}\n")
            before = serves(v2)
        with check("an image that never gets ready: exit code 1, its log is told, and v2 still answers"):
            done = rollout(broken.golden().image, code=1)
            assert "is not ready" in done.stderr and "netsec-model" in done.stderr, done.stderr
            serves(v2, before)
        with check("an image that answers otherwise than it did where it was trained: exit code 1, the row is told, and v2 still answers"):
            v1.golden(v2.rows)
            done = rollout(v1.image, code=1)
            assert "golden prediction" in done.stderr and '"probability"' in done.stderr, done.stderr
            serves(v2, before)
            v1.golden()
        with check("an image without a golden prediction, one with an empty one, and one that the registry lacks: exit code 1"):
            lacking = f"{REPOSITORY}@sha256:{'0' * 64}"
            assert "missing or empty" in rollout(lacking, code=1).stderr
            shutil.copytree(STATE / "golden" / v1.hex, STATE / "golden" / ("0" * 64))
            assert "cannot be pulled" in rollout(lacking, code=1).stderr
            for rows in ('{"rows": []}', '[{"error": "x"}]', "x"):
                (STATE / "golden" / v1.hex / "rows.json").write_text(rows)
                rollout(v1.image, code=1)
            v1.golden()
            serves(v2, before)
        with check("a gate whose key is not valid: exit code 1"):
            good = (STATE / "gate.key").read_text()
            (STATE / "gate.key").write_text("netsec_" + "0" * 64)
            assert "no-key" in rollout(v1.image, code=1).stderr
            (STATE / "gate.key").write_text(good)
            serves(v2, before)
        with check("a front that cannot be reloaded, or does not change over: exit code 1, and what it had is given back"):
            rollout(v1.image, code=1, RELOAD="false")
            serves(v2, before)
            assert "does not pass on" in rollout(v1.image, code=1, RELOAD="true").stderr
            serves(v2, before)
        with check("while another rollout is under way: exit code 75"):
            with open(STATE / "lock", "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                rollout(v1.image, code=75, WAIT="1")
            serves(v2, before)
        with check("a rollout that is ended by SIGTERM takes its container with it"):
            going = half_way(broken.golden().image)
            going.terminate()
            equal(going.wait(60), 1)
            serves(v2, before)
        with check("a rollout that is killed while its container starts: v2 answers, and the next one clears up"):
            going = half_way(broken.golden().image)
            going.kill()
            going.wait()
            equal(rollout(v2.image, code=0).stdout, f"in service already: {v2.image}\nprevious: {v1.image}\n")
            serves(v2, before)
        reload, switched = ENVIRONMENT["RELOAD"], f"if grep -q '^# image .*{v1.hex}' {STATE}/current.conf; then kill -9 $PPID; exit; fi"
        for moment, script in {"has switched": f"{switched}\n{reload}", "has told the front": f"{reload}\n{switched}"}.items():
            with check(f"a rollout that is killed when it {moment}: requests are answered, and the next one clears up"):
                (FOLDER / "reload.sh").write_text(f"{script}\n")
                rollout(v1.image, code=-9, RELOAD=f"sh {FOLDER}/reload.sh")
                equal(len(containers()), 2)
                rollout(v2.image, code=0)
                serves(v2)
        with check("v1, then v2 again, to see that the earlier image can be gone back to"):
            rollout(v1.image, code=0)
            serves(v1)
            equal(rollout(v2.image, code=0).stdout, f"in service: {v2.image}\nprevious: {v1.image}\n")
            serves(v2)
        with check("--rollback: v1 answers, without the registry, and back again"):
            away = run("podman", *PODMAN.split(), "logout", "--all", env=ENVIRONMENT)
            equal(away.returncode, 0)
            equal(rollout("--rollback", code=0).stdout, f"in service: {v1.image}\nprevious: {v2.image}\n")
            serves(v1)
            rollout("--rollback", code=0)
            serves(v2)
    with check("of all requests meanwhile none failed, and each was answered by v1 or v2"):
        equal(clients.bad, [])
        equal(set(clients.found), {json.loads(model.answer)["digest"] for model in (v1, v2)})
        assert len(clients.found) > 1000, len(clients.found)
    with check("a container that dies is started again; one that is removed comes back with the next rollout of its image"):
        name = containers()[0].split()[0]
        os.kill(pid_of(name), signal.SIGKILL)
        for _ in range(100):
            time.sleep(0.1)
            with contextlib.suppress(AssertionError, ValueError):
                serves(v2)
                break
        serves(v2)
        podman("rm", "--force", "--time", "0", name)
        told = run("sh", FOLDER / "repo/docs/deploy/rollout.sh", v2.image, env=ENVIRONMENT).stderr
        assert "started anew" in told, told
        serves(v2)


# 3. By the workflow. ----------------------------------------------------------------------------------------------------------------------


class Job:
    """The steps of a job, run as GitHub runs them: what a step says goes to files."""

    def __init__(self, workflow, name, folder, **environment):
        self.workflow, self.job, self.folder, self.changed = workflow, workflow["jobs"][name], folder, environment
        self.environment = ENVIRONMENT | {"RUNNER_TEMP": str(FOLDER / "runner"), "GITHUB_RUN_ID": "1", "PATH": f"{TOOLS}:{os.environ['PATH']}"} | workflow["env"] | environment

    def step(self, name, code=0, **environment):
        (step,) = [step for step in self.job["steps"] if step.get("name") == name]
        given = {key: value for key, value in step.get("env", {}).items() if "${{" not in value and key not in self.changed}
        output = FOLDER / "output"
        output.write_text("")
        files = {"GITHUB_OUTPUT": str(output), "GITHUB_PATH": str(FOLDER / "path")}
        (FOLDER / "step.sh").write_text(step["run"])
        equal(self.workflow["defaults"]["run"]["shell"], "bash")
        done = run("bash", "--noprofile", "--norc", "-eo", "pipefail", FOLDER / "step.sh", codes=range(256), cwd=self.folder,
                   env=self.environment | given | files | environment)
        assert done.returncode == code, f"{name}: {done.returncode}: {done.stdout}{done.stderr}"
        return dict(line.split("=", 1) for line in output.read_text().splitlines()), done


def check_workflow(broken):
    repository = FOLDER / "repo"
    workflow = yaml.safe_load((repository / ".github/workflows/train-and-deploy.yml").read_text())
    (repository / "docs/deploy/golden.json").write_bytes(request_of())
    with check("no step has an expression of GitHub in its script, no job a permission that it does not need, no action a tag"):
        equal(workflow["permissions"], {})
        for job in workflow["jobs"].values():
            equal(job["permissions"], {"contents": "read", "id-token": "write"})
            for step in job["steps"]:
                assert "${{" not in step.get("run", ""), step
                assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step.get("uses", f"a/b@{'0' * 40}")), step
    s3, bucket = aws("s3"), "netsec-default-123456789012-eu-central-1"
    train = Job(workflow, "train", repository)
    with check("the program is taken from the bucket by its digest, and no other"):
        program = (TOOLS / "netsec").read_bytes()
        s3.put_object(Bucket=bucket, Key="bin/netsec", Body=program)
        train.step("Install netsec")
        equal((FOLDER / "path").read_text(), f"{FOLDER}/runner/bin\n")
        train.step("Install netsec", code=1, NETSEC_SHA256="0" * 64)
    with check("without a champion in the bucket nothing is brought; a bucket that cannot be asked is no bucket without a champion"):
        train.step("Bring the champion, and what the latest run made")
        equal(sorted(path.name for path in repository.glob("cache/*")), [])
        train.step("Bring the champion, and what the latest run made", code=4, WORKSPACE="s3://none/workspace")
    with check("of a run that failed what it finished is kept, and brought to the next job"):
        text = (repository / "pipelines/default.yaml").read_text().replace("min_score: 0.9 }\n", "min_score: 0.9999 }\n").replace("schemas/", f"{repository}/schemas/")
        (repository / "strict.yaml").write_text(text)
        equal(train.step("Train and judge", PIPELINE="strict.yaml")[0], {"accepted": "no"})
        train.step("Keep what this run made")
        shutil.rmtree(repository / "cache")
        equal(train.step("Bring the champion, and what the latest run made")[0], {"digest": ""})
        equal(ran(train.step("Train and judge", PIPELINE="strict.yaml")[1]), ["evaluate"])
    with check("an accepted challenger is to be deployed, one that was turned down is not, and a mistake fails"):
        equal(train.step("Train and judge")[0], {"accepted": "yes"})
        train.step("Keep what this run made")
        train.step("Keep the champion")
        (repository / "more.yaml").write_text((repository / "pipelines/default.yaml").read_text().replace("rows: 2000", "rows: 2500").replace("schemas/", f"{repository}/schemas/"))
        told, done = train.step("Train and judge", PIPELINE="more.yaml")
        equal(told, {"accepted": "no"})
        assert "::notice::" in done.stdout, done.stdout
        train.step("Keep what this run made")
        train.step("Train and judge", code=3, PIPELINE="docs/deploy/send.sh")
    with check("the next job, with nothing but the bucket, has the champion and runs nothing twice"):
        shutil.rmtree(repository / "cache")
        before = train.step("Bring the champion, and what the latest run made", GITHUB_WORKFLOW="Train and deploy")[0]["digest"]
        told, done = train.step("Train and judge", PIPELINE="more.yaml", BEFORE=before)
        equal(told, {"accepted": "no"})
        equal(ran(done), ["evaluate"])
    with check("a champion that stands already, such as one that was taken out of service, is not deployed again"):
        told, done = train.step("Train and judge", BEFORE=before)
        equal(told, {"accepted": "no"})
        assert "The champion is the one that it was" in done.stdout, done.stdout
    images = {}

    def deploy(digest):
        return Job(workflow, "deploy", repository, DIGEST=digest, INSTANCE="i-0123456789abcdef0", SETTLE="0", REGISTRY=HERE)

    def trained(name):
        for folder in ("made", "taken"):
            shutil.rmtree(FOLDER / "runner" / folder, ignore_errors=True)
        images[name] = train.step("Build the image, and ask the model what the image has to answer")[0]["digest"]
        return deploy(images[name])

    for name, file in {"keys": STATE / "keys/keys.json", "gate-key": STATE / "gate.key"}.items():
        ssm().put_parameter(Name=f"/netsec/default/{name}", Value=file.read_text(), Type="SecureString")
    shutil.rmtree(STATE)  # As on a new instance.
    for line in containers():
        podman("rm", "--force", "--time", "0", line.split()[0])
    podman("image", "rm", "--all", "--force")

    server = http.server.ThreadingHTTPServer(("127.0.0.1", AGENT), Agent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        first = trained("v1")
        with check("the image is pushed, its digest is the one that was built, and its golden prediction is where the instance reads it"):
            first.step("Push the image, and say what it has to answer", TAG="run-1")
            told = s3.get_object(Bucket=bucket, Key=f"golden/{images['v1'][7:]}/rows.json")["Body"].read()
            assert len(json.loads(told)["rows"]) == 3
        with check("an image that is not the one that was built is not deployed"):
            shutil.rmtree(FOLDER / "runner/taken")
            first.step("Push the image, and say what it has to answer", code=1, DIGEST="sha256:" + "0" * 64, TAG="other")
        with check("the first image: by the workflow, SSM, the document and the script; healthy"):
            told, done = first.step("Roll out")
            equal(told, {})
            assert f"in service: {HOST}/netsec/default@{images['v1']}" in done.stdout, done.stdout + done.stderr
            assert "in service already" in first.step("Is it well?")[1].stdout
            equal(len(containers()), 1)
        with check("no password of the registry stays, and nobody but root gets at what is kept"):
            modes = {name: (STATE / name).stat().st_mode & 0o777 for name in (".", "gate.key", "keys/keys.json", "rollout.sh")}
            equal(modes, {".": 0o700, "gate.key": 0o600, "keys/keys.json": 0o644, "rollout.sh": 0o600})
            equal([path for path in Path("/tmp").glob("tmp.*/config.json")], [])
        netsec("run", "more.yaml", codes=(0, 6), cwd=repository)
        netsec("model", "promote", "more.yaml:train.model", "--to", "champion/default", "--why", "test", "--by", "test", cwd=repository)
        second = trained("v2")
        with check("the second: in service, and the step tells what was before"):
            second.step("Push the image, and say what it has to answer", TAG="run-2")
            equal(second.step("Roll out")[0], {"previous": images["v1"]})
            second.step("Is it well?")
        with check("on the instance, by the script that the document left there: back to the first, and to the second again"):
            for name in ("v1", "v2"):
                told = run("sh", STATE / "rollout.sh", "--rollback", env=ENVIRONMENT).stdout
                equal(told.splitlines()[0], f"in service: {HOST}/netsec/default@{images[name]}")
        with check("a broken one: the step fails, and the second still answers"):
            state = (STATE / "current.conf").read_text()
            for name in ("request.json", "rows.json"):
                s3.copy_object(Bucket=bucket, Key=f"golden/{broken.hex}/{name}", CopySource=f"{bucket}/golden/{images['v1'][7:]}/{name}")
            third = deploy(f"sha256:{broken.hex}")
            told, done = third.step("Roll out", code=1)
            assert "is not ready" in done.stderr and "ended as Failed" in done.stderr, done.stderr
            equal(told, {})
            equal((STATE / "current.conf").read_text(), state)
        with check("one that turns ill: the step says so, and the step after it goes back to the first"):
            s3.put_object(Bucket=bucket, Key=f"golden/{images['v2'][7:]}/rows.json", Body=told_rows(s3, bucket, images["v1"]))
            second.step("Is it well?", code=1)
            second.step("Roll back", PREVIOUS=images["v1"])
            assert images["v1"] in (STATE / "current.conf").read_text().splitlines()[0]
            status, body = ask("/v1/score", request_of(), key)
            equal(json.loads(body)["rows"], json.loads(told_rows(s3, bucket, images["v1"]))["rows"])
        with check("what is not a digest gets no further than send.sh, the document and rollout.sh"):
            for word in ("latest", "sha256:" + "0" * 63, "sha256:" + "0" * 64 + "\nx", "sha256:" + "G" * 64, ""):
                second.step("Roll out", code=64, DIGEST=word)
            answer = subprocess.run(["aws", "ssm", "send-command", "--document-name", "netsec-rollout-default", "--document-version", "$LATEST", "--instance-ids",
                                     "i-0123456789abcdef0", "--parameters", "digest=latest"], env=ENVIRONMENT, capture_output=True, encoding="utf-8")
            assert answer.returncode and "InvalidParameters" in answer.stderr, answer
        with check("an instance that cannot be reached, or a rollout that ends otherwise: the step fails"):
            for status in ("TimedOut", "Cancelled", "Undeliverable", "Failed"):
                perform, Agent.perform = Agent.perform, staticmethod(lambda command, _, status=status: command.update(Status=status, StandardOutputContent="", StandardErrorContent=""))
                assert f"ended as {status}" in second.step("Roll out", code=1)[1].stderr
                Agent.perform = staticmethod(perform)
    finally:
        server.shutdown()
        server.server_close()
    with check("the same steps against moto, which says that it went well"):
        second.step("Roll out", AWS_ENDPOINT_URL_SSM=ENVIRONMENT["AWS_ENDPOINT_URL"], INSTANCE=aws("ec2").describe_instances()["Reservations"][0]["Instances"][0]["InstanceId"])


def ran(done):
    """The stages that a run did not take from the cache."""
    return re.findall(r"^  running +(\S+)", done.stdout + done.stderr, re.M)


def told_rows(s3, bucket, digest):
    return s3.get_object(Bucket=bucket, Key=f"golden/{digest[7:]}/rows.json")["Body"].read()


def request_of():
    return json.dumps({"rows": rows}).encode()


signal.signal(signal.SIGTERM, lambda *_: sys.exit("it was ended"))  # After the servers.
shutil.rmtree(FOLDER, ignore_errors=True)
FOLDER.mkdir(parents=True)
TOOLS = program()
init(FOLDER / "repo")
for folder in ("pipelines", "schemas"):
    shutil.copytree(ROOT / folder, FOLDER / folder)
netsec("run", "pipelines/default.yaml", "--quiet")
table = netsec("cat", "split.test").splitlines()
names = table[0].split(",")
rows = [{name: float(cell) for name, cell in zip(names, line.split(",")) if cell and name != "result"} for line in table[1:4]]
STATE.mkdir(mode=0o700)
(STATE / "keys").mkdir()
keys = {name: netsec("keys", "api", name, "--file", STATE / "keys/keys.json", *words).strip() for name, words in {"gate": [], "operator": ["--admin"]}.items()}
key, operator = keys["gate"], keys["operator"]
(STATE / "gate.key").write_text(key)
(STATE / "gate.key").chmod(0o600)

with process("moto", "moto_server", "-H", "127.0.0.1", "-p", MOTO, port=MOTO):
    check_stack(FOLDER / "repo/docs/deploy/netsec.cfn.yaml")
    check_page()
    password = run("aws", "ecr", "get-login-password", env=ENVIRONMENT).stdout.strip()
    with registry(password), front():
        try:
            v1 = Model("v1", "ref:champion/default", request_of(), password).ask("ref:champion/default").golden()
            broken = BrokenModel("broken", "ref:champion/default", request_of(), password)
            netsec("run", "pipelines/default.yaml", "--set", "rows=2500", "--quiet", codes=(0, 6))
            netsec("model", "promote", "train.model", "--to", "champion/default", "--why", "test", "--by", "test")
            v2 = Model("v2", "ref:champion/default", request_of(), password).ask("ref:champion/default").golden()
            assert v1.rows != v2.rows, "the models tell no rows apart"
            broken.rows = v1.rows
            broken.golden()
            check_arguments(v1.image)
            check_rollouts(v1, v2, broken)
            check_workflow(broken)
        finally:
            podman("rm", "--all", "--force", "--time", "0", codes=range(256))
            podman("image", "rm", "--all", "--force", codes=range(256))
if failed:
    sys.exit(f"{len(failed)} failed: {'; '.join(failed)}")
