//! What the tensors of a network are called in a file.

use std::collections::BTreeSet;

use crate::{
    error::{Error, Result, check_len},
    nn::{
        activation::Activation,
        network::{Dense, Network},
        normalization::Normalization,
        tensors::{TensorKind, TensorModule},
    },
};

/// What the modules of a network are called in a file: a tensor's name is its module's with `.weight` or `.bias` behind
/// it, or of a batch norm `.running_mean`, `.running_var` and `.num_batches_tracked`, as PyTorch's `state_dict` has them.
///
/// ```
/// use gradus::{Activation, Network, model::Names};
/// let network = Network::new(784).dense(30, Activation::Relu).batch_norm().dense(10, Activation::Identity);
/// // nn.Sequential(nn.Linear(784, 30), nn.BatchNorm1d(30), nn.ReLU(), nn.Linear(30, 10))
/// let names = Names::sequential(&network);
/// assert_eq!((&names.dense[..], &names.norms[..]), (&["0".to_owned(), "3".into()][..], &["1".to_owned()][..]));
/// // self.fc1, self.bn1, self.fc2
/// let names = Names { dense: vec!["fc1".into(), "fc2".into()], norms: vec!["bn1".into()], ..Names::default() };
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TensorNames {
    /// One for each layer's weights and biases.
    pub dense: Vec<String>,
    /// One for each norm, of the layers that have one.
    pub normalizations: Vec<String>,
    /// One for each vector of learned slopes, of the layers that have one.
    pub prelus: Vec<String>,
}

impl TensorNames {
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
            if layer.normalization.is_some() {
                names.normalizations.push(next());
            }
            if layer.activation != Activation::Identity {
                let name = next();
                if layer.activation.has_parameters() {
                    names.prelus.push(name);
                }
            }
            if layer.dropout > 0.0 {
                next();
            }
        }
        names
    }

    /// The names of the modules of one kind.
    fn module_names(&self, module: TensorModule) -> &[String] {
        match module {
            TensorModule::Dense => &self.dense,
            TensorModule::Normalization => &self.normalizations,
            TensorModule::Activation => &self.prelus,
        }
    }

    /// Refuses names that are not as many as there are modules, or not all different.
    pub(crate) fn check(&self, network: &Network) -> Result<()> {
        for (module, what) in [
            (TensorModule::Dense, "names of layers"),
            (TensorModule::Normalization, "names of norms"),
            (TensorModule::Activation, "names of slopes"),
        ] {
            let has = |layer: &&Dense| layer.tensors().iter().any(|tensor| tensor.kind.module() == module);
            check_len(what, network.layers().iter().filter(has).count(), self.module_names(module).len())?;
        }
        let mut seen = BTreeSet::new();
        for name in self.dense.iter().chain(&self.normalizations).chain(&self.prelus) {
            if !seen.insert(name) {
                let (expected, got) = ("a name of its own".to_owned(), format!("{name} twice"));
                return Err(Error::InvalidSetting { name: "name of a module", expected, got });
            }
        }
        Ok(())
    }

    /// The tensors that a network has by its names, which [`TensorNames::check`] has accepted.
    pub(crate) fn tensors(&self, network: &Network) -> Vec<Tensor> {
        let mut tensors = Vec::new();
        let mut names = [TensorModule::Dense, TensorModule::Normalization, TensorModule::Activation]
            .map(|module| (module, self.module_names(module).iter()));
        for (layer, dense) in network.layers().iter().enumerate() {
            let specs = dense.tensors();
            for (module, names) in &mut names {
                let mut specs = specs.iter().filter(|spec| spec.kind.module() == *module).peekable();
                let Some(name) = specs.peek().and_then(|_| names.next()) else { continue };
                for spec in specs {
                    let name = format!("{name}.{}", spec.kind.name_in_module());
                    tensors.push(Tensor { name, shape: spec.shape(), layer, kind: spec.kind });
                }
            }
        }
        tensors
    }

    /// PyTorch's counters of the batches that batch norms have seen, which say nothing here: their momentum is a constant.
    pub(crate) fn batch_counters(&self, network: &Network) -> Vec<String> {
        let norms = network.layers().iter().filter_map(|layer| layer.normalization).zip(&self.normalizations);
        norms
            .filter(|(norm, _)| *norm == Normalization::Batch)
            .map(|(_, name)| format!("{name}.num_batches_tracked"))
            .collect()
    }
}

/// One tensor of a network in a file.
pub(crate) struct Tensor {
    pub(crate) name: String,
    /// In PyTorch's layout.
    pub(crate) shape: Vec<usize>,
    /// The number of its layer.
    pub(crate) layer: usize,
    pub(crate) kind: TensorKind,
}
