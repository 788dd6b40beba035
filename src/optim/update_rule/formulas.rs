//! The update rules in f64, for the reference and the tests.

use crate::{optim::update_rule::UpdateRule, util::math::sign};

impl UpdateRule {
    /// Returns the new value of a parameter `p` with gradient `g`, and updates its `state`, in f64.
    ///
    /// `t` is the number of the update, counted from 1. `state` holds the optimizer state of the parameter:
    /// [`UpdateRule::state_per_parameter`] values, which are 0 before the first update.
    ///
    /// # Panics
    /// If `state` does not have [`UpdateRule::state_per_parameter`] values.
    #[doc(alias = "step")]
    pub fn apply(self, learning_rate: f64, t: u64, p: f64, g: f64, state: &mut [f64]) -> f64 {
        let bias_correction = |beta: f64| 1.0 - beta.powf(t as f64);
        let update_mean = |beta: f64, mean: &mut f64, new: f64| {
            *mean = beta * *mean + (1.0 - beta) * new;
            *mean
        };
        assert_eq!(state.len(), self.state_per_parameter(), "{}: values of optimizer state per parameter", self.name());
        match (self, state) {
            (Self::Sgd, _) => p - learning_rate * g,
            (Self::Momentum { momentum, dampening, nesterov }, [v]) => {
                *v = if t == 1 { g } else { momentum * *v + (1.0 - dampening) * g };
                p - learning_rate * if nesterov { g + momentum * *v } else { *v }
            }
            (Self::Adam { beta1, beta2, epsilon, .. }, [m, s, rest @ ..]) => {
                let (m, mut s) = (update_mean(beta1, m, g), update_mean(beta2, s, g * g));
                if let [max_s] = rest {
                    *max_s = max_s.max(s);
                    s = *max_s;
                }
                p - learning_rate * (m / bias_correction(beta1)) / ((s / bias_correction(beta2)).sqrt() + epsilon)
            }
            (Self::Adamax { beta1, beta2, epsilon }, [m, u]) => {
                *u = (beta2 * *u).max(g.abs() + epsilon);
                p - learning_rate * (update_mean(beta1, m, g) / bias_correction(beta1)) / *u
            }
            (Self::Nadam { beta1, beta2, epsilon, momentum_decay }, [m, s]) => {
                let (m, s) = (update_mean(beta1, m, g), update_mean(beta2, s, g * g));
                let mu = |t: u64| beta1 * (1.0 - 0.5 * 0.96f64.powf(t as f64 * momentum_decay));
                let product: f64 = (1..=t).map(mu).product();
                let ahead = (1.0 - mu(t)) * g / (1.0 - product) + mu(t + 1) * m / (1.0 - product * mu(t + 1));
                p - learning_rate * ahead / ((s / bias_correction(beta2)).sqrt() + epsilon)
            }
            (Self::RmsProp { alpha, epsilon, momentum, centered }, [s, rest @ ..]) => {
                let mut s = update_mean(alpha, s, g * g);
                let (gradient_mean, velocity) = rest.split_at_mut(usize::from(centered));
                if let [gradient_mean] = gradient_mean {
                    s -= update_mean(alpha, gradient_mean, g).powi(2);
                }
                let mut direction = g / (s.sqrt() + epsilon);
                if let [v] = velocity {
                    *v = momentum * *v + direction;
                    direction = *v;
                }
                p - learning_rate * direction
            }
            (Self::Adagrad { learning_rate_decay, initial_accumulator, epsilon }, [s]) => {
                *s += g * g;
                let learning_rate = learning_rate / (1.0 + (t - 1) as f64 * learning_rate_decay);
                p - learning_rate * g / ((initial_accumulator + *s).sqrt() + epsilon)
            }
            (Self::Adadelta { rho, epsilon }, [s, u]) => {
                let d = g * (*u + epsilon).sqrt() / (update_mean(rho, s, g * g) + epsilon).sqrt();
                update_mean(rho, u, d * d);
                p - learning_rate * d
            }
            (Self::Lion { beta1, beta2 }, [m]) => {
                let direction = sign(beta1 * *m + (1.0 - beta1) * g);
                update_mean(beta2, m, g);
                p - learning_rate * direction
            }
            (Self::Rprop { eta_minus, eta_plus, min_step, max_step }, [previous, step]) => {
                let product = g * *previous;
                let has_sign_change = product < 0.0;
                let factor = if product > 0.0 {
                    eta_plus
                } else if has_sign_change {
                    eta_minus
                } else {
                    1.0
                };
                *step = if t == 1 { learning_rate } else { (*step * factor).clamp(min_step, max_step) };
                *previous = if has_sign_change { 0.0 } else { g };
                p - sign(*previous) * *step
            }
            (
                Self::Momentum { .. }
                | Self::Adam { .. }
                | Self::Adamax { .. }
                | Self::Nadam { .. }
                | Self::RmsProp { .. }
                | Self::Adagrad { .. }
                | Self::Adadelta { .. }
                | Self::Lion { .. }
                | Self::Rprop { .. },
                _,
            ) => unreachable!("the length of the state was checked above"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rule must not silently act as gradient descent if it gets the state of another rule.
    #[test]
    fn state_with_a_wrong_length_panics() {
        for rule in UpdateRule::ALL {
            for len in (0..5).filter(|len| *len != rule.state_per_parameter()) {
                let result = std::panic::catch_unwind(|| rule.apply(0.1, 1, 1.0, 1.0, &mut vec![0.0; len]));
                let message = *result.unwrap_err().downcast::<String>().unwrap();
                assert!(message.contains(rule.name()) && message.contains("values of optimizer state"), "{message}");
            }
        }
    }

    #[test]
    fn rprop_waits_and_shrinks_its_step_after_a_sign_change() {
        let rprop = UpdateRule::Rprop { eta_minus: 0.5, eta_plus: 1.25, min_step: 1e-6, max_step: 50.0 };
        let (mut p, mut state) = (1.0, [0.0; 2]);
        // As in PyTorch: a sign change halves the step and sets the stored gradient to 0.
        for (t, g, expected) in
            [(1, 3.0, 0.75), (2, 1.0, 0.4375), (3, -1.0, 0.4375), (4, -2.0, 0.593_75), (5, -0.1, 0.789_062_5)]
        {
            p = rprop.apply(0.25, t, p, g, &mut state);
            assert_eq!(p, expected, "update {t}");
        }
    }
}
