//! The optimizers as loops over some parameters, their gradients and what is kept for them; they have to be inlined into a
//! dispatch, as [`crate::util::math`] says.

use crate::{
    engine::cpu::elementwise::sign,
    optim::{
        coefficients::{UpdateCoefficients, adadelta, adagrad, adam, adamax, lion, momentum, nadam, rmsprop, rprop},
        optimizer::Optimizer,
        update_rule::UpdateRule,
    },
};

/// Changes the parameters `p` by their gradients `g`; `state` holds the rule's planes and then the average, each as long
/// as `p`. `numbers` are those of the parameter at a place in `p`. `reach` says how much of the penalties each parameter
/// feels; empty, all of them do.
#[inline(always)]
pub(crate) fn update(
    optimizer: &Optimizer,
    coefficients: impl Fn(usize) -> UpdateCoefficients + Copy,
    p: &mut [f32],
    g: &mut [f32],
    state: &mut [f32],
    penalty_mask: &[f32],
) {
    if optimizer.clip_value.is_some() {
        for (i, g) in g.iter_mut().enumerate() {
            let most = coefficients(i).clip_value;
            *g = g.clamp(-most, most);
        }
    }
    if optimizer.has_penalties() {
        if penalty_mask.is_empty() {
            apply_penalties(optimizer.decoupled_weight_decay, coefficients, p, g, |_| 1.0);
        } else {
            apply_penalties(optimizer.decoupled_weight_decay, coefficients, p, g, |i| penalty_mask[i]);
        }
    }
    let (state, average) = state.split_at_mut(optimizer.rule.state_per_parameter() * p.len());
    apply_rule(optimizer.rule, coefficients, p, g, state);
    for (i, (average, p)) in average.iter_mut().zip(p).enumerate() {
        *average += coefficients(i).ema_weight * (*p - *average);
    }
}

#[inline(always)]
fn apply_penalties(
    decoupled: bool,
    coefficients: impl Fn(usize) -> UpdateCoefficients,
    p: &mut [f32],
    g: &mut [f32],
    penalty_mask: impl Fn(usize) -> f32,
) {
    for (i, (p, g)) in p.iter_mut().zip(g).enumerate() {
        let (reach, UpdateCoefficients { decay, l1, .. }) = (penalty_mask(i), coefficients(i));
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
pub(crate) fn apply_rule(
    rule: UpdateRule,
    coefficients: impl Fn(usize) -> UpdateCoefficients,
    p: &mut [f32],
    g: &[f32],
    state: &mut [f32],
) {
    let len = p.len();
    let (first, rest) = state.split_at_mut(len.min(state.len()));
    let (second, third) = rest.split_at_mut(len.min(rest.len()));
    // For each parameter's numbers, itself, its gradient, and its number in some of the planes.
    macro_rules! each {
        (|$n:ident, $p:ident, $g:ident $(, $number:ident of $plane:ident)*| $change:expr) => {{
            $(let $plane = &mut $plane[..len];)*
            for (i, ($p, $g)) in p.iter_mut().zip(g).enumerate() {
                let $n = coefficients(i);
                $(let $number = &mut $plane[i];)*
                $change
            }
        }};
    }
    match rule {
        UpdateRule::Sgd => each!(|n, p, g| *p -= n.learning_rate * g),
        UpdateRule::Momentum { nesterov: false, .. } => each!(|n, p, g, v of first| {
            *v = n.coefficients[momentum::MOMENTUM] * *v + n.coefficients[momentum::GRADIENT_FACTOR] * g;
            *p -= n.learning_rate * *v;
        }),
        UpdateRule::Momentum { nesterov: true, .. } => each!(|n, p, g, v of first| {
            *v = n.coefficients[momentum::MOMENTUM] * *v + n.coefficients[momentum::GRADIENT_FACTOR] * g;
            *p -= n.learning_rate * (g + n.coefficients[momentum::MOMENTUM] * *v);
        }),
        UpdateRule::Adam { amsgrad: false, .. } => each!(|n, p, g, m of first, s of second| {
            *m += n.coefficients[adam::MEAN_STEP] * (g - *m);
            *s += n.coefficients[adam::SQUARE_STEP] * (g * g - *s);
            *p -= n.learning_rate * *m / (s.sqrt() * n.coefficients[adam::CORRECTION] + n.coefficients[adam::EPSILON]);
        }),
        UpdateRule::Adam { amsgrad: true, .. } => {
            each!(|n, p, g, m of first, s of second, largest of third| {
                *m += n.coefficients[adam::MEAN_STEP] * (g - *m);
                *s += n.coefficients[adam::SQUARE_STEP] * (g * g - *s);
                *largest = if *s > *largest { *s } else { *largest };
                *p -= n.learning_rate * *m / (largest.sqrt() * n.coefficients[adam::CORRECTION] + n.coefficients[adam::EPSILON]);
            });
        }
        UpdateRule::Adamax { .. } => each!(|n, p, g, m of first, u of second| {
            *m += n.coefficients[adamax::MEAN_STEP] * (g - *m);
            let (old, new) = (n.coefficients[adamax::BETA2] * *u, g.abs() + n.coefficients[adamax::EPSILON]);
            *u = if old > new { old } else { new };
            *p -= n.learning_rate * *m / *u;
        }),
        UpdateRule::Nadam { .. } => each!(|n, p, g, m of first, s of second| {
            *m += n.coefficients[nadam::MEAN_STEP] * (g - *m);
            *s += n.coefficients[nadam::SQUARE_STEP] * (g * g - *s);
            *p -= (n.coefficients[nadam::GRADIENT_RATE] * g + n.learning_rate * *m) / (s.sqrt() * n.coefficients[nadam::CORRECTION] + n.coefficients[nadam::EPSILON]);
        }),
        UpdateRule::RmsProp { centered, momentum: kept, .. } => {
            let (centers, velocities) = if centered { (second, third) } else { (third, second) };
            for (i, (p, g)) in p.iter_mut().zip(g).enumerate() {
                let n = coefficients(i);
                first[i] += n.coefficients[rmsprop::SQUARE_STEP] * (g * g - first[i]);
                let mut s = first[i];
                if centered {
                    centers[i] += n.coefficients[rmsprop::SQUARE_STEP] * (g - centers[i]);
                    // Rounding may leave less than nothing.
                    s = (s - centers[i] * centers[i]).max(0.0);
                }
                let mut change = g / (s.sqrt() + n.coefficients[rmsprop::EPSILON]);
                if kept > 0.0 {
                    velocities[i] = n.coefficients[rmsprop::MOMENTUM] * velocities[i] + change;
                    change = velocities[i];
                }
                *p -= n.learning_rate * change;
            }
        }
        UpdateRule::Adagrad { .. } => each!(|n, p, g, s of first| {
            *s += g * g;
            *p -= n.learning_rate * g / ((n.coefficients[adagrad::INITIAL] + *s).sqrt() + n.coefficients[adagrad::EPSILON]);
        }),
        UpdateRule::Adadelta { .. } => each!(|n, p, g, s of first, u of second| {
            *s += n.coefficients[adadelta::SQUARE_STEP] * (g * g - *s);
            let d = g * (*u + n.coefficients[adadelta::EPSILON]).sqrt() / (*s + n.coefficients[adadelta::EPSILON]).sqrt();
            *u += n.coefficients[adadelta::SQUARE_STEP] * (d * d - *u);
            *p -= n.learning_rate * d;
        }),
        UpdateRule::Lion { .. } => each!(|n, p, g, m of first| {
            *p -= n.learning_rate * sign(*m + n.coefficients[lion::DIRECTION_STEP] * (g - *m));
            *m += n.coefficients[lion::MEAN_STEP] * (g - *m);
        }),
        UpdateRule::Rprop { .. } => each!(|n, p, g, before of first, step of second| {
            let turn = sign(*g) * sign(*before);
            let factor = if turn > 0.0 {
                n.coefficients[rprop::GROW]
            } else if turn < 0.0 {
                n.coefficients[rprop::SHRINK]
            } else {
                1.0
            };
            let next = (*step * factor).clamp(n.coefficients[rprop::MIN_STEP], n.coefficients[rprop::MAX_STEP]);
            *step = if *step == 0.0 { n.learning_rate } else { next };
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
                [*optimizer, optimizer.decoupled_weight_decay(0.1).l1(0.01), optimizer.spare_biases().ema(0.7)]
            {
                let first: Vec<f32> = (0..20).map(|i| number(i) as f32).collect();
                let reach: Vec<f32> = (0..20).map(|i| f32::from(i % 2 == 0)).collect();
                let reach = if optimizer.regularize_biases { &[][..] } else { &reach };
                let (mut p, mut state) = (first.clone(), vec![0.0; 20 * optimizer.state_per_parameter()]);
                let mut theirs: Vec<f64> = first.iter().map(|p| f64::from(*p)).collect();
                let mut kept = vec![vec![0.0; optimizer.state_per_parameter()]; 20];
                if optimizer.ema_decay.is_some() {
                    let at = state.len() - 20;
                    state[at..].copy_from_slice(&p);
                    kept.iter_mut().zip(&theirs).for_each(|(kept, p)| kept[optimizer.state_per_parameter() - 1] = *p);
                }
                for t in 1..60 {
                    let mut g: Vec<f32> = (0..20).map(|i| number(31 * t + i) as f32).collect();
                    for (i, (p, kept)) in theirs.iter_mut().zip(&mut kept).enumerate() {
                        *p = optimizer.apply(0.9, t as u64, i % 2 == 1, *p, f64::from(g[i]), kept);
                    }
                    let numbers = optimizer.update_coefficients(t as u64, 0.9);
                    update(&optimizer, |_| numbers, &mut p, &mut g, &mut state, reach);
                    for i in 0..20 {
                        let error = (f64::from(p[i]) - theirs[i]).abs();
                        assert!(error < 1e-5, "{optimizer:?}: {} instead of {} after {t}", p[i], theirs[i]);
                        if optimizer.ema_decay.is_some() {
                            let average = state[state.len() - 20 + i];
                            assert!(
                                (f64::from(average) - kept[i][optimizer.state_per_parameter() - 1]).abs() < 1e-5,
                                "{optimizer:?}"
                            );
                        }
                    }
                }
            }
        }
    }
}
