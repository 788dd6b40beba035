//! How the activations and the gradients of every layer are spread on a batch.

use super::Trainer;
use crate::{
    LayerHistogram, LayerParameters, LayerValues, Optimizer, Result, cpu::reference::Reference, scaling::scaled,
};

impl Trainer {
    /// [`Trainer::histograms`], asynchronously.
    ///
    /// # Errors
    /// As [`Trainer::histograms`].
    pub async fn histograms_async(
        &mut self,
        inputs: &[f32],
        expected: &[f32],
        bins: usize,
    ) -> Result<Vec<LayerHistogram>> {
        LayerHistogram::check(bins)?;
        let gradients = self.gradients_async(inputs, expected).await?;
        let parameters = self.parameters_async().await?;
        let reference = Reference::new(&self.network, self.settings.loss, Optimizer::sgd(0.0), &parameters)?;
        let inputs: Vec<f64> = scaled(self.scaler.as_deref(), inputs).iter().map(|x| f64::from(*x)).collect();
        let activations = reference.activations(&inputs)?;
        let mut all = Vec::with_capacity(2 * activations.len());
        let layers = self.network.layers().iter().zip(&activations).zip(&gradients).enumerate();
        for (number, ((layer, activations), LayerParameters { weight, .. })) in layers {
            let neurons = layer.outputs;
            let of = (number, LayerValues::Activations);
            all.push(LayerHistogram::new(of, activations, (neurons, |at| at % neurons), bins));
            let weight: Vec<f64> = weight.iter().map(|g| f64::from(*g)).collect();
            let of = (number, LayerValues::Gradients);
            all.push(LayerHistogram::new(of, &weight, (neurons, |at| at / layer.inputs), bins));
        }
        Ok(all)
    }
}
