"""One way out of the sandbox, tried: says `kept` and why, or `escaped` and what it got."""

import ctypes
import os
import platform
import resource
import signal
import socket
import subprocess
import sys
import time

name, outside, workspace, tcp, udp, abstract, victim, shared = sys.argv[1:9]
secret = outside + "/secret"
libc = ctypes.CDLL(None, use_errno=True)


def call(function, *args):
    result = function(*args)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def read(path):
    with open(path, "rb") as file:
        return file.read(4096)


def write(path):
    with open(path, "w") as file:
        file.write("x")


def processes(word):
    """The processes whose command line holds a word."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = read(f"/proc/{pid}/cmdline").split(b"\0")
        except OSError:
            continue
        if word in line and int(pid) != os.getpid():
            found.append(int(pid))
    return found


def run_pid():
    return processes(b"p.yaml")[0]


def memory(pid):
    for line in open(f"/proc/{pid}/maps"):
        words = line.split()
        if words[1].startswith("rw"):
            start = int(words[0].split("-")[0], 16)
            with open(f"/proc/{pid}/mem", "rb") as file:
                file.seek(start)
                return file.read(16)
    raise OSError("nothing to read")


def symlink_read():
    os.symlink(secret, "link")
    return read("link")


def open_by_handle():
    class Handle(ctypes.Structure):
        _fields_ = [("length", ctypes.c_uint), ("kind", ctypes.c_int), ("handle", ctypes.c_ubyte * 128)]

    handle, mount = Handle(length=128), ctypes.c_int()
    call(libc.name_to_handle_at, -100, secret.encode(), ctypes.byref(handle), ctypes.byref(mount), 0)
    root = os.open("/etc", os.O_RDONLY)
    return os.read(call(libc.open_by_handle_at, root, ctypes.byref(handle), os.O_RDONLY), 9)


def read_disk():
    errors = []
    for disk in ("vda", "sda", "nvme0n1", "xvda", "loop0", "mem", "kmsg"):
        try:
            return read("/dev/" + disk)
        except OSError as error:
            errors.append(str(error))
    raise OSError("; ".join(errors))


def user_namespace():
    subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], check=True, capture_output=True)


def setuid():
    for line in open("/proc/self/status"):
        if line.startswith("NoNewPrivs:") and line.split()[1] == "1":
            raise OSError("no new privileges")


def capabilities():
    held = [line.split()[1] for line in open("/proc/self/status") if line.startswith(("CapPrm", "CapEff", "CapInh", "CapAmb"))]
    if all(int(sets, 16) == 0 for sets in held):
        raise OSError("none")
    return held


def files_of_supervisor():
    folder, errors = f"/proc/{os.getppid()}/fd", []
    for number in os.listdir(folder):
        try:
            return read(f"{folder}/{number}")
        except OSError as error:
            errors.append(str(error))
    raise OSError("; ".join(errors))


def limits_of_supervisor():
    return resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (64, 64))


def keyring():
    if platform.machine() != "x86_64":
        raise OSError("not tried here")
    return call(libc.syscall, 250, 0, -4, 1)


def vsock():
    return socket.socket(40, socket.SOCK_STREAM)


def priority_of_other():
    os.setpriority(os.PRIO_PROCESS, int(victim), 5)


def trace_run():
    call(libc.ptrace, 16, run_pid(), 0, 0)


def signal_other():
    os.kill(int(victim), signal.SIGKILL)


def connect():
    socket.create_connection(("127.0.0.1", int(tcp)), timeout=2)


def listen():
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen()


def send_udp():
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"out", ("127.0.0.1", int(udp)))


def abstract_socket():
    socket.socket(socket.AF_UNIX).connect("\0" + abstract)


def path_socket():
    socket.socket(socket.AF_UNIX).connect(outside + "/socket")


def raw_socket():
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)


def ipc():
    if not [line for line in open("/proc/sysvipc/shm")][1:]:
        raise OSError("there is none")


def secret_in_environment():
    if "hunter2hunter2" not in str(os.environ):
        raise OSError("it is not there")


def touch_outside():
    os.utime(secret, (1, 1))
    os.chmod(secret, 0o666)


def clock():
    return time.time(), platform.node()


def shared_memory():
    return read(shared)


probes = {
    "read_outside": lambda: read(secret),
    "read_pipeline": lambda: read(workspace + "/p.yaml"),
    "list_workspace": lambda: os.listdir(workspace),
    "read_cache": lambda: os.listdir(workspace + "/cache/blobs"),
    "write_outside": lambda: write(outside + "/new"),
    "write_workspace": lambda: write(workspace + "/new"),
    "write_tmp": lambda: write("/tmp/netsec-escaped"),
    "truncate_outside": lambda: os.truncate(secret, 0),
    "rename_in": lambda: os.rename(secret, "mine"),
    "link_in": lambda: os.link(secret, "mine"),
    "unlink_outside": lambda: os.unlink(secret),
    "make_device": lambda: os.mknod("device", 0o600 | 0o020000, os.makedev(1, 1)),
    "mount": lambda: call(libc.mount, b"tmpfs", b"/mnt", b"tmpfs", 0, None),
    "chroot": lambda: os.chroot("."),
    "write_proc_sys": lambda: write("/proc/sys/kernel/hostname"),
    "environment_of_run": lambda: read(f"/proc/{run_pid()}/environ"),
    "memory_of_run": lambda: memory(run_pid()),
    "root_of_run": lambda: read(f"/proc/{run_pid()}/root{secret}"),
    "folder_of_run": lambda: read(f"/proc/{run_pid()}/cwd/p.yaml"),
    "memory_of_supervisor": lambda: memory(os.getppid()),
    "signal_run": lambda: os.kill(run_pid(), signal.SIGINT),
    "signal_supervisor": lambda: os.kill(os.getppid(), signal.SIGKILL),
    "terminal": lambda: read("/dev/tty"),
    "list_processes": run_pid,
}
try:
    got = (probes.get(name) or globals()[name])()
except Exception as error:  # Whatever keeps it in.
    print("kept:", type(error).__name__, error)
else:
    print("escaped:", got)
