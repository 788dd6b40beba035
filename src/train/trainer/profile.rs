//! Profiles of the kernels of a training step.

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
    /// Runs training steps on the data set and measures the time of each kernel.
    ///
    /// It runs one step, then `steps` steps with a timer around each kernel, then `steps` steps that are timed as a
    /// whole. Pass many steps if a kernel runs many steps per dispatch. gradus profiles fewer steps if `steps` do not
    /// fit into one submission.
    ///
    /// # Errors
    /// The errors of [`Trainer::run`].
    pub fn profile(&mut self, steps: usize) -> Result<Profile> {
        pollster::block_on(self.run_async(1))?;
        let steps = self.engine.profiled_steps(steps);
        let mut times = KernelTimes::default();
        if self.engine.has_kernels() {
            times = pollster::block_on(self.time_kernels(steps))?;
        }
        let start = std::time::Instant::now();
        pollster::block_on(self.run_async(steps))?;
        let seconds_per_step = start.elapsed().as_secs_f64() / steps as f64;
        if !self.engine.has_kernels() {
            // Each dispatch of a CPU plan is a whole step.
            let kernel_time = |dispatch: &PlannedDispatch| KernelTime {
                kernel: dispatch.kernel.clone(),
                seconds_per_step,
                flop: dispatch.flop,
                bytes: dispatch.bytes,
            };
            times.kernels = self.plan().dispatches().iter().map(kernel_time).collect();
        }
        Ok(Profile { kernels: times.kernels, seconds_per_step, uses_device_timestamps: times.uses_device_timestamps })
    }

    /// Runs steps on the data set and measures the time of each kernel.
    async fn time_kernels(&mut self, steps: usize) -> Result<KernelTimes> {
        let StepCounts { dataset_steps: first, steps_since_reset, .. } = self.counts;
        // Count the steps first: after an error the device may still have run them.
        self.counts.add(steps as u64);
        let mut report = RunReport::new(self.data.task.has_accuracy());
        let times = self.engine.profile(first, steps_since_reset, steps, &mut report).await?;
        report.batch_weights = self.step_weights(first, report.losses.len());
        self.append_and_check(&report)?;
        Ok(times)
    }
}
