//! A trained network as a function in WGSL, to paste into any shader.

pub(crate) mod words;

use std::fmt::Write;

use crate::{
    error::{Error, Result},
    model::Model,
    nn::{activation::Activation, layout::pad_to_vec4, normalization::Normalization, tensors::TensorKind},
};

/// Where the numbers of a [`WgslFunction`] come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WgslWeights {
    /// They stand in the text: for networks of a few thousand.
    Constants,
    /// They lie in a storage buffer.
    Buffer {
        /// Its `@group`.
        group: u32,
        /// Its `@binding`.
        binding: u32,
    },
}

/// A network as a function in WGSL.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct WgslFunction {
    /// `fn NAME(input: array<f32, INPUTS>) -> array<f32, OUTPUTS>` and what it needs, all of whose names begin with NAME.
    pub source: String,
    /// What the buffer holds, if there is one.
    pub buffer: Vec<f32>,
}

/// The most numbers that stand in a text: more take drivers too long to compile.
const MAX_CONSTANTS: usize = 1 << 14;

impl Model {
    /// The network as a WGSL function `fn NAME(input: array<f32, INPUTS>) -> array<f32, OUTPUTS>` to paste into any shader;
    /// raw inputs are scaled first if the model has a scaler.
    ///
    /// # Errors
    /// As [`Model::new`]; [`Error::InvalidSetting`] for a name that is not valid in WGSL or that WGSL uses itself, for custom
    /// activations whose names collide with those of the function, and for more than 16,384 numbers in the text. The text is
    /// validated before it is returned.
    pub fn to_wgsl(&self, name: &str, weights: WgslWeights) -> Result<WgslFunction> {
        self.check()?;
        write_function(self, name, weights)
    }
}

/// Writes the function.
fn write_function(model: &Model, name: &str, weights: WgslWeights) -> Result<WgslFunction> {
    check_name(name)?;
    let numbers = buffer_values(model);
    let mut text = format!("// A network of {}, trained by gradus.\n", shape_constants(model));
    match weights {
        WgslWeights::Constants => {
            if numbers.len() > MAX_CONSTANTS {
                let (expected, got) =
                    (format!("at most {MAX_CONSTANTS}; a buffer holds more"), numbers.len().to_string());
                return Err(Error::InvalidSetting { name: "numbers in the text of a WGSL function", expected, got });
            }
            let vectors: Vec<_> = numbers.chunks_exact(4).map(vec4_literal).collect();
            let count = vectors.len();
            let all = vectors.join(", ");
            let _ =
                writeln!(text, "var<private> {name}_weights: array<vec4f, {count}> = array<vec4f, {count}>({all});");
        }
        WgslWeights::Buffer { group, binding } => {
            let _ =
                writeln!(text, "@group({group}) @binding({binding}) var<storage, read> {name}_weights: array<vec4f>;");
        }
    }
    text += &activation_functions(model, name);
    text += &function_body(model, name);
    validate(model, name, &text)?;
    let weights = if weights == WgslWeights::Constants { Vec::new() } else { numbers };
    Ok(WgslFunction { source: text, buffer: weights })
}

/// Refuses names that WGSL does not allow, and names of its own types and functions, which the text needs.
fn check_name(name: &str) -> Result<()> {
    let refused = |expected: &str, why: &str| {
        let got = format!("{name:?}, {why}");
        Err(Error::InvalidSetting { name: "name of a WGSL function", expected: expected.to_owned(), got })
    };
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic());
    if !starts || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return refused("ASCII letters, digits and _, beginning with a letter", "which is no such name");
    }
    if words::RESERVED_WORDS.split_whitespace().any(|word| word == name) || words::is_type(name) {
        return refused(
            "a name that WGSL leaves free",
            "which is a keyword, a reserved word, a type or a function of WGSL",
        );
    }
    Ok(())
}

/// Refuses a text that is no valid WGSL under the requested name, as naga, the compiler of wgpu, judges it.
fn validate(model: &Model, name: &str, text: &str) -> Result<()> {
    use naga::valid::{Capabilities, ValidationFlags, Validator};
    let why = match naga::front::wgsl::parse_str(text) {
        Err(error) => error.emit_to_string(text),
        Ok(module) => match Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(&module) {
            Ok(_) => return Ok(()),
            Err(error) => error.emit_to_string(text),
        },
    };
    let mut customs = Vec::new();
    for layer in model.network.layers() {
        if let Activation::Custom(custom) = layer.activation {
            customs.push(custom.name());
        }
    }
    if customs.is_empty() {
        return Err(Error::Internal { context: format!("the WGSL function {name}"), reason: why });
    }
    let expected = format!("valid WGSL under this name with the custom activations {}", customs.join(", "));
    Err(Error::InvalidSetting {
        name: "name of a WGSL function",
        expected,
        got: format!("{name:?}: {}", why.trim_end()),
    })
}

fn shape_constants(model: &Model) -> String {
    let widths = std::iter::once(model.network.inputs()).chain(model.network.layers().iter().map(|l| l.outputs));
    widths.map(|width| width.to_string()).collect::<Vec<_>>().join("-")
}

fn vec4_literal(four: &[f32]) -> String {
    format!("vec4f({:?}, {:?}, {:?}, {:?})", four[0], four[1], four[2], four[3])
}

/// The parameters as they lie on the device, what scales the inputs behind them. A batch norm has become a gain and a
/// shift by its running statistics.
fn buffer_values(model: &Model) -> Vec<f32> {
    let mut layers = model.parameters.clone();
    for (layer, _) in
        layers.iter_mut().zip(model.network.layers()).filter(|(_, l)| l.normalization == Some(Normalization::Batch))
    {
        for j in 0..layer.gamma.len() {
            let variance = f64::from(layer.running_var[j]) + crate::nn::normalization::EPSILON;
            let gain = f64::from(layer.gamma[j]) / libm::sqrt(variance);
            layer.beta[j] = (f64::from(layer.beta[j]) - f64::from(layer.running_mean[j]) * gain) as f32;
            layer.gamma[j] = gain as f32;
        }
    }
    let mut numbers = model.network.layout().to_flat(&layers);
    // A scaler without an origin has no numbers for it.
    for values in model.scaler.iter().flat_map(|scaler| [scaler.origin(), scaler.offset(), scaler.scale()]) {
        numbers.extend(values);
        numbers.resize(pad_to_vec4(numbers.len()), 0.0);
    }
    numbers
}

/// The activations' functions, without their slopes, under names that begin with the function's.
fn activation_functions(model: &Model, name: &str) -> String {
    let layers = || model.network.layers().iter().map(|layer| layer.activation);
    let mut files: Vec<(&str, bool)> = Vec::new();
    for activation in layers() {
        let is_own = !matches!(activation, Activation::Custom(_));
        files.extend(activation.wgsl().iter().map(|file| (*file, is_own)));
    }
    files.sort_unstable();
    files.dedup();
    let mut text = String::new();
    for (file, is_own) in files {
        text.push('\n');
        if is_own {
            remove_derivatives(file, &mut text)
        } else {
            text += file
        };
        text.push('\n');
    }
    prefix_names(text.trim_end(), name)
}

/// A file of ours, whose functions end with a line that is a brace, without those that are slopes.
fn remove_derivatives(file: &str, text: &mut String) {
    let mut skips = false;
    for line in file.lines() {
        let function = line.strip_prefix("fn ").and_then(|rest| rest.split('(').next());
        skips |= function.is_some_and(|function| function.ends_with("_gradient"));
        if !skips && !line.starts_with("///") {
            *text += line;
            text.push('\n');
        }
        skips &= line != "}";
    }
}

/// Every function, constant, variable and struct of a module under a name that begins with another one.
fn prefix_names(text: &str, name: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    // Words, and what is between them.
    let tokens: Vec<&str> = text
        .split_inclusive(|c| !is_word(c))
        .flat_map(|piece| {
            let end = piece.trim_end_matches(|c| !is_word(c)).len();
            [&piece[..end], &piece[end..]]
        })
        .filter(|token| !token.is_empty())
        .collect();
    let (mut depth, mut declares, mut declared) = (0, false, Vec::new());
    for token in &tokens {
        match *token {
            "{" => depth += 1,
            "}" => depth -= 1,
            "fn" | "const" | "var" | "struct" | "alias" if depth == 0 => declares = true,
            word if declares && word.starts_with(is_word) && !["private", "workgroup"].contains(&word) => {
                declared.push(word);
                declares = false;
            }
            _ => {}
        }
    }
    let mut before = "";
    let mut renamed = String::new();
    for token in &tokens {
        // A member of a struct may be called as a function is.
        if before != "." && declared.contains(token) {
            let _ = write!(renamed, "{name}_");
        }
        renamed += token;
        before = token;
    }
    renamed + "\n"
}

fn function_body(model: &Model, name: &str) -> String {
    let network = &model.network;
    let (inputs, outputs) = (network.inputs(), network.outputs());
    let mut text = format!("\nfn {name}(input: array<f32, {inputs}>) -> array<f32, {outputs}> {{\n");
    text += "    var x0 = input;\n";
    let layout = network.layout();
    if let Some(scaler) = &model.scaler {
        let has_origin = !scaler.origin().is_empty();
        let vectors = [0, 1, 2].map(|vector| (layout.len + vector * pad_to_vec4(inputs)) / 4);
        let of = |vector: usize| format!("{name}_weights[{}u + i / 4u][i % 4u]", vectors[vector]);
        let rest = if has_origin { format!("(x0[i] - {} - {})", of(0), of(1)) } else { format!("(x0[i] - {})", of(0)) };
        let factor = of(1 + usize::from(has_origin));
        let _ =
            write!(text, "    for (var i = 0u; i < {inputs}u; i++) {{\n        x0[i] = {rest} * {factor};\n    }}\n");
    }
    for (l, (dense, layer)) in network.layers().iter().zip(&layout.to_layers).enumerate() {
        let place = &layer.layout;
        let (from, to, vec4s) = (format!("x{l}"), format!("x{}", l + 1), place.stride / 4);
        let row = |kind: TensorKind| match layer.find(kind) {
            Some(tensor) => format!("{name}_weights[{}u + j]", tensor.offset / 4),
            None => String::new(),
        };
        let slope = row(TensorKind::PreluSlope);
        let activate = |z: &str| match (dense.activation, dense.activation.parameter()) {
            // Takes the whole row.
            (Activation::Softmax, _) => z.to_owned(),
            (a, _) if a.has_parameters() => format!("{name}_{}({z}, {slope})", a.name()),
            (a, Some(number)) => format!("{name}_{}({z}, {:?})", a.name(), number as f32),
            (a, None) => format!("{name}_{}({z})", a.name()),
        };
        let (first, weights, width) = (row(TensorKind::Bias), place.offset / 4, 4 * vec4s);
        let _ = write!(
            text,
            "    var {to}: array<f32, {width}>;\n    \
             for (var j = 0u; j < {vec4s}u; j++) {{\n        \
             var z = {first};\n        \
             for (var i = 0u; i < {}u; i++) {{\n            \
             z += {from}[i] * {name}_weights[{weights}u + i * {vec4s}u + j];\n        }}\n",
            dense.inputs
        );
        let whole = match dense.normalization {
            None => activate("z"),
            Some(Normalization::Batch) => {
                let _ = writeln!(text, "        z = z * {} + {};", row(TensorKind::Gamma), row(TensorKind::Beta));
                activate("z")
            }
            Some(Normalization::Layer) => "z".to_owned(),
        };
        let store = |value: &str| {
            format!(
                "        let a = {value};\n        for (var k = 0u; k < 4u; k++) {{ {to}[4u * j + k] = a[k]; }}\n    }}\n"
            )
        };
        text += &store(&whole);
        let over = |body: &str| format!("    for (var i = 0u; i < {}u; i++) {{ {body} }}\n", dense.outputs);
        if dense.normalization == Some(Normalization::Layer) {
            let _ = writeln!(text, "    var mean{l} = 0.0;\n    var variance{l} = 0.0;");
            text += &over(&format!("mean{l} += {to}[i] / {}.0;", dense.outputs));
            text += &over(&format!("let e = {to}[i] - mean{l}; variance{l} += e * e / {}.0;", dense.outputs));
            let _ = write!(
                text,
                "    for (var j = 0u; j < {vec4s}u; j++) {{\n        \
                 var z = vec4f({to}[4u * j], {to}[4u * j + 1u], {to}[4u * j + 2u], {to}[4u * j + 3u]);\n        \
                 z = (z - mean{l}) * inverseSqrt(variance{l} + {:?}) * {} + {};\n",
                crate::nn::normalization::EPSILON as f32,
                row(TensorKind::Gamma),
                row(TensorKind::Beta)
            );
            text += &store(&activate("z"));
        }
        if dense.activation == Activation::Softmax {
            let _ = writeln!(text, "    var most = {to}[0];\n    var sum = 0.0;");
            text += &over(&format!("most = max(most, {to}[i]);"));
            text += &over(&format!("{to}[i] = exp({to}[i] - most); sum += {to}[i];"));
            text += &over(&format!("{to}[i] /= sum;"));
        }
    }
    let last = network.layers().len();
    let _ = write!(
        text,
        "    var output: array<f32, {outputs}>;\n    \
         for (var i = 0u; i < {outputs}u; i++) {{ output[i] = x{last}[i]; }}\n    return output;\n}}\n"
    );
    text
}
