//! The export to WGSL: a trained network as a function for any shader.

pub(crate) mod words;

use std::fmt::Write;

use crate::{
    error::{Error, Result},
    model::Model,
    nn::{
        activation::Activation,
        layout::pad_to_vec4,
        normalization::{self, Normalization},
        tensors::TensorKind,
    },
};

/// The location of the parameters of a [`WgslFunction`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WgslWeights {
    /// Constants in the source text, for networks with at most 16,384 values.
    Constants,
    /// A storage buffer of the caller.
    Buffer {
        /// The `@group` of the buffer.
        group: u32,
        /// The `@binding` of the buffer.
        binding: u32,
    },
}

/// A trained network as a WGSL function.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct WgslFunction {
    /// The source: `fn NAME(input: array<f32, INPUTS>) -> array<f32, OUTPUTS>` and the declarations that it needs. The
    /// names of all declarations start with NAME.
    pub source: String,
    /// The content of the storage buffer; empty for [`WgslWeights::Constants`].
    pub buffer: Vec<f32>,
}

/// The maximum number of constants in the source: drivers take too long to compile more.
const MAX_CONSTANTS: usize = 1 << 14;

impl Model {
    /// Exports the network as a WGSL function `fn NAME(input: array<f32, INPUTS>) -> array<f32, OUTPUTS>`.
    ///
    /// The source can be pasted into any shader. If the model has a scaler, the function scales raw inputs first.
    /// gradus validates the source before it returns it.
    ///
    /// # Errors
    /// - [`Error::InvalidSetting`] if `name` is not a valid WGSL identifier or is reserved.
    /// - [`Error::InvalidSetting`] if a custom activation declares a name that the function needs.
    /// - [`Error::InvalidSetting`] if the network has more than 16,384 values for [`WgslWeights::Constants`].
    /// - The errors of [`Model::new`], because the caller may have changed the fields.
    pub fn to_wgsl(&self, name: &str, weights: WgslWeights) -> Result<WgslFunction> {
        self.check()?;
        write_function(self, name, weights)
    }
}

/// Writes and validates the function.
fn write_function(model: &Model, name: &str, weights: WgslWeights) -> Result<WgslFunction> {
    check_name(name)?;
    let values = buffer_values(model);
    let mut text = format!("// A network of {}, trained by gradus.\n", layer_widths(model));
    match weights {
        WgslWeights::Constants => {
            if values.len() > MAX_CONSTANTS {
                let expected = format!("at most {MAX_CONSTANTS} values");
                let got = format!("{}; use WgslWeights::Buffer", values.len());
                return Err(Error::InvalidSetting { name: "WgslWeights::Constants", expected, got });
            }
            let vectors: Vec<_> = values.chunks_exact(4).map(vec4_literal).collect();
            let count = vectors.len();
            let list = vectors.join(", ");
            let _ =
                writeln!(text, "var<private> {name}_weights: array<vec4f, {count}> = array<vec4f, {count}>({list});");
        }
        WgslWeights::Buffer { group, binding } => {
            let _ =
                writeln!(text, "@group({group}) @binding({binding}) var<storage, read> {name}_weights: array<vec4f>;");
        }
    }
    text += &activation_functions(model, name);
    text += &function_body(model, name);
    validate(model, name, &text)?;
    let buffer = match weights {
        WgslWeights::Constants => Vec::new(),
        WgslWeights::Buffer { .. } => values,
    };
    Ok(WgslFunction { source: text, buffer })
}

/// Returns an error if `name` is not a valid WGSL identifier, or is the name of a type or function of WGSL, which the
/// source may need.
fn check_name(name: &str) -> Result<()> {
    let invalid = |expected: &str, got: String| {
        Err(Error::InvalidSetting { name: "name of the WGSL function", expected: expected.to_owned(), got })
    };
    let starts_with_letter = name.starts_with(|c: char| c.is_ascii_alphabetic());
    if !starts_with_letter || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return invalid("ASCII letters, digits and _, beginning with a letter", format!("{name:?}"));
    }
    if words::RESERVED_WORDS.split_whitespace().any(|word| word == name) || words::is_type(name) {
        return invalid(
            "an identifier that WGSL does not reserve",
            format!("{name:?}, which is a keyword, a reserved word, a type or a function of WGSL"),
        );
    }
    Ok(())
}

/// Validates the source with naga, the shader compiler of wgpu.
///
/// # Errors
/// [`Error::InvalidSetting`] if the source is invalid and the network has custom activations, whose names may collide.
/// [`Error::Internal`] if the source is invalid otherwise.
fn validate(model: &Model, name: &str, text: &str) -> Result<()> {
    use naga::valid::{Capabilities, ValidationFlags, Validator};
    let reason = match naga::front::wgsl::parse_str(text) {
        Err(error) => error.emit_to_string(text),
        Ok(module) => match Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(&module) {
            Ok(_) => return Ok(()),
            Err(error) => error.emit_to_string(text),
        },
    };
    let mut custom_names = Vec::new();
    for layer in model.network.layers() {
        if let Activation::Custom(custom) = layer.activation {
            custom_names.push(custom.name());
        }
    }
    if custom_names.is_empty() {
        return Err(Error::Internal { context: format!("the WGSL function {name}"), reason });
    }
    let expected = format!("a name that gives valid WGSL with the custom activations {}", custom_names.join(", "));
    let got = format!("{name:?}: {}", reason.trim_end());
    Err(Error::InvalidSetting { name: "name of the WGSL function", expected, got })
}

/// Returns the number of inputs and the widths of the layers, for example `4-16-3`.
fn layer_widths(model: &Model) -> String {
    let widths = std::iter::once(model.network.inputs()).chain(model.network.layers().iter().map(|l| l.outputs));
    widths.map(|width| width.to_string()).collect::<Vec<_>>().join("-")
}

fn vec4_literal(four: &[f32]) -> String {
    format!("vec4f({:?}, {:?}, {:?}, {:?})", four[0], four[1], four[2], four[3])
}

/// Returns the parameters in the layout of the device, followed by the values of the scaler.
///
/// For batch normalization, the running statistics are folded into gamma and beta.
fn buffer_values(model: &Model) -> Vec<f32> {
    let mut layers = model.parameters.clone();
    for (layer, dense) in layers.iter_mut().zip(model.network.layers()) {
        if dense.normalization != Some(Normalization::Batch) {
            continue;
        }
        for j in 0..layer.gamma.len() {
            let variance = f64::from(layer.running_var[j]) + normalization::EPSILON;
            let gamma = f64::from(layer.gamma[j]) / libm::sqrt(variance);
            layer.beta[j] = (f64::from(layer.beta[j]) - f64::from(layer.running_mean[j]) * gamma) as f32;
            layer.gamma[j] = gamma as f32;
        }
    }
    let mut values = model.network.layout().to_flat(&layers);
    if let Some(scaler) = &model.scaler {
        // A scaler without an origin has no values for it.
        for vector in [scaler.origin(), scaler.offset(), scaler.scale()] {
            values.extend(vector);
            values.resize(pad_to_vec4(values.len()), 0.0);
        }
    }
    values
}

/// Returns the WGSL of the activations, without their derivatives. All names start with `name`.
fn activation_functions(model: &Model, name: &str) -> String {
    let mut files: Vec<(&str, bool)> = Vec::new();
    for layer in model.network.layers() {
        let is_built_in = !matches!(layer.activation, Activation::Custom(_));
        files.extend(layer.activation.wgsl().iter().map(|file| (*file, is_built_in)));
    }
    files.sort_unstable();
    files.dedup();
    let mut text = String::new();
    for (file, is_built_in) in files {
        text.push('\n');
        if is_built_in {
            append_without_derivatives(&mut text, file);
        } else {
            text += file;
        }
        text.push('\n');
    }
    prefix_names(text.trim_end(), name)
}

/// Appends a built-in shader file without its derivatives. Every function of the file ends with a line that is `}`.
fn append_without_derivatives(text: &mut String, file: &str) {
    let mut is_in_derivative = false;
    for line in file.lines() {
        let function = line.strip_prefix("fn ").and_then(|rest| rest.split('(').next());
        is_in_derivative |= function.is_some_and(|function| function.ends_with("_derivative"));
        if !is_in_derivative && !line.starts_with("///") {
            *text += line;
            text.push('\n');
        }
        is_in_derivative &= line != "}";
    }
}

/// Adds the prefix `name_` to every function, constant, variable, struct and alias that the source declares.
fn prefix_names(text: &str, name: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    // Split the source into words and the characters between them.
    let tokens: Vec<&str> = text
        .split_inclusive(|c| !is_word(c))
        .flat_map(|piece| {
            let end = piece.trim_end_matches(|c| !is_word(c)).len();
            [&piece[..end], &piece[end..]]
        })
        .filter(|token| !token.is_empty())
        .collect();
    let (mut depth, mut is_declaration, mut declared) = (0, false, Vec::new());
    for token in &tokens {
        match *token {
            "{" => depth += 1,
            "}" => depth -= 1,
            "fn" | "const" | "var" | "struct" | "alias" if depth == 0 => is_declaration = true,
            word if is_declaration && word.starts_with(is_word) && !["private", "workgroup"].contains(&word) => {
                declared.push(word);
                is_declaration = false;
            }
            _ => {}
        }
    }
    let mut before = "";
    let mut renamed = String::new();
    for token in &tokens {
        // A field of a struct may have the name of a function.
        if before != "." && declared.contains(token) {
            let _ = write!(renamed, "{name}_");
        }
        renamed += token;
        before = token;
    }
    renamed + "\n"
}

/// Writes the function itself.
fn function_body(model: &Model, name: &str) -> String {
    let network = &model.network;
    let (inputs, outputs) = (network.inputs(), network.outputs());
    let mut text = format!("\nfn {name}(input: array<f32, {inputs}>) -> array<f32, {outputs}> {{\n");
    text += "    var x0 = input;\n";
    let layout = network.layout();
    if let Some(scaler) = &model.scaler {
        let has_origin = !scaler.origin().is_empty();
        let vectors = [0, 1, 2].map(|vector| (layout.len + vector * pad_to_vec4(inputs)) / 4);
        let element = |vector: usize| format!("{name}_weights[{}u + i / 4u][i % 4u]", vectors[vector]);
        let (centered, scale) = if has_origin {
            (format!("(x0[i] - {} - {})", element(0), element(1)), element(2))
        } else {
            (format!("(x0[i] - {})", element(0)), element(1))
        };
        let _ = write!(
            text,
            "    for (var i = 0u; i < {inputs}u; i++) {{\n        x0[i] = {centered} * {scale};\n    }}\n"
        );
    }
    for (l, (dense, layer)) in network.layers().iter().zip(&layout.layer_tensors).enumerate() {
        let layout = &layer.layout;
        let (from, to, vec4s) = (format!("x{l}"), format!("x{}", l + 1), layout.stride / 4);
        let row = |kind: TensorKind| match layer.find(kind) {
            Some(tensor) => format!("{name}_weights[{}u + j]", tensor.offset / 4),
            None => String::new(),
        };
        let slope = row(TensorKind::PreluSlope);
        let activate = |z: &str| match (dense.activation, dense.activation.parameter()) {
            // Softmax needs the whole row and follows after the loop.
            (Activation::Softmax, _) => z.to_owned(),
            (a, _) if a.has_parameters() => format!("{name}_{}({z}, {slope})", a.name()),
            (a, Some(parameter)) => format!("{name}_{}({z}, {:?})", a.name(), parameter as f32),
            (a, None) => format!("{name}_{}({z})", a.name()),
        };
        let (first, weights, width) = (row(TensorKind::Bias), layout.offset / 4, 4 * vec4s);
        let _ = write!(
            text,
            "    var {to}: array<f32, {width}>;\n    \
             for (var j = 0u; j < {vec4s}u; j++) {{\n        \
             var z = {first};\n        \
             for (var i = 0u; i < {}u; i++) {{\n            \
             z += {from}[i] * {name}_weights[{weights}u + i * {vec4s}u + j];\n        }}\n",
            dense.inputs
        );
        let stored = match dense.normalization {
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
        text += &store(&stored);
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
                normalization::EPSILON as f32,
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
