"""Times training steps of gradus and of other libraries in alternation, and prints tables in Markdown.

    python3 compare.py --device cpu --peers pytorch,burn-flex,candle
    python3 compare.py --device llvmpipe --peers burn-vulkan --adapter llvmpipe --wgsl
    python3 compare.py --device gpu --peers pytorch-cuda,burn-vulkan --rounds 3
    python3 compare.py --bench population --device cpu --networks 1,1000

The script first builds the benches. It runs every workload with gradus, with each other library (peer), and with gradus
again. A result is the median over all runs. The script skips peers that cannot be built or run, and reports them. Progress
goes to standard error.
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
# The workloads of the bench `population`. PyTorch is the only peer with a way to train many networks at once.
POPULATION_WORKLOADS = ["2-2-1", "784-30-10", "64-64-64"]
# The peers in Python with the value of their option --device, and the peers in Rust.
PYTORCH = {"pytorch": "cpu", "pytorch-cuda": "cuda"}
RUST = ["burn-flex", "burn-ndarray", "burn-vulkan", "candle"]
# The maximum number of seconds of a run.
TIMEOUT = 1800


def log(text):
    print(text, file=sys.stderr, flush=True)


def build(directory, *command):
    """Runs a cargo command, and returns the path of the executable, or None."""
    command = ["cargo", *command, "--message-format=json-render-diagnostics"]
    log(f"building: {' '.join(command)}")
    try:
        built = subprocess.run(command, cwd=directory, stdout=subprocess.PIPE, text=True)
    except OSError as error:
        log(f"cannot run cargo: {error}")
        return None
    executables = [json.loads(line).get("executable") for line in built.stdout.splitlines() if line.startswith("{")]
    executables = [executable for executable in executables if executable]
    return executables[-1] if built.returncode == 0 and executables else None


def commands(arguments):
    """Returns the commands of gradus (one per device) and of each available peer, by name."""
    gradus = build(ROOT, "bench", "--bench", arguments.bench, "--no-run")
    if gradus is None:
        sys.exit(f"error: cannot build gradus' bench {arguments.bench}")
    found = {f"gradus {device}": [gradus, "--device", device, "--json"] for device in arguments.device}
    program = None
    if any(peer in RUST for peer in arguments.peers):
        program = build(HERE, "build", "--release", "--locked", *["--no-default-features"] * arguments.wgsl)
    for peer in arguments.peers:
        if peer in PYTORCH:
            if importlib.util.find_spec("torch") is None:
                log(f"skipping {peer}: this Python has no torch; run pip install torch")
                continue
            script = "pytorch.py" if arguments.bench == "training" else "vmap.py"
            found[peer] = [sys.executable, str(HERE / script), "--device", PYTORCH[peer]]
            if arguments.modes:
                found[peer] += ["--modes", arguments.modes]
        elif program is None:
            log(f"skipping {peer}: cannot build benches/peers")
        else:
            adapter = ["--adapter", arguments.adapter] if arguments.adapter and peer == "burn-vulkan" else []
            found[peer] = [program, "--engine", peer, *adapter]
    return found


def run(name, command, workload, seconds):
    """Runs a command on a workload and returns the rows that it prints.

    A workload is a list of the layer sizes and, in the bench `population`, the number of networks.
    """
    try:
        layer_sizes, *networks = workload
        command = [*command, "--workload", layer_sizes, *(f"--networks={n}" for n in networks), "--seconds", str(seconds)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    except (OSError, subprocess.TimeoutExpired) as error:
        log(f"  {name}: {error}")
        return []
    if result.returncode != 0:
        last_line = (result.stderr.strip().splitlines() or [""])[-1]
        # A negative status is the signal that ended the process: usually a crash in a driver.
        log(f"  {name}: failed with status {result.returncode}: {last_line}")
    rows = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    for row in rows:
        log(f"  {row['engine']}, batch size {row['batch_size']}: {row['us_per_step']:.2f} us per step")
    return rows


def measure(arguments):
    """Runs all workloads.

    Returns the median times by workload and by (name, engine), the engines by name, and the names of the peers.
    """
    times, engines = {}, {}
    command_by_name = commands(arguments)
    gradus = [name for name in command_by_name if name.startswith("gradus ")]
    peers = [name for name in command_by_name if name not in gradus]
    if arguments.bench == "training":
        workloads = [[layer_sizes] for layer_sizes in WORKLOADS]
    else:
        counts = arguments.networks.split(",")
        workloads = [[layer_sizes, count] for layer_sizes in POPULATION_WORKLOADS for count in counts]
    for turn in range(arguments.rounds):
        for workload in workloads:
            if arguments.workload not in workload[0]:
                continue
            log(f"round {turn + 1} of {arguments.rounds}: {' x '.join(workload)}")
            for name in gradus + peers + gradus:
                for row in run(name, command_by_name[name], workload, arguments.seconds):
                    engines_of_name = engines.setdefault(name, [])
                    if row["engine"] not in engines_of_name:
                        engines_of_name.append(row["engine"])
                    key = "-".join(map(str, row["layer_sizes"])), row["batch_size"], row.get("networks", 1)
                    times.setdefault(key, {}).setdefault((name, row["engine"]), []).append(row["us_per_step"])
    medians = {
        key: {engine: statistics.median(us) for engine, us in by_engine.items()} for key, by_engine in times.items()
    }
    return medians, engines, peers


def format_us(us):
    """Formats microseconds: 1234 becomes 1.23 ms."""
    value, unit = (us, "us") if us < 1e3 else (us / 1e3, "ms")
    return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"


def print_table(gradus, medians, engines, peers):
    """Prints the times of gradus on one device, and those of all peers with their ratio to gradus."""
    columns = []
    for peer in peers:
        for engine in engines.get(peer, []):
            # The last word of an engine is its mode, which distinguishes several engines of a peer.
            label = f"{peer} {engine.split()[-1]}" if len(engines[peer]) > 1 else peer
            columns.append(((peer, engine), label))
    print(f"\n| network | batch size | networks | {gradus} |" + "".join(f" {label} | / {gradus} |" for _, label in columns))
    print("|---|---|---|---|" + "---|---|" * len(columns))
    for (network, batch_size, networks), by_engine in medians.items():
        base = next((us for (name, _), us in by_engine.items() if name == gradus), None)
        cells = [network, str(batch_size), str(networks), format_us(base) if base else "-"]
        for engine, _ in columns:
            us = by_engine.get(engine)
            cells += [format_us(us) if us else "-", f"{us / base:.2f}" if us and base else "-"]
        print(f"| {' | '.join(cells)} |")


def processor():
    """Returns the model of the CPU."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = ", ".join([*PYTORCH, *RUST])
    parser.add_argument(
        "--device", action="append",
        help="device of gradus: cpu, gpu, or part of an adapter's name; may be repeated (default: cpu)",
    )
    parser.add_argument("--peers", help=f"other libraries, separated by commas: {names}")
    parser.add_argument("--adapter", help="part of the name of the Vulkan adapter for burn-vulkan")
    parser.add_argument("--wgsl", action="store_true", help="generate WGSL instead of SPIR-V in burn-vulkan")
    parser.add_argument("--modes", help="modes of pytorch.py or vmap.py, separated by commas")
    parser.add_argument(
        "--workload", default="",
        help="run only the workloads whose layer sizes contain this text (default: all)",
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="seconds for timing each run (default: 2)")
    parser.add_argument("--rounds", type=int, default=1, help="number of repetitions of all runs (default: 1)")
    parser.add_argument(
        "--bench", default="training", choices=["training", "population"],
        help="bench of gradus (default: training)",
    )
    parser.add_argument(
        "--networks", default="1,10,100,1000",
        help="numbers of networks in the bench population, separated by commas",
    )
    arguments = parser.parse_args()
    arguments.device = arguments.device or ["cpu"]
    if arguments.peers is None:
        arguments.peers = "pytorch,burn-flex,candle" if arguments.bench == "training" else "pytorch"
    arguments.peers = [peer for peer in arguments.peers.split(",") if peer]
    if arguments.bench == "population" and any(peer in RUST for peer in arguments.peers):
        parser.error("--peers: the bench population supports only pytorch and pytorch-cuda")
    if unknown := [peer for peer in arguments.peers if peer not in PYTORCH and peer not in RUST]:
        parser.error(f"--peers: expected some of {names}, got {', '.join(unknown)}")
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    medians, engines, peers = measure(arguments)
    for device in arguments.device:
        print_table(f"gradus {device}", medians, engines, peers)
    print("\nTime per step, and its ratio to that of gradus. Medians of ", end="")
    print(f"{arguments.rounds} round(s), {arguments.seconds:g} s per run.\n")
    for name, engines_of_name in engines.items():
        print(f"- {name}: {'; '.join(engines_of_name)}")
    for peer in arguments.peers:
        if peer not in engines:
            print(f"- {peer}: not available, or failed")
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    print(f"- {processor()}, {os.cpu_count()} threads, {system}, load {load} at the start, {time.strftime('%F')}")


if __name__ == "__main__":
    main()
