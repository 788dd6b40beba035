"""How long a step of many networks of one shape takes in PyTorch, by the rules of gradus' bench `population`, one JSON
object a line.

    python3 vmap.py [--device cpu|cuda] [--modes vmap,compile,loop] [--workload 784-30-10] [--networks 1,1000] [--seconds 2]

Each network has its own first weights, its own rate, and its own new order of the rows in every epoch; the data lie on the
device, the parameters are updated in place, and the losses of all are kept there and read back at the end of a stretch. The
modes: `vmap`, torch.func's gradients over stacked parameters, as PyTorch's tutorial on ensembles has it; `compile`, the same
step through torch.compile; `loop`, one network after the other, as in `pytorch.py`.
"""

import argparse
import json
import os
import sys
import time

import torch
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

from pytorch import numbers, seconds_a_step

# Widths, batch, rows, and whether it tells classes: tanh and softmax cross-entropy, instead of sigmoids and squares.
WORKLOADS = [([2, 2, 1], 4, 32, False), ([784, 30, 10], 10, 10_000, False), ([64, 64, 64], 64, 512, True)]
MODES = ["vmap", "compile", "loop"]
# Bytes that the parameters, their gradients and the values of a batch may take, as in gradus' bench.
MOST_BYTES = 2 << 30
# Seconds a step, from which on a figure is left out; a loop over networks only grows with them.
PATIENCE = 3.0


class Work:
    """A workload on a device."""

    def __init__(self, widths, batch, rows, classes, device):
        self.widths, self.batch, self.rows, self.classes, self.device = widths, batch, rows, classes, device
        self.x = numbers(rows, widths[0], device)
        if classes:
            self.t = (torch.arange(rows) * 37 % 251 % widths[-1]).to(device)
            self.loss = torch.nn.functional.cross_entropy
        else:
            self.t = numbers(rows, widths[-1], device)
            self.loss = torch.nn.functional.mse_loss

    def network(self):
        modules = []
        for inputs, outputs in zip(self.widths, self.widths[1:]):
            modules += [torch.nn.Linear(inputs, outputs), torch.nn.Tanh() if self.classes else torch.nn.Sigmoid()]
        return torch.nn.Sequential(*(modules[:-1] if self.classes else modules)).to(self.device)

    def rates(self, networks):
        return [0.1 / (1 + number / 1000) for number in range(networks)]

    def run(self, orders, step):
        """A function that takes the given number of steps and gives their losses; `orders` draws those of an epoch."""
        steps_per_epoch, done, order = self.rows // self.batch, 0, None

        def run(steps):
            nonlocal done, order
            losses = []
            for _ in range(steps):
                if done % steps_per_epoch == 0:
                    order = orders()
                first = done % steps_per_epoch * self.batch
                losses.append(step(order[:, first : first + self.batch]))
                done += 1
            # The mean of each step, for who looks at it.
            return torch.stack(losses).cpu().mean(1).tolist()

        return run


def stacked(work, networks, compiles):
    """All networks at once."""
    parameters, _ = stack_module_state([work.network() for _ in range(networks)])
    parameters = {name: value.detach() for name, value in parameters.items()}
    one = work.network()
    rate = -torch.tensor(work.rates(networks), device=work.device)
    rates = {name: rate.reshape([-1] + [1] * (value.dim() - 1)) for name, value in parameters.items()}

    def loss(parameters, x, t):
        return work.loss(functional_call(one, parameters, (x,)), t)

    gradients = vmap(grad_and_value(loss))

    def step(rows):
        found, losses = gradients(parameters, work.x[rows], work.t[rows])
        for name, value in parameters.items():
            value.addcmul_(found[name], rates[name])
        return losses

    if compiles:
        step = torch.compile(step)

    def orders():
        return torch.rand(networks, work.rows, device=work.device).argsort(1)

    @torch.no_grad()
    def without_graph(rows):
        return step(rows)

    return work.run(orders, without_graph)


def loop(work, networks):
    """One network after the other."""
    all = []
    for rate in work.rates(networks):
        network = work.network()
        all.append((network, torch.optim.SGD(network.parameters(), lr=rate)))

    def step(rows):
        losses = []
        for rows, (network, optimizer) in zip(rows, all):
            optimizer.zero_grad(set_to_none=True)
            loss = work.loss(network(work.x[rows]), work.t[rows])
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        return torch.stack(losses)

    def orders():
        return torch.stack([torch.randperm(work.rows, device=work.device) for _ in range(networks)])

    return work.run(orders, step)


def measure(work, networks, mode, seconds, verbose):
    """Seconds of a step of all networks, or why there are none."""
    parameters = sum((inputs + 1) * outputs for inputs, outputs in zip(work.widths, work.widths[1:]))
    size = 4 * networks * (2 * parameters + 3 * work.batch * sum(work.widths))
    if size > MOST_BYTES:
        return None, f"some {size / 1e9:.1f} GB"
    if mode == "loop" and networks > 1000:
        return None, "a loop only grows with the networks"
    run = loop(work, networks) if mode == "loop" else stacked(work, networks, mode == "compile")
    run(1)
    start = time.perf_counter()
    run(1)
    took = time.perf_counter() - start
    return (None, f"{took:.0f} s a step") if took > PATIENCE else (seconds_a_step(run, seconds, verbose), None)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--modes", default=",".join(MODES), help="vmap, compile and loop, with commas")
    parser.add_argument("--workload", default="", help="only those with this in their widths, such as 784-30-10")
    parser.add_argument("--networks", default="1,10,100,1000,10000", help="how many, with commas")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each is timed")
    parser.add_argument("--verbose", action="store_true", help="tell every stretch and its mean loss on standard error")
    arguments = parser.parse_args()
    torch.set_num_threads(os.cpu_count())
    on = torch.cuda.get_device_name() if arguments.device == "cuda" else "CPU"
    for widths, batch, rows, classes in WORKLOADS:
        if arguments.workload not in "-".join(map(str, widths)):
            continue
        work = Work(widths, batch, rows, classes, arguments.device)
        for networks in map(int, arguments.networks.split(",")):
            for mode in arguments.modes.split(","):
                torch.manual_seed(0)
                torch.compiler.reset()
                took, why = measure(work, networks, mode, arguments.seconds, arguments.verbose)
                if took is None:
                    print(f"{mode}, {networks} of {widths}: left out, {why}", file=sys.stderr)
                    continue
                row = {
                    "engine": f"PyTorch {torch.__version__} {on} {mode}",
                    "sizes": widths,
                    "batch": batch,
                    "networks": networks,
                    "us_per_step": took * 1e6,
                    "network_steps_per_second": networks / took,
                }
                print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
