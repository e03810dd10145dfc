"""Loss of power, tried: `python3 tests/power/loss.py NETSEC [IMAGES]`, as root, on Linux with loop devices and ext4.

A run writes to a file system in an image. At a moment that chance decides its processes are stopped and the image is copied
as far as it was written: what a disk would hold if the power went. The copy is mounted (the file system mends itself), and
checked: `cache verify` finds nothing bad, every stage that was told to be made is reused, and the run ends as it should.
Half of the images are of `data=ordered`, half of `data=writeback`.
"""

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SIZE_MB = 96
STAGES = 10


def pipeline():
    lines = ["stages:"]
    for chain in "ab":
        for step in range(STAGES):
            needs = f"inputs: {{ x: {chain}{step - 1}.out }}, " if step else ""
            script = f"cat x >out 2>/dev/null; head -c {40_000 * (step % 3) + 10} /dev/zero >>out; echo {chain}{step} >>out"
            lines.append(f"  {chain}{step}: {{ kind: command, {needs}with: {{ run: [sh, -c, '{script}'], outputs: {{ out: out }} }} }}")
    return "\n".join(lines) + "\n"


def sh(*args, **options):
    return subprocess.run(args, check=True, capture_output=True, text=True, **options)


class Mounted:
    def __init__(self, image, folder, mode):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        sh("mount", "-o", f"loop,data={mode}", str(image), str(folder))

    def __enter__(self):
        return self.folder

    def __exit__(self, *_):
        for _ in range(50):
            if subprocess.run(["umount", str(self.folder)], capture_output=True).returncode == 0:
                return
            time.sleep(0.1)
        sh("umount", "-l", str(self.folder))


def group_of(pid):
    """A process and all that descends from it."""
    found, open_ = [], [pid]
    while open_:
        parent = open_.pop()
        found.append(parent)
        for folder in filter(str.isdigit, os.listdir("/proc")):
            try:
                stat = pathlib.Path(f"/proc/{folder}/stat").read_text()
            except OSError:
                continue
            if int(stat.rsplit(") ", 1)[1].split()[1]) == parent:
                open_.append(int(folder))
    return found


def lose(netsec, work, mode, dice):
    """One loss: how many stages were told to be made before it, and how the copy does."""
    image, copy = work / "image", work / "copy"
    sh("truncate", "-s", f"{SIZE_MB}M", str(image))
    sh("mkfs.ext4", "-q", "-F", str(image))
    told = []
    with Mounted(image, work / "a", mode) as root:
        (root / "p.yaml").write_text(pipeline())
        os.sync()
        wanted = dice.randrange(0, 2 * STAGES + 1)
        run = subprocess.Popen(
            [netsec, "run", "p.yaml", "--jobs", "2", "--log-format", "json"],
            cwd=root, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        )
        for line in run.stderr:
            event = json.loads(line)["event"] if line.startswith("{") else {}
            finished = event.get("stage_finished") if isinstance(event, dict) else None
            if finished and finished["outcome"] == "made":
                told.append(finished["id"])
            if len(told) >= wanted:
                break
        time.sleep(dice.random() * 0.02)
        stopped = group_of(run.pid)
        for pid in stopped:
            try:
                os.kill(pid, signal.SIGSTOP)
            except ProcessLookupError:
                pass
        shutil.copyfile(image, copy)
        for pid in reversed(stopped):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        run.stderr.close()
        run.wait()
    subprocess.run(["e2fsck", "-p", str(copy)], capture_output=True)
    with Mounted(copy, work / "b", mode) as root:
        verified = subprocess.run([netsec, "cache", "verify"], cwd=root, capture_output=True, text=True)
        assert verified.returncode == 0, verified.stdout + verified.stderr
        again = subprocess.run([netsec, "run", "p.yaml", "--json"], cwd=root, capture_output=True, text=True)
        summary = json.loads(again.stdout)
        assert summary["outcome"] == "succeeded", again.stdout + again.stderr
        outcomes = {stage["id"]: stage["outcome"] for stage in summary["stages"]}
        lost = [stage for stage in told if outcomes[stage] != "reused"]
        assert not lost, f"told and lost: {lost}"
    return len(told)


def main():
    netsec = str(pathlib.Path(sys.argv[1]).resolve())
    images = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    dice = random.Random(14)
    for mode in ("ordered", "writeback"):
        told = 0
        for _ in range(images // 2):
            with tempfile.TemporaryDirectory() as work:
                told += lose(netsec, pathlib.Path(work), mode, dice)
        print(f"data={mode}: {images // 2} images, {told} stages were told to be made, none lost")


if __name__ == "__main__":
    main()
