//! The updates of the optimizers, as loops over parameters, gradients and optimizer state.
//!
//! All functions must be inlined into a `pulp::Arch::dispatch`; see [`crate::util::math`].

use crate::{
    engine::cpu::elementwise::sign,
    optim::{
        coefficients::{UpdateCoefficients, adadelta, adagrad, adam, adamax, lion, momentum, nadam, rmsprop, rprop},
        optimizer::Optimizer,
        update_rule::UpdateRule,
    },
};

/// Updates the parameters `p` with their gradients `g`. [`Optimizer::apply`] has the formula.
///
/// `state` holds the state vectors of the rule and then the EMA, each as long as `p`. `coefficients` returns the
/// coefficients of a parameter, given its index in `p`. `penalty_mask` is 1 for each regularized parameter and 0 for
/// any other; if it is empty, every parameter is regularized.
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
            let max = coefficients(i).clip_value;
            *g = g.clamp(-max, max);
        }
    }
    if optimizer.has_penalties() {
        if penalty_mask.is_empty() {
            apply_penalties(optimizer.decoupled_weight_decay, coefficients, p, g, |_| 1.0);
        } else {
            apply_penalties(optimizer.decoupled_weight_decay, coefficients, p, g, |i| penalty_mask[i]);
        }
    }
    let (state, ema) = state.split_at_mut(optimizer.rule.state_per_parameter() * p.len());
    apply_rule(optimizer.rule, coefficients, p, g, state);
    for (i, (ema, p)) in ema.iter_mut().zip(p).enumerate() {
        *ema += coefficients(i).ema_weight * (*p - *ema);
    }
}

/// Adds the derivatives of the L1 and L2 penalties to the gradients. With decoupled weight decay, it shrinks the
/// parameters instead of adding the L2 penalty.
#[inline(always)]
fn apply_penalties(
    is_decoupled: bool,
    coefficients: impl Fn(usize) -> UpdateCoefficients,
    p: &mut [f32],
    g: &mut [f32],
    penalty_mask: impl Fn(usize) -> f32,
) {
    for (i, (p, g)) in p.iter_mut().zip(g).enumerate() {
        let (mask, UpdateCoefficients { decay, l1, .. }) = (penalty_mask(i), coefficients(i));
        *g += mask * l1 * sign(*p);
        if is_decoupled {
            *p -= mask * decay * *p;
        } else {
            *g += mask * decay * *p;
        }
    }
}

/// Updates the parameters `p` with their gradients `g` by the rule alone, without clipping, penalties and EMA.
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
    // Runs the update for every parameter, with its coefficients, its gradient and its values in the given state
    // vectors.
    macro_rules! each {
        (|$n:ident, $p:ident, $g:ident $(, $value:ident of $vector:ident)*| $update:expr) => {{
            $(let $vector = &mut $vector[..len];)*
            for (i, ($p, $g)) in p.iter_mut().zip(g).enumerate() {
                let $n = coefficients(i);
                $(let $value = &mut $vector[i];)*
                $update
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
            each!(|n, p, g, m of first, s of second, max of third| {
                *m += n.coefficients[adam::MEAN_STEP] * (g - *m);
                *s += n.coefficients[adam::SQUARE_STEP] * (g * g - *s);
                *max = if *s > *max { *s } else { *max };
                *p -= n.learning_rate * *m / (max.sqrt() * n.coefficients[adam::CORRECTION] + n.coefficients[adam::EPSILON]);
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
        UpdateRule::RmsProp { centered, momentum, .. } => {
            let (means, velocities) = if centered { (second, third) } else { (third, second) };
            for (i, (p, g)) in p.iter_mut().zip(g).enumerate() {
                let n = coefficients(i);
                first[i] += n.coefficients[rmsprop::SQUARE_STEP] * (g * g - first[i]);
                let mut s = first[i];
                if centered {
                    means[i] += n.coefficients[rmsprop::SQUARE_STEP] * (g - means[i]);
                    // Rounding may make the difference negative.
                    s = (s - means[i] * means[i]).max(0.0);
                }
                let mut change = g / (s.sqrt() + n.coefficients[rmsprop::EPSILON]);
                if momentum > 0.0 {
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
        UpdateRule::Rprop { .. } => each!(|n, p, g, previous of first, step of second| {
            let sign_product = sign(*g) * sign(*previous);
            let factor = if sign_product > 0.0 {
                n.coefficients[rprop::GROW]
            } else if sign_product < 0.0 {
                n.coefficients[rprop::SHRINK]
            } else {
                1.0
            };
            let next = (*step * factor).clamp(n.coefficients[rprop::MIN_STEP], n.coefficients[rprop::MAX_STEP]);
            *step = if *step == 0.0 { n.learning_rate } else { next };
            *previous = if sign_product < 0.0 { 0.0 } else { *g };
            *p -= sign(*previous) * *step;
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_match_the_f64_formulas_for_every_optimizer() {
        const COUNT: usize = 20;
        let pseudo_random = |i: usize| (i as f64 * 12.9898).sin();
        for optimizer in Optimizer::ALL {
            for optimizer in [
                *optimizer,
                optimizer.decoupled_weight_decay(0.1).l1(0.01),
                optimizer.regularize_biases(false).ema(0.7),
            ] {
                let state_len = optimizer.state_per_parameter();
                let initial: Vec<f32> = (0..COUNT).map(|i| pseudo_random(i) as f32).collect();
                // Every second parameter acts as a bias.
                let mask: Vec<f32> = (0..COUNT).map(|i| f32::from(i % 2 == 0)).collect();
                let mask = if optimizer.regularize_biases { &[][..] } else { &mask };
                let (mut p, mut state) = (initial.clone(), vec![0.0; COUNT * state_len]);
                let mut expected: Vec<f64> = initial.iter().map(|p| f64::from(*p)).collect();
                let mut expected_state = vec![vec![0.0; state_len]; COUNT];
                if optimizer.ema_decay.is_some() {
                    let ema_offset = state.len() - COUNT;
                    state[ema_offset..].copy_from_slice(&p);
                    for (state, p) in expected_state.iter_mut().zip(&expected) {
                        state[state_len - 1] = *p;
                    }
                }
                for t in 1..60 {
                    let mut g: Vec<f32> = (0..COUNT).map(|i| pseudo_random(31 * t + i) as f32).collect();
                    for (i, (p, state)) in expected.iter_mut().zip(&mut expected_state).enumerate() {
                        *p = optimizer.apply(0.9, t as u64, i % 2 == 1, *p, f64::from(g[i]), state);
                    }
                    let coefficients = optimizer.update_coefficients(t as u64, 0.9);
                    update(&optimizer, |_| coefficients, &mut p, &mut g, &mut state, mask);
                    for i in 0..COUNT {
                        let error = (f64::from(p[i]) - expected[i]).abs();
                        assert!(error < 1e-5, "{optimizer:?}, update {t}: expected {}, got {}", expected[i], p[i]);
                        if optimizer.ema_decay.is_some() {
                            let (got, expected) = (state[state.len() - COUNT + i], expected_state[i][state_len - 1]);
                            let error = (f64::from(got) - expected).abs();
                            assert!(error < 1e-5, "{optimizer:?}, update {t}: expected EMA {expected}, got {got}");
                        }
                    }
                }
            }
        }
    }
}
