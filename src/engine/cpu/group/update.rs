//! The updates of a group, in each lane with its own numbers.

use crate::{
    engine::{
        cpu::{
            group::{GroupConfig, LANES, LaneCoefficients, LaneGroup},
            update::{apply_rule, update},
        },
        step::StepGenerator,
    },
    optim::{coefficients::UpdateCoefficients, optimizer::Optimizer},
};

impl LaneGroup {
    /// The update of a step, `taken` steps after those that the seats have counted.
    #[inline(always)]
    pub(crate) fn update(&mut self, kind: &GroupConfig, taken: u64) {
        let accumulate = kind.generator.gradient_accumulation;
        let since = self.members.first().map_or(0, |seat| seat.steps_since_reset) + taken;
        if !self.is_constant {
            self.set_coefficients(taken);
        }
        if kind.stores_gradients() {
            let starts = since.is_multiple_of(accumulate);
            for (gradient, sum) in self.gradients.iter_mut().zip(self.gradient_sums.iter()) {
                *gradient = if starts { *sum } else { *gradient + sum };
            }
            if !(since + 1).is_multiple_of(accumulate) {
                return;
            }
            self.clip_gradients(kind);
        }
        let optimizer = &self.optimizer;
        let gradients = if kind.stores_gradients() { &mut self.gradients } else { &mut self.gradient_sums };
        let numbers = self.coefficients;
        match kind.lanes {
            16 => update_parameters::<16>(
                kind,
                optimizer,
                &numbers,
                &mut self.parameters,
                gradients,
                &mut self.optimizer_state,
            ),
            8 => update_parameters::<8>(
                kind,
                optimizer,
                &numbers,
                &mut self.parameters,
                gradients,
                &mut self.optimizer_state,
            ),
            _ => update_parameters::<4>(
                kind,
                optimizer,
                &numbers,
                &mut self.parameters,
                gradients,
                &mut self.optimizer_state,
            ),
        }
    }

    /// Sets the numbers of a step's update, where they change.
    fn set_coefficients(&mut self, taken: u64) {
        let mut last: Option<(&StepGenerator, UpdateCoefficients)> = None;
        for (lane, seat) in self.members.iter().enumerate().filter(|(_, seat)| !seat.generator.is_constant()) {
            let (course, before) = (&seat.generator, seat.steps_since_reset + taken);
            // Networks that differ in their rates alone share what takes powers.
            let shared = match last {
                Some((other, shared)) if course.shares_schedule_with(other) => shared,
                _ => course.shared_coefficients(before),
            };
            last = Some((course, shared));
            self.coefficients.set(lane, course.optimizer.member_coefficients().multiply(&shared));
        }
    }

    /// Turns sums into means, clipped to the optimizers' norms.
    fn clip_gradients(&mut self, kind: &GroupConfig) {
        let mean = 1.0 / kind.generator.gradient_accumulation as f64;
        let mut factors = [mean as f32; LANES];
        if kind.generator.optimizer.clip_norm.is_some() {
            let mut squares = [0.0; LANES];
            for of_all in self.gradients.chunks_exact(kind.lanes) {
                squares.iter_mut().zip(of_all).for_each(|(sum, g)| *sum += f64::from(*g) * f64::from(*g));
            }
            for (lane, seat) in self.members.iter().enumerate() {
                let length = squares[lane].sqrt() * mean;
                let most = seat.generator.optimizer.clip_norm.unwrap_or(f64::INFINITY);
                factors[lane] = (mean * (most / (length + 1e-6)).min(1.0)) as f32;
            }
        }
        for of_all in self.gradients.chunks_exact_mut(kind.lanes) {
            of_all.iter_mut().zip(&factors).for_each(|(g, factor)| *g *= factor);
        }
    }
}

/// Planes of the optimizer that keeps most, and the average.
const MAX_STATE_VECTORS: usize = 4;

/// Changes all parameters by their gradients.
#[inline(always)]
fn update_parameters<const N: usize>(
    kind: &GroupConfig,
    optimizer: &Optimizer,
    numbers: &LaneCoefficients,
    parameters: &mut [f32],
    gradients: &mut [f32],
    state: &mut [f32],
) {
    let registers = kind.parameter_registers();
    let all = parameters.as_chunks_mut::<N>().0.iter_mut().zip(gradients.as_chunks_mut::<N>().0).take(registers);
    let planes = kind.state_per_parameter() * N;
    let (surrounds, reaches) = (!optimizer.is_plain_rule(), !optimizer.regularize_biases);
    // Copies, since of what lies behind references the compiler does not see that it does not overlap.
    let mut kept = [0.0; MAX_STATE_VECTORS * LANES];
    let kept = &mut kept[..planes];
    for (i, (p, g)) in all.enumerate() {
        let (mut new, mut gradients, state) = (*p, *g, &mut state[i * planes..][..planes]);
        if planes > 0 {
            kept.copy_from_slice(state);
        }
        if surrounds {
            let reach = if reaches { &kind.layout.penalty_mask[i * N..][..N] } else { &[] };
            update(
                optimizer,
                #[inline(always)]
                |lane| numbers.get(lane),
                &mut new,
                &mut gradients,
                kept,
                reach,
            );
            *g = gradients;
        } else {
            apply_rule(
                optimizer.rule,
                #[inline(always)]
                |lane| numbers.get(lane),
                &mut new,
                &gradients,
                kept,
            );
        }
        *p = new;
        if planes > 0 {
            state.copy_from_slice(kept);
        }
    }
}
