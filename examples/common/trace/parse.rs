//! The parts of a trace: the network with its initial parameters, the steps, the class targets and the recorded tensors.

use gradus::{
    Activation, Network,
    nn::{Dense, LayerParameters, Normalization},
};
use serde_json::Value;

use super::{
    Tensors, TraceStep,
    json::{Object, TraceResult, array, invalid},
    names, to_f32,
};

/// Returns the network and its initial parameters.
pub(super) fn network(trace: &Object) -> TraceResult<(Network, Vec<LayerParameters>)> {
    let layers = trace.array("layers")?;
    let Some(first) = layers.first() else { return invalid("layers: expected at least 1 layer, got 0") };
    let mut network = Network::new(Object::new(first, "layers[0]")?.size("inputs")?);
    let mut initial = Vec::new();
    for (i, layer) in layers.iter().enumerate() {
        let location = format!("layers[{i}]");
        let layer = Object::new(layer, location.as_str())?;
        let (inputs, outputs) = (layer.size("inputs")?, layer.size("outputs")?);
        if inputs != network.outputs() {
            let expected = network.outputs();
            return invalid(format!("{location}.inputs: expected {expected}, as the layer before, got {inputs}"));
        }
        network = network.dense(outputs, names::activation(&layer, &location)?);
        network = names::normalization(network, &layer, &location)?;
        let dense = network.layers()[i];
        let mut parameters = LayerParameters::default();
        for (name, values) in tensors_of_layer(&layer, &dense, false)? {
            *match name {
                "weight" => &mut parameters.weight,
                "bias" => &mut parameters.bias,
                "gain" => &mut parameters.gamma,
                "shift" => &mut parameters.beta,
                _ => &mut parameters.prelu_slope,
            } = to_f32(&values);
        }
        // Allocate these after the tensors have confirmed the sizes: the trace may state any number of outputs.
        if dense.normalization == Some(Normalization::Batch) {
            (parameters.running_mean, parameters.running_var) = (vec![0.0; outputs], vec![1.0; outputs]);
        }
        initial.push(parameters);
        layer.finish(&location)?;
    }
    Ok((network, initial))
}

/// Returns the steps: the rows of each batch, and the learning rate if the trace has a schedule.
pub(super) fn steps(trace: &Object, rows: usize) -> TraceResult<Vec<TraceStep>> {
    let batches = trace.array("batches")?;
    if batches.is_empty() {
        return invalid("batches: expected at least 1 batch, got 0");
    }
    let has_schedule = trace.find("lr_schedule").is_some();
    let learning_rates = if has_schedule { trace.numbers("lr_schedule", Some(batches.len()))? } else { Vec::new() };
    let mut steps = Vec::new();
    for (i, batch) in batches.iter().enumerate() {
        let location = format!("batches[{i}]");
        let [start, end] = array(batch, &location)?.as_slice() else {
            return invalid(format!("{location}: expected [start, end], got {batch}"));
        };
        match (start.as_u64().map(usize::try_from), end.as_u64().map(usize::try_from)) {
            (Some(Ok(start)), Some(Ok(end))) if start < end && end <= rows => {
                steps.push(TraceStep { start, end, learning_rate: learning_rates.get(i).copied() });
            }
            _ => return invalid(format!("{location}: expected a range of rows 0 to {rows}, got [{start}, {end}]")),
        }
    }
    Ok(steps)
}

/// Converts class ids to one-hot rows.
pub(super) fn one_hot(ids: &[Value], rows: usize, classes: usize) -> TraceResult<Vec<f64>> {
    if ids.len() != rows {
        return invalid(format!("y: expected {rows} class ids, one per row of x, got {}", ids.len()));
    }
    let mut one_hot = vec![0.0; rows * classes];
    for ((row, id), one_hot) in ids.iter().enumerate().zip(one_hot.chunks_mut(classes)) {
        match id.as_u64().and_then(|id| one_hot.get_mut(usize::try_from(id).ok()?)) {
            Some(value) => *value = 1.0,
            None => return invalid(format!("y[{row}]: expected a class id below {classes}, got {id}")),
        }
    }
    Ok(one_hot)
}

/// Returns the recorded tensors of each layer.
pub(super) fn tensors(trace: &Object, key: &str, network: &Network) -> TraceResult<Vec<Tensors>> {
    let (layers, expected) = (trace.array(key)?, network.layers().len());
    if layers.len() != expected {
        return invalid(format!("{key}: expected {expected} layers, got {}", layers.len()));
    }
    let mut tensors = Vec::new();
    for (i, (layer, dense)) in layers.iter().zip(network.layers()).enumerate() {
        let location = format!("{key}[{i}]");
        let layer = Object::new(layer, location.as_str())?;
        tensors.push(tensors_of_layer(&layer, dense, key == "final")?);
        layer.finish(&location)?;
    }
    Ok(tensors)
}

/// Returns the tensors of a layer like `dense`. `has_running_stats` adds those of batch normalization.
fn tensors_of_layer(layer: &Object, dense: &Dense, has_running_stats: bool) -> TraceResult<Tensors> {
    let mut tensors = vec![("weight", layer.matrix("weight", Some(dense.outputs), dense.inputs)?)];
    let mut add = |name| layer.numbers(name, Some(dense.outputs)).map(|values| tensors.push((name, values)));
    add("bias")?;
    if dense.normalization.is_some() {
        add("gain")?;
        add("shift")?;
    }
    if matches!(dense.activation, Activation::Prelu { .. }) {
        add("slope")?;
    }
    if has_running_stats && dense.normalization == Some(Normalization::Batch) {
        add("running_mean")?;
        add("running_var")?;
    }
    Ok(tensors)
}
