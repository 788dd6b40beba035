"""Records more training traces with PyTorch in float64, in the format of make_reference.py: one for each further optimizer,
activation, loss and option.

    pip install torch==2.15.0 numpy && python make_traces.py OUT_DIR

writes OUT_DIR/more/*.json, and the learning rates of schedules to OUT_DIR/schedules/pytorch.json. For each trace it prints
the first and the last loss, and the error of the same training in float32: the largest max|f32 - f64| / max|f64| of the
losses, the final tensors and the predictions.

The keys are those of make_reference.py. Missing options of an optimizer, layer or loss have PyTorch's defaults. Further keys:
  layers      activation   leaky_relu {negative_slope} | elu {alpha} | selu | gelu {approximate: "none" | "tanh"} | silu |
                           mish | softplus | softsign: z / (1 + |z|) | hardsigmoid: min(max(z / 6 + 1/2, 0), 1) |
                           hardtanh: min(max(z, -1), 1) | sine {w}: sin(w z) | gaussian: exp(-z^2) | prelu
              slope        the initial slopes of prelu, one per neuron; they are trained like the weights
              norm         "layer" | "batch": between the linear layer and the activation, eps 1e-5; batch normalization
                           starts with running mean 0 and variance 1, and has momentum 0.1
              gain, shift  the initial weight and bias of the normalization
  loss        the mean over batch and outputs of the following, where y is the output and t the target:
                l1                 |y - t|
                huber              d^2 / 2 where |d| = |y - t| < delta, delta (|d| - delta / 2) elsewhere; key "delta"
                log_cosh           ln cosh(y - t)
                bce_with_logits    bce of the sigmoid of y
                hinge              max(0, 1 - s y), s = 2 t - 1, t 0 or 1
                poisson            exp(y) - t y (PyTorch's PoissonNLLLoss, log_input and not full)
                relative_l2        (y - t)^2 / (y^2 + epsilon), the denominator a constant for the gradient; key "epsilon"
              and softmax_cross_entropy with key "label_smoothing"
  weights     sample weights, one per row: they multiply the loss of a row; the divisor is still the number of rows (and
              outputs)
  optimizer   also lion (Chen et al. 2023): c = b1 m + (1 - b1) g, p <- p - lr (sign(c) + weight_decay p),
              m <- b2 m + (1 - b2) g, m starting at 0, betas = [b1, b2]
  clip_value  every gradient is clipped to [-clip_value, clip_value] before the optimizer gets it
  clip_norm   all gradients are multiplied by min(1, clip_norm / (norm + 1e-6)), where norm is the norm of all gradients
  l1          l1 sign(p) is added to the gradient of every parameter p, also of biases; it is not part of the loss
  accumulate  the number of batches per update, which uses the mean of their gradients; batches and losses have one entry
              per batch, and gradients is that mean
  average     avg <- average avg + (1 - average) p after every update; avg starts as the initial parameters
  averaged    avg of the layers after the last update; final and predict belong to p
gradients and final have "gain" and "shift" if the layer has a normalization, and "slope" for prelu. final also has
"running_mean" and "running_var" of batch normalization, which predict uses. gradients are those of the loss: before weight
decay, l1 and clipping. A bias before batch normalization has no effect: its gradient is only a rounding error and set to 0.

Every initial value is exactly representable in f32. Derivatives of activations and losses, and the signs in lion, rprop and
l1, have jumps, where f32 might fall on the other side. So the seed is the first one, from crc32(name) on, for which no value
v of any step is closer to a jump than 1e-5 max|v|, where the maximum is over its tensor.

The schedules are {name: {"updates_per_epoch", "factors": [the learning rate of each update, for a base rate of 1]}}. With
more than one update per epoch, the schedule of PyTorch is called once per epoch. CosineAnnealingLR ends at T_max, because it
increases again after it.
"""
import json, sys, math, pathlib, zlib
import torch
import torch.nn.functional as F

STEPS, CLEARANCE = 60, 1e-5
ACT = {"identity": lambda z: z, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "leaky_relu": F.leaky_relu, "elu": F.elu,
       "selu": F.selu, "gelu": F.gelu, "silu": F.silu, "mish": F.mish, "softplus": F.softplus, "softsign": F.softsign,
       "hardsigmoid": F.hardsigmoid, "hardtanh": F.hardtanh, "sine": lambda z, w: torch.sin(w * z),
       "gaussian": lambda z: torch.exp(-z * z), "prelu": lambda z, slope: F.prelu(z, slope)}
JUMPS = {"leaky_relu": [0], "prelu": [0], "elu": [0], "selu": [0], "hardsigmoid": [-3, 3], "hardtanh": [-1, 1]}
LOSS = {"mse": lambda y, t: (y - t) ** 2, "bce": lambda y, t: F.binary_cross_entropy(y, t, reduction="none"),
        "softmax_cross_entropy": lambda y, t, **o: F.cross_entropy(y, t, reduction="none", **o),
        "l1": lambda y, t: clear(y - t, [0]).abs(),
        "huber": lambda y, t, delta: F.huber_loss(y, t, reduction="none", delta=delta),
        "log_cosh": lambda y, t: torch.log(torch.cosh(y - t)),
        "bce_with_logits": lambda y, t: F.binary_cross_entropy_with_logits(y, t, reduction="none"),
        "hinge": lambda y, t: torch.relu(1 - clear((2 * t - 1) * y, [1])),
        "poisson": lambda y, t: F.poisson_nll_loss(y, t, log_input=True, full=False, reduction="none"),
        "relative_l2": lambda y, t, epsilon: (y - t) ** 2 / (y.detach() ** 2 + epsilon)}
nearest = math.inf


def clear(v, jumps):
    """Records the distance of v to the nearest jump. Returns v."""
    global nearest
    distance = min((v - jump).abs().min() for jump in jumps) / v.abs().max()
    nearest = min(nearest, distance.item())
    return v


class Lion(torch.optim.Optimizer):
    def __init__(self, parameters, lr, betas, weight_decay):
        super().__init__(parameters, dict(lr=lr, betas=betas, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in group["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                c = clear(b1 * m + (1 - b1) * p.grad, [0])
                p -= group["lr"] * (c.sign() + group["weight_decay"] * p)
                m.mul_(b2).add_(p.grad, alpha=1 - b2)


OPT = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "adamax": torch.optim.Adamax,
       "nadam": torch.optim.NAdam, "rmsprop": torch.optim.RMSprop, "adagrad": torch.optim.Adagrad,
       "adadelta": torch.optim.Adadelta, "rprop": torch.optim.Rprop, "lion": Lion}


class Layer(torch.nn.Module):
    def __init__(self, draw, inputs, outputs, activation, wscale, norm=None, **options):
        super().__init__()
        self.activation, self.norm, self.options = activation, norm, options
        parameter = torch.nn.Parameter
        self.weight = parameter(draw(outputs, inputs) * (wscale or 1 / math.sqrt(inputs)))
        self.bias = parameter(draw(outputs) * 0.1)
        if norm: self.gain, self.shift = parameter(1 + draw(outputs) * 0.1), parameter(draw(outputs) * 0.1)
        if norm == "batch":
            self.register_buffer("running_mean", torch.zeros(outputs))
            self.register_buffer("running_var", torch.ones(outputs))
        if activation == "prelu": self.slope = parameter(torch.full((outputs,), 0.25))
        for p in self.parameters(): p.data = p.data.float().double()

    def forward(self, x):
        z = F.linear(x, self.weight, self.bias)
        if self.norm == "layer": z = F.layer_norm(z, z.shape[1:], self.gain, self.shift)
        if self.norm == "batch":
            z = F.batch_norm(z, self.running_mean, self.running_var, self.gain, self.shift, self.training)
        if self.activation in JUMPS: clear(z, JUMPS[self.activation])
        options = {"slope": self.slope} if self.activation == "prelu" else self.options
        return ACT[self.activation](z, **options)

    def description(self):
        norm = {"norm": self.norm} if self.norm else {}
        outputs, inputs = self.weight.shape
        return {"inputs": inputs, "outputs": outputs, "activation": self.activation, **self.options, **norm,
                **lists(self.named_parameters())}


def lists(named):
    return {name: v.tolist() for name, v in named}


def gradients(layer):
    lists = {name: p.grad.tolist() for name, p in layer.named_parameters()}
    if layer.norm == "batch": lists["bias"] = [0.0] * len(lists["bias"])
    return lists


def train(seed, sizes, acts, optimizer, rows, batch, loss="mse", steps=STEPS, wscale=None, weights=False, l1=None,
          clip_value=None, clip_norm=None, accumulate=1, average=None, dtype=torch.float64, **options):
    global nearest
    nearest = math.inf
    g = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)
    acts = [a if isinstance(a, dict) else {"activation": a} for a in acts]
    net = torch.nn.Sequential(*[Layer(draw, a, b, wscale=wscale, **act) for a, b, act in zip(sizes, sizes[1:], acts)])
    x, shape = draw(rows, sizes[0]).float().double(), (rows, sizes[-1])
    if loss == "softmax_cross_entropy": y = torch.randint(sizes[-1], (rows,), generator=g)
    elif loss in ("bce", "bce_with_logits", "hinge"): y = torch.randint(2, shape, generator=g).double()
    elif loss == "poisson": y = torch.randint(5, shape, generator=g).double()
    else: y = torch.rand(shape, generator=g, dtype=torch.float64).float().double()
    w = (torch.rand(rows, generator=g, dtype=torch.float64) * 2).float().double() if weights else None
    d = {"layers": [l.description() for l in net], "loss": loss, **options, "optimizer": optimizer}
    extra = dict(l1=l1, clip_value=clip_value, clip_norm=clip_norm, average=average)
    d.update({key: value for key, value in extra.items() if value is not None})
    if accumulate > 1: d["accumulate"] = accumulate
    d.update(batches=[], x=x.tolist(), y=y.tolist())
    if weights: d["weights"] = w.tolist()
    d["losses"] = []

    net, x = net.to(dtype), x.to(dtype)
    if y.is_floating_point(): y = y.to(dtype)
    if weights: w = w.to(dtype) if loss == "softmax_cross_entropy" else w.to(dtype)[:, None]
    opt = OPT[optimizer["name"]](net.parameters(), **{k: v for k, v in optimizer.items() if k != "name"})
    averages = [p.detach().clone() for p in net.parameters()]
    at, clipped = 0, 0
    for step in range(steps):
        opt.zero_grad()
        for _ in range(accumulate):
            if at >= rows: at = 0
            a, b = at, min(at + batch, rows); at = b
            each = LOSS[loss](net(x[a:b]), y[a:b], **options)
            mean = (each if w is None else w[a:b] * each).mean()
            (mean / accumulate).backward()
            d["losses"].append(mean.item()); d["batches"].append([a, b])
        if step == 0: d["gradients"] = [gradients(l) for l in net]
        if l1:
            for p in net.parameters(): p.grad += l1 * clear(p.detach(), [0]).sign()
        if clip_value:
            clipped += max(p.grad.abs().max().item() for p in net.parameters()) > clip_value
            torch.nn.utils.clip_grad_value_(net.parameters(), clip_value)
        if clip_norm: clipped += torch.nn.utils.clip_grad_norm_(net.parameters(), clip_norm).item() > clip_norm
        if optimizer["name"] == "rprop":
            for p in net.parameters(): clear(p.grad, [0])
        opt.step()
        for avg, p in zip(averages, net.parameters()):
            if average: avg.copy_(average * avg + (1 - average) * p.detach())
    if clip_value or clip_norm: assert steps / 2 <= clipped < steps, clipped
    d["final"] = [lists(l.state_dict().items()) for l in net]
    if average:
        values = iter(averages)
        d["averaged"] = [{name: next(values).tolist() for name, _ in l.named_parameters()} for l in net]
    d["predict"] = net.eval()(x).tolist()
    return d


def flat(v):
    if isinstance(v, dict): v = list(v.values())
    return [n for part in v for n in flat(part)] if isinstance(v, list) else [v]


def largest_error(actual, expected):
    """Returns the largest error of a tensor, as make_reference.py defines it."""
    pairs = [(actual[key], expected[key]) for key in ("losses", "predict")]
    for key in ("final", "averaged"):
        pairs += [(a[name], b[name]) for a, b in zip(actual.get(key, []), expected.get(key, [])) for name in b]
    error = lambda a, b: max(abs(m - n) for m, n in zip(a, b)) / max(map(abs, b))
    return max(error(flat(a), flat(b)) for a, b in pairs)


def optimizer(name, lr, **options): return {"name": name, "lr": lr, **options}
def act(name, **options): return {"activation": name, **options}


SMALL = dict(sizes=[5, 9, 3], acts=["tanh", "identity"], rows=27, batch=8)
DEEP = dict(sizes=[4, 7, 6, 2], acts=["tanh", "silu", "identity"], rows=30, batch=10)
WIDE = dict(sizes=[3, 16, 1], acts=["sigmoid", "identity"], rows=25, batch=7)
FULL = dict(sizes=[4, 8, 2], acts=["tanh", "identity"], rows=24, batch=24)
CLASSES = dict(sizes=[5, 9, 4], acts=["tanh", "identity"], rows=30, batch=8, loss="softmax_cross_entropy")
CASES = {
    "sgd": dict(SMALL, optimizer=optimizer("sgd", 0.1)),
    "sgd_decay": dict(WIDE, optimizer=optimizer("sgd", 0.2, weight_decay=0.02)),
    "sgd_dampening": dict(DEEP, optimizer=optimizer("sgd", 0.1, momentum=0.9, dampening=0.3)),
    "sgd_nesterov_decay": dict(SMALL, optimizer=optimizer("sgd", 0.05, momentum=0.8, nesterov=True, weight_decay=0.01)),
    "adam": dict(DEEP, optimizer=optimizer("adam", 0.001)),
    "adam_options": dict(SMALL, optimizer=optimizer("adam", 0.02, betas=[0.8, 0.95], eps=1e-4, weight_decay=0.02)),
    "adam_amsgrad": dict(WIDE, optimizer=optimizer("adam", 0.02, betas=[0.9, 0.9], amsgrad=True, weight_decay=0.01)),
    "adamw": dict(SMALL, optimizer=optimizer("adamw", 0.001)),
    "adamw_options": dict(DEEP, optimizer=optimizer("adamw", 0.01, betas=[0.85, 0.98], eps=1e-3, weight_decay=0.2)),
    "adamw_amsgrad": dict(WIDE, optimizer=optimizer("adamw", 0.015, betas=[0.9, 0.9], amsgrad=True)),
    "adamax": dict(WIDE, optimizer=optimizer("adamax", 0.002)),
    "adamax_options": dict(SMALL, optimizer=optimizer("adamax", 0.02, betas=[0.8, 0.9], eps=1e-3, weight_decay=0.02)),
    "nadam": dict(SMALL, optimizer=optimizer("nadam", 0.002)),
    "nadam_options": dict(DEEP, optimizer=optimizer("nadam", 0.01, betas=[0.8, 0.95], eps=1e-4, weight_decay=0.02, momentum_decay=0.2)),
    "nadam_decoupled": dict(WIDE, optimizer=optimizer("nadam", 0.02, weight_decay=0.1, decoupled_weight_decay=True)),
    "rmsprop": dict(DEEP, optimizer=optimizer("rmsprop", 0.01)),
    "rmsprop_options": dict(SMALL, optimizer=optimizer("rmsprop", 0.002, alpha=0.9, eps=1e-3, weight_decay=0.02, momentum=0.7, centered=True)),
    "adagrad": dict(SMALL, optimizer=optimizer("adagrad", 0.01)),
    "adagrad_options": dict(WIDE, optimizer=optimizer("adagrad", 0.1, lr_decay=0.02, weight_decay=0.02, initial_accumulator_value=0.1, eps=0.01)),
    "adadelta": dict(DEEP, optimizer=optimizer("adadelta", 1.0)),
    "adadelta_options": dict(SMALL, optimizer=optimizer("adadelta", 0.7, rho=0.8, eps=1e-4, weight_decay=0.02)),
    "rprop": dict(FULL, optimizer=optimizer("rprop", 0.01)),
    "rprop_options": dict(FULL, optimizer=optimizer("rprop", 0.005, etas=[0.4, 1.3], step_sizes=[1e-4, 0.02])),
    "lion": dict(SMALL, optimizer=optimizer("lion", 2**-10, betas=[0.9, 0.99], weight_decay=0.0)),
    "lion_options": dict(DEEP, optimizer=optimizer("lion", 0.003, betas=[0.8, 0.95], weight_decay=0.5)),
    "clip_value": dict(SMALL, optimizer=optimizer("sgd", 0.3), clip_value=0.1),
    "clip_norm": dict(DEEP, optimizer=optimizer("sgd", 0.05, momentum=0.9), clip_norm=0.12),
    "l1": dict(SMALL, optimizer=optimizer("sgd", 0.1), l1=0.01),
    "accumulate": dict(DEEP, optimizer=optimizer("sgd", 0.1, momentum=0.8), batch=5, accumulate=3),
    "average": dict(WIDE, optimizer=optimizer("adam", 0.02), average=0.95),
    "leaky_relu": dict(SMALL, acts=[act("leaky_relu", negative_slope=0.01), "identity"], optimizer=optimizer("sgd", 0.1)),
    "leaky_relu_steeper": dict(DEEP, acts=[act("leaky_relu", negative_slope=0.2)] * 2 + ["identity"], optimizer=optimizer("sgd", 0.1)),
    "elu": dict(SMALL, acts=[act("elu", alpha=1.0), "identity"], optimizer=optimizer("sgd", 0.1)),
    "elu_half": dict(DEEP, acts=[act("elu", alpha=0.5)] * 2 + ["identity"], optimizer=optimizer("sgd", 0.1)),
    "selu": dict(SMALL, acts=["selu", "identity"], optimizer=optimizer("sgd", 0.05)),
    "gelu": dict(SMALL, acts=["gelu", "identity"], optimizer=optimizer("sgd", 0.1)),
    "gelu_tanh": dict(DEEP, acts=[act("gelu", approximate="tanh")] * 2 + ["identity"], optimizer=optimizer("sgd", 0.1)),
    "silu": dict(SMALL, acts=["silu", "identity"], optimizer=optimizer("sgd", 0.1)),
    "mish": dict(DEEP, acts=["mish", "mish", "identity"], optimizer=optimizer("sgd", 0.1)),
    "softplus": dict(SMALL, acts=["softplus", "identity"], optimizer=optimizer("sgd", 0.05)),
    "softsign": dict(DEEP, acts=["softsign", "softsign", "identity"], optimizer=optimizer("sgd", 0.1)),
    "hardsigmoid": dict(SMALL, acts=["hardsigmoid", "identity"], optimizer=optimizer("sgd", 0.1), wscale=1.0),
    "hardtanh": dict(SMALL, acts=["hardtanh", "identity"], optimizer=optimizer("sgd", 0.1)),
    "sine": dict(SMALL, acts=[act("sine", w=1.0), "identity"], optimizer=optimizer("sgd", 0.1)),
    "sine_faster": dict(WIDE, acts=[act("sine", w=3.0), "identity"], optimizer=optimizer("sgd", 0.05)),
    "gaussian": dict(SMALL, acts=["gaussian", "identity"], optimizer=optimizer("sgd", 0.1)),
    "prelu": dict(DEEP, acts=["prelu", "prelu", "identity"], optimizer=optimizer("sgd", 0.1)),
    "loss_l1": dict(SMALL, loss="l1", optimizer=optimizer("sgd", 0.02)),
    "loss_huber": dict(DEEP, loss="huber", delta=1.0, optimizer=optimizer("sgd", 0.1), wscale=1.0),
    "loss_huber_half": dict(SMALL, loss="huber", delta=0.5, optimizer=optimizer("sgd", 0.2), wscale=1.0),
    "loss_log_cosh": dict(SMALL, loss="log_cosh", optimizer=optimizer("sgd", 0.2), wscale=1.0),
    "loss_bce_with_logits": dict(SMALL, loss="bce_with_logits", optimizer=optimizer("sgd", 0.5)),
    "loss_label_smoothing": dict(CLASSES, label_smoothing=0.1, optimizer=optimizer("sgd", 0.3)),
    "loss_hinge": dict(SMALL, loss="hinge", optimizer=optimizer("sgd", 0.1)),
    "loss_poisson": dict(DEEP, loss="poisson", optimizer=optimizer("sgd", 0.05)),
    "loss_relative_l2": dict(SMALL, loss="relative_l2", epsilon=0.01, optimizer=optimizer("adam", 0.005)),
    "weights_mse": dict(DEEP, weights=True, optimizer=optimizer("sgd", 0.1)),
    "weights_bce": dict(SMALL, acts=["tanh", "sigmoid"], loss="bce", weights=True, optimizer=optimizer("sgd", 0.5)),
    "weights_softmax": dict(CLASSES, weights=True, optimizer=optimizer("sgd", 0.3)),
    "layer_norm": dict(DEEP, acts=[act("tanh", norm="layer"), act("silu", norm="layer"), "identity"], optimizer=optimizer("sgd", 0.1)),
    "batch_norm": dict(DEEP, acts=[act("tanh", norm="batch"), act("silu", norm="batch"), "identity"], rows=27, optimizer=optimizer("sgd", 0.1)),
}


def write(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, settings in CASES.items():
        seed = zlib.crc32(name.encode())
        d = train(seed, **settings)
        while nearest < CLEARANCE:
            seed += 1
            d = train(seed, **settings)
        single = train(seed, **settings, dtype=torch.float32)
        (folder / f"{name}.json").write_text(json.dumps(d, separators=(",", ":")))
        print(f"{name}: loss {d['losses'][0]:.6f} -> {d['losses'][-1]:.6f}, f32 error {largest_error(single, d):.1e}")


def rates(schedule, updates=75, updates_per_epoch=1):
    opt = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    schedule, factors = schedule(opt), []
    for update in range(1, updates + 1):
        factors.append(opt.param_groups[0]["lr"])
        opt.step()
        if update < updates and update % updates_per_epoch == 0: schedule.step()
    return {"updates_per_epoch": updates_per_epoch, "factors": factors}


lr = torch.optim.lr_scheduler
CYCLE = dict(max_lr=1.0, cycle_momentum=False)
SCHEDULES = {
    "constant": rates(lambda o: lr.LambdaLR(o, lambda t: 1.0)),
    "step": rates(lambda o: lr.StepLR(o, 20)),
    "step_options": rates(lambda o: lr.StepLR(o, 7, gamma=0.8)),
    "multi_step": rates(lambda o: lr.MultiStepLR(o, [15, 40])),
    "multi_step_options": rates(lambda o: lr.MultiStepLR(o, [50, 3, 20, 20], gamma=0.6)),
    "exponential": rates(lambda o: lr.ExponentialLR(o, 0.95)),
    "polynomial": rates(lambda o: lr.PolynomialLR(o, 60)),
    "polynomial_options": rates(lambda o: lr.PolynomialLR(o, 70, power=2.5)),
    "cosine": rates(lambda o: lr.CosineAnnealingLR(o, 70), 71),
    "cosine_options": rates(lambda o: lr.CosineAnnealingLR(o, 61, eta_min=0.05), 62),
    "cosine_restarts": rates(lambda o: lr.CosineAnnealingWarmRestarts(o, 10)),
    "cosine_restarts_options": rates(lambda o: lr.CosineAnnealingWarmRestarts(o, 7, T_mult=2, eta_min=0.01), 110),
    "cosine_restarts_thrice": rates(lambda o: lr.CosineAnnealingWarmRestarts(o, 2, T_mult=3), 85),
    "one_cycle": rates(lambda o: lr.OneCycleLR(o, total_steps=75, **CYCLE)),
    "one_cycle_options": rates(lambda o: lr.OneCycleLR(o, total_steps=64, pct_start=0.45, div_factor=10, final_div_factor=100, **CYCLE), 64),
    "one_cycle_down": rates(lambda o: lr.OneCycleLR(o, total_steps=60, pct_start=0.0, **CYCLE), 60),
    "inverse_scaling": rates(lambda o: lr.LambdaLR(o, lambda t: (1 + 0.1 * t) ** -0.5)),
    "inverse_scaling_options": rates(lambda o: lr.LambdaLR(o, lambda t: (1 + 32 * t) ** -0.75)),
    "warm_up": rates(lambda o: lr.SequentialLR(o, [lr.LinearLR(o, total_iters=10), lr.CosineAnnealingLR(o, 60)], [10]), 71),
    "warm_up_options": rates(lambda o: lr.SequentialLR(o, [lr.LinearLR(o, 0.01, total_iters=25), lr.StepLR(o, 9, gamma=0.7)], [25])),
    "step_per_epoch": rates(lambda o: lr.StepLR(o, 3), updates_per_epoch=7),
    "warm_up_per_epoch": rates(lambda o: lr.SequentialLR(o, [lr.LinearLR(o, total_iters=4), lr.ExponentialLR(o, 0.9)], [4]), 90, 6),
}


def write_schedules(folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pytorch.json").write_text(json.dumps(SCHEDULES, separators=(",", ":")))
    for name, rates in SCHEDULES.items():
        print(f"schedule {name}: {rates['factors'][0]:.6f} -> {rates['factors'][-1]:.6f}")


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    write(pathlib.Path(sys.argv[1]) / "more")
    write_schedules(pathlib.Path(sys.argv[1]) / "schedules")
