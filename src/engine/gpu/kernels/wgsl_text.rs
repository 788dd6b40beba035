//! Short WGSL functions that are generated as text.

use std::fmt::Write;

use crate::nn::activation::Activation;

/// Returns a call of an activation with its parameter, or of its function with this suffix.
pub(crate) fn call_text(activation: &Activation, suffix: &str, argument: &str) -> String {
    if *activation == Activation::Softmax {
        // The loss contains the softmax.
        return format!("identity{suffix}({argument})");
    }
    let name = activation.name();
    match activation.parameter() {
        // PReLU uses its trained slopes, in other functions. This call only has to be valid.
        Some(number) if activation.has_parameters() => {
            format!("{name}{suffix}({argument}, vec4f({:?}f))", number as f32)
        }
        Some(number) => format!("{name}{suffix}({argument}, {:?}f)", number as f32),
        None => format!("{name}{suffix}({argument})"),
    }
}

/// Returns a call of the derivative of an activation.
pub(crate) fn derivative_call(activation: &Activation) -> String {
    call_text(activation, "_derivative", if activation.derivative_from_output() { "a" } else { "z" })
}

/// Returns a WGSL function that returns `body`.
pub(crate) fn function_text(signature: &str, body: &str) -> String {
    format!("fn {signature} {{\n    return {body};\n}}\n")
}

/// Returns a WGSL function of the number `l` that returns the `l`-th of `bodies`. For a constant `l`, the driver folds
/// it. Equal bodies are written once.
pub(crate) fn switch(signature: &str, bodies: &[String]) -> String {
    let Some(last) = bodies.last() else { return String::new() };
    let mut cases: Vec<(&String, Vec<String>)> = Vec::new();
    for (number, body) in bodies.iter().enumerate().filter(|(_, body)| *body != last) {
        match cases.iter_mut().find(|(other, _)| *other == body) {
            Some((_, numbers)) => numbers.push(format!("{number}u")),
            None => cases.push((body, vec![format!("{number}u")])),
        }
    }
    if cases.is_empty() {
        // Without a `switch` the driver has less to fold.
        return function_text(signature, last);
    }
    let mut text = format!("fn {signature} {{\n    switch l {{\n");
    for (body, numbers) in cases {
        let _ = writeln!(text, "        case {}: {{ return {body}; }}", numbers.join(", "));
    }
    let _ = writeln!(text, "        default: {{ return {last}; }}\n    }}\n}}");
    text
}
