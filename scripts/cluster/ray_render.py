#!/usr/bin/env python3
"""Renders many clips on a Ray cluster: one task per clip; long clips in parts that are joined.

    ray_render.py JOBS.. -o OUT [options] [options of `lipsync batch`: --codec h265 --crf 20 ..]

JOBS are the inputs of `lipsync batch`: folders, audio files or jobs files. All paths must be valid on every machine of the
cluster. `lipsync batch --dry-run` checks everything first and decides all settings; then each task runs `lipsync render`,
whose outputs appear complete or not at all. A task that is lost with its machine is retried elsewhere.

OUT/.lipsync-ray/ holds a report for each clip (`render --report`) and, for --resume, what it was made from.

Exit codes: 0 all clips are there, 1 the run could not start, 2 wrong usage, 3 some clips failed, 4 missing dependency,
130 interrupted.
"""

import argparse
import ctypes
import hashlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

# Parts start at multiples of this many frames (`lipsync render --part`).
SEGMENT = 250
# Keys of a job that are not flags of `lipsync render`.
NO_FLAGS = {"id", "audio", "output", "frames"}
PR_SET_PDEATHSIG = 1


def main():
    args = parse()
    started = time.monotonic()
    try:
        jobs, refused = plan(args)
        todo, skipped = choose(args, jobs)
        results = render_all(args, todo)
    except Stop as stop:
        say(f"error: {stop}")
        return stop.code
    except KeyboardInterrupt:
        say("error: interrupted")
        return 130
    return sum_up(args, jobs, refused, skipped, results, time.monotonic() - started)


class Stop(Exception):
    """The run cannot start."""

    def __init__(self, message, code=1):
        super().__init__(message)
        self.code = code


def say(text):
    print(text, file=sys.stderr, flush=True)


def parse():
    parser = argparse.ArgumentParser(
        usage="ray_render.py JOBS.. -o DIR [options] [options of lipsync batch]",
        allow_abbrev=False,
        description="Render many clips on a Ray cluster.",
        epilog="All other options are passed to `lipsync batch` and apply to every clip: --codec h265 --crf 20 ..",
    )
    parser.add_argument("jobs", nargs="+", metavar="JOBS", help="folders, audio files or jobs files, as for lipsync batch")
    parser.add_argument("-o", "--output", required=True, metavar="DIR", type=Path, help="folder for the clips, shared by all machines")
    parser.add_argument("--address", default="auto", help="the cluster: auto (default), HOST:PORT, or local for this machine only")
    parser.add_argument("--cpus", type=float, default=2, metavar="N", help="cores per task (default 2)")
    parser.add_argument("--gpus", type=float, default=0, metavar="N", help="GPUs per task, or a fraction of one (default 0)")
    parser.add_argument("--retries", type=int, default=5, metavar="N", help="retries of a task whose machine was lost (default 5)")
    parser.add_argument("--part-frames", type=int, metavar="N", help="split clips of more than N frames into parts of about N frames")
    parser.add_argument("--resume", action="store_true", help="skip what is finished and unchanged")
    parser.add_argument("-f", "--force", action="store_true", help="replace what exists")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write a JSON report: totals, and one object per clip")
    parser.add_argument("--lipsync", default="lipsync", metavar="PROGRAM", help="the lipsync program, at the same path on every machine (default lipsync)")
    run = parser.add_argument_group("passed to lipsync render")
    for name in ("--device", "--batch", "--threads", "--memory-limit"):
        run.add_argument(name)
    run.add_argument("--deterministic", action="store_true")
    args, args.settings = parser.parse_known_args()
    if args.part_frames is not None and args.part_frames < 1:
        parser.error("--part-frames takes 1 or more")
    args.output = args.output.absolute()
    return args


def run_flags(args):
    """Flags that depend on the machine, not on the clip."""
    values = {"--device": args.device, "--batch": args.batch, "--memory-limit": args.memory_limit}
    values["--threads"] = args.threads or str(max(1, math.ceil(args.cpus)))
    flags = [word for name, value in values.items() if value for word in (name, value)]
    return flags + ["--deterministic"] * args.deterministic


# --- which clips ----------------------------------------------------------------------------------------------------


def plan(args):
    """All jobs with the settings that `lipsync batch` decides, and whether it rejected any."""
    command = [args.lipsync, "batch", *args.jobs, "-o", str(args.output), "--dry-run", "--shard", "0/1", *args.settings]
    if args.resume or args.force:
        # `choose` decides below whether an existing clip is ours.
        command.append("--force")
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    except OSError as error:
        raise Stop(f"cannot run `{args.lipsync}`: {error.strerror.lower()}", 4) from error
    if done.returncode not in (0, 3):
        raise Stop("lipsync batch --dry-run rejected the jobs", done.returncode)
    jobs = [json.loads(line) for line in done.stdout.splitlines()]
    return jobs, 1 if done.returncode == 3 else 0


class Clip:
    """A job, and the paths of all files that belong to it."""

    def __init__(self, args, job):
        self.id = job["id"]
        self.job = job
        frames = job.get("frames")
        self.is_folder = isinstance(frames, str)
        self.frames = None if self.is_folder else frames
        self.folder = args.output
        self.output = args.output / (frames if self.is_folder else job["output"])
        # Whether to replace an existing output: it is ours, or the user passed --force.
        self.replace = False
        state = args.output / ".lipsync-ray"
        self.report = state / "reports" / f"{self.id}.json"
        self.record = state / "made" / f"{self.id}.json"
        self.attempt = state / "attempts" / f"{self.id}"
        self.key = self.fingerprint(args)
        self.parts_folder = state / "parts" / self.key

    def fingerprint(self, args):
        """Changes with the job, and with the size or time of its files."""
        stamps = [stamp(Path(self.job[name])) for name in ("audio", "model", "background", "crop_rects") if name in self.job]
        text = json.dumps([self.job, stamps, args.deterministic, version(args)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def is_finished(self):
        made = read_json(self.record)
        return bool(made) and made["key"] == self.key and made["output"] == stamp(self.output)

    def is_ours(self):
        """Whether the existing output is unchanged since a run of this script wrote it."""
        made = read_json(self.record)
        return bool(made) and made["output"] == stamp(self.output)

    def parts(self, args):
        """The number of parts to render it in."""
        if not args.part_frames or self.is_folder or "contact_sheet" in self.job or not self.frames:
            return 1
        return min(math.ceil(self.frames / args.part_frames), math.ceil(self.frames / SEGMENT))

    def flags(self):
        flags = []
        for name, value in self.job.items():
            if name in NO_FLAGS or value is False:
                continue
            if name == "contact_sheet":
                value = self.folder / value
            flags.append("--" + name.replace("_", "-"))
            if value is not True:
                flags.append(str(value))
        return flags


def stamp(path):
    """Size and time of a file, or of all files in a folder; None if it does not exist."""
    try:
        if path.is_dir():
            return [[entry.name, *stamp(entry)] for entry in sorted(path.iterdir()) if entry.is_file()]
        status = path.stat()
        return [status.st_size, status.st_mtime_ns]
    except OSError:
        return None


def version(args, known={}):
    if "version" not in known:
        known["version"] = subprocess.run([args.lipsync, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return known["version"]


def read_json(path):
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def write_whole(path, text):
    """Writes a file that gets its own name only once it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(text)
    os.replace(part, path)


def choose(args, jobs):
    """The clips to render, and those that are finished. If someone else's file is in the way of a clip, that is an error."""
    todo, skipped = [], []
    for clip in (Clip(args, job) for job in jobs):
        if args.resume and clip.is_finished():
            skipped.append(clip)
            continue
        if clip.output.exists() and not (args.force or args.resume and clip.is_ours()):
            raise Stop(f"output `{clip.output}` exists and was not made by this script\n\nhint: move it away, or pass --force to replace it")
        clip.replace = clip.output.exists()
        todo.append(clip)
    return todo, skipped


# --- rendering -----------------------------------------------------------------------------------------------------


def render_all(args, clips):
    """Runs all tasks, and returns the result of each clip."""
    if not clips:
        return {}
    import ray

    # On one machine only, open nothing to other machines.
    loopback = args.address == "local" or args.address.startswith("127.0.0.1:")
    ray.init(
        address=None if args.address == "local" else args.address,
        log_to_driver=False,
        logging_level="error",
        **({"_node_ip_address": "127.0.0.1"} if loopback else {}),
        **({"include_dashboard": False} if args.address == "local" else {}),
    )
    resources = {"num_cpus": args.cpus, "num_gpus": args.gpus, "max_retries": args.retries}
    # A failed render is a result, not an exception: Ray retries only lost tasks.
    render = ray.remote(**resources)(attempt)
    join = ray.remote(num_cpus=1, max_retries=args.retries)(join_parts)
    run = f"{os.getpid()}-{time.time_ns()}"
    owners, working = {}, {}
    # Longest first, so that no long clip is left running alone at the end.
    for clip in sorted(clips, key=lambda clip: -(clip.frames or 0)):
        count = clip.parts(args)
        if count == 1:
            command = [args.lipsync, "render", clip.job["audio"], "--frames" if clip.is_folder else "-o", str(clip.output)]
            command += clip.flags() + run_flags(args)
            ref = render.remote(command, str(clip.output), str(clip.report), str(clip.attempt), run, clip.replace)
        else:
            ending = ".mov" if clip.job.get("codec") in ("prores_ks", "prores4444") else ".mp4"
            parts = []
            for k in range(count):
                name = f"part{k}-of-{count}"
                path = clip.parts_folder / f"{name}{ending}"
                command = [args.lipsync, "render", clip.job["audio"], "-o", str(path), "--part", f"{k}/{count}"]
                command += clip.flags() + run_flags(args)
                report = clip.parts_folder / f"{name}.json"
                parts.append((path, render.remote(command, str(path), str(report), str(clip.parts_folder / f"{name}.attempt"), run, True, True)))
            command = [args.lipsync, "join", *[str(path) for path, _ in parts], "-o", str(clip.output), "-q"]
            ref = join.remote(command, str(clip.output), str(clip.report), str(clip.attempt), run, clip.replace, *[ref for _, ref in parts])
        owners[ref] = working[ref] = clip
    results = {}
    try:
        while working:
            ready, _ = ray.wait(list(working), num_returns=1)
            clip = working.pop(ready[0])
            try:
                result = ray.get(ready[0])
            except ray.exceptions.RayError as error:
                result = {"error": {"message": f"the task was lost: {type(error).__name__}", "hint": "run the same with --resume"}}
            finish(clip, result)
            results[clip.id] = result
            tell(clip, result, len(results), len(clips))
    except KeyboardInterrupt:
        for ref in working:
            ray.cancel(ref, force=True)
        raise
    finally:
        ray.shutdown()
    return results


def finish(clip, result):
    """Records what a finished clip was made from, and removes its parts."""
    if "error" in result:
        return
    write_whole(clip.record, json.dumps({"key": clip.key, "output": stamp(clip.output)}))
    clip.attempt.unlink(missing_ok=True)
    shutil.rmtree(clip.parts_folder, ignore_errors=True)


def attempt(command, output, report, marker, run, replace, is_part=False):
    """One run of `lipsync render`, on any machine."""
    output, report = Path(output), Path(report)
    begun, force = begin(output, marker, run, replace)
    report.parent.mkdir(parents=True, exist_ok=True)
    done = read_json(report)
    if output.exists() and done and "error" not in done and (begun or is_part):
        return done
    report.unlink(missing_ok=True)
    said = call([*command, *force, "--report", str(report), "-q"])
    result = read_json(report) or {}
    if said.returncode != 0 and "error" not in result:
        result["error"] = {"message": said.stderr.strip() or f"lipsync ended with {said.returncode}", "exit_code": said.returncode}
    result["node"] = os.uname().nodename
    return result


def begin(output, marker, run, replace):
    """Whether a lost attempt of this run already started it, and the flag to replace what that attempt left behind."""
    marker = Path(marker)
    begun = marker.exists() and marker.read_text() == run
    output.parent.mkdir(parents=True, exist_ok=True)
    force = ["--force"] * (output.exists() and (begun or replace))
    write_whole(marker, run)
    return begun, force


def join_parts(command, output, report, marker, run, replace, *parts):
    """Joins the finished parts of a clip."""
    failed = next((part for part in parts if "error" in part), None)
    if failed:
        return failed
    _, force = begin(Path(output), marker, run, replace)
    started = time.monotonic()
    said = call([*command, *force])
    if said.returncode != 0:
        return {"error": {"message": said.stderr.strip(), "exit_code": said.returncode}}
    result = {
        "frames": sum(part["frames"] for part in parts),
        "seconds": round(sum(part["seconds"] for part in parts), 3),
        "wall_s": round(sum(part["wall_s"] for part in parts) + time.monotonic() - started, 3),
        "parts": len(parts),
        "node": os.uname().nodename,
    }
    write_whole(Path(report), json.dumps(result, indent=2))
    return result


def call(command):
    """Runs a program that ends with its worker: a lost worker must not leave a render running."""
    libc = ctypes.CDLL(None)
    return subprocess.run(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL),
    )


# --- messages ------------------------------------------------------------------------------------------------------


def tell(clip, result, done, of):
    if "error" in result:
        say(f"[{done}/{of}] failed {clip.id}: {result['error']['message']}")
        return
    parts = f" in {result['parts']} parts" if "parts" in result else ""
    say(f"[{done}/{of}] {clip.id}: {result['frames']} frames{parts}, {result['wall_s']:.1f} s of work on {result['node']}")


def sum_up(args, jobs, refused, skipped, results, took):
    failed = {name: result["error"] for name, result in results.items() if "error" in result}
    rendered = [result for result in results.values() if "error" not in result]
    frames = sum(result["frames"] for result in rendered)
    seconds = sum(result["seconds"] for result in rendered)
    for name, error in sorted(failed.items()):
        say(f"failed  {name}  {': '.join([error['message'], *error.get('causes', [])])}")
    words = [f"rendered {len(rendered)} of {len(jobs)} clips"]
    words += [f"{len(skipped)} were finished"] * bool(skipped) + [f"{len(failed)} failed"] * bool(failed)
    say(f"{', '.join(words)}: {frames} frames, {seconds:.2f} s, in {took:.1f} s ({frames / took:.1f} fps, {seconds / took:.2f}x real time)")
    if args.report:
        clips = [{"id": clip.id, "state": "skipped"} for clip in skipped]
        clips += [{"id": name, "state": "failed" if "error" in result else "rendered", **result} for name, result in results.items()]
        totals = {"clips": len(jobs), "rendered": len(rendered), "skipped": len(skipped), "failed": len(failed)}
        totals |= {"frames": frames, "seconds": round(seconds, 3), "wall_s": round(took, 3)}
        write_whole(args.report, json.dumps({"totals": totals, "clips": clips}, indent=2) + "\n")
    if refused:
        say("error: lipsync batch rejected some jobs, see above")
    return 3 if failed or refused else 0


if __name__ == "__main__":
    sys.exit(main())
