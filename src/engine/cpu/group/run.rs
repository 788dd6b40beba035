//! The loop over the training steps of a lane group.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::{
    data::permutation::mix_seed,
    engine::cpu::{
        engine::BatchMetrics,
        group::{
            config::{GroupConfig, LANES, MAX_SAMPLED_ROWS},
            lane_group::LaneGroup,
            step::StepPass,
        },
    },
    optim::optimizer::Optimizer,
    train::run_report::RunReport,
};

impl LaneGroup {
    /// Runs the steps `first..first + steps` of all members, and adds their metrics to `reports`, one per member.
    pub(crate) fn run(&mut self, config: &GroupConfig, first: u64, steps: u64, reports: &mut [&mut RunReport]) {
        let sampled_steps = (MAX_SAMPLED_ROWS / config.generator.batch_size).max(1) as u64;
        self.sampled.seeds = [0; LANES];
        for (lane, member) in self.members.iter().enumerate() {
            self.sampled.seeds[lane] = mix_seed(member.generator.seed);
            self.coefficients.set(lane, member.generator.update_coefficients(member.steps_since_reset));
        }
        let mut optimizers = self.members.iter().map(|member| member.generator.optimizer);
        self.optimizer = optimizers.find(Optimizer::has_penalties).unwrap_or(config.generator.optimizer);
        self.is_constant = self.members.iter().all(|member| member.generator.is_constant());
        for report in &mut *reports {
            report.reserve(steps as usize);
        }
        let mut n = first;
        while n < first + steps {
            let range = n..(n + sampled_steps).min(first + steps);
            n = range.end;
            config.arch.dispatch(StepsTask { config, group: self, steps: range });
            let rows = self.sampled.steps.iter().map(|step| step.rows as u32);
            for (lane, report) in reports.iter_mut().enumerate() {
                report.losses.extend(self.step_metrics.iter().map(|lanes| lanes[lane].loss));
                report.correct.extend(self.step_metrics.iter().map(|lanes| lanes[lane].correct));
                report.batch_sizes.extend(rows.clone());
            }
        }
    }
}

/// The arguments of some steps, for `pulp::Arch::dispatch`.
struct StepsTask<'a> {
    config: &'a GroupConfig,
    group: &'a mut LaneGroup,
    steps: Range<u64>,
}

impl WithSimd for StepsTask<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { config, group, steps } = self;
        group.sampled.sample(config, &group.members, steps);
        group.step_metrics.clear();
        let mut first_row = 0;
        for index in 0..group.sampled.steps.len() {
            let span = group.sampled.steps[index];
            let rows = &group.sampled.rows[first_row * S::F32_LANES..][..span.rows * S::F32_LANES];
            first_row += span.rows;
            let pass = StepPass { config, span: &span, stride: span.rows * S::F32_LANES };
            let registers = &mut group.registers[..config.small_network.registers_per_group * pass.stride];
            pass.load_rows(rows, registers);
            if config.input_noise_std > 0.0 {
                pass.add_noise(S::F32_LANES, registers, &mut group.row_buffer[..config.small_network.inputs]);
            }
            pass.forward(simd, &group.parameters, registers);
            let scale = config.generator.loss_scale(span.rows);
            let sums = pass.evaluate::<S>(scale, registers, &mut group.row_buffer);
            pass.backward(simd, &group.parameters, registers);
            pass.gradients(simd, registers, &mut group.gradient_sums);
            let mut step_metrics = [BatchMetrics { loss: 0.0, correct: 0.0 }; LANES];
            for (lane, metrics) in step_metrics.iter_mut().enumerate() {
                metrics.loss = (sums.losses[lane] * f64::from(scale)) as f32;
                metrics.correct = sums.correct[lane];
            }
            group.step_metrics.push(step_metrics);
            group.update(config, index as u64);
        }
        let step_count = group.sampled.steps.len() as u64;
        group.members.iter_mut().for_each(|member| member.steps_since_reset += step_count);
    }
}
