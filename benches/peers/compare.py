"""Times a training step of gradus and of other libraries in turn, on this machine, and prints the tables in Markdown.

    python3 compare.py --device cpu --peers pytorch,burn-flex,candle
    python3 compare.py --device llvmpipe --peers burn-vulkan --adapter llvmpipe --wgsl
    python3 compare.py --device gpu --peers pytorch-cuda,burn-vulkan --rounds 3
    python3 compare.py --bench population --device cpu --networks 1,1000

Builds what it needs first. Every workload is run by gradus, by each peer and by gradus again, and a figure is the median
of all its runs; what cannot be built or run is told and left out. Progress goes to standard error.
"""

import argparse
import importlib.util
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORKLOADS = [
    "2-2-1",
    "784-30-10",
    "784-128-10",
    "784-800-10",
    "64-64-64-64-64-64",
    "1024-1024-1024-1024",
    "784-2500-2000-1500-1000-500-10",
]
# Of many networks at once, of which PyTorch alone has something to say.
TOGETHER = ["2-2-1", "784-30-10", "64-64-64"]
PYTORCH = {"pytorch": "cpu", "pytorch-cuda": "cuda"}
RUST = ["burn-flex", "burn-ndarray", "burn-vulkan", "candle"]
# Seconds after which a run is given up.
PATIENCE = 1800


def tell(text):
    print(text, file=sys.stderr, flush=True)


def build(folder, *command):
    """The program that cargo makes of a command, or nothing."""
    command = ["cargo", *command, "--message-format=json-render-diagnostics"]
    tell(f"building: {' '.join(command)}")
    try:
        built = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    except OSError as error:
        return tell(f"no cargo: {error}")
    made = [json.loads(line).get("executable") for line in built.stdout.splitlines() if line.startswith("{")]
    programs = [program for program in made if program]
    return programs[-1] if built.returncode == 0 and programs else None


def commands(arguments):
    """The command of each of ours and of each peer that can be run, by its name."""
    ours = build(ROOT, "bench", "--bench", arguments.bench, "--no-run")
    if ours is None:
        sys.exit(f"gradus' bench {arguments.bench} could not be built")
    found = {f"gradus {device}": [ours, "--device", device, "--json"] for device in arguments.device}
    program = None
    if any(peer in RUST for peer in arguments.peers):
        program = build(HERE, "build", "--release", "--locked", *["--no-default-features"] * arguments.wgsl)
    for peer in arguments.peers:
        if peer in PYTORCH:
            if importlib.util.find_spec("torch") is None:
                tell(f"{peer} is missing: this Python has no torch; pip install torch")
                continue
            script = "pytorch.py" if arguments.bench == "training" else "vmap.py"
            found[peer] = [sys.executable, str(HERE / script), "--device", PYTORCH[peer]]
            if arguments.modes:
                found[peer] += ["--modes", arguments.modes]
        elif program is None:
            tell(f"{peer} is missing: benches/peers could not be built")
        else:
            adapter = ["--adapter", arguments.adapter] if arguments.adapter and peer == "burn-vulkan" else []
            found[peer] = [program, "--engine", peer, *adapter]
    return found


def run(name, command, workload, seconds):
    """The rows that a command prints for a workload: its widths, and the number of networks if there are many."""
    try:
        widths, *networks = workload
        command = [*command, "--workload", widths, *(f"--networks={n}" for n in networks), "--seconds", str(seconds)]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as error:
        tell(f"  {name}: {error}")
        return []
    if ran.returncode != 0:
        last = (ran.stderr.strip().splitlines() or [""])[-1]
        # A negative status is the signal that ended it: a crash, in a driver as a rule.
        tell(f"  {name} failed with status {ran.returncode} {last}")
    rows = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    for row in rows:
        tell(f"  {row['engine']}, batch {row['batch']}: {row['us_per_step']:.2f} us")
    return rows


def measure(arguments):
    """The figures by workload and engine, and the engines by the name they were asked for."""
    figures, engines = {}, {}
    todo = commands(arguments)
    ours = [name for name in todo if name.startswith("gradus ")]
    peers = [name for name in todo if name not in ours]
    for turn in range(arguments.rounds):
        if arguments.bench == "training":
            workloads = [[widths] for widths in WORKLOADS]
        else:
            workloads = [[widths, n] for widths in TOGETHER for n in arguments.networks.split(",")]
        for workload in workloads:
            if arguments.workload not in workload[0]:
                continue
            tell(f"round {turn + 1} of {arguments.rounds}: {' x '.join(workload)}")
            for name in ours + peers + ours:
                for row in run(name, todo[name], workload, arguments.seconds):
                    of = engines.setdefault(name, [])
                    if row["engine"] not in of:
                        of.append(row["engine"])
                    which = "-".join(map(str, row["sizes"])), row["batch"], row.get("networks", 1)
                    figures.setdefault(which, {}).setdefault((name, row["engine"]), []).append(row["us_per_step"])
    medians = {which: {of: statistics.median(us) for of, us in by.items()} for which, by in figures.items()}
    return medians, engines, peers


def duration(us):
    """Microseconds for people."""
    value, unit = (us, "us") if us < 1e3 else (us / 1e3, "ms")
    return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"


def table(ours, medians, engines, peers):
    """A table of one of ours and all peers."""
    columns = []
    for peer in peers:
        of = engines.get(peer, [])
        # Of several engines of a peer the last word, its mode, tells which.
        columns += [((peer, engine), f"{peer} {engine.split()[-1]}" if len(of) > 1 else peer) for engine in of]
    print(f"\n| network | batch | networks | {ours} |" + "".join(f" {label} | / {ours} |" for _, label in columns))
    print("|---|---|---|---|" + "---|---|" * len(columns))
    for (network, batch, networks), by in medians.items():
        base = next((us for (name, _), us in by.items() if name == ours), None)
        cells = [network, str(batch), str(networks), duration(base) if base else "-"]
        for of, _ in columns:
            us = by.get(of)
            cells += [duration(us) if us else "-", f"{us / base:.2f}" if us and base else "-"]
        print(f"| {' | '.join(cells)} |")


def processor():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = ", ".join([*PYTORCH, *RUST])
    parser.add_argument("--device", action="append", help="cpu, llvmpipe, gpu: ours; may be given several times")
    parser.add_argument("--peers", help=f"with commas, of {names}")
    parser.add_argument("--adapter", help="part of the Vulkan adapter's name, for burn-vulkan")
    parser.add_argument("--wgsl", action="store_true", help="let burn-vulkan write WGSL in place of SPIR-V")
    parser.add_argument("--modes", help="the modes of pytorch.py, with commas")
    parser.add_argument("--workload", default="", help="only those with this in their widths, such as 784-30-10")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each run is timed")
    parser.add_argument("--rounds", type=int, default=1, help="how often everything is run")
    parser.add_argument("--bench", default="training", choices=["training", "population"], help="which of gradus' benches")
    parser.add_argument("--networks", default="1,10,100,1000", help="how many train together in population, with commas")
    arguments = parser.parse_args()
    arguments.device = arguments.device or ["cpu"]
    if arguments.peers is None:
        arguments.peers = "pytorch,burn-flex,candle" if arguments.bench == "training" else "pytorch"
    arguments.peers = [peer for peer in arguments.peers.split(",") if peer]
    if arguments.bench == "population" and any(peer in RUST for peer in arguments.peers):
        parser.error("many networks at once are compared with pytorch and pytorch-cuda alone")
    if unknown := [peer for peer in arguments.peers if peer not in PYTORCH and peer not in RUST]:
        parser.error(f"no such peer: {', '.join(unknown)}; there is {names}")
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    medians, engines, peers = measure(arguments)
    for device in arguments.device:
        table(f"gradus {device}", medians, engines, peers)
    print("\nTime of a step and how often gradus' time it is; medians of ", end="")
    print(f"{arguments.rounds} round(s), {arguments.seconds:g} s a run.\n")
    for name, of in engines.items():
        print(f"- {name}: {'; '.join(of)}")
    for peer in arguments.peers:
        if peer not in engines:
            print(f"- {peer}: missing, or failed")
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    print(f"- {processor()}, {os.cpu_count()} threads, {system}, load {load} at the start, {time.strftime('%F')}")


if __name__ == "__main__":
    main()
