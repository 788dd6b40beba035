"""How long a training step takes in PyTorch, by the rules of gradus' own bench, one JSON object a line.

    python3 pytorch.py [--device cpu|cuda] [--modes eager,compile] [--workload 784-30-10] [--seconds 2]

Sigmoid everywhere, mean squared error, plain SGD; the data lies on the device, every epoch takes its rows in a new order,
and the loss of every step is kept on the device and read back at the end of a stretch. The modes: `eager`; `compile`, the
whole step through torch.compile; `graph`, the whole step in one CUDA graph.
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
BATCHES = 8
MODES = {"cpu": "eager", "cuda": "eager,compile,graph"}


def numbers(rows, width, device):
    """Numbers from 0 to 1."""
    return ((torch.arange(rows * width) * 37 % 251) / 250).reshape(rows, width).to(device)


def trainer(widths, batch, device, mode):
    """A function that takes the given number of steps and gives their losses."""
    modules = []
    for inputs, outputs in zip(widths, widths[1:]):
        modules += [torch.nn.Linear(inputs, outputs), torch.nn.Sigmoid()]
    network = torch.nn.Sequential(*modules).to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    mse = torch.nn.MSELoss()
    x = numbers(BATCHES * batch, widths[0], device)
    t = numbers(BATCHES * batch, widths[-1], device)

    def step(rows):
        optimizer.zero_grad(set_to_none=mode != "graph")
        loss = mse(network(x[rows]), t[rows])
        loss.backward()
        optimizer.step()
        return loss.detach()

    take = {"eager": lambda: step, "compile": lambda: torch.compile(step), "graph": lambda: graph(step, batch)}[mode]()
    done, order = 0, None

    def run(steps):
        nonlocal done, order
        losses = []
        for _ in range(steps):
            if done % BATCHES == 0:
                order = torch.randperm(BATCHES * batch, device=device)
            first = done % BATCHES * batch
            losses.append(take(order[first : first + batch]))
            done += 1
        return torch.stack(losses).tolist()

    return run


def graph(step, batch):
    """The step as a CUDA graph."""
    rows = torch.arange(batch, device="cuda")
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(5):
            step(rows)
    torch.cuda.current_stream().wait_stream(side)
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        loss = step(rows)

    def take(new):
        rows.copy_(new)
        captured.replay()
        return loss.clone()

    return take


def seconds_a_step(run, seconds, verbose):
    """The median of seven stretches that take the given time together."""

    def stretch(steps):
        start = time.perf_counter()
        losses = run(steps)
        took = time.perf_counter() - start
        if verbose:
            print(f"  {steps} steps of {took / steps * 1e6:.2f} us, mean loss {sum(losses) / steps:.6f}", file=sys.stderr)
        return took

    for _ in range(10):
        stretch(1)
    steps, took = 1, stretch(1)
    while took < seconds / 28:
        steps *= 2
        took = stretch(steps)
    steps = max(1, int(steps * seconds / 7 / took))
    return statistics.median(stretch(steps) / steps for _ in range(7))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--modes", help="eager, compile and, on cuda, graph, with commas; what is usual on the device")
    parser.add_argument("--workload", default="", help="only those with this in their widths, such as 784-30-10")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each workload is timed")
    parser.add_argument("--tf32", action="store_true", help="let a GPU round the factors of products to 10 bits")
    parser.add_argument("--verbose", action="store_true", help="tell every stretch and its mean loss on standard error")
    arguments = parser.parse_args()
    torch.set_num_threads(os.cpu_count())
    if arguments.tf32:
        torch.set_float32_matmul_precision("high")
    on = torch.cuda.get_device_name() if arguments.device == "cuda" else "CPU"
    for widths, batch in WORKLOADS:
        if arguments.workload not in "-".join(map(str, widths)):
            continue
        if batch > 100_000 and arguments.device == "cpu":
            continue
        for mode in (arguments.modes or MODES[arguments.device]).split(","):
            engine = f"PyTorch {torch.__version__} {on}{' TF32' if arguments.tf32 else ''} {mode}"
            if arguments.verbose:
                print(f"{engine}: {widths}, batch {batch}", file=sys.stderr)
            torch.manual_seed(0)
            torch.compiler.reset()
            took = seconds_a_step(trainer(widths, batch, arguments.device, mode), arguments.seconds, arguments.verbose)
            products = [a * b for a, b in zip(widths, widths[1:])]
            flop = batch * (6 * sum(products) - 2 * products[0])
            row = {
                "engine": engine,
                "sizes": widths,
                "batch": batch,
                "us_per_step": took * 1e6,
                "samples_per_second": batch / took,
                "gflops": flop / took / 1e9,
            }
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
