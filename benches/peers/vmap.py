"""Times steps of many networks of one shape in PyTorch, on the workloads of gradus' bench `population`. Prints one JSON
object per line.

    python3 vmap.py [--device cpu|cuda] [--modes vmap,compile,loop] [--workload 784-30-10] [--networks 1,1000] [--seconds 2]

Each network has its own initial weights, its own learning rate, and its own permutation of the rows in every epoch. The
data set is on the device, and the parameters are updated in place. The losses stay on the device and are read back at the
end of a sample. The modes are `vmap`, with the gradients of torch.func over stacked parameters as in PyTorch's tutorial on
ensembles; `compile`, with this step in torch.compile; and `loop`, with one network after the other as in `pytorch.py`.
"""

import argparse
import json
import os
import sys
import time

import torch
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

from pytorch import seconds_per_step, values

# Layer sizes, batch size, rows, and whether the targets are classes. Workloads with classes have tanh and softmax
# cross-entropy, the others sigmoid and the mean squared error.
WORKLOADS = [([2, 2, 1], 4, 32, False), ([784, 30, 10], 10, 10_000, False), ([64, 64, 64], 64, 512, True)]
MODES = ["vmap", "compile", "loop"]
# The maximum memory for the parameters, gradients and activations of all networks, as in gradus' bench.
MAX_BYTES = 2 << 30
# The maximum number of seconds for a step of all networks.
MAX_SECONDS_PER_STEP = 3.0
# The time of a loop is proportional to the number of networks, so more networks give no new information.
MAX_LOOP_NETWORKS = 1000


class Workload:
    """A workload on a device."""

    def __init__(self, layer_sizes, batch_size, rows, has_classes, device):
        self.layer_sizes, self.batch_size, self.rows = layer_sizes, batch_size, rows
        self.has_classes, self.device = has_classes, device
        self.x = values(rows, layer_sizes[0], device)
        if has_classes:
            self.t = (torch.arange(rows) * 37 % 251 % layer_sizes[-1]).to(device)
            self.loss = torch.nn.functional.cross_entropy
        else:
            self.t = values(rows, layer_sizes[-1], device)
            self.loss = torch.nn.functional.mse_loss

    def network(self):
        modules = []
        for inputs, outputs in zip(self.layer_sizes, self.layer_sizes[1:]):
            modules += [torch.nn.Linear(inputs, outputs), torch.nn.Tanh() if self.has_classes else torch.nn.Sigmoid()]
        # The loss on classes takes logits, so their network has no activation in the last layer.
        return torch.nn.Sequential(*(modules[:-1] if self.has_classes else modules)).to(self.device)

    def learning_rates(self, networks):
        return [0.1 / (1 + number / 1000) for number in range(networks)]

    def run(self, permutations, step):
        """Returns a function that runs the given number of steps and returns the mean loss of each.

        `permutations` returns the permutations of an epoch, one per network.
        """
        steps_per_epoch, completed_steps, rows = self.rows // self.batch_size, 0, None

        def run(steps):
            nonlocal completed_steps, rows
            losses = []
            for _ in range(steps):
                if completed_steps % steps_per_epoch == 0:
                    rows = permutations()
                first = completed_steps % steps_per_epoch * self.batch_size
                losses.append(step(rows[:, first : first + self.batch_size]))
                completed_steps += 1
            return torch.stack(losses).cpu().mean(1).tolist()

        return run


def stacked(workload, networks, compiles):
    """Trains all networks at once, with stacked parameters."""
    parameters, _ = stack_module_state([workload.network() for _ in range(networks)])
    parameters = {name: value.detach() for name, value in parameters.items()}
    template = workload.network()
    factor = -torch.tensor(workload.learning_rates(networks), device=workload.device)
    factors = {name: factor.reshape([-1] + [1] * (value.dim() - 1)) for name, value in parameters.items()}

    def loss(parameters, x, t):
        return workload.loss(functional_call(template, parameters, (x,)), t)

    gradients_and_losses = vmap(grad_and_value(loss))

    def step(rows):
        gradients, losses = gradients_and_losses(parameters, workload.x[rows], workload.t[rows])
        for name, value in parameters.items():
            value.addcmul_(gradients[name], factors[name])
        return losses

    if compiles:
        step = torch.compile(step)

    def permutations():
        return torch.rand(networks, workload.rows, device=workload.device).argsort(1)

    @torch.no_grad()
    def without_graph(rows):
        return step(rows)

    return workload.run(permutations, without_graph)


def loop(workload, networks):
    """Trains one network after the other."""
    trained = []
    for learning_rate in workload.learning_rates(networks):
        network = workload.network()
        trained.append((network, torch.optim.SGD(network.parameters(), lr=learning_rate)))

    def step(all_rows):
        losses = []
        for rows, (network, optimizer) in zip(all_rows, trained):
            optimizer.zero_grad(set_to_none=True)
            loss = workload.loss(network(workload.x[rows]), workload.t[rows])
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        return torch.stack(losses)

    def permutations():
        return torch.stack([torch.randperm(workload.rows, device=workload.device) for _ in range(networks)])

    return workload.run(permutations, step)


def measure(workload, networks, mode, seconds, verbose):
    """Returns the seconds per step of all networks and None, or None and the reason why the workload was skipped."""
    sizes = workload.layer_sizes
    parameters = sum((inputs + 1) * outputs for inputs, outputs in zip(sizes, sizes[1:]))
    size = 4 * networks * (2 * parameters + 3 * workload.batch_size * sum(sizes))
    if size > MAX_BYTES:
        return None, f"needs {size / 1e9:.1f} GB"
    if mode == "loop" and networks > MAX_LOOP_NETWORKS:
        return None, "the time of a loop is proportional to the number of networks"
    run = loop(workload, networks) if mode == "loop" else stacked(workload, networks, mode == "compile")
    run(1)
    start = time.perf_counter()
    run(1)
    elapsed = time.perf_counter() - start
    if elapsed > MAX_SECONDS_PER_STEP:
        return None, f"needs about {elapsed:.0f} s per step"
    return seconds_per_step(run, seconds, verbose), None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument(
        "--modes", default=",".join(MODES),
        help="modes, separated by commas: vmap, compile and loop (default: all)",
    )
    parser.add_argument(
        "--workload", default="",
        help="run only the workloads whose layer sizes contain this text (default: all)",
    )
    parser.add_argument("--networks", default="1,10,100,1000,10000", help="numbers of networks, separated by commas")
    parser.add_argument("--seconds", type=float, default=2.0, help="seconds for timing each workload (default: 2)")
    parser.add_argument("--verbose", action="store_true", help="print every sample and its mean loss on standard error")
    arguments = parser.parse_args()
    torch.set_num_threads(os.cpu_count())
    device_name = torch.cuda.get_device_name() if arguments.device == "cuda" else "CPU"
    for layer_sizes, batch_size, rows, has_classes in WORKLOADS:
        if arguments.workload not in "-".join(map(str, layer_sizes)):
            continue
        workload = Workload(layer_sizes, batch_size, rows, has_classes, arguments.device)
        for networks in map(int, arguments.networks.split(",")):
            for mode in arguments.modes.split(","):
                torch.manual_seed(0)
                torch.compiler.reset()
                step_seconds, reason = measure(workload, networks, mode, arguments.seconds, arguments.verbose)
                if step_seconds is None:
                    print(f"{mode}, {networks} networks of {layer_sizes}: skipped: {reason}", file=sys.stderr)
                    continue
                row = {
                    "engine": f"PyTorch {torch.__version__} {device_name} {mode}",
                    "layer_sizes": layer_sizes,
                    "batch_size": batch_size,
                    "networks": networks,
                    "us_per_step": step_seconds * 1e6,
                    "network_steps_per_second": networks / step_seconds,
                }
                print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
