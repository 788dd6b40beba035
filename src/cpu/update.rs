//! The optimizers as loops over some parameters, their gradients and what is kept for them; they have to be inlined into a
//! dispatch, as [`super::math`] says.

use super::elementwise::sign;
use crate::{Optimizer, Rule, optimizer::Numbers};

/// Changes the parameters `p` by their gradients `g`; `state` holds the rule's planes and then the average, each as long
/// as `p`. `reach` says how much of the penalties each parameter feels; empty, all of them do.
#[inline(always)]
pub(super) fn update(
    optimizer: &Optimizer,
    numbers: &Numbers,
    p: &mut [f32],
    g: &mut [f32],
    state: &mut [f32],
    reach: &[f32],
) {
    if optimizer.clip_value.is_some() {
        g.iter_mut().for_each(|g| *g = g.clamp(-numbers.clip_value, numbers.clip_value));
    }
    if optimizer.penalizes() {
        if reach.is_empty() {
            penalize(optimizer.decoupled, numbers, p, g, |_| 1.0);
        } else {
            penalize(optimizer.decoupled, numbers, p, g, |i| reach[i]);
        }
    }
    let (state, average) = state.split_at_mut(optimizer.rule.planes() * p.len());
    follow(optimizer.rule, numbers, p, g, state);
    let takes = numbers.average;
    average.iter_mut().zip(p).for_each(|(average, p)| *average += takes * (*p - *average));
}

#[inline(always)]
fn penalize(decoupled: bool, numbers: &Numbers, p: &mut [f32], g: &mut [f32], reach: impl Fn(usize) -> f32) {
    let Numbers { decay, l1, .. } = *numbers;
    for (i, (p, g)) in p.iter_mut().zip(g).enumerate() {
        let reach = reach(i);
        *g += reach * l1 * sign(*p);
        if decoupled {
            *p -= reach * decay * *p;
        } else {
            *g += reach * decay * *p;
        }
    }
}

/// Does as the rule says; the textbook's needs nothing else.
#[inline(always)]
pub(super) fn follow(rule: Rule, numbers: &Numbers, p: &mut [f32], g: &[f32], state: &mut [f32]) {
    let Numbers { learning_rate: rate, momentum, mean, square, epsilon, correction, fresh, .. } = *numbers;
    let len = p.len();
    let (first, rest) = state.split_at_mut(len.min(state.len()));
    let (second, third) = rest.split_at_mut(len.min(rest.len()));
    // Each parameter with its gradient and one, or two, of the planes.
    let one = p.iter_mut().zip(g).zip(first.iter_mut());
    match rule {
        Rule::Sgd => p.iter_mut().zip(g).for_each(|(p, g)| *p -= rate * g),
        Rule::Momentum { nesterov: false, .. } => one.for_each(|((p, g), v)| {
            *v = momentum * *v + fresh * g;
            *p -= rate * *v;
        }),
        Rule::Momentum { nesterov: true, .. } => one.for_each(|((p, g), v)| {
            *v = momentum * *v + fresh * g;
            *p -= rate * (g + momentum * *v);
        }),
        Rule::Adam { amsgrad: false, .. } => one.zip(second).for_each(|(((p, g), m), s)| {
            *m += mean * (g - *m);
            *s += square * (g * g - *s);
            *p -= rate * *m / (s.sqrt() * correction + epsilon);
        }),
        Rule::Adam { amsgrad: true, .. } => one.zip(second).zip(third).for_each(|((((p, g), m), s), largest)| {
            *m += mean * (g - *m);
            *s += square * (g * g - *s);
            *largest = if *s > *largest { *s } else { *largest };
            *p -= rate * *m / (largest.sqrt() * correction + epsilon);
        }),
        Rule::Adamax { .. } => one.zip(second).for_each(|(((p, g), m), u)| {
            *m += mean * (g - *m);
            let (old, new) = (momentum * *u, g.abs() + epsilon);
            *u = if old > new { old } else { new };
            *p -= rate * *m / *u;
        }),
        Rule::Nadam { .. } => one.zip(second).for_each(|(((p, g), m), s)| {
            *m += mean * (g - *m);
            *s += square * (g * g - *s);
            *p -= (fresh * g + rate * *m) / (s.sqrt() * correction + epsilon);
        }),
        Rule::RmsProp { centered, momentum: kept, .. } => {
            let (centers, velocities) = if centered { (second, third) } else { (third, second) };
            for (i, (p, g)) in p.iter_mut().zip(g).enumerate() {
                first[i] += square * (g * g - first[i]);
                let mut s = first[i];
                if centered {
                    centers[i] += square * (g - centers[i]);
                    // Rounding may leave less than nothing.
                    s = (s - centers[i] * centers[i]).max(0.0);
                }
                let mut change = g / (s.sqrt() + epsilon);
                if kept > 0.0 {
                    velocities[i] = momentum * velocities[i] + change;
                    change = velocities[i];
                }
                *p -= rate * change;
            }
        }
        Rule::Adagrad { .. } => one.for_each(|((p, g), s)| {
            *s += g * g;
            *p -= rate * g / ((square + *s).sqrt() + epsilon);
        }),
        Rule::Adadelta { .. } => one.zip(second).for_each(|(((p, g), s), u)| {
            *s += square * (g * g - *s);
            let d = g * (*u + epsilon).sqrt() / (*s + epsilon).sqrt();
            *u += square * (d * d - *u);
            *p -= rate * d;
        }),
        Rule::Lion { .. } => one.for_each(|((p, g), m)| {
            *p -= rate * sign(*m + square * (g - *m));
            *m += mean * (g - *m);
        }),
        Rule::Rprop { .. } => one.zip(second).for_each(|(((p, g), before), step)| {
            let turn = sign(*g) * sign(*before);
            let factor = if turn > 0.0 {
                mean
            } else if turn < 0.0 {
                momentum
            } else {
                1.0
            };
            let next = (*step * factor).clamp(epsilon, square);
            *step = if *step == 0.0 { rate } else { next };
            *before = if turn < 0.0 { 0.0 } else { *g };
            *p -= sign(*before) * *step;
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_optimizer_does_as_its_formula_says() {
        let number = |i: usize| (i as f64 * 12.9898).sin();
        for optimizer in Optimizer::ALL {
            for optimizer in
                [*optimizer, optimizer.decoupled_decay(0.1).l1(0.01), optimizer.spare_biases().average(0.7)]
            {
                let first: Vec<f32> = (0..20).map(|i| number(i) as f32).collect();
                let reach: Vec<f32> = (0..20).map(|i| f32::from(i % 2 == 0)).collect();
                let reach = if optimizer.penalizes_biases { &[][..] } else { &reach };
                let (mut p, mut state) = (first.clone(), vec![0.0; 20 * optimizer.planes()]);
                let mut theirs: Vec<f64> = first.iter().map(|p| f64::from(*p)).collect();
                let mut kept = vec![vec![0.0; optimizer.planes()]; 20];
                if optimizer.average.is_some() {
                    let at = state.len() - 20;
                    state[at..].copy_from_slice(&p);
                    kept.iter_mut().zip(&theirs).for_each(|(kept, p)| kept[optimizer.planes() - 1] = *p);
                }
                for t in 1..60 {
                    let mut g: Vec<f32> = (0..20).map(|i| number(31 * t + i) as f32).collect();
                    for (i, (p, kept)) in theirs.iter_mut().zip(&mut kept).enumerate() {
                        *p = optimizer.apply(0.9, t as u64, i % 2 == 1, *p, f64::from(g[i]), kept);
                    }
                    update(&optimizer, &optimizer.numbers(t as u64, 0.9), &mut p, &mut g, &mut state, reach);
                    for i in 0..20 {
                        let error = (f64::from(p[i]) - theirs[i]).abs();
                        assert!(error < 1e-5, "{optimizer:?}: {} instead of {} after {t}", p[i], theirs[i]);
                        if optimizer.average.is_some() {
                            let average = state[state.len() - 20 + i];
                            assert!(
                                (f64::from(average) - kept[i][optimizer.planes() - 1]).abs() < 1e-5,
                                "{optimizer:?}"
                            );
                        }
                    }
                }
            }
        }
    }
}
