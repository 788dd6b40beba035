//! The functions that run a training loop for one network.

#[cfg(doc)]
use crate::error::Error;
use crate::{
    data::dataset::Dataset,
    device::Device,
    error::Result,
    nn::network::Network,
    train::{
        callback::{CallbackAction, Progress},
        epochs::LoopRun,
        history::History,
        settings::TrainerSettings,
        trainer::Trainer,
        training_loop::{TrainingLoop, Validation},
    },
    util::blocking::blocking,
};

impl TrainingLoop {
    blocking! {
        /// Splits off the validation set and creates a trainer for the remaining rows.
        ///
        /// Returns the trainer, and this loop with [`Validation::Data`] in place of [`Validation::Split`].
        /// [`TrainingLoop::run`] and [`TrainingLoop::run_with_callback`] accept both.
        ///
        /// # Errors
        /// - [`Error::InvalidSetting`] or [`Error::InvalidState`] if the settings of the loop are invalid.
        /// - The errors of [`Trainer::new`] and [`Dataset::split`].
        pub fn prepare(
            self,
            device: &Device,
            network: &Network,
            data: &Dataset,
            settings: TrainerSettings,
        ) -> Result<(Trainer, Self)> = self.prepare_async(device, network, data, settings);
    }

    /// The asynchronous form of [`TrainingLoop::prepare`].
    ///
    /// # Errors
    /// As [`TrainingLoop::prepare`].
    pub async fn prepare_async(
        mut self,
        device: &Device,
        network: &Network,
        data: &Dataset,
        settings: TrainerSettings,
    ) -> Result<(Trainer, Self)> {
        let mut training_set = data.clone();
        if let Validation::Split(split) = &self.validation {
            let (remaining, held_out) = data.split(split, settings.seed)?;
            training_set = remaining;
            self.validation = Validation::Data(held_out);
        }
        self.check(false)?;
        let trainer = Trainer::new_async(device, network, Some(&training_set), settings).await?;
        Ok((trainer, self))
    }

    blocking! {
        /// Creates a trainer with [`TrainingLoop::prepare`] and runs the loop with [`TrainingLoop::run`].
        ///
        /// # Errors
        /// The errors of [`TrainingLoop::prepare`] and [`TrainingLoop::run`].
        pub fn train(
            self,
            device: &Device,
            network: &Network,
            data: &Dataset,
            settings: TrainerSettings,
        ) -> Result<(Trainer, History)> = self.train_async(device, network, data, settings);
    }

    /// The asynchronous form of [`TrainingLoop::train`].
    ///
    /// # Errors
    /// As [`TrainingLoop::train`].
    pub async fn train_async(
        self,
        device: &Device,
        network: &Network,
        data: &Dataset,
        settings: TrainerSettings,
    ) -> Result<(Trainer, History)> {
        let (mut trainer, training_loop) = self.prepare_async(device, network, data, settings).await?;
        let history = training_loop.run_async(&mut trainer).await?;
        Ok((trainer, history))
    }

    blocking! {
        /// Runs the loop with a trainer, from its current position in the data set.
        ///
        /// After [`Error::Diverged`], [`Trainer::restore`] restores the best epoch if there is a snapshot of it.
        /// [`TrainingLoop::on_divergence`] prevents that error.
        ///
        /// # Errors
        /// - [`Error::InvalidSetting`] or [`Error::InvalidState`] if the settings of the loop are invalid.
        /// - The errors of [`Trainer::run`] and [`Trainer::evaluate`].
        #[doc(alias = "fit")]
        pub fn run(&self, trainer: &mut Trainer) -> Result<History> = self.run_async(trainer);
    }

    /// The asynchronous form of [`TrainingLoop::run`].
    ///
    /// # Errors
    /// As [`TrainingLoop::run`].
    pub async fn run_async(&self, trainer: &mut Trainer) -> Result<History> {
        self.check(false)?;
        // Without a callback the loop stops within an epoch only to check the time budget.
        let callback_every = self.callback_every.filter(|_| self.max_time.is_some());
        let training_loop = Self { callback_every, ..self.clone() };
        let callback = async |_: &mut Progress<'_>| Ok(CallbackAction::Continue);
        training_loop.run_with_callback_async(trainer, callback).await
    }

    blocking! {
        /// Runs the loop like [`TrainingLoop::run`], and calls `callback` after every epoch and every
        /// [`TrainingLoop::callback_every`] steps.
        ///
        /// At the end of an epoch the policies decide first. The callback can then stop the training or set the
        /// learning rate.
        ///
        /// # Errors
        /// The errors of [`TrainingLoop::run`] and of the callback.
        #[doc(alias = "callbacks")]
        pub fn run_with_callback(
            &self,
            trainer: &mut Trainer,
            mut callback: impl FnMut(&mut Progress<'_>) -> Result<CallbackAction>,
        ) -> Result<History> = self.run_with_callback_async(trainer, async |progress: &mut Progress<'_>| callback(progress));
    }

    /// The asynchronous form of [`TrainingLoop::run_with_callback`].
    ///
    /// # Errors
    /// As [`TrainingLoop::run_with_callback`].
    pub async fn run_with_callback_async(
        &self,
        trainer: &mut Trainer,
        mut callback: impl AsyncFnMut(&mut Progress<'_>) -> Result<CallbackAction>,
    ) -> Result<History> {
        self.check(false)?;
        self.check_monitors(trainer)?;
        let mut run = LoopRun::new(self, trainer).await?;
        for _ in 0..self.epochs {
            run.run_epoch(trainer, &mut callback).await?;
            if run.stop_reason.is_some() {
                break;
            }
        }
        run.finish(trainer)
    }

    /// Returns an error if a monitored metric does not exist for the network and the targets of the trainer.
    fn check_monitors(&self, trainer: &Trainer) -> Result<()> {
        let validation_targets = match &self.validation {
            Validation::Data(data) => Some(data.targets()),
            Validation::None | Validation::Split(_) | Validation::HeldOutFold => None,
        };
        let (network, loss, training_targets) = (trainer.network(), trainer.settings().loss, trainer.targets());
        for monitor in self.monitors() {
            monitor.check_for(network, loss, training_targets.as_deref(), validation_targets)?;
        }
        Ok(())
    }
}
