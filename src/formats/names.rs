//! What the tensors of a network are called in a file.

use std::collections::BTreeSet;

use crate::{Activation, Error, LayerParameters, Network, Norm, Result, error::check_len, network::Dense};

/// What the modules of a network are called in a file: a tensor's name is its module's with `.weight` or `.bias` behind
/// it, or of a batch norm `.running_mean`, `.running_var` and `.num_batches_tracked`, as PyTorch's `state_dict` has them.
///
/// ```
/// use gradus::{Activation, Names, Network};
/// let network = Network::new(784).dense(30, Activation::Relu).batch_norm().dense(10, Activation::Identity);
/// // nn.Sequential(nn.Linear(784, 30), nn.BatchNorm1d(30), nn.ReLU(), nn.Linear(30, 10))
/// let names = Names::sequential(&network);
/// assert_eq!((&names.dense[..], &names.norms[..]), (&["0".to_owned(), "3".into()][..], &["1".to_owned()][..]));
/// // self.fc1, self.bn1, self.fc2
/// let names = Names { dense: vec!["fc1".into(), "fc2".into()], norms: vec!["bn1".into()], ..Names::default() };
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// One for each layer's weights and biases.
    pub dense: Vec<String>,
    /// One for each norm, of the layers that have one.
    pub norms: Vec<String>,
    /// One for each vector of learned slopes, of the layers that have one.
    pub slopes: Vec<String>,
}

impl Names {
    /// The numbers of the modules in an `nn.Sequential` of PyTorch that has for each layer an `nn.Linear`, its norm if it
    /// has one, its activation unless that is the identity, and its dropout if it has one.
    pub fn sequential(network: &Network) -> Self {
        let mut names = Self::default();
        let mut count = 0;
        let mut next = || {
            count += 1;
            (count - 1).to_string()
        };
        for layer in network.layers() {
            names.dense.push(next());
            if layer.norm.is_some() {
                names.norms.push(next());
            }
            if layer.activation != Activation::Identity {
                let name = next();
                if layer.activation.is_learned() {
                    names.slopes.push(name);
                }
            }
            if layer.dropout > 0.0 {
                next();
            }
        }
        names
    }

    /// Refuses names that are not as many as there are modules, or not all different.
    pub(super) fn check(&self, network: &Network) -> Result<()> {
        let count = |has: fn(&Dense) -> bool| network.layers().iter().filter(|layer| has(layer)).count();
        check_len("names of layers", network.layers().len(), self.dense.len())?;
        check_len("names of norms", count(|layer| layer.norm.is_some()), self.norms.len())?;
        check_len("names of slopes", count(|layer| layer.activation.is_learned()), self.slopes.len())?;
        let mut seen = BTreeSet::new();
        let mut all = self.dense.iter().chain(&self.norms).chain(&self.slopes);
        match all.find(|name| !seen.insert(*name)) {
            None => Ok(()),
            Some(twice) => {
                let (expected, got) = ("a name of its own".to_owned(), format!("{twice} twice"));
                Err(Error::Setting { what: "name of a module", expected, got })
            }
        }
    }

    /// The tensors that a network has by its names: each with its shape and where in the layers' parameters it lies.
    pub(super) fn tensors(&self, network: &Network) -> Vec<Tensor> {
        let (mut norms, mut slopes) = (self.norms.iter(), self.slopes.iter());
        let mut tensors = Vec::new();
        for (layer, (dense, name)) in network.layers().iter().zip(&self.dense).enumerate() {
            let vector = vec![dense.outputs];
            let mut push = |name: String, shape: &[usize], place: Place| {
                tensors.push(Tensor { name, shape: shape.to_vec(), layer, place });
            };
            push(format!("{name}.weight"), &[dense.outputs, dense.inputs], (|l| &l.weight, |l| &mut l.weight));
            push(format!("{name}.bias"), &vector, (|l| &l.bias, |l| &mut l.bias));
            if let Some((norm, name)) = dense.norm.and_then(|norm| Some((norm, norms.next()?))) {
                push(format!("{name}.weight"), &vector, (|l| &l.gain, |l| &mut l.gain));
                push(format!("{name}.bias"), &vector, (|l| &l.shift, |l| &mut l.shift));
                if norm == Norm::Batch {
                    push(format!("{name}.running_mean"), &vector, (|l| &l.running_mean, |l| &mut l.running_mean));
                    push(
                        format!("{name}.running_var"),
                        &vector,
                        (|l| &l.running_variance, |l| &mut l.running_variance),
                    );
                }
            }
            if let Some(name) = dense.activation.is_learned().then(|| slopes.next()).flatten() {
                push(format!("{name}.weight"), &vector, (|l| &l.slope, |l| &mut l.slope));
            }
        }
        tensors
    }

    /// PyTorch's counters of the batches that batch norms have seen, which say nothing here: their momentum is a constant.
    pub(super) fn counters(&self, network: &Network) -> Vec<String> {
        let norms = network.layers().iter().filter_map(|layer| layer.norm).zip(&self.norms);
        norms.filter(|(norm, _)| *norm == Norm::Batch).map(|(_, name)| format!("{name}.num_batches_tracked")).collect()
    }
}

/// Where in a layer's parameters a tensor lies, to be read and to be written.
type Place = (fn(&LayerParameters) -> &Vec<f32>, fn(&mut LayerParameters) -> &mut Vec<f32>);

/// One tensor of a network in a file.
pub(super) struct Tensor {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) layer: usize,
    pub(super) place: Place,
}

impl Tensor {
    /// Whether it belongs to the running statistics, which are neither learned nor have gradients.
    pub(super) fn runs(&self) -> bool {
        self.name.ends_with(".running_mean") || self.name.ends_with(".running_var")
    }
}
