//! The export to ONNX: a trained network as a graph of operators.

pub(crate) mod proto;

use std::path::Path;

use prost::{EncodeError, Message};

use crate::{
    error::{Error, Result, try_with_capacity},
    model::{
        Model,
        export::onnx::proto::{
            AttributeProto, Dimension, FLOAT, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
            StringStringEntryProto, TensorProto, TensorShapeProto, TensorType, TypeProto, ValueInfoProto,
        },
    },
    nn::{
        activation::{Activation, formulas::SELU},
        dense::Dense,
        normalization::{self, Normalization},
        parameters::LayerParameters,
        tensors::TensorKind,
    },
    util::files,
};

/// The minimum operator set that has all operators: version 20 added Gelu.
const OPSET_VERSION: i64 = 20;
/// The version of the file format that belongs to the operator set.
const IR_VERSION: i64 = 9;
/// The maximum size of a protobuf message.
const MAX_PROTOBUF_BYTES: usize = (2 << 30) - 1;

impl Model {
    /// Returns the bytes of an ONNX file of the model.
    ///
    /// The graph maps `input`, `[rows, inputs]`, to `output`, `[rows, outputs]`, for any number of rows. If the model
    /// has a scaler, the graph scales raw inputs first. The file contains the metadata of the model.
    ///
    /// # Errors
    /// - [`Error::InvalidSetting`] if the network has a custom activation.
    /// - [`Error::InvalidSetting`] if the file would exceed 2 GiB.
    /// - The errors of [`Model::new`], because the caller may have changed the fields.
    pub fn to_onnx(&self) -> Result<Vec<u8>> {
        self.check()?;
        encode_model(self)
    }

    /// Saves the model to an ONNX file; see [`Model::to_onnx`]. Saving is atomic.
    ///
    /// # Errors
    /// - [`Error::Io`] if the file cannot be written.
    /// - The errors of [`Model::to_onnx`].
    pub fn save_onnx(&self, path: impl AsRef<Path>) -> Result<()> {
        files::write(path.as_ref(), &self.to_onnx()?)
    }
}

/// Encodes the model as an ONNX file.
fn encode_model(model: &Model) -> Result<Vec<u8>> {
    let network = &model.network;
    let mut graph = Graph { nodes: Vec::new(), tensors: Vec::new(), last_output: "input".to_owned() };
    if let Some(scaler) = &model.scaler {
        let origin = Some(("Sub", "origin", scaler.origin())).filter(|(.., values)| !values.is_empty());
        let rest = [("Sub", "shift", scaler.offset()), ("Mul", "factor", scaler.scale())];
        for (operator, name, values) in origin.into_iter().chain(rest) {
            graph.add_tensor(&format!("scaler.{name}"), &[values.len()], values)?;
            graph.add_node(operator, &[&format!("scaler.{name}")], &[]);
        }
    }
    for (i, (dense, parameters)) in network.layers().iter().zip(&model.parameters).enumerate() {
        graph.add_layer(i, dense, parameters)?;
    }
    if let Some(node) = graph.nodes.last_mut() {
        node.output = vec!["output".to_owned()];
    }
    let value = |name: &str, columns: usize| {
        let rows = Dimension { dim_value: None, dim_param: Some("rows".into()) };
        let columns = Dimension { dim_value: Some(columns as i64), dim_param: None };
        let shape = Some(TensorShapeProto { dim: vec![rows, columns] });
        let tensor_type = Some(TensorType { elem_type: FLOAT, shape });
        ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { tensor_type }) }
    };
    let graph = GraphProto {
        node: graph.nodes,
        name: "gradus".to_owned(),
        initializer: graph.tensors,
        input: vec![value("input", network.inputs())],
        output: vec![value("output", network.outputs())],
    };
    let entry = |(key, value): (&String, &String)| StringStringEntryProto { key: key.clone(), value: value.clone() };
    let file = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "gradus".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET_VERSION }],
        metadata_props: model.metadata.iter().map(entry).collect(),
    };
    if file.encoded_len() > MAX_PROTOBUF_BYTES {
        let expected = format!("at most {MAX_PROTOBUF_BYTES} bytes, the limit of protobuf");
        return Err(Error::InvalidSetting { name: "ONNX file", expected, got: file.encoded_len().to_string() });
    }
    let mut content = try_with_capacity(file.encoded_len(), "the content of an ONNX file")?;
    // Encoding cannot fail: the buffer has the encoded length.
    let internal = |error: EncodeError| Error::Internal { context: "ONNX file".into(), reason: error.to_string() };
    file.encode(&mut content).map_err(internal)?;
    Ok(content)
}

/// Returns the name of a tensor of layer `i`.
fn tensor_name(i: usize, kind: TensorKind) -> String {
    format!("{i}.{}", kind.name())
}

/// A graph to which nodes are appended.
struct Graph {
    nodes: Vec<NodeProto>,
    tensors: Vec<TensorProto>,
    /// The name of the output of the last node.
    last_output: String,
}

impl Graph {
    /// Adds a constant tensor.
    fn add_tensor(&mut self, name: &str, shape: &[usize], values: &[f32]) -> Result<()> {
        let mut raw_data = try_with_capacity(size_of_val(values), name)?;
        raw_data.extend_from_slice(bytemuck::cast_slice(values));
        self.tensors.push(TensorProto {
            dims: shape.iter().map(|size| *size as i64).collect(),
            data_type: FLOAT,
            name: name.to_owned(),
            raw_data,
        });
        Ok(())
    }

    /// Appends a node whose inputs are the output of the last node and `others`.
    fn add_node(&mut self, operator: &str, others: &[&str], attributes: &[(&str, Attribute)]) {
        let name = format!("{}.{}", self.nodes.len(), operator.to_lowercase());
        let last = std::mem::replace(&mut self.last_output, name.clone());
        let others = others.iter().map(|other| (*other).to_owned());
        self.nodes.push(NodeProto {
            input: std::iter::once(last).chain(others).collect(),
            output: vec![name.clone()],
            name,
            op_type: operator.to_owned(),
            attribute: attributes.iter().map(|(name, value)| value.to_proto(name)).collect(),
        });
    }

    /// Appends a node whose inputs are the output of the last node and tensors of layer `i`.
    fn add_node_with_tensors(
        &mut self,
        i: usize,
        operator: &str,
        tensors: &[TensorKind],
        attributes: &[(&str, Attribute)],
    ) {
        let names: Vec<String> = tensors.iter().map(|kind| tensor_name(i, *kind)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.add_node(operator, &names, attributes);
    }

    /// Appends a layer: `activation(normalization(x W^T + b))`.
    fn add_layer(&mut self, i: usize, dense: &Dense, parameters: &LayerParameters) -> Result<()> {
        for spec in dense.tensors() {
            self.add_tensor(&tensor_name(i, spec.kind), &spec.shape(), parameters.tensor(spec.kind))?;
        }
        self.add_node_with_tensors(
            i,
            "Gemm",
            &[TensorKind::Weight, TensorKind::Bias],
            &[("transB", Attribute::Int(1))],
        );
        let epsilon = ("epsilon", Attribute::Float(normalization::EPSILON));
        match dense.normalization {
            None => {}
            Some(Normalization::Layer) => {
                let attributes = [("axis", Attribute::Int(-1)), epsilon];
                self.add_node_with_tensors(
                    i,
                    "LayerNormalization",
                    &[TensorKind::Gamma, TensorKind::Beta],
                    &attributes,
                );
            }
            Some(Normalization::Batch) => {
                let tensors = [TensorKind::Gamma, TensorKind::Beta, TensorKind::RunningMean, TensorKind::RunningVar];
                self.add_node_with_tensors(i, "BatchNormalization", &tensors, &[epsilon]);
            }
        }
        self.add_activation(i, dense.activation)
    }

    /// Appends the nodes of an activation.
    fn add_activation(&mut self, i: usize, activation: Activation) -> Result<()> {
        let float = |name, number| (name, Attribute::Float(number));
        let z = self.last_output.clone();
        match activation {
            Activation::Identity => {}
            Activation::Sigmoid => self.add_node("Sigmoid", &[], &[]),
            Activation::Tanh => self.add_node("Tanh", &[], &[]),
            Activation::Relu => self.add_node("Relu", &[], &[]),
            Activation::LeakyRelu { negative_slope: slope } => {
                self.add_node("LeakyRelu", &[], &[float("alpha", slope)])
            }
            Activation::Elu { alpha } => self.add_node("Elu", &[], &[float("alpha", alpha)]),
            Activation::Selu => self.add_node("Selu", &[], &[float("gamma", SELU[0]), float("alpha", SELU[1])]),
            Activation::Gelu => self.add_node("Gelu", &[], &[("approximate", Attribute::Text("none"))]),
            Activation::GeluTanh => self.add_node("Gelu", &[], &[("approximate", Attribute::Text("tanh"))]),
            Activation::Silu => {
                self.add_node("Sigmoid", &[], &[]);
                self.add_node("Mul", &[&z], &[]);
            }
            Activation::Mish => self.add_node("Mish", &[], &[]),
            Activation::Softplus => self.add_node("Softplus", &[], &[]),
            Activation::Softsign => self.add_node("Softsign", &[], &[]),
            Activation::HardSigmoid => {
                self.add_node("HardSigmoid", &[], &[float("alpha", 1.0 / 6.0), float("beta", 0.5)]);
            }
            Activation::HardTanh => {
                let [low, high] = [format!("{i}.low"), format!("{i}.high")];
                self.add_tensor(&low, &[], &[-1.0])?;
                self.add_tensor(&high, &[], &[1.0])?;
                self.add_node("Clip", &[&low, &high], &[]);
            }
            Activation::Sine { frequency } => {
                let name = format!("{i}.frequency");
                self.add_tensor(&name, &[], &[frequency as f32])?;
                self.add_node("Mul", &[&name], &[]);
                self.add_node("Sin", &[], &[]);
            }
            Activation::Gaussian => {
                self.add_node("Mul", &[&z], &[]);
                self.add_node("Neg", &[], &[]);
                self.add_node("Exp", &[], &[]);
            }
            Activation::Prelu { .. } => self.add_node_with_tensors(i, "PRelu", &[TensorKind::PreluSlope], &[]),
            Activation::Softmax => self.add_node("Softmax", &[], &[("axis", Attribute::Int(-1))]),
            Activation::Custom(custom) => {
                let expected = "a built-in activation for the export to ONNX".to_owned();
                let got = format!("the custom activation {}", custom.name());
                return Err(Error::InvalidSetting { name: "activation", expected, got });
            }
        }
        Ok(())
    }
}

/// The value of an attribute.
#[derive(Clone, Copy)]
enum Attribute {
    Float(f64),
    Int(i64),
    Text(&'static str),
}

impl Attribute {
    fn to_proto(self, name: &str) -> AttributeProto {
        let blank = AttributeProto { name: name.to_owned(), ..AttributeProto::default() };
        // The types are the values of `AttributeProto.AttributeType`.
        match self {
            Self::Float(number) => AttributeProto { f: Some(number as f32), r#type: 1, ..blank },
            Self::Int(number) => AttributeProto { i: Some(number), r#type: 2, ..blank },
            Self::Text(text) => AttributeProto { s: Some(text.as_bytes().to_vec()), r#type: 3, ..blank },
        }
    }
}
