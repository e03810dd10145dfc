"""A server of the Remote Execution API with a queue and three workers, on this machine: BuildGrid on PostgreSQL, and
buildbox-casd and buildbox-run for each worker. BuildGrid's own bot is no longer packaged; `bot` below does its part, with the
queue, the leases, the runner and the sandbox of the real ones.

    python reapi_grid.py BUILDBOX FOLDER [WORKERS]

BUILDBOX is the folder of buildbox-casd and buildbox-run. It says `ready PORT` and then does what it is told by lines on its
standard input, answering each with `done`: `kill-worker N`, `start-worker N`, `kill-server`, `start-server`. It ends, with all
that it started, when the input does.
"""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

CONFIGURATION = """
server: [!channel {{address: "127.0.0.1:{port}", insecure-mode: true}}]
authorization: {{method: none}}
connections: [!sql-connection &sql {{connection-string: "postgresql+psycopg://postgres@127.0.0.1:{database}/bgd"}}]
storages: [!disk-storage &cas {{path: {folder}/cas}}]
caches:
  - !lru-action-cache &ac {{storage: *cas, max-cached-refs: 100000, allow-updates: true, cache-failed-actions: false}}
schedulers:
  - !sql-scheduler &sched
    {{sql: *sql, action-cache: *ac, storage: *cas, bot-session-keepalive-timeout: 10, session-expiry-timer-interval: 2,
     poll-interval: 0.2, bot-poll-interval: 0.2, max-job-attempts: 5,
     assigners: [!priority-age-assigner {{count: 1, interval: 0.1}}],
     property-set: !dynamic-property-set {{match-property-keys: [OSFamily, ISA, pool], wildcard-property-keys: [netsec]}}}}
instances:
  - name: netsec
    services: [!action-cache {{cache: *ac}}, !execution {{scheduler: *sched, operation-stream-keepalive-timeout: 30}},
               !cas {{storage: *cas}}, !bytestream {{storage: *cas}}]
thread-pool-size: 100
"""


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait_for(what, is_there, process=None):
    for _ in range(1200):
        if is_there():
            return
        if process is not None and process.poll() is not None:
            sys.exit(f"{what} ended by itself, with exit code {process.returncode}")
        time.sleep(0.05)
    sys.exit(f"{what} did not come up")


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


class Grid:
    def __init__(self, buildbox, folder, count):
        self.buildbox, self.folder, self.count = buildbox, folder, count
        self.port, self.database = free_port(), free_port()
        self.server, self.workers = None, {}

    def start(self):
        self.start_database()
        (self.folder / "cas").mkdir(exist_ok=True)
        (self.folder / "bgd.yml").write_text(
            CONFIGURATION.format(port=self.port, database=self.database, folder=self.folder)
        )
        url = f"postgresql+psycopg://postgres@127.0.0.1:{self.database}/bgd"
        subprocess.run([self.bgd(), "migrate", "apply", url], check=True, **self.log("migrate"))
        self.start_server()
        for number in range(self.count):
            self.start_worker(number)

    def bgd(self):
        return str(pathlib.Path(sys.executable).parent / "bgd")

    def log(self, name):
        log = open(self.folder / f"{name}.log", "ab")
        return {"stdout": log, "stderr": log, "stdin": subprocess.DEVNULL}

    def programs(self):
        found = shutil.which("initdb")
        return pathlib.Path(os.path.realpath(found)).parent if found else max(
            pathlib.Path("/usr/lib/postgresql").glob("*/bin")
        )

    def as_user(self):
        # PostgreSQL refuses to run as root.
        return ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []

    def start_database(self):
        data, programs = self.folder / "pg", self.programs()
        data.mkdir()
        if os.getuid() == 0:
            shutil.chown(data, "postgres")
        subprocess.run(
            [*self.as_user(), programs / "initdb", "-D", data / "data", "-A", "trust", "-N", "-U", "postgres"],
            check=True, cwd="/", **self.log("database"),
        )
        options = (
            f"-c listen_addresses=127.0.0.1 -c port={self.database} -c unix_socket_directories='' -c fsync=off "
            "-c max_connections=100 -c shared_buffers=32MB"
        )
        self.control = [*self.as_user(), programs / "pg_ctl", "-D", data / "data", "-w", "-l", data / "log"]
        subprocess.run([*self.control, "-o", options, "start"], check=True, cwd="/", **self.log("database"))
        subprocess.run(
            [programs / "createdb", "-h", "127.0.0.1", "-p", str(self.database), "-U", "postgres", "bgd"],
            check=True, cwd="/", **self.log("database"),
        )

    def start_server(self):
        self.server = subprocess.Popen(
            [self.bgd(), "server", "start", self.folder / "bgd.yml"], start_new_session=True, **self.log("server")
        )
        wait_for("the server", lambda: answers(self.port), self.server)

    def kill_server(self):
        os.killpg(self.server.pid, signal.SIGKILL)
        self.server.wait()
        # Its port answers a moment longer.
        wait_for("the end of the server", lambda: not answers(self.port))

    def start_worker(self, number):
        folder = self.folder / f"worker{number}"
        folder.mkdir(exist_ok=True)
        (folder / "s").unlink(missing_ok=True)
        casd = subprocess.Popen(
            [self.buildbox / "buildbox-casd", f"--bind=unix:{folder}/s", f"--cas-remote=http://127.0.0.1:{self.port}",
             "--cas-instance=netsec", "--proxy-instance=netsec", folder / "casd"],
            start_new_session=True, **self.log(f"casd{number}"),
        )
        wait_for("a worker's casd", (folder / "s").exists, casd)
        bot = subprocess.Popen(
            [sys.executable, __file__, "bot", self.buildbox, folder, str(self.port), f"worker{number}"],
            start_new_session=True, **self.log(f"bot{number}"),
        )
        self.workers[number] = (casd, bot)

    def kill_worker(self, number):
        for process in reversed(self.workers.pop(number)):
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()

    def stop(self):
        for number in list(self.workers):
            self.kill_worker(number)
        if self.server is not None and self.server.poll() is None:
            os.killpg(self.server.pid, signal.SIGKILL)
            self.server.wait()
        if hasattr(self, "control"):
            subprocess.run([*self.control, "-m", "immediate", "stop"], cwd="/", **self.log("database"))


def serve(buildbox, folder, count):
    grid = Grid(buildbox, folder, count)
    try:
        grid.start()
        print(f"ready {grid.port}", flush=True)
        for line in sys.stdin:
            word, *rest = line.split()
            getattr(grid, word.replace("-", "_"))(*map(int, rest))
            print("done", flush=True)
    finally:
        grid.stop()


def bot(buildbox, folder, port, name):
    """A worker: takes leases, has buildbox-run carry them out, and says what came of them."""
    import grpc
    from buildgrid._protos.build.bazel.remote.execution.v2 import remote_execution_pb2 as execution
    from buildgrid._protos.google.devtools.remoteworkers.v1test2 import bots_pb2, bots_pb2_grpc, worker_pb2
    from buildgrid._protos.google.rpc import status_pb2  # noqa: F401: its messages are registered

    stub = bots_pb2_grpc.BotsStub(grpc.insecure_channel(f"127.0.0.1:{port}"))
    begun, running, ended, lock = set(), {}, {}, threading.Lock()
    PENDING, ACTIVE, COMPLETED, CANCELLED = (
        bots_pb2.LeaseState.Value(word) for word in ("PENDING", "ACTIVE", "COMPLETED", "CANCELLED")
    )

    def session():
        device = worker_pb2.Device(handle=name)
        for key, value in (("OSFamily", "linux"), ("ISA", "x86-64")):
            device.properties.add(key=key, value=value)
        worker = worker_pb2.Worker(devices=[device])
        return bots_pb2.BotSession(
            bot_id=name, status=bots_pb2.BotStatus.Value("OK"), worker=worker
        )

    def carry_out(lease):
        place = folder / f"lease-{lease.id.rpartition('/')[2]}"
        action = execution.Action()
        lease.payload.Unpack(action)
        pathlib.Path(f"{place}.a").write_bytes(action.SerializeToString())
        place.mkdir()
        started = time.time()
        process = subprocess.Popen(
            [buildbox / "buildbox-run", f"--remote=unix:{folder}/s", "--instance=netsec", f"--action={place}.a",
             f"--action-result={place}.r", f"--workspace-path={place}"],
            start_new_session=True,
        )
        with lock:
            running[lease.id] = process
        code = process.wait()
        result = execution.ActionResult()
        if code == 0:
            result.ParseFromString(pathlib.Path(f"{place}.r").read_bytes())
            result.execution_metadata.worker = name
        with lock:
            running.pop(lease.id, None)
            ended[lease.id] = (code, result)
        shutil.rmtree(place, ignore_errors=True)
        print(f"lease {lease.id} code {code} in {time.time() - started:.2f} s", flush=True)

    def take(leases):
        for lease in leases:
            if lease.state in (PENDING, ACTIVE) and lease.id not in begun:
                # Some releases give it as if it were taken up already.
                lease.state = ACTIVE
                begun.add(lease.id)
                threading.Thread(target=carry_out, args=[lease], daemon=True).start()
            elif lease.state == ACTIVE and lease.id in ended:
                code, result = ended[lease.id]
                lease.state = COMPLETED
                if code == 0:
                    lease.result.Pack(result)
                else:
                    lease.status.code = 4 if code == 142 else 13
                    lease.status.message = f"buildbox-run ended with {code}"
        wanted = {lease.id for lease in leases if lease.state != CANCELLED}
        with lock:
            for gone in set(running) - wanted:
                try:
                    os.killpg(running[gone].pid, signal.SIGTERM)
                except ProcessLookupError:
                    pass

    current = None
    while True:
        try:
            if current is None:
                request = bots_pb2.CreateBotSessionRequest(parent="netsec", bot_session=session())
                current = stub.CreateBotSession(request, timeout=10)
            take(current.leases)
            request = bots_pb2.UpdateBotSessionRequest(name=current.name, bot_session=current)
            current = stub.UpdateBotSession(request, timeout=2.5 if running or ended else 9)
            for gone in set(ended) - {lease.id for lease in current.leases}:
                ended.pop(gone)
            if running:
                time.sleep(0.05)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
                continue
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                print(f"anew: {error.details()}", flush=True)
                current = None
            time.sleep(0.5)


if __name__ == "__main__":
    if sys.argv[1] == "bot":
        bot(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]), sys.argv[4], sys.argv[5])
    else:
        serve(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int((sys.argv[3:] or [3])[0]))
