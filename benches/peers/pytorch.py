"""Times training steps of PyTorch on the workloads of gradus' bench `training`. Prints one JSON object per line.

    python3 pytorch.py [--device cpu|cuda] [--modes eager,compile] [--workload 784-30-10] [--seconds 2]

PyTorch does the work of gradus' bench: sigmoid in every layer, mean squared error, SGD, a resident data set with a new
permutation of the rows in every epoch. The loss of every step stays on the device and is read back at the end of a
sample. The modes are `eager`; `compile`, with the whole step in torch.compile; and `graph`, with the whole step in one
CUDA graph.
"""

import argparse
import json
import os
import statistics
import sys
import time

import torch

WORKLOADS = [
    ([2, 2, 1], 4),
    ([784, 30, 10], 10),
    ([784, 128, 10], 64),
    ([784, 800, 10], 128),
    ([64] * 6, 16_384),
    ([1024] * 4, 512),
    ([784, 2500, 2000, 1500, 1000, 500, 10], 256),
    ([64] * 6, 262_144),
]
# The number of batches of the data set.
BATCHES = 8
# The number of samples of a measurement. The result is their median.
SAMPLES = 7
# Workloads with a larger batch size are for GPUs only.
MAX_CPU_BATCH_SIZE = 100_000
# The default modes of a device.
MODES = {"cpu": "eager", "cuda": "eager,compile,graph"}


def values(rows, width, device):
    """Returns values in [0, 1], the same in every run."""
    return ((torch.arange(rows * width) * 37 % 251) / 250).reshape(rows, width).to(device)


def trainer(layer_sizes, batch_size, device, mode):
    """Returns a function that runs the given number of steps and returns their losses."""
    modules = []
    for inputs, outputs in zip(layer_sizes, layer_sizes[1:]):
        modules += [torch.nn.Linear(inputs, outputs), torch.nn.Sigmoid()]
    network = torch.nn.Sequential(*modules).to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    mse = torch.nn.MSELoss()
    x = values(BATCHES * batch_size, layer_sizes[0], device)
    t = values(BATCHES * batch_size, layer_sizes[-1], device)

    def step(rows):
        optimizer.zero_grad(set_to_none=mode != "graph")
        loss = mse(network(x[rows]), t[rows])
        loss.backward()
        optimizer.step()
        return loss.detach()

    if mode == "eager":
        run_step = step
    elif mode == "compile":
        run_step = torch.compile(step)
    else:
        run_step = graph(step, batch_size)
    completed_steps, permutation = 0, None

    def run(steps):
        nonlocal completed_steps, permutation
        losses = []
        for _ in range(steps):
            if completed_steps % BATCHES == 0:
                permutation = torch.randperm(BATCHES * batch_size, device=device)
            first = completed_steps % BATCHES * batch_size
            losses.append(run_step(permutation[first : first + batch_size]))
            completed_steps += 1
        return torch.stack(losses).tolist()

    return run


def graph(step, batch_size):
    """Captures the step as a CUDA graph, and returns a function that replays it."""
    rows = torch.arange(batch_size, device="cuda")
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(5):
            step(rows)
    torch.cuda.current_stream().wait_stream(side)
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        loss = step(rows)

    def replay(new_rows):
        rows.copy_(new_rows)
        captured.replay()
        return loss.clone()

    return replay


def seconds_per_step(run, seconds, verbose):
    """Returns the median over samples that together take about the given time."""

    def sample(steps):
        start = time.perf_counter()
        losses = run(steps)
        elapsed = time.perf_counter() - start
        if verbose:
            us, mean = elapsed / steps * 1e6, sum(losses) / steps
            print(f"  {steps} steps: {us:.2f} us per step, mean loss {mean:.6f}", file=sys.stderr)
        return elapsed

    # PyTorch compiles and tunes kernels in the first steps.
    for _ in range(10):
        sample(1)
    sample_seconds = seconds / SAMPLES
    steps, elapsed = 1, sample(1)
    while elapsed < sample_seconds / 4:
        steps *= 2
        elapsed = sample(steps)
    steps = max(1, int(steps * sample_seconds / elapsed))
    return statistics.median(sample(steps) / steps for _ in range(SAMPLES))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument(
        "--modes",
        help="modes, separated by commas: eager, compile and, on cuda, graph (default: eager on cpu, all on cuda)",
    )
    parser.add_argument(
        "--workload", default="",
        help="run only the workloads whose layer sizes contain this text (default: all)",
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="seconds for timing each workload (default: 2)")
    parser.add_argument(
        "--tf32", action="store_true",
        help="round the factors of matmuls to TF32, with a mantissa of 10 bits",
    )
    parser.add_argument("--verbose", action="store_true", help="print every sample and its mean loss on standard error")
    arguments = parser.parse_args()
    torch.set_num_threads(os.cpu_count())
    if arguments.tf32:
        torch.set_float32_matmul_precision("high")
    device_name = torch.cuda.get_device_name() if arguments.device == "cuda" else "CPU"
    for layer_sizes, batch_size in WORKLOADS:
        if arguments.workload not in "-".join(map(str, layer_sizes)):
            continue
        if batch_size > MAX_CPU_BATCH_SIZE and arguments.device == "cpu":
            continue
        for mode in (arguments.modes or MODES[arguments.device]).split(","):
            engine = f"PyTorch {torch.__version__} {device_name}{' TF32' if arguments.tf32 else ''} {mode}"
            if arguments.verbose:
                print(f"{engine}: {layer_sizes}, batch size {batch_size}", file=sys.stderr)
            torch.manual_seed(0)
            torch.compiler.reset()
            run = trainer(layer_sizes, batch_size, arguments.device, mode)
            step_seconds = seconds_per_step(run, arguments.seconds, arguments.verbose)
            # Three matmuls per layer, two in the first layer.
            weights = [inputs * outputs for inputs, outputs in zip(layer_sizes, layer_sizes[1:])]
            flop = batch_size * (6 * sum(weights) - 2 * weights[0])
            row = {
                "engine": engine,
                "layer_sizes": layer_sizes,
                "batch_size": batch_size,
                "us_per_step": step_seconds * 1e6,
                "samples_per_second": batch_size / step_seconds,
                "gflops": flop / step_seconds / 1e9,
            }
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
