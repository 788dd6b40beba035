"""Writes the files for tests/model_files.rs: networks of PyTorch 2.15, saved with safetensors 0.8, and their outputs.

    python3 tests/files/make_files.py     # torch, safetensors
"""

import json
import pathlib

import torch
from safetensors.torch import save_file
from torch import nn

HERE = pathlib.Path(__file__).parent
torch.manual_seed(20)


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.bn1, self.fc2 = nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Linear(7, 3)

    def forward(self, x):
        return self.fc2(torch.sigmoid(self.bn1(self.fc1(x))))


def train(module):
    """Trains for some steps, so that normalizations and PReLU slopes differ from their initial values."""
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    for _ in range(30):
        x = torch.randn(16, 5)
        optimizer.zero_grad()
        (module(x) - x[:, :3].sin()).square().mean().backward()
        optimizer.step()
    return module.eval()


NETWORKS = {
    "plain": nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)),
    "norms": nn.Sequential(
        nn.Linear(5, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Dropout(0.2),
        nn.Linear(7, 6), nn.LayerNorm(6), nn.GELU(),
        nn.Linear(6, 4), nn.PReLU(4),
        nn.Linear(4, 3),
    ),
    "named": Named(),
}

outputs = {}
x = torch.linspace(-1.5, 1.5, 20).reshape(4, 5)
for name, network in NETWORKS.items():
    train(network)
    save_file(network.state_dict(), HERE / f"{name}.safetensors")
    outputs[name] = network(x).flatten().tolist()
plain = {name: tensor.double() for name, tensor in NETWORKS["plain"].state_dict().items()}
save_file(plain, HERE / "wide.safetensors")
halves = {name: tensor.bfloat16() for name, tensor in NETWORKS["plain"].state_dict().items()}
save_file(halves, HERE / "bfloat16.safetensors")
outputs["bfloat16"] = nn.functional.linear(
    nn.functional.linear(x, halves["0.weight"].float(), halves["0.bias"].float()).tanh(),
    halves["2.weight"].float(), halves["2.bias"].float()).flatten().tolist()
outputs["inputs"] = x.flatten().tolist()
(HERE / "outputs.json").write_text(json.dumps(outputs))
