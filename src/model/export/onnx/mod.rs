//! ONNX: a trained network as a graph of operators that other programs run.

pub(crate) mod proto;

use std::path::Path;

use prost::{EncodeError, Message};

use crate::{
    error::{Error, Result, room},
    model::{
        Model,
        export::onnx::proto::{
            AttributeProto, Dimension, FLOAT, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
            StringStringEntryProto, TensorProto, TensorShapeProto, TensorType, TypeProto, ValueInfoProto,
        },
    },
    nn::{
        activation::{Activation, SELU},
        layout::LayerParameters,
        network::Dense,
        normalization::Norm,
        tensors::TensorKind,
    },
};

/// The first version of the operators that has them all: 20 brought Gelu. The format's version 9 belongs to it.
const OPERATORS: i64 = 20;
const FORMAT: i64 = 9;
/// The most bytes of a protobuf message.
const MOST: usize = (2 << 30) - 1;

impl Model {
    /// The bytes of an ONNX file that other programs run: `input`, `[rows, inputs]`, becomes `output`, `[rows, outputs]`, for
    /// any number of rows, raw inputs scaled first if the model has a scaler. The notes go with it.
    ///
    /// # Errors
    /// As [`Model::new`]; [`Error::Setting`] for an activation of the caller's own, and beyond 2 GiB.
    pub fn to_onnx(&self) -> Result<Vec<u8>> {
        self.check()?;
        bytes(self)
    }

    /// Writes [`Model::to_onnx`] to a file.
    ///
    /// # Errors
    /// As there, and [`Error::File`].
    pub fn save_onnx(&self, path: impl AsRef<Path>) -> Result<()> {
        crate::util::files::write(path.as_ref(), &self.to_onnx()?)
    }
}

fn bytes(model: &Model) -> Result<Vec<u8>> {
    let network = &model.network;
    let mut graph = Graph { nodes: Vec::new(), tensors: Vec::new(), last: "input".to_owned() };
    if let Some(scaler) = &model.scaler {
        let origin = Some(("Sub", "origin", scaler.origin())).filter(|(.., values)| !values.is_empty());
        let rest = [("Sub", "shift", scaler.shift()), ("Mul", "factor", scaler.factor())];
        for (operator, name, values) in origin.into_iter().chain(rest) {
            graph.tensor(&format!("scaler.{name}"), &[values.len()], values)?;
            graph.node(operator, &[&format!("scaler.{name}")], &[]);
        }
    }
    for (i, (dense, parameters)) in network.layers().iter().zip(&model.parameters).enumerate() {
        graph.layer(i, dense, parameters)?;
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
    let note = |(key, value): (&String, &String)| StringStringEntryProto { key: key.clone(), value: value.clone() };
    let file = ModelProto {
        ir_version: FORMAT,
        producer_name: "gradus".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPERATORS }],
        metadata_props: model.notes.iter().map(note).collect(),
    };
    if file.encoded_len() > MOST {
        let (expected, got) = (format!("at most {MOST}, as protobuf has it"), file.encoded_len().to_string());
        return Err(Error::Setting { what: "bytes of an ONNX file", expected, got });
    }
    let mut content = room(file.encoded_len(), "the content of an ONNX file")?;
    // What it has room for it does not refuse.
    let refused = |error: EncodeError| Error::Internal { what: "an ONNX file".into(), why: error.to_string() };
    file.encode(&mut content).map_err(refused)?;
    Ok(content)
}

/// The name of a tensor of layer `i`.
fn name_of(i: usize, kind: TensorKind) -> String {
    format!("{i}.{}", kind.name())
}

/// A graph that grows by its end.
struct Graph {
    nodes: Vec<NodeProto>,
    tensors: Vec<TensorProto>,
    /// What the last node gives.
    last: String,
}

impl Graph {
    fn tensor(&mut self, name: &str, sizes: &[usize], values: &[f32]) -> Result<()> {
        let mut raw_data = room(size_of_val(values), name)?;
        raw_data.extend_from_slice(bytemuck::cast_slice(values));
        self.tensors.push(TensorProto {
            dims: sizes.iter().map(|size| *size as i64).collect(),
            data_type: FLOAT,
            name: name.to_owned(),
            raw_data,
        });
        Ok(())
    }

    /// A node that takes what the last one gives, and then others.
    fn node(&mut self, operator: &str, others: &[&str], attributes: &[(&str, Attribute)]) {
        let name = format!("{}.{}", self.nodes.len(), operator.to_lowercase());
        let last = std::mem::replace(&mut self.last, name.clone());
        let others = others.iter().map(|other| (*other).to_owned());
        self.nodes.push(NodeProto {
            input: std::iter::once(last).chain(others).collect(),
            output: vec![name.clone()],
            name,
            op_type: operator.to_owned(),
            attribute: attributes.iter().map(|(name, value)| value.proto(name)).collect(),
        });
    }

    /// A node that takes what the last one gives, and then tensors of a layer.
    fn node_of(&mut self, i: usize, operator: &str, tensors: &[TensorKind], attributes: &[(&str, Attribute)]) {
        let names: Vec<String> = tensors.iter().map(|kind| name_of(i, *kind)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.node(operator, &names, attributes);
    }

    /// A layer: `activation(norm(x W^T + b))`.
    fn layer(&mut self, i: usize, dense: &Dense, parameters: &LayerParameters) -> Result<()> {
        for spec in dense.tensors() {
            self.tensor(&name_of(i, spec.kind), &spec.shape(), parameters.tensor(spec.kind))?;
        }
        self.node_of(i, "Gemm", &[TensorKind::Weight, TensorKind::Bias], &[("transB", Attribute::Int(1))]);
        let epsilon = ("epsilon", Attribute::Float(crate::nn::normalization::EPSILON));
        match dense.norm {
            None => {}
            Some(Norm::Layer) => {
                let attributes = [("axis", Attribute::Int(-1)), epsilon];
                self.node_of(i, "LayerNormalization", &[TensorKind::Gamma, TensorKind::Beta], &attributes);
            }
            Some(Norm::Batch) => {
                let tensors = [TensorKind::Gamma, TensorKind::Beta, TensorKind::RunningMean, TensorKind::RunningVar];
                self.node_of(i, "BatchNormalization", &tensors, &[epsilon]);
            }
        }
        self.activation(i, dense.activation)
    }

    fn activation(&mut self, i: usize, activation: Activation) -> Result<()> {
        let float = |name, number| (name, Attribute::Float(number));
        let z = self.last.clone();
        match activation {
            Activation::Identity => {}
            Activation::Sigmoid => self.node("Sigmoid", &[], &[]),
            Activation::Tanh => self.node("Tanh", &[], &[]),
            Activation::Relu => self.node("Relu", &[], &[]),
            Activation::LeakyRelu { slope } => self.node("LeakyRelu", &[], &[float("alpha", slope)]),
            Activation::Elu { alpha } => self.node("Elu", &[], &[float("alpha", alpha)]),
            Activation::Selu => self.node("Selu", &[], &[float("gamma", SELU[0]), float("alpha", SELU[1])]),
            Activation::Gelu => self.node("Gelu", &[], &[("approximate", Attribute::Text("none"))]),
            Activation::GeluTanh => self.node("Gelu", &[], &[("approximate", Attribute::Text("tanh"))]),
            Activation::Silu => {
                self.node("Sigmoid", &[], &[]);
                self.node("Mul", &[&z], &[]);
            }
            Activation::Mish => self.node("Mish", &[], &[]),
            Activation::Softplus => self.node("Softplus", &[], &[]),
            Activation::Softsign => self.node("Softsign", &[], &[]),
            Activation::HardSigmoid => {
                self.node("HardSigmoid", &[], &[float("alpha", 1.0 / 6.0), float("beta", 0.5)]);
            }
            Activation::HardTanh => {
                let [low, high] = [format!("{i}.low"), format!("{i}.high")];
                self.tensor(&low, &[], &[-1.0])?;
                self.tensor(&high, &[], &[1.0])?;
                self.node("Clip", &[&low, &high], &[]);
            }
            Activation::Sine { frequency } => {
                let name = format!("{i}.frequency");
                self.tensor(&name, &[], &[frequency as f32])?;
                self.node("Mul", &[&name], &[]);
                self.node("Sin", &[], &[]);
            }
            Activation::Gaussian => {
                self.node("Mul", &[&z], &[]);
                self.node("Neg", &[], &[]);
                self.node("Exp", &[], &[]);
            }
            Activation::Prelu { .. } => self.node_of(i, "PRelu", &[TensorKind::PreluSlope], &[]),
            Activation::Softmax => self.node("Softmax", &[], &[("axis", Attribute::Int(-1))]),
            Activation::Custom(custom) => {
                let (expected, got) = ("one that ONNX has".to_owned(), format!("{}, the caller's own", custom.name()));
                return Err(Error::Setting { what: "activation to export", expected, got });
            }
        }
        Ok(())
    }
}

/// What an attribute may be.
#[derive(Clone, Copy)]
enum Attribute {
    Float(f64),
    Int(i64),
    Text(&'static str),
}

impl Attribute {
    fn proto(self, name: &str) -> AttributeProto {
        let blank = AttributeProto { name: name.to_owned(), ..AttributeProto::default() };
        // The numbers of `AttributeProto.AttributeType`.
        match self {
            Self::Float(number) => AttributeProto { f: Some(number as f32), r#type: 1, ..blank },
            Self::Int(number) => AttributeProto { i: Some(number), r#type: 2, ..blank },
            Self::Text(text) => AttributeProto { s: Some(text.as_bytes().to_vec()), r#type: 3, ..blank },
        }
    }
}
