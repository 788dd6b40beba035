//! The updates of a group, in each lane with its own numbers.

use crate::{
    engine::{
        cpu::{
            group::{Group, Kind, LANES, Lanes},
            update::{follow, update},
        },
        step::Course,
    },
    optim::{coefficients::Numbers, optimizer::Optimizer},
};

impl Group {
    /// The update of a step, `taken` steps after those that the seats have counted.
    #[inline(always)]
    pub(crate) fn update(&mut self, kind: &Kind, taken: u64) {
        let accumulate = kind.course.accumulate;
        let since = self.seats.first().map_or(0, |seat| seat.since) + taken;
        if !self.is_steady {
            self.set_numbers(taken);
        }
        if kind.keeps_gradients() {
            let starts = since.is_multiple_of(accumulate);
            for (gradient, sum) in self.gradients.iter_mut().zip(self.sums.iter()) {
                *gradient = if starts { *sum } else { *gradient + sum };
            }
            if !(since + 1).is_multiple_of(accumulate) {
                return;
            }
            self.clip(kind);
        }
        let optimizer = &self.optimizer;
        let gradients = if kind.keeps_gradients() { &mut self.gradients } else { &mut self.sums };
        let numbers = self.numbers;
        match kind.lanes {
            16 => change::<16>(kind, optimizer, &numbers, &mut self.parameters, gradients, &mut self.state),
            8 => change::<8>(kind, optimizer, &numbers, &mut self.parameters, gradients, &mut self.state),
            _ => change::<4>(kind, optimizer, &numbers, &mut self.parameters, gradients, &mut self.state),
        }
    }

    /// Sets the numbers of a step's update, where they change.
    fn set_numbers(&mut self, taken: u64) {
        let mut last: Option<(&Course, Numbers)> = None;
        for (lane, seat) in self.seats.iter().enumerate().filter(|(_, seat)| !seat.course.is_steady()) {
            let (course, before) = (&seat.course, seat.since + taken);
            // Networks that differ in their rates alone share what takes powers.
            let shared = match last {
                Some((other, shared)) if course.has_tempo_of(other) => shared,
                _ => course.shared(before),
            };
            last = Some((course, shared));
            self.numbers.set(lane, course.optimizer.own().times(&shared));
        }
    }

    /// Turns sums into means, clipped to the optimizers' norms.
    fn clip(&mut self, kind: &Kind) {
        let mean = 1.0 / kind.course.accumulate as f64;
        let mut factors = [mean as f32; LANES];
        if kind.course.optimizer.clip_norm.is_some() {
            let mut squares = [0.0; LANES];
            for of_all in self.gradients.chunks_exact(kind.lanes) {
                squares.iter_mut().zip(of_all).for_each(|(sum, g)| *sum += f64::from(*g) * f64::from(*g));
            }
            for (lane, seat) in self.seats.iter().enumerate() {
                let length = squares[lane].sqrt() * mean;
                let most = seat.course.optimizer.clip_norm.unwrap_or(f64::INFINITY);
                factors[lane] = (mean * (most / (length + 1e-6)).min(1.0)) as f32;
            }
        }
        for of_all in self.gradients.chunks_exact_mut(kind.lanes) {
            of_all.iter_mut().zip(&factors).for_each(|(g, factor)| *g *= factor);
        }
    }
}

/// Planes of the optimizer that keeps most, and the average.
const MOST_PLANES: usize = 4;

/// Changes all parameters by their gradients.
#[inline(always)]
fn change<const N: usize>(
    kind: &Kind,
    optimizer: &Optimizer,
    numbers: &Lanes,
    parameters: &mut [f32],
    gradients: &mut [f32],
    state: &mut [f32],
) {
    let registers = kind.registers();
    let all = parameters.as_chunks_mut::<N>().0.iter_mut().zip(gradients.as_chunks_mut::<N>().0).take(registers);
    let planes = kind.planes() * N;
    let (surrounds, reaches) = (!optimizer.only_follows_its_rule(), !optimizer.penalizes_biases);
    // Copies, since of what lies behind references the compiler does not see that it does not overlap.
    let mut kept = [0.0; MOST_PLANES * LANES];
    let kept = &mut kept[..planes];
    for (i, (p, g)) in all.enumerate() {
        let (mut new, mut gradients, state) = (*p, *g, &mut state[i * planes..][..planes]);
        if planes > 0 {
            kept.copy_from_slice(state);
        }
        if surrounds {
            let reach = if reaches { &kind.places.reach[i * N..][..N] } else { &[] };
            update(
                optimizer,
                #[inline(always)]
                |lane| numbers.of(lane),
                &mut new,
                &mut gradients,
                kept,
                reach,
            );
            *g = gradients;
        } else {
            follow(
                optimizer.rule,
                #[inline(always)]
                |lane| numbers.of(lane),
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
