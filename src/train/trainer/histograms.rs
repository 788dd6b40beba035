//! Histograms of the activations and gradients of every layer.

#[cfg(doc)]
use crate::error::Error;
use crate::{
    data::scaling::scaler::transform_inputs,
    engine::reference::Reference,
    error::Result,
    nn::parameters::LayerParameters,
    optim::optimizer::Optimizer,
    train::{
        histogram::{LayerHistogram, LayerQuantity},
        trainer::Trainer,
    },
    util::blocking::blocking,
};

impl Trainer {
    blocking! {
        /// Computes histograms of the activations and the weight gradients of every layer on a batch.
        ///
        /// The batch has the shapes of [`Trainer::step`], and each histogram has `bins` bins. The result has two
        /// histograms per layer, in the order of the layers, activations first. The trainer does not change.
        ///
        /// One thread of the host computes the activations in f64 ([`crate::reference`]), without dropout. Pass a few
        /// hundred rows for a large network. The gradients are those of [`Trainer::gradients`].
        ///
        /// # Errors
        /// - [`Error::InvalidSetting`] if `bins` is 0 or greater than 65,536.
        /// - The errors of [`Trainer::step`].
        pub fn histograms(&mut self, inputs: &[f32], targets: &[f32], bins: usize) -> Result<Vec<LayerHistogram>>
            = self.histograms_async(inputs, targets, bins);
    }

    /// The asynchronous form of [`Trainer::histograms`].
    ///
    /// # Errors
    /// As [`Trainer::histograms`].
    pub async fn histograms_async(
        &mut self,
        inputs: &[f32],
        targets: &[f32],
        bins: usize,
    ) -> Result<Vec<LayerHistogram>> {
        LayerHistogram::check(bins)?;
        let gradients = self.gradients_async(inputs, targets).await?;
        let parameters = self.parameters_async().await?;
        let reference = Reference::new(&self.network, self.settings.loss, Optimizer::sgd(0.0), &parameters)?;
        let inputs: Vec<f64> = transform_inputs(self.scaler(), inputs).iter().map(|x| f64::from(*x)).collect();
        let activations = reference.activations(&inputs)?;
        let mut histograms = Vec::with_capacity(2 * activations.len());
        let layers = self.network.layers().iter().zip(&activations).zip(&gradients).enumerate();
        for (index, ((layer, activations), LayerParameters { weight, .. })) in layers {
            let neurons = layer.outputs;
            let quantity = LayerQuantity::Activations;
            histograms.push(LayerHistogram::new(index, quantity, activations, bins, neurons, |i| i % neurons));
            let gradients: Vec<f64> = weight.iter().map(|gradient| f64::from(*gradient)).collect();
            let quantity = LayerQuantity::Gradients;
            histograms.push(LayerHistogram::new(index, quantity, &gradients, bins, neurons, |i| i / layer.inputs));
        }
        Ok(histograms)
    }
}
