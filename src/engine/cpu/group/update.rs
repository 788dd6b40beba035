//! The updates of a lane group, with separate coefficients in each lane.

use crate::{
    engine::{
        cpu::{
            group::{
                coefficients::LaneCoefficients,
                config::{GroupConfig, LANES},
                lane_group::LaneGroup,
            },
            update::{apply_rule, update},
        },
        step::StepGenerator,
    },
    optim::{coefficients::UpdateCoefficients, optimizer::Optimizer},
};

impl LaneGroup {
    /// Applies the gradients of a step. `steps_done` steps have run since [`GroupMember::steps_since_reset`] was set.
    ///
    /// [`GroupMember::steps_since_reset`]: crate::engine::cpu::group::member::GroupMember::steps_since_reset
    #[inline(always)]
    pub(crate) fn update(&mut self, config: &GroupConfig, steps_done: u64) {
        let gradient_accumulation = config.generator.gradient_accumulation;
        let steps_since_reset = self.members.first().map_or(0, |member| member.steps_since_reset) + steps_done;
        if !self.is_constant {
            self.set_coefficients(steps_done);
        }
        if config.stores_gradients() {
            let overwrites = steps_since_reset.is_multiple_of(gradient_accumulation);
            for (gradient, sum) in self.gradients.iter_mut().zip(self.gradient_sums.iter()) {
                *gradient = if overwrites { *sum } else { *gradient + sum };
            }
            if !(steps_since_reset + 1).is_multiple_of(gradient_accumulation) {
                return;
            }
            self.clip_gradients(config);
        }
        let optimizer = &self.optimizer;
        let gradients = if config.stores_gradients() { &mut self.gradients } else { &mut self.gradient_sums };
        let coefficients = self.coefficients;
        match config.lanes {
            16 => update_parameters::<16>(
                config,
                optimizer,
                &coefficients,
                &mut self.parameters,
                gradients,
                &mut self.optimizer_state,
            ),
            8 => update_parameters::<8>(
                config,
                optimizer,
                &coefficients,
                &mut self.parameters,
                gradients,
                &mut self.optimizer_state,
            ),
            _ => update_parameters::<4>(
                config,
                optimizer,
                &coefficients,
                &mut self.parameters,
                gradients,
                &mut self.optimizer_state,
            ),
        }
    }

    /// Sets the update coefficients of all members whose coefficients change from step to step.
    fn set_coefficients(&mut self, steps_done: u64) {
        let mut last: Option<(&StepGenerator, UpdateCoefficients)> = None;
        for (lane, member) in self.members.iter().enumerate() {
            if member.generator.is_constant() {
                continue;
            }
            let (generator, steps_since_reset) = (&member.generator, member.steps_since_reset + steps_done);
            // Computing the shared coefficients takes powers, so members with the same schedule share them.
            let shared = match last {
                Some((last, shared)) if generator.shares_schedule_with(last) => shared,
                _ => generator.shared_coefficients(steps_since_reset),
            };
            last = Some((generator, shared));
            self.coefficients.set(lane, generator.optimizer.member_coefficients().multiply(&shared));
        }
    }

    /// Replaces the sums of gradients by their means, clipped to the gradient norm of each optimizer.
    fn clip_gradients(&mut self, config: &GroupConfig) {
        let mean = 1.0 / config.generator.gradient_accumulation as f64;
        let mut factors = [mean as f32; LANES];
        if config.generator.optimizer.clip_norm.is_some() {
            let mut squares = [0.0; LANES];
            for register in self.gradients.chunks_exact(config.lanes) {
                squares.iter_mut().zip(register).for_each(|(sum, g)| *sum += f64::from(*g) * f64::from(*g));
            }
            for (lane, member) in self.members.iter().enumerate() {
                let norm = squares[lane].sqrt() * mean;
                let max_norm = member.generator.optimizer.clip_norm.unwrap_or(f64::INFINITY);
                factors[lane] = (mean * (max_norm / (norm + 1e-6)).min(1.0)) as f32;
            }
        }
        for register in self.gradients.chunks_exact_mut(config.lanes) {
            register.iter_mut().zip(&factors).for_each(|(g, factor)| *g *= factor);
        }
    }
}

/// The maximum number of state vectors of an optimizer, including the EMA.
const MAX_STATE_VECTORS: usize = 4;

/// Updates all parameters with their gradients.
#[inline(always)]
fn update_parameters<const N: usize>(
    config: &GroupConfig,
    optimizer: &Optimizer,
    coefficients: &LaneCoefficients,
    parameters: &mut [f32],
    gradients: &mut [f32],
    state: &mut [f32],
) {
    let registers = config.parameter_registers();
    let all = parameters.as_chunks_mut::<N>().0.iter_mut().zip(gradients.as_chunks_mut::<N>().0).take(registers);
    let state_len = config.state_per_parameter() * N;
    let (is_full_update, has_mask) = (!optimizer.is_plain_rule(), !optimizer.regularize_biases);
    // Update copies of the values: behind references, the compiler cannot prove that they do not overlap.
    let mut state_copy = [0.0; MAX_STATE_VECTORS * LANES];
    let state_copy = &mut state_copy[..state_len];
    for (i, (p, g)) in all.enumerate() {
        let (mut new, mut gradients, state) = (*p, *g, &mut state[i * state_len..][..state_len]);
        if state_len > 0 {
            state_copy.copy_from_slice(state);
        }
        if is_full_update {
            let penalty_mask = if has_mask { &config.layout.penalty_mask[i * N..][..N] } else { &[] };
            update(
                optimizer,
                #[inline(always)]
                |lane| coefficients.get(lane),
                &mut new,
                &mut gradients,
                state_copy,
                penalty_mask,
            );
            *g = gradients;
        } else {
            apply_rule(
                optimizer.rule,
                #[inline(always)]
                |lane| coefficients.get(lane),
                &mut new,
                &gradients,
                state_copy,
            );
        }
        *p = new;
        if state_len > 0 {
            state.copy_from_slice(state_copy);
        }
    }
}
