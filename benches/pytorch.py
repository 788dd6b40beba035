"""The workloads of step.rs in PyTorch, one JSON object a line with the same keys.

    python3 benches/pytorch.py [--device cpu|cuda] [--seconds 2] [--workload 784-30-10]

Sigmoid, mean squared error and plain SGD; the data lies on the device and a batch is a slice of it.
"""

import argparse
import json
import statistics
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


def trainer(widths, batch, device):
    """A function that takes the given number of steps and waits for the last."""
    modules = []
    for inputs, outputs in zip(widths, widths[1:]):
        modules += [torch.nn.Linear(inputs, outputs), torch.nn.Sigmoid()]
    network = torch.nn.Sequential(*modules).to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    mse = torch.nn.MSELoss()
    x = torch.rand(8 * batch, widths[0], device=device)
    t = torch.rand(8 * batch, widths[-1], device=device)

    def run(steps):
        for step in range(steps):
            rows = slice(step % 8 * batch, (step % 8 + 1) * batch)
            optimizer.zero_grad()
            mse(network(x[rows]), t[rows]).backward()
            optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()

    return run


def seconds_a_step(run, seconds):
    """The median of seven stretches that take the given time together."""
    run(10)
    steps, took = 1, 0.0
    while took < seconds / 28:
        steps *= 2
        start = time.perf_counter()
        run(steps)
        took = time.perf_counter() - start
    steps = max(1, round(steps * seconds / 7 / took))
    stretches = []
    for _ in range(7):
        start = time.perf_counter()
        run(steps)
        stretches.append((time.perf_counter() - start) / steps)
    return statistics.median(stretches)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--workload", default="", help="only those with this in their widths")
    arguments = parser.parse_args()
    for widths, batch in WORKLOADS:
        if arguments.workload not in "-".join(map(str, widths)):
            continue
        if batch > 100_000 and arguments.device == "cpu":
            continue
        torch.manual_seed(0)
        took = seconds_a_step(trainer(widths, batch, arguments.device), arguments.seconds)
        products = [a * b for a, b in zip(widths, widths[1:])]
        flop = batch * (6 * sum(products) - 2 * products[0])
        row = {
            "engine": f"PyTorch {torch.__version__} {arguments.device}",
            "sizes": widths,
            "batch": batch,
            "us_per_step": took * 1e6,
            "samples_per_second": batch / took,
            "gflops": flop / took / 1e9,
        }
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
