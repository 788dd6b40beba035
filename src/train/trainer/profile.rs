//! Profiles: how long each kernel of a step takes.

use crate::{
    engine::training::KernelTimes,
    error::Result,
    plan::{
        PlannedDispatch,
        profile::{KernelTime, Profile},
    },
    train::{
        run_report::RunReport,
        trainer::{StepCounts, Trainer},
    },
};

impl Trainer {
    /// Takes steps on the data set, timing each kernel, and then as many again, timed together: in all twice as many, and
    /// one before them. Where kernels take many steps at once, `steps` should be many; of more than one submission should have, a
    /// profile takes fewer.
    ///
    /// # Errors
    /// As [`Trainer::run`].
    pub fn profile(&mut self, steps: usize) -> Result<Profile> {
        pollster::block_on(self.run_async(1))?;
        let steps = self.engine.profiled_steps(steps);
        let mut times = KernelTimes::default();
        if self.engine.has_kernels() {
            times = pollster::block_on(self.time_kernels(steps))?;
        }
        let start = std::time::Instant::now();
        pollster::block_on(self.run_async(steps))?;
        let step = start.elapsed().as_secs_f64() / steps as f64;
        if !self.engine.has_kernels() {
            // The rows of such a plan are whole steps.
            let row = |row: &PlannedDispatch| KernelTime {
                kernel: row.kernel.clone(),
                seconds_per_step: step,
                flop: row.flop,
                bytes: row.bytes,
            };
            times.kernels = self.plan().dispatches().iter().map(row).collect();
        }
        Ok(Profile {
            kernels: times.kernels,
            seconds_per_step: step,
            uses_device_timestamps: times.uses_device_timestamps,
        })
    }

    /// Takes steps on the data set and times each kernel.
    async fn time_kernels(&mut self, steps: usize) -> Result<KernelTimes> {
        let StepCounts { dataset_steps: first, steps_since_reset: before, .. } = self.counts;
        // Counted before they are taken: if an error ends the profile, the device may have taken them.
        self.counts.add(steps as u64);
        let mut report = RunReport::new(self.data.task.has_accuracy());
        let times = self.engine.profile(first, before, steps, &mut report).await?;
        report.batch_weights = self.step_weights(first, report.losses.len());
        self.append_and_check(&report)?;
        Ok(times)
    }
}
