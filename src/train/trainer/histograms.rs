//! How the activations and the gradients of every layer are spread on a batch.

#[cfg(doc)]
use crate::error::Error;
use crate::{
    data::scaling::transform_inputs,
    engine::reference::Reference,
    error::Result,
    nn::layout::LayerParameters,
    optim::optimizer::Optimizer,
    train::{
        histogram::{LayerHistogram, LayerQuantity},
        trainer::Trainer,
    },
    util::blocking::blocking,
};

impl Trainer {
    blocking! {
        /// How the activations and the weights' gradients of every layer are spread on a batch of the caller's, shaped
        /// as for [`Trainer::step`], in so many bins each: layer by layer, the activations first. Changes nothing.
        ///
        /// The activations are those of a prediction, computed on the host by [`crate::engine::reference`], in f64 and by
        /// one thread: on a large network rather ask for some hundred rows. The gradients are those of
        /// [`Trainer::gradients`].
        ///
        /// # Errors
        /// [`Error::InvalidSetting`] for no bins or more than 65,536, and as [`Trainer::step`].
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
        let mut all = Vec::with_capacity(2 * activations.len());
        let layers = self.network.layers().iter().zip(&activations).zip(&gradients).enumerate();
        for (number, ((layer, activations), LayerParameters { weight, .. })) in layers {
            let neurons = layer.outputs;
            let of = (number, LayerQuantity::Activations);
            all.push(LayerHistogram::new(of, activations, (neurons, |at| at % neurons), bins));
            let weight: Vec<f64> = weight.iter().map(|g| f64::from(*g)).collect();
            let of = (number, LayerQuantity::Gradients);
            all.push(LayerHistogram::new(of, &weight, (neurons, |at| at / layer.inputs), bins));
        }
        Ok(all)
    }
}
