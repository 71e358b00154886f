"""Renders 12 clips on small farms on this machine, kills a worker in the middle, and compares the result with a local run.

    try_farm.py [ray|slurm|kubernetes ..]

Started by test.sh. Everything runs on 127.0.0.1 and in a temporary folder; all daemons are stopped at the end.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
LIPSYNC = PROJECT / "target/release/lipsync"
CLIPS = 12
# Seconds that a farm may take for its work.
PATIENCE = 240


def main():
    wanted = sys.argv[1:] or ["ray", "slurm", "kubernetes"]
    folder = Path(tempfile.mkdtemp(prefix="farm-"))
    try:
        material = Material(folder)
        for name in wanted:
            started = time.monotonic()
            try:
                {"ray": on_ray, "slurm": on_slurm, "kubernetes": on_kubernetes}[name](material, folder / name)
            except Skipped as why:
                print(f"{name}: skipped: {why}", flush=True)
                continue
            print(f"{name}: ok, in {time.monotonic() - started:.0f} s", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Skipped(Exception):
    """This test cannot run here."""


class Material:
    """Small networks, 12 audio files of 3 to 14 seconds and a long one, and the clips of a local run."""

    def __init__(self, folder):
        golden = PROJECT / "tests/golden"
        (folder / "tiny").mkdir()
        for network in ("generator", "audio_encoder"):
            shutil.copy(golden / f"models/tiny_{network}.onnx", folder / f"tiny/{network}.onnx")
        self.talks = folder / "talks"
        (self.talks / "more").mkdir(parents=True)
        for n in range(CLIPS):
            say(self.talks / ("more" if n % 3 == 0 else "") / f"talk {n}.wav", 3 + n)
        self.long = folder / "long"
        self.long.mkdir()
        say(self.long / "hour.wav", 60)
        self.flags = ["-m", str(folder / "tiny"), "-b", str(golden / "clip"), "--crop-rects", str(golden / "clip/crop_rects.json"), "--deterministic"]
        self.flags[3] = str(golden / "clip/background")
        self.local = folder / "local"
        self.local_long = folder / "local_long"
        for source, to in ((self.talks, self.local), (self.long, self.local_long)):
            run([LIPSYNC, "batch", source, "-o", to, *self.flags, "-q"])
        assert len(self.names(self.local)) == CLIPS

    @staticmethod
    def names(folder):
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.mp4") if not path.name.startswith("."))

    def check(self, folder, local=None):
        """All clips are there and byte-identical, and no partial file is left."""
        local = local or self.local
        assert self.names(folder) == self.names(local), f"{self.names(folder)}"
        for name in self.names(local):
            assert (folder / name).read_bytes() == (local / name).read_bytes(), f"{name} differs from a local run"
        left = [str(path) for path in folder.rglob(".*.part")]
        assert not left, f"left behind: {left}"


def say(path, seconds):
    """Repeats the bundled sample for `seconds`."""
    with wave.open(str(PROJECT / "samples/hello.wav")) as sample:
        rate, width, frames = sample.getframerate(), sample.getsampwidth(), sample.readframes(sample.getnframes())
    bytes_wanted = seconds * rate * width
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(width)
        out.setframerate(rate)
        out.writeframes((frames * (bytes_wanted // len(frames) + 1))[:bytes_wanted])


def run(command, **more):
    done = subprocess.run([str(word) for word in command], check=False, capture_output=True, text=True, timeout=PATIENCE, **more)
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stderr}"
    return done


def wait_for(what, ready):
    """Waits until `ready()` is true."""
    end = time.monotonic() + PATIENCE
    while not ready():
        assert time.monotonic() < end, f"waited {PATIENCE} s in vain for {what}"
        time.sleep(0.2)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# --- Ray ------------------------------------------------------------------------------------------------------------


def on_ray(material, folder):
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Without this, Ray uses this machine's other address instead of 127.0.0.1.
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    # Only clients with the token can connect.
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    from ray.cluster_utils import Cluster

    folder.mkdir()
    here = {"node_ip_address": "127.0.0.1", "include_dashboard": False, "temp_dir": str(folder / "r")}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **here})
    try:
        workers = [cluster.add_node(num_cpus=1, node_ip_address="127.0.0.1") for _ in range(2)]
        script = [sys.executable, HERE / "ray_render.py", "--lipsync", LIPSYNC, "--address", cluster.address, "--cpus", "1"]
        out = folder / "clips"
        rendering = subprocess.Popen(
            [str(word) for word in [*script, material.talks, "-o", out, "--report", folder / "report.json", *material.flags]],
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_for("the first two clips", lambda: len(material.names(out)) >= 2 or rendering.poll() is not None)
        assert rendering.poll() is None, f"it ended too early:\n{rendering.stderr.read()}"
        cluster.remove_node(workers[1], allow_graceful=False)
        there = len(material.names(out))
        said = rendering.communicate(timeout=PATIENCE)[1]
        assert rendering.returncode == 0, said
        assert there < CLIPS, "the worker was lost too late"
        assert f"rendered {CLIPS} of {CLIPS} clips" in said, said
        material.check(out)
        print(f"ray: a worker of two was lost after {there} clips; all {CLIPS} arrived", flush=True)
        cluster.add_node(num_cpus=1, node_ip_address="127.0.0.1")
        # Everything is there and unchanged.
        again = run([*script, material.talks, "-o", out, "--resume", *material.flags])
        assert f"rendered 0 of {CLIPS} clips, {CLIPS} were finished" in again.stderr, again.stderr
        # A clip of 1500 frames in parts.
        long = folder / "long"
        said = run([*script, material.long, "-o", long, "--part-frames", "400", *material.flags])
        assert "1500 frames in 4 parts" in said.stderr, said.stderr
        material.check(long, material.local_long)
        # A clip that fails does not stop the others.
        broken = material.long.with_name("broken")
        shutil.copytree(material.long, broken)
        (broken / "empty.wav").touch()
        done = subprocess.run([str(word) for word in [*script, broken, "-o", folder / "broken", *material.flags]], stderr=subprocess.PIPE, text=True, check=False)
        assert done.returncode == 3 and (folder / "broken/hour.mp4").exists(), done.stderr
    finally:
        cluster.shutdown()


# --- Slurm ----------------------------------------------------------------------------------------------------------

SLURM_CONF = """\
ClusterName=farm
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld_port}
SlurmdPort={d_port}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SchedulerParameters=batch_sched_delay=0,sched_interval=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES State=UP MaxTime=10
"""


class Slurm:
    """munged, slurmctld and slurmd as children of this process; nothing remains after them."""

    def __init__(self, folder):
        folder.mkdir()
        folder.chmod(0o755)
        self.folder = folder
        for name in ("state", "spool"):
            (folder / name).mkdir()
        key = folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        self.node = socket.gethostname().split(".")[0]
        conf = SLURM_CONF.format(host=self.node, folder=folder, ctld_port=free_port(), d_port=free_port())
        (folder / "slurm.conf").write_text(conf)
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        self.daemons = {}
        munge = ["munged", "--foreground", "--force", "--num-threads=1", "--key-file", key, "--socket", folder / "munge.socket"]
        munge += ["--pid-file", folder / "munge.pid", "--log-file", folder / "munge.log", "--seed-file", folder / "munge.seed"]
        self.start("munged", munge)
        wait_for("munged", (folder / "munge.socket").exists)
        self.start("slurmctld", ["slurmctld", "-D", "-i"])
        self.start("slurmd", ["slurmd", "-D"])
        wait_for("the node", lambda: self.call("sinfo", "-h", "-o", "%T").strip() == "idle")

    def start(self, name, command):
        with open(self.folder / f"{name}.out", "ab") as out:
            # In its own process group, so that everything a node runs is lost with it.
            self.daemons[name] = subprocess.Popen([str(word) for word in command], env=self.environment, stdout=out, stderr=out, start_new_session=True)

    def call(self, *command):
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=60)
        return done.stdout

    def lose_node(self):
        """Kills the node and starts it again."""
        children = descendants(self.daemons["slurmd"].pid)
        # slurmstepd is not a child of slurmd; the tasks run under it.
        for pid in steps(self.folder):
            children |= {pid} | descendants(pid)
        kill(self.daemons["slurmd"], children)
        # The controller would notice this by itself after SlurmdTimeout.
        node = f"nodename={self.node}"
        self.call("scontrol", "update", node, "state=down", "reason=lost")
        self.start("slurmd", ["slurmd", "-D"])
        self.call("scontrol", "update", node, "state=resume")

    def stop(self):
        self.call("scancel", "--full", "--user", "root")
        for name in ("slurmd", "slurmctld", "munged"):
            if name in self.daemons:
                children = set()
                if name == "slurmd":
                    for pid in steps(self.folder):
                        children |= {pid} | descendants(pid)
                kill(self.daemons[name], children)


def processes():
    """Process id and parent id of all running processes."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = status.read_text()
        except OSError:
            continue
        yield int(status.parent.name), int(text[text.rindex(")") + 2 :].split()[1])


def descendants(pid):
    found, new = set(), {pid}
    while new:
        new = {child for child, parent in processes() if parent in new} - found
        found |= new
    return found


def steps(folder):
    """The slurmstepd processes of the farm in this folder, recognised by their environment."""
    for pid, _ in list(processes()):
        try:
            is_step = Path(f"/proc/{pid}/comm").read_text().startswith("slurmstepd")
            if is_step and f"SLURM_CONF={folder}/".encode() in Path(f"/proc/{pid}/environ").read_bytes():
                yield pid
        except OSError:
            continue


def kill(daemon, others):
    for pid in {daemon.pid} | set(others):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    daemon.wait()


def on_slurm(material, folder):
    if not all(shutil.which(program) for program in ("munged", "slurmctld", "slurmd", "sbatch")):
        raise Skipped("slurm-wlm and munge are not installed: apt install slurm-wlm munge")
    if os.getuid() != 0:
        raise Skipped("its daemons are started as root")
    slurm = Slurm(folder)
    try:
        out = folder / "clips"
        script = [HERE / "slurm_array.sh", material.talks, "-o", out, *material.flags]
        environment = {**slurm.environment, "LIPSYNC": str(LIPSYNC)}
        sent = run(["sbatch", "--parsable", "--array=0-3", "--cpus-per-task=1", f"--output={folder}/task-%a.log", *script], env=environment)
        job = sent.stdout.strip()
        wait_for("the first two clips", lambda: len(material.names(out)) >= 2)
        slurm.lose_node()
        there = len(material.names(out))
        wait_for("the job", lambda: not slurm.call("squeue", "-h", "-j", job).strip())
        assert there < CLIPS, "the node was lost too late"
        logs = "\n".join(path.read_text() for path in sorted(folder.glob("task-*.log")))
        assert len(material.names(out)) == CLIPS, f"{material.names(out)}\n{logs}"
        material.check(out)
        print(f"slurm: the node was lost after {there} clips; all {CLIPS} arrived", flush=True)
    finally:
        slurm.stop()


# --- Kubernetes -----------------------------------------------------------------------------------------------------


def on_kubernetes(material, folder):
    """Checks the manifest, and runs its container's command as the pods would; kills one of them and starts it again."""
    import yaml

    manifest = HERE / "kubernetes-job.yaml"
    run([Path(sys.executable).with_name("kubernetes-validate"), "-k", "1.33", "--strict", manifest])
    spec = yaml.safe_load(manifest.read_text())["spec"]
    container = spec["template"]["spec"]["containers"][0]
    count = {entry["name"]: entry["value"] for entry in container["env"]}["JOB_COMPLETION_COUNT"]
    assert spec["completions"] == int(count), "completions and JOB_COMPLETION_COUNT differ"
    folder.mkdir()
    out = folder / "clips"
    jobs = folder / "jobs.yaml"
    jobs.write_text("".join(f"- audio: {path!s}\n  output: {path.relative_to(material.talks).with_suffix('.mp4')}\n" for path in sorted(material.talks.rglob("*.wav"))))
    places = {"lipsync": str(LIPSYNC), "/jobs/jobs.yaml": str(jobs), "/data/clips": str(out), "4": "1"}
    command = [places.get(word, word) for word in container["command"]] + material.flags
    pods = 3

    def pod(index):
        environment = {**os.environ, "JOB_COMPLETION_INDEX": str(index), "JOB_COMPLETION_COUNT": str(pods)}
        return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)

    running = [pod(index) for index in range(pods)]
    try:
        wait_for("the first two clips", lambda: len(material.names(out)) >= 2)
        running[1].kill()
        running[1].wait()
        there = len(material.names(out))
        running[1] = pod(1)
        for one in running:
            assert one.wait(timeout=PATIENCE) == 0
    finally:
        for one in running:
            if one.poll() is None:
                one.kill()
                one.wait()
    assert there < CLIPS, "the pod was lost too late"
    material.check(out)
    print(f"kubernetes: the manifest is valid; a pod of {pods} was lost after {there} clips; all {CLIPS} arrived", flush=True)


if __name__ == "__main__":
    main()
