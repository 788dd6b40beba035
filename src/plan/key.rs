//! The key of a plan: the device, driver, version, network and batch size that it was made for.

use crate::{error::Result, nn::network::Network, plan::parse::plan_error};

/// The key of a plan. Bits are reproducible only if all fields are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlanKey {
    /// The version of gradus.
    pub(crate) gradus: String,
    pub(crate) device: String,
    pub(crate) driver: String,
    /// The number of inputs and the widths of the layers, for example `784-30-10`.
    pub(crate) network: String,
    /// The batch size.
    pub(crate) batch: String,
}

impl PlanKey {
    /// Creates the key for this version of gradus. Line breaks in the names of the device and the driver become spaces.
    pub(crate) fn new(device: String, driver: String, network: &Network, batch_size: usize) -> Self {
        let widths = std::iter::once(network.inputs()).chain(network.layers().iter().map(|layer| layer.outputs));
        let network = widths.map(|width| width.to_string()).collect::<Vec<_>>().join("-");
        let single_line = |text: String| text.replace('\n', " ").trim().to_owned();
        Self {
            gradus: env!("CARGO_PKG_VERSION").to_owned(),
            device: single_line(device),
            driver: single_line(driver),
            network,
            batch: batch_size.to_string(),
        }
    }

    /// Returns the number of layers of the network.
    pub(crate) fn layers(&self) -> usize {
        self.network.split('-').count().saturating_sub(1)
    }

    /// Returns the name and the value of each field, in the order of the text of a plan.
    pub(crate) fn lines(&self) -> [(&'static str, &str); 5] {
        let Self { gradus, device, driver, network, batch } = self;
        [("gradus", gradus), ("device", device), ("driver", driver), ("network", network), ("batch", batch)]
    }

    /// Returns an error with the first field of `pinned` that differs.
    pub(crate) fn check(&self, pinned: &Self) -> Result<()> {
        for ((field, expected), (_, got)) in self.lines().into_iter().zip(pinned.lines()) {
            if expected != got {
                return Err(plan_error(field, expected, got));
            }
        }
        Ok(())
    }
}
