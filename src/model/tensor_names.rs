//! The names of the tensors of a network in a file.

use std::collections::BTreeSet;

use crate::{
    error::{Error, Result, check_len},
    nn::{
        activation::Activation,
        dense::Dense,
        network::Network,
        normalization::Normalization,
        tensors::{TensorKind, TensorModule},
    },
};

/// The names of the modules of a network in a file.
///
/// The name of a tensor is the name of its module and `.weight` or `.bias`. A batch normalization also has
/// `.running_mean`, `.running_var` and `.num_batches_tracked`. These are the names of PyTorch's `state_dict`.
///
/// ```
/// use gradus::{Activation, Network, model::TensorNames};
/// let network = Network::new(784).dense(30, Activation::Relu).batch_norm().dense(10, Activation::Identity);
/// // nn.Sequential(nn.Linear(784, 30), nn.BatchNorm1d(30), nn.ReLU(), nn.Linear(30, 10))
/// let names = TensorNames::sequential(&network);
/// assert_eq!(names.dense, ["0", "3"]);
/// assert_eq!(names.normalizations, ["1"]);
/// // self.fc1, self.bn1, self.fc2
/// let names = TensorNames {
///     dense: vec!["fc1".into(), "fc2".into()],
///     normalizations: vec!["bn1".into()],
///     ..TensorNames::default()
/// };
/// ```
#[doc(alias = "state_dict")]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TensorNames {
    /// The names of the dense layers, one per layer.
    pub dense: Vec<String>,
    /// The names of the normalizations, one per layer that has one.
    pub normalizations: Vec<String>,
    /// The names of the PReLU activations, one per layer that has one.
    pub prelus: Vec<String>,
}

impl TensorNames {
    /// Returns the indices of the modules in an `nn.Sequential` of PyTorch.
    ///
    /// Each layer is an `nn.Linear`, followed by the normalization, the activation and the dropout of the layer, if
    /// there are any. The identity activation is not a module.
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

    /// Returns the names of the modules of one kind.
    fn module_names(&self, module: TensorModule) -> &[String] {
        match module {
            TensorModule::Dense => &self.dense,
            TensorModule::Normalization => &self.normalizations,
            TensorModule::Activation => &self.prelus,
        }
    }

    /// Returns an error if the number of names differs from the number of modules, or if two names are equal.
    pub(crate) fn check(&self, network: &Network) -> Result<()> {
        for (module, field) in [
            (TensorModule::Dense, "TensorNames::dense"),
            (TensorModule::Normalization, "TensorNames::normalizations"),
            (TensorModule::Activation, "TensorNames::prelus"),
        ] {
            let has_module = |layer: &&Dense| layer.tensors().iter().any(|tensor| tensor.kind.module() == module);
            let expected = network.layers().iter().filter(has_module).count();
            check_len(field, expected, self.module_names(module).len())?;
        }
        let mut seen = BTreeSet::new();
        for name in self.dense.iter().chain(&self.normalizations).chain(&self.prelus) {
            if !seen.insert(name) {
                let (expected, got) = ("unique names".to_owned(), format!("{name} twice"));
                return Err(Error::InvalidSetting { name: "TensorNames", expected, got });
            }
        }
        Ok(())
    }

    /// Returns the tensors of a network with their names. [`TensorNames::check`] must have accepted the names.
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

    /// Returns the names of the batch counters that PyTorch stores for batch normalizations. gradus ignores them,
    /// because it uses a constant momentum.
    pub(crate) fn batch_counters(&self, network: &Network) -> Vec<String> {
        let normalizations = network.layers().iter().filter_map(|layer| layer.normalization).zip(&self.normalizations);
        normalizations
            .filter(|(normalization, _)| *normalization == Normalization::Batch)
            .map(|(_, name)| format!("{name}.num_batches_tracked"))
            .collect()
    }
}

/// A tensor of a network in a file.
pub(crate) struct Tensor {
    pub(crate) name: String,
    /// The shape in PyTorch's layout.
    pub(crate) shape: Vec<usize>,
    /// The index of the layer.
    pub(crate) layer: usize,
    pub(crate) kind: TensorKind,
}
