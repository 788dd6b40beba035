//! PyTorch's names of activations, losses, optimizers and their options. A missing option has PyTorch's default.

use gradus::{Activation, Loss, Network, Optimizer, optim::UpdateRule};

use super::json::{Object, TraceResult, unsupported};

/// Returns the activation of a layer. `location` is the location of the layer in the trace.
pub fn activation(layer: &Object, location: &str) -> TraceResult<Activation> {
    Ok(match layer.text("activation")? {
        "identity" => Activation::Identity,
        "sigmoid" => Activation::Sigmoid,
        "tanh" => Activation::Tanh,
        "relu" => Activation::Relu,
        "leaky_relu" => Activation::LeakyRelu { negative_slope: layer.number_or("negative_slope", 0.01)? },
        "elu" => Activation::Elu { alpha: layer.number_or("alpha", 1.0)? },
        "selu" => Activation::Selu,
        "gelu" => match layer.find("approximate").map(|approximation| approximation.as_str()) {
            None | Some(Some("none")) => Activation::Gelu,
            Some(Some("tanh")) => Activation::GeluTanh,
            Some(other) => {
                let got = other.unwrap_or("a value that is not a string");
                return unsupported(format!("option approximate of {location}: expected none or tanh, got {got}"));
            }
        },
        "silu" => Activation::Silu,
        "mish" => Activation::Mish,
        "softplus" => Activation::Softplus,
        "softsign" => Activation::Softsign,
        "hardsigmoid" => Activation::HardSigmoid,
        "hardtanh" => Activation::HardTanh,
        "sine" => Activation::Sine { frequency: layer.number("w")? },
        "gaussian" => Activation::Gaussian,
        // The initial slopes are in the parameters of the layer.
        "prelu" => Activation::Prelu { initial_slope: 0.25 },
        other => return unsupported(format!("activation {other:?} of {location}")),
    })
}

/// Adds the normalization of `layer`, if it has one, to the last layer of the network.
pub fn normalization(network: Network, layer: &Object, location: &str) -> TraceResult<Network> {
    let Some(name) = layer.find("norm") else { return Ok(network) };
    match name.as_str() {
        Some("layer") => Ok(network.layer_norm()),
        Some("batch") => Ok(network.batch_norm()),
        _ => unsupported(format!("norm {name} of {location}")),
    }
}

/// Returns the loss. It must fit the output activation of the network.
pub fn loss(trace: &Object, network: &Network) -> TraceResult<Loss> {
    let loss = match trace.text("loss")? {
        "mse" => Loss::Mse,
        "l1" => Loss::L1,
        "huber" => Loss::Huber { delta: trace.number_or("delta", 1.0)? },
        "log_cosh" => Loss::LogCosh,
        "bce" => Loss::BinaryCrossEntropy,
        "bce_with_logits" => Loss::BinaryCrossEntropyWithLogits,
        "softmax_cross_entropy" => match trace.optional_number("label_smoothing")? {
            None => Loss::SoftmaxCrossEntropy,
            Some(label_smoothing) => Loss::LabelSmoothedCrossEntropy { label_smoothing },
        },
        "hinge" => Loss::Hinge,
        "poisson" => Loss::Poisson,
        "relative_l2" => match trace.number("epsilon")? {
            0.01 => Loss::RelativeL2,
            other => return unsupported(format!("epsilon {other} of relative_l2")),
        },
        other => return unsupported(format!("loss {other:?}")),
    };
    let last = network.layers().last().map(|layer| layer.activation);
    match (loss.required_output_activation(), last) {
        (Some(required), Some(last)) if required != last => {
            unsupported(format!("loss {loss}: expected the output activation {required}, got {last}"))
        }
        _ => Ok(loss),
    }
}

/// Returns the optimizer, with the options of the trace for clipping, L1 regularization and the moving average.
pub fn optimizer(trace: &Object) -> TraceResult<Optimizer> {
    let options = Object::new(trace.get("optimizer")?, "optimizer")?;
    let (name, learning_rate) = (options.text("name")?, options.number("lr")?);
    let epsilon = |default| options.number_or("eps", default);
    let betas = |default| options.pair_or("betas", default);
    let rule = match name {
        "sgd" => match options.number_or("momentum", 0.0)? {
            0.0 => UpdateRule::Sgd,
            momentum => UpdateRule::Momentum {
                momentum,
                dampening: options.number_or("dampening", 0.0)?,
                nesterov: options.flag("nesterov")?,
            },
        },
        "adam" | "adamw" => {
            let [beta1, beta2] = betas([0.9, 0.999])?;
            UpdateRule::Adam { beta1, beta2, epsilon: epsilon(1e-8)?, amsgrad: options.flag("amsgrad")? }
        }
        "adamax" => {
            let [beta1, beta2] = betas([0.9, 0.999])?;
            UpdateRule::Adamax { beta1, beta2, epsilon: epsilon(1e-8)? }
        }
        "nadam" => {
            let ([beta1, beta2], momentum_decay) = (betas([0.9, 0.999])?, options.number_or("momentum_decay", 0.004)?);
            UpdateRule::Nadam { beta1, beta2, epsilon: epsilon(1e-8)?, momentum_decay }
        }
        "rmsprop" => UpdateRule::RmsProp {
            alpha: options.number_or("alpha", 0.99)?,
            epsilon: epsilon(1e-8)?,
            momentum: options.number_or("momentum", 0.0)?,
            centered: options.flag("centered")?,
        },
        "adagrad" => UpdateRule::Adagrad {
            learning_rate_decay: options.number_or("lr_decay", 0.0)?,
            initial_accumulator: options.number_or("initial_accumulator_value", 0.0)?,
            epsilon: epsilon(1e-10)?,
        },
        "adadelta" => UpdateRule::Adadelta { rho: options.number_or("rho", 0.9)?, epsilon: epsilon(1e-6)? },
        "lion" => {
            let [beta1, beta2] = betas([0.9, 0.99])?;
            UpdateRule::Lion { beta1, beta2 }
        }
        "rprop" => {
            let [eta_minus, eta_plus] = options.pair_or("etas", [0.5, 1.2])?;
            let [min_step, max_step] = options.pair_or("step_sizes", [1e-6, 50.0])?;
            UpdateRule::Rprop { eta_minus, eta_plus, min_step, max_step }
        }
        other => return unsupported(format!("optimizer {other:?}")),
    };
    let mut optimizer = Optimizer::new(rule, learning_rate);
    // PyTorch's Rprop has no weight decay.
    if name != "rprop" {
        optimizer.weight_decay = options.number_or("weight_decay", if name == "adamw" { 0.01 } else { 0.0 })?;
    }
    optimizer.decoupled_weight_decay = match name {
        "adamw" | "lion" => true,
        "nadam" => options.flag("decoupled_weight_decay")?,
        _ => false,
    };
    optimizer.l1 = trace.number_or("l1", 0.0)?;
    optimizer.clip_value = trace.optional_number("clip_value")?;
    optimizer.clip_norm = trace.optional_number("clip_norm")?;
    optimizer.ema_decay = trace.optional_number("average")?;
    options.finish(name)?;
    Ok(optimizer)
}
