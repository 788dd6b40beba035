//! The code that classifiers and regressors share: fits, partial fits and outputs.

use crate::{
    data::{
        dataset::Dataset,
        features::{Features, check_same_scale},
        scaling::scaler::Scaler,
        split::Split,
    },
    device::{Device, DeviceRequest},
    error::{Error, Result},
    estimator::settings::{LearningRate, MlpSettings},
    nn::{activation::Activation, loss::Loss},
    train::{
        callback::{CallbackAction, Progress},
        history::History,
        policies::monitor::Monitor,
        settings::TrainerSettings,
        trainer::Trainer,
        training_loop::{TrainingLoop, Validation},
    },
    util::rng::Rng,
};

/// The output layer, the loss and the validation metric of a task.
pub(crate) struct OutputHead {
    pub(crate) outputs: usize,
    pub(crate) activation: Activation,
    pub(crate) loss: Loss,
    /// Whether the validation set holds the same fraction of every class.
    pub(crate) stratified: bool,
    /// The validation score of early stopping.
    pub(crate) validation_monitor: Monitor,
}

/// The result of a fit.
pub(crate) struct FittedState {
    pub(crate) trainer: Trainer,
    pub(crate) history: History,
    pub(crate) loss_curve: Vec<f64>,
}

/// The learning rate at which a fit with an adaptive rate stops.
const ADAPTIVE_MIN_RATE: f64 = 1e-6;

/// The divisor of an adaptive learning rate.
const ADAPTIVE_DIVISOR: f64 = 5.0;

impl FittedState {
    /// Fits a new network to a data set.
    pub(crate) async fn fit(settings: &MlpSettings, head: &OutputHead, data: &Dataset) -> Result<Self> {
        settings.check()?;
        let mut training_loop = TrainingLoop::new(settings.max_iter);
        let mut train = data.clone();
        if settings.early_stopping {
            let split = Split { fraction: settings.validation_fraction, stratified: head.stratified };
            let (rest, held_out) = data.split(&split, settings.random_state)?;
            if held_out.rows() < 2 {
                return Err(Error::InvalidSetting {
                    name: "validation_fraction",
                    expected: "a validation set of at least 2 rows".into(),
                    got: format!("{} of {} rows; increase validation_fraction", held_out.rows(), data.rows()),
                });
            }
            train = rest;
            training_loop.validation = Validation::Data(held_out);
        }
        if let Some(scaling) = settings.scaling {
            let scaler = Scaler::fit(scaling, &train);
            train = train.with_scaler(&scaler)?;
        }
        let batch_size = settings.max_batch_size().min(train.rows());
        let mut trainer = build_trainer(settings, head, data.inputs(), Some(&train), batch_size, train.rows()).await?;
        let mut tracker = ImprovementTracker::default();
        let callback = async |progress: &mut Progress<'_>| tracker.decide(settings, head, progress).await;
        let mut history = training_loop.run_with_callback_async(&mut trainer, callback).await?;
        history.best_epoch = tracker.best_epoch;
        if settings.early_stopping && trainer.has_snapshot() {
            trainer.restore()?;
        }
        let loss_curve = history.epochs.iter().map(|epoch| epoch.loss).collect();
        Ok(Self { trainer, history, loss_curve })
    }

    /// Creates an untrained network for partial fits.
    pub(crate) async fn untrained(settings: &MlpSettings, head: &OutputHead, inputs: usize) -> Result<Self> {
        settings.check()?;
        if settings.scaling.is_some() {
            let message = "partial_fit cannot fit the scaler; call fit first, or remove scaling".to_owned();
            return Err(Error::InvalidState { message });
        }
        let batch_size = settings.max_batch_size();
        let trainer = build_trainer(settings, head, inputs, None, batch_size, batch_size).await?;
        Ok(Self { trainer, history: History::default(), loss_curve: Vec::new() })
    }

    /// Trains one epoch on a data set with manual steps.
    pub(crate) async fn partial_fit(&mut self, settings: &MlpSettings, data: &Dataset) -> Result<()> {
        let trainer = &mut self.trainer;
        let (inputs, outputs) = (trainer.network().inputs(), trainer.network().outputs());
        data.check_shape(inputs, outputs)?;
        trainer.set_byte_scale(data)?;
        let mut order: Vec<usize> = (0..data.rows()).collect();
        if settings.shuffle {
            // The number of the call is part of the seed, so every call uses another order.
            let mut rng = Rng::new(settings.random_state ^ (self.loss_curve.len() as u64 + 1).rotate_left(32));
            for position in 0..order.len() {
                let other = position + rng.next_below(order.len() - position);
                order.swap(position, other);
            }
        }
        trainer.take_report_async().await?;
        for batch in order.chunks(trainer.max_manual_rows()) {
            let (mut x, mut t) = (vec![0.0; batch.len() * inputs], vec![0.0; batch.len() * outputs]);
            for ((row, x), t) in batch.iter().zip(x.chunks_exact_mut(inputs)).zip(t.chunks_exact_mut(outputs)) {
                data.write_features(*row, x);
                data.write_target(*row, t);
            }
            data.check_read()?;
            trainer.step_async(&x, &t).await?;
        }
        self.loss_curve.push(trainer.take_report_async().await?.mean_loss());
        Ok(())
    }

    /// Returns the outputs of the network for rows of raw features.
    pub(crate) async fn outputs(&mut self, x: Features) -> Result<Vec<f32>> {
        check_same_scale(self.trainer.byte_scale(), &x)?;
        if let (Features::F64(values), Some(scaler)) = (&x, self.trainer.scaler()) {
            let scaled = scaler.transform_f64(values)?;
            return self.trainer.predict_scaled(&scaled).await;
        }
        self.trainer.predict_async(&x.into_f32()?).await
    }
}

/// Creates a trainer for a batch size and a number of rows per epoch.
async fn build_trainer(
    settings: &MlpSettings,
    head: &OutputHead,
    inputs: usize,
    data: Option<&Dataset>,
    batch_size: usize,
    rows_per_epoch: usize,
) -> Result<Trainer> {
    let device = match &settings.device {
        Some(device) => device.clone(),
        None => Device::request_async(&DeviceRequest::default()).await?,
    };
    let network = settings.network(inputs, head.outputs, head.activation);
    let settings = TrainerSettings {
        batch_size,
        loss: head.loss,
        optimizer: settings.optimizer(batch_size),
        schedule: settings.schedule(rows_per_epoch),
        seed: settings.random_state,
        shuffle: settings.shuffle,
        ..TrainerSettings::default()
    };
    Trainer::new_async(&device, &network, data, settings).await
}

/// Tracks the improvement of epochs as scikit-learn does. An epoch is compared with the best one so far, which may have
/// improved by less than `tol`.
#[derive(Debug, Clone)]
struct ImprovementTracker {
    /// The minimum loss, or the maximum score with the opposite sign.
    best: f64,
    /// The index of the best epoch, which early stopping restores.
    best_epoch: Option<usize>,
    epochs_without_improvement: usize,
}

impl Default for ImprovementTracker {
    fn default() -> Self {
        Self { best: f64::INFINITY, best_epoch: None, epochs_without_improvement: 0 }
    }
}

/// The result of comparing an epoch with the best one.
struct Improvement {
    is_best: bool,
    /// Whether more than `n_iter_no_change` consecutive epochs did not improve.
    is_patience_exhausted: bool,
}

impl ImprovementTracker {
    /// Compares an epoch with the best one. Lower values are better.
    fn observe(&mut self, settings: &MlpSettings, value: f64) -> Improvement {
        if value > self.best - settings.tol {
            self.epochs_without_improvement += 1;
        } else {
            self.epochs_without_improvement = 0;
        }
        let is_best = value < self.best;
        if is_best {
            self.best = value;
        }
        Improvement { is_best, is_patience_exhausted: self.epochs_without_improvement > settings.n_iter_no_change }
    }

    async fn decide(
        &mut self,
        settings: &MlpSettings,
        head: &OutputHead,
        progress: &mut Progress<'_>,
    ) -> Result<CallbackAction> {
        let Some(epoch) = progress.history.last() else { return Ok(CallbackAction::Continue) };
        let score = epoch.validation.as_ref().and_then(|metrics| head.validation_monitor.validation_value(metrics));
        let improvement = self.observe(settings, score.map_or(epoch.loss, |score| -score));
        if improvement.is_best && settings.early_stopping {
            self.best_epoch = Some(progress.history.epochs.len() - 1);
            progress.trainer.snapshot_async().await?;
        }
        if !improvement.is_patience_exhausted {
            return Ok(CallbackAction::Continue);
        }
        let learning_rate = progress.trainer.learning_rate();
        if settings.learning_rate != LearningRate::Adaptive || learning_rate <= ADAPTIVE_MIN_RATE {
            return Ok(CallbackAction::Stop);
        }
        self.epochs_without_improvement = 0;
        Ok(CallbackAction::SetLearningRate(learning_rate / ADAPTIVE_DIVISOR))
    }
}

/// Returns the state of a fit, or [`Error::InvalidState`] before the first fit.
pub(crate) fn require_fitted<T>(fitted: Option<T>) -> Result<T> {
    let message = || "this estimator is not fitted yet; call fit or partial_fit first".to_owned();
    fitted.ok_or_else(|| Error::InvalidState { message: message() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the index of the loss after which a fit stops.
    fn stop_index(n_iter_no_change: usize, losses: &[f64]) -> Option<usize> {
        let settings = MlpSettings { n_iter_no_change, tol: 0.1, ..MlpSettings::default() };
        let mut tracker = ImprovementTracker::default();
        losses.iter().position(|loss| tracker.observe(&settings, *loss).is_patience_exhausted)
    }

    #[test]
    fn fits_stop_after_the_same_epoch_as_scikit_learn() {
        assert_eq!(stop_index(2, &[1.0, 0.5, 0.5, 0.5, 0.5]), Some(4), "more than two consecutive epochs");
        assert_eq!(stop_index(2, &[1.0, 0.95, 0.9, 0.85, 0.8]), Some(3), "small improvements do not add up");
        assert_eq!(stop_index(2, &[1.0, 1.0, 1.0, 0.85, 1.0, 1.0, 0.7, 0.5]), None);
        assert_eq!(stop_index(0, &[1.0, 0.5, 0.45]), Some(2));
    }
}
