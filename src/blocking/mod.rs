//! The blocking twins of what is asynchronous, for platforms where a thread may wait: everywhere but on the web.

mod together;

pub use together::cross_val_score;

use crate::{
    AdapterReport, Checkpoint, Dataset, Decision, Device, Fit, History, LayerHistogram, LayerParameters, Metrics,
    Model, Network, Predictor, Progress, RangeTest, Rates, Report, Request, Result, Selftest, Settings, Trainer,
    adapters_async, selftest_async,
};
#[cfg(doc)]
use crate::{Error, Loss};

/// Every adapter of the backends, the best first; see [`Request::backends`].
///
/// # Errors
/// [`Error::Setting`] if `WGPU_BACKEND` names no backend, or `WGPU_POWER_PREF` is none of low, high and none.
pub fn adapters(backends: Option<wgpu::Backends>) -> Result<Vec<AdapterReport>> {
    pollster::block_on(adapters_async(backends))
}

/// Whether everything that this crate computes is right on a device: every kernel, plan and member of the families against the
/// reference and, trained again, against itself to the last bit, gradients against finite differences, a short training against
/// its expected losses, and what evaluations, ensembles and predictions answer. Print what it returns and put it into an issue.
///
/// It trains only networks of its own, and takes some seconds, most of which the driver compiles kernels. A check that fails
/// does not end it; a device that is lost, or does not answer in time, does.
pub fn selftest(device: &Device) -> Selftest {
    pollster::block_on(selftest_async(device))
}

impl Device {
    /// The best real GPU, or the CPU where there is none. The environment variables `WGPU_BACKEND`, `WGPU_ADAPTER_NAME`
    /// and `WGPU_POWER_PREF` are respected.
    ///
    /// # Errors
    /// As [`Device::request`].
    pub fn auto() -> Result<Self> {
        Self::request(&Request::default())
    }

    /// The device that is asked for; see [`Device::request_async`].
    ///
    /// # Errors
    /// As [`Device::request_async`].
    pub fn request(request: &Request) -> Result<Self> {
        pollster::block_on(Self::request_async(request))
    }
}

impl Trainer {
    /// A trainer of a network on a data set, which moves to the device now and stays there.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings or a network that cannot be used, [`Error::Shape`] and [`Error::Class`] if the
    /// data set does not fit the network, [`Error::Limit`] if the device is too small, before anything is allocated,
    /// [`Error::Plan`] for a [`Settings::plan`] that is for something else, [`Error::File`] if rows are in a file that cannot be
    /// read, [`Error::OutOfMemory`], and [`Error::DeviceLost`].
    pub fn new(device: &Device, network: &Network, data: &Dataset, settings: Settings) -> Result<Self> {
        pollster::block_on(Self::new_async(device, network, Some(data), settings))
    }

    /// A trainer without a data set: its batches are brought by hand, with [`Trainer::step`].
    ///
    /// # Errors
    /// As [`Trainer::new`].
    pub fn by_hand(device: &Device, network: &Network, settings: Settings) -> Result<Self> {
        pollster::block_on(Self::new_async(device, network, None, settings))
    }

    /// Takes that many steps on the data set, all on the device; epochs follow one another. Waits for the last one.
    ///
    /// # Errors
    /// [`Error::Diverged`] if a step's loss is not a finite number ([`Trainer::losses`] then gives all of them),
    /// [`Error::DeviceLost`], [`Error::Timeout`], [`Error::File`] if rows are in a file that can no longer be read, and
    /// [`Error::Setting`] if there is no data set or there are more than 2^32 steps.
    pub fn run(&mut self, steps: usize) -> Result<Report> {
        pollster::block_on(self.run_async(steps))
    }

    /// Takes the steps that are left of the current epoch: all of them after [`Trainer::new`].
    ///
    /// # Errors
    /// As [`Trainer::run`].
    pub fn epoch(&mut self) -> Result<Report> {
        pollster::block_on(self.epoch_async())
    }

    /// Takes one step on a batch of the caller's, of any number of rows up to [`Settings::batch`] (or to that of the data
    /// set, if it has fewer). Does not wait for it: on a GPU, a loss that diverged is told by a later call.
    ///
    /// # Shapes
    /// - inputs: `[rows, inputs]`
    /// - expected: `[rows, outputs]`; a class id stands as a row of zeros with a one
    ///
    /// # Errors
    /// [`Error::Shape`] and [`Error::Setting`] for a batch of the wrong size, [`Error::NonFinite`] for one with values
    /// that are not finite numbers, and as [`Trainer::run`].
    pub fn step(&mut self, inputs: &[f32], expected: &[f32]) -> Result<()> {
        pollster::block_on(self.step_async(inputs, expected))
    }

    /// [`Trainer::step`] with a weight for each row: so many times its loss and what it teaches count, while the mean still
    /// goes over the number of rows. On the same trainer a step without weights takes every row once.
    ///
    /// # Shapes
    /// - weights: `[rows]`, finite numbers from 0 up
    ///
    /// # Errors
    /// [`Error::Setting`] if neither [`Settings::weighted`] nor weights of the data set prepared the trainer for it, or for
    /// a weight that is none, [`Error::Shape`] if there is not one for each row, and as [`Trainer::step`].
    pub fn step_weighted(&mut self, inputs: &[f32], expected: &[f32], weights: &[f32]) -> Result<()> {
        pollster::block_on(self.step_weighted_async(inputs, expected, weights))
    }

    /// Losses and right answers of the steps by hand since the last call, of more than 1,048,576 the last. Waits for them.
    ///
    /// # Errors
    /// As [`Trainer::run`].
    pub fn losses(&mut self) -> Result<Report> {
        pollster::block_on(self.losses_async())
    }

    /// The loss of the last step's batch, before its update.
    ///
    /// # Errors
    /// [`Error::Setting`] if there was no step yet, and as [`Trainer::run`].
    pub fn loss(&mut self) -> Result<f32> {
        pollster::block_on(self.loss_async())
    }

    /// The network's outputs, `[rows, outputs]`, for inputs `[rows, inputs]` of any number of rows from 1
    /// up. For [`Loss::SoftmaxCrossEntropy`] they are logits. Where the data set is scaled ([`Dataset::with_scaling`]), raw
    /// inputs are brought here and scaled likewise, as in every call that takes inputs.
    /// Features that are bytes ([`Features::bytes`](crate::Features::bytes)) are passed as `byte * scale`; a warning is logged
    /// once for inputs that cannot be such numbers.
    ///
    /// # Errors
    /// [`Error::Shape`] if the values do not divide into rows, [`Error::NonFinite`], [`Error::DeviceLost`],
    /// [`Error::Timeout`].
    pub fn predict(&mut self, inputs: &[f32]) -> Result<Vec<f32>> {
        pollster::block_on(self.predict_async(inputs))
    }

    /// Records a prediction; see [`Trainer::record_prediction_async`].
    ///
    /// # Errors
    /// As [`Trainer::record_prediction_async`].
    pub fn record_prediction(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        inputs: &wgpu::Buffer,
        rows: usize,
        outputs: &wgpu::Buffer,
    ) -> Result<()> {
        pollster::block_on(self.record_prediction_async(encoder, inputs, rows, outputs))
    }

    /// Loss, accuracy and what else there is to tell on a data set, one that training does not see for example. It is scaled
    /// as the training data are, unless it brings a scaling of its own.
    ///
    /// # Errors
    /// [`Error::Shape`] and [`Error::Class`] if the data set does not fit the network, [`Error::File`], [`Error::DeviceLost`],
    /// [`Error::Timeout`].
    pub fn evaluate(&mut self, data: &Dataset) -> Result<Metrics> {
        pollster::block_on(self.evaluate_async(data))
    }

    /// Weights and biases, layer by layer.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::Timeout`].
    pub fn parameters(&self) -> Result<Vec<LayerParameters>> {
        pollster::block_on(self.parameters_async())
    }

    /// The network with its parameters and what scales its inputs, to save, export or predict with.
    ///
    /// # Errors
    /// As [`Trainer::parameters`].
    pub fn model(&self) -> Result<Model> {
        pollster::block_on(self.model_async())
    }

    /// The training as it stands, to save it and to go on later.
    ///
    /// # Errors
    /// As [`Trainer::losses`] and [`Trainer::parameters`].
    pub fn checkpoint(&mut self) -> Result<Checkpoint> {
        pollster::block_on(self.checkpoint_async())
    }

    /// A trainer that goes on where another one made a checkpoint. The data set has to be the same one, which is not
    /// checked but for its size; it is scaled as it was if it brings no scaling of its own.
    ///
    /// [`Checkpoint::settings`] may be changed before. A changed batch size, [`Settings::drop_last`] or accumulation needs a
    /// checkpoint from the end of an epoch, without accumulated batches that wait for an update: the next epoch then sees all
    /// rows, optimizers and schedules count on from the same number of updates, and schedules per epoch from the same number of
    /// epochs. [`Trainer::steps`] is then the number of steps that the same epochs have with the new batch size. What early
    /// stopping has kept can be restored; the schedule does not go back with it. Numbers of the optimizer (such as the
    /// learning rate) may change, its rule may not.
    ///
    /// # Errors
    /// As [`Trainer::new`]; [`Error::Setting`] for a changed batch size, `drop_last` or accumulation within an epoch or an update,
    /// or under a schedule that counts epochs after a warm-up, and for another rule of the optimizer; [`Error::Plan`] if the checkpoint's plan is for another device, driver, number of threads or
    /// version ([`Checkpoint`] says what to do), [`Error::Setting`] for a data set of another size or scaling.
    pub fn resume(device: &Device, checkpoint: &Checkpoint, data: Option<&Dataset>) -> Result<Self> {
        pollster::block_on(Self::resume_async(device, checkpoint, data))
    }

    /// The exponential moving average of weights and biases, layer by layer.
    ///
    /// # Errors
    /// [`Error::Setting`] if the optimizer keeps none ([`crate::Optimizer::average`]), and as [`Trainer::parameters`].
    pub fn averaged_parameters(&self) -> Result<Vec<LayerParameters>> {
        pollster::block_on(self.averaged_parameters_async())
    }

    /// Keeps weights, biases and the optimizer's state as they are now, on the device, for [`Trainer::restore`]. What was
    /// kept before is replaced.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] and [`Error::DeviceLost`].
    pub fn keep(&mut self) -> Result<()> {
        pollster::block_on(self.keep_async())
    }

    /// The gradients of the loss on a batch of the caller's, shaped as for [`Trainer::step`]. Changes nothing.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn gradients(&mut self, inputs: &[f32], expected: &[f32]) -> Result<Vec<LayerParameters>> {
        pollster::block_on(self.gradients_async(inputs, expected))
    }

    /// [`Trainer::gradients`] with a weight for each row, as [`Trainer::step_weighted`] takes them.
    ///
    /// # Errors
    /// As [`Trainer::step_weighted`].
    pub fn gradients_weighted(
        &mut self,
        inputs: &[f32],
        expected: &[f32],
        weights: &[f32],
    ) -> Result<Vec<LayerParameters>> {
        pollster::block_on(self.gradients_weighted_async(inputs, expected, weights))
    }

    /// How the activations and the weights' gradients of every layer are spread on a batch of the caller's, shaped as for
    /// [`Trainer::step`], in so many bins each: layer by layer, the activations first. Changes nothing.
    ///
    /// The activations are those of a prediction, computed on the host by [`crate::cpu::reference`], in f64 and by one
    /// thread: on a large network rather ask for some hundred rows. The gradients are those of [`Trainer::gradients`].
    ///
    /// # Errors
    /// [`Error::Setting`] for no bins or more than 65,536, and as [`Trainer::step`].
    pub fn histograms(&mut self, inputs: &[f32], expected: &[f32], bins: usize) -> Result<Vec<LayerHistogram>> {
        pollster::block_on(self.histograms_async(inputs, expected, bins))
    }
}

impl Predictor {
    /// A network with these weights and biases.
    ///
    /// # Errors
    /// [`Error::Setting`] for a network that cannot be built, [`Error::Shape`] and [`Error::NonFinite`] for parameters that
    /// are not its, [`Error::Limit`], [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn new(device: &Device, network: &Network, parameters: &[LayerParameters]) -> Result<Self> {
        pollster::block_on(Self::new_async(device, network, parameters))
    }

    /// A model that answers: its inputs are raw, and are scaled as it says. Recorded predictions take them scaled. A model that
    /// has learned from bytes takes `byte * byte_scale` ([`Model::byte_scale`]); a warning is logged once for inputs that cannot
    /// be such numbers.
    ///
    /// # Errors
    /// As [`Predictor::new`].
    pub fn of(device: &Device, model: &Model) -> Result<Self> {
        pollster::block_on(Self::of_async(device, model))
    }

    /// The outputs, `[rows, outputs]`, for inputs `[rows, inputs]` of any number of rows from 1 up.
    ///
    /// # Errors
    /// [`Error::Shape`] if the values do not divide into rows, [`Error::NonFinite`], [`Error::DeviceLost`],
    /// [`Error::Timeout`].
    pub fn predict(&mut self, inputs: &[f32]) -> Result<Vec<f32>> {
        pollster::block_on(self.predict_async(inputs))
    }

    /// Records a prediction; see [`Predictor::record_async`].
    ///
    /// # Errors
    /// As there.
    pub fn record(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        inputs: &wgpu::Buffer,
        rows: usize,
        outputs: &wgpu::Buffer,
    ) -> Result<()> {
        pollster::block_on(self.record_async(encoder, inputs, rows, outputs))
    }
}

impl Fit {
    /// A trainer of a network on a data set, without the rows that this holds out, and this with those rows to validate:
    /// [`Fit::run`] and [`Fit::run_with`] take them from there.
    ///
    /// # Errors
    /// As [`Trainer::new`] and [`Dataset::split`], and [`Error::Setting`] for deciders that cannot decide.
    pub fn trainer(
        self,
        device: &Device,
        network: &Network,
        data: &Dataset,
        settings: Settings,
    ) -> Result<(Trainer, Self)> {
        pollster::block_on(self.trainer_async(device, network, data, settings))
    }

    /// [`Fit::trainer`] and [`Fit::run`] in one.
    ///
    /// # Errors
    /// As those two.
    pub fn train(
        self,
        device: &Device,
        network: &Network,
        data: &Dataset,
        settings: Settings,
    ) -> Result<(Trainer, History)> {
        pollster::block_on(self.train_async(device, network, data, settings))
    }

    /// Takes a trainer through the epochs, from where it is.
    ///
    /// # Errors
    /// As [`Trainer::run`] and [`Trainer::evaluate`]; [`Error::Setting`] for deciders that cannot decide. After
    /// [`Error::Diverged`], which [`Fit::on_divergence`] can avert, the best epoch so far, if it was kept, can be had by
    /// [`Trainer::restore`].
    pub fn run(&self, trainer: &mut Trainer) -> Result<History> {
        pollster::block_on(self.run_async(trainer))
    }

    /// The same with a callback after every epoch, and after every [`Fit::every`] steps, which decides how it goes on.
    /// It comes after early stopping and plateaus have decided.
    ///
    /// # Errors
    /// As [`Fit::run`], and those of the callback.
    pub fn run_with(
        &self,
        trainer: &mut Trainer,
        mut callback: impl FnMut(&mut Progress<'_>) -> Result<Decision>,
    ) -> Result<History> {
        let callback = async |progress: &mut Progress<'_>| callback(progress);
        pollster::block_on(self.run_with_async(trainer, callback))
    }
}

impl RangeTest {
    /// Takes steps with growing rates on a trainer of its own; the optimizer's rate and the schedule do not matter. It ends
    /// before the last rate where the loss has grown fourfold, or is no number any more.
    ///
    /// # Errors
    /// As [`Trainer::new`] and [`Trainer::run`], but for [`Error::Diverged`]; [`Error::Setting`] for numbers that make no
    /// test.
    pub fn run(&self, device: &Device, network: &Network, data: &Dataset, settings: Settings) -> Result<Rates> {
        pollster::block_on(self.run_async(device, network, data, settings))
    }
}
