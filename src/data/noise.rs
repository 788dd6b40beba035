//! Normally distributed noise on the features during training. The noise depends only on the key of the epoch, the
//! position of the row in the epoch and the column, so every device computes the same noise in any order.
//! `shaders/data/noise.wgsl` is the same code.

use crate::util::math::{Fma, ln_1p, sin_cos};

/// Adds noise with mean 0 and standard deviation `std` to a row of features.
pub(crate) fn add_noise(std: f32, key: [u32; 2], position: u32, row: &mut [f32]) {
    for (column, four) in (0..).zip(row.chunks_mut(4)) {
        let noise = normal([key[0], key[1], position, column]);
        four.iter_mut().zip(noise).for_each(|(x, noise)| *x += std * noise);
    }
}

/// Returns four numbers of the standard normal distribution (Box and Muller 1958).
fn normal(counter: [u32; 4]) -> [f32; 4] {
    let [a, b, c, d] = pcg4d(counter).map(|random| random >> 8);
    let [a, b] = [a, b].map(|k| (2.0 * neg_ln(k)).sqrt());
    let [c, d] = [c, d].map(|k| k as f32 * (std::f32::consts::TAU / 16_777_216.0));
    let sine = |x| sin_cos(Fma::NONE, x, 0);
    let quarter = std::f32::consts::FRAC_PI_2;
    [a * sine(c + quarter), b * sine(d + quarter), a * sine(c), b * sine(d)]
}

/// Hashes a counter of four numbers to four random numbers (pcg4d of Jarzynski and Olano 2020).
fn pcg4d(counter: [u32; 4]) -> [u32; 4] {
    let mut v = counter.map(|n| n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    for round in 0..2 {
        for (to, [left, right]) in [[1, 3], [2, 0], [0, 1], [1, 2]].into_iter().enumerate() {
            v[to] = v[to].wrapping_add(v[left].wrapping_mul(v[right]));
        }
        v = if round == 0 { v.map(|n| n ^ (n >> 16)) } else { v };
    }
    v
}

/// Computes `-ln((k + 1) / 2^24)` for k < 2^24 from the exponent and the logarithm of the mantissa in [3/4, 3/2).
fn neg_ln(k: u32) -> f32 {
    let bits = ((k + 1) as f32).to_bits();
    let mantissa = f32::from_bits((bits & 0x7f_ffff) | 0x3f80_0000);
    let (mantissa, power) = if mantissa >= 1.5 { (0.5 * mantissa, -150.0) } else { (mantissa, -151.0) };
    -(((bits >> 23) as f32 + power) * std::f32::consts::LN_2 + ln_1p(Fma::NONE, mantissa - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neg_ln_is_accurate_for_all_inputs() {
        for k in (0..1000).chain((0..1 << 24).step_by(997)).chain((1 << 24) - 1000..1 << 24) {
            let expected = -(f64::from(k + 1) / 16_777_216.0).ln();
            let got = f64::from(neg_ln(k));
            assert!((got - expected).abs() <= 3e-7 * expected.max(1e-30), "{k}: expected {expected}, got {got}");
        }
    }

    /// The standard error of a mean of n numbers is 1 / sqrt(n); all bounds are five standard errors.
    #[test]
    fn noise_is_normal_and_uncorrelated() {
        const ROWS: usize = 2000;
        const COLUMNS: usize = 101;
        let draw = |key: [u32; 2]| {
            let mut all = vec![0.0; ROWS * COLUMNS];
            (0..).zip(all.chunks_exact_mut(COLUMNS)).for_each(|(position, row)| add_noise(1.0, key, position, row));
            all.into_iter().map(f64::from).collect::<Vec<_>>()
        };
        let (noise, other) = (draw([1, 2]), draw([1, 3]));
        let n = noise.len() as f64;
        let moment = |power: i32| noise.iter().map(|x| x.powi(power)).sum::<f64>() / n;
        for (power, expected, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)] {
            let bound = 5.0 * (variance / n).sqrt();
            assert!((moment(power) - expected).abs() < bound, "moment {power} is {}", moment(power));
        }
        for (limit, fraction) in [(1.0, 0.317_310_5), (2.0, 0.045_500_3), (3.0, 0.002_699_8)] {
            let beyond = noise.iter().filter(|x| x.abs() > limit).count() as f64 / n;
            assert!((beyond - fraction).abs() < 5.0 * (fraction / n).sqrt(), "{beyond} beyond {limit}");
        }
        let correlation = |other: &[f64]| noise.iter().zip(other).map(|(a, b)| a * b).sum::<f64>() / n;
        for (name, other) in [
            ("columns", &noise[1..]),
            ("halves of a pair", &noise[2..]),
            ("fours", &noise[4..]),
            ("rows", &noise[COLUMNS..]),
            ("epochs", &other),
        ] {
            assert!(correlation(other).abs() < 5.0 / n.sqrt(), "{name}: {}", correlation(other));
        }
        assert_eq!(noise, draw([1, 2]), "the same key gives the same noise");
    }
}
