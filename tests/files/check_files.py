"""Checks the files that tests/exports.rs wrote: ONNX files with onnx's checker and onnxruntime, safetensors files with the
package safetensors, and, if torch is installed, as the state of an nn.Sequential.

    python3 tests/files/check_files.py FOLDER     # numpy, onnx, onnxruntime, safetensors
"""

import json
import pathlib
import sys

import numpy
import onnx
import onnxruntime
from safetensors.numpy import load_file

try:
    import torch
    from torch import nn
except ImportError:
    torch = None

folder = pathlib.Path(sys.argv[1])
cases = json.loads((folder / "cases.json").read_text())
worst = 0.0


def check_outputs(case, library, outputs, tolerance):
    """Fails unless the outputs of a library equal those of gradus."""
    global worst
    expected = numpy.array(case["outputs"], dtype=numpy.float32).reshape(outputs.shape)
    error = (numpy.abs(outputs - expected) / numpy.maximum(1, numpy.abs(expected))).max()
    worst = max(worst, error)
    assert error <= tolerance, f"{case['name']}: {library}: relative error {error}"


def sequential(case, tensors):
    """Builds the nn.Sequential to which the tensor names belong. Returns None for an activation that torch does not have."""
    modules = []
    for (activation, norm), (weight, bias) in zip(case["layers"], case["weights"]):
        outputs = len(bias)
        modules.append(nn.Linear(len(weight) // outputs, outputs))
        if norm:
            modules.append(nn.BatchNorm1d(outputs) if norm == "batch" else nn.LayerNorm(outputs))
        name = activation.split("(")[0]
        if name == "identity":
            continue
        activation_class = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "elu": nn.ELU,
                "selu": nn.SELU, "gelu": nn.GELU, "silu": nn.SiLU, "mish": nn.Mish, "softplus": nn.Softplus,
                "softsign": nn.Softsign, "hard_sigmoid": nn.Hardsigmoid, "hard_tanh": nn.Hardtanh,
                "prelu": lambda: nn.PReLU(outputs), "gelu_tanh": lambda: nn.GELU("tanh"),
                "softmax": lambda: nn.Softmax(-1)}.get(name)
        if activation_class is None:
            return None
        modules.append(activation_class())
    network = nn.Sequential(*modules)
    network.load_state_dict(tensors)
    return network.eval()


for case in cases:
    x = numpy.array(case["inputs"], dtype=numpy.float32)
    first = case["weights"][0]
    x = x.reshape(-1, len(first[0]) // len(first[1]))
    onnx_file, tensor_file = case["file"] + ".onnx", case["file"] + ".safetensors"
    model = onnx.load(onnx_file)
    onnx.checker.check_model(model, full_check=True)
    assert {entry.key: entry.value for entry in model.metadata_props} == {"name": case["name"]}
    session = onnxruntime.InferenceSession(onnx_file, providers=["CPUExecutionProvider"])
    (outputs,) = session.run(["output"], {"input": x})
    check_outputs(case, "onnxruntime", outputs, 1e-5)
    (first_row,) = session.run(["output"], {"input": x[:1]})
    assert numpy.abs(first_row[0] - outputs[0]).max() <= 1e-6, "the outputs depend on the number of rows"
    tensors = load_file(tensor_file)
    dense = [name for name in tensors if name.endswith(".weight") and tensors[name].ndim == 2]
    assert len(dense) == len(case["weights"])
    for name, (weight, bias) in zip(sorted(dense, key=lambda name: int(name.split(".")[0])), case["weights"]):
        assert (tensors[name].ravel() == numpy.array(weight, dtype=numpy.float32)).all(), name
        assert (tensors[name.replace("weight", "bias")] == numpy.array(bias, dtype=numpy.float32)).all(), name
    if torch and not case["scaled"]:
        network = sequential(case, {name: torch.from_numpy(value) for name, value in tensors.items()})
        if network is not None:
            check_outputs(case, "torch", network(torch.from_numpy(x)).detach().numpy(), 1e-6)
print(f"{len(cases)} models, with{'' if torch else 'out'} torch; largest relative error {worst:.1e}")
