//! Words that espeak-ng speaks, and how they sound: spectrograms.

use std::{f64::consts::TAU, io::ErrorKind, process::Command};

use rayon::prelude::*;

use super::{Exit, random::Random};

/// A word as one voice speaks it.
#[derive(Debug, Clone)]
pub struct Spoken {
    /// As espeak-ng has it: an accent, and the speaker behind a plus sign.
    pub voice: String,
    /// Words a minute.
    pub speed: u32,
    /// From 0 to 99.
    pub pitch: u32,
    pub word: &'static str,
}

/// Samples a second; espeak-ng has no other.
const RATE: f32 = 22_050.0;

/// A spectrogram has so many frames, over 1.2 s, and so many bands, from 100 to 8,000 Hz.
pub const FRAMES: usize = 32;
pub const BANDS: usize = 24;
const SAMPLES: usize = 26_460;
const WINDOW: usize = 1024;

/// The noise is so much weaker than the word, as power: 10 dB.
const SIGNAL_TO_NOISE: f32 = 10.0;

/// How each of these sounds with so many draws of noise that `seed` decides, one after the other: `[frames, bands]` of
/// the logarithm of the energy.
pub fn spectrograms(spoken: &[Spoken], draws: usize, seed: u64) -> Result<Vec<f32>, Exit> {
    let (window, filters) = (hann(), filters());
    let roots = roots_of_unity();
    let frame = |samples: &[f32]| {
        let weighted: Vec<f32> = samples.iter().zip(&window).map(|(v, w)| v * w).collect();
        let energies = spectrum(&weighted, &roots);
        let energy = |filter: &Vec<f32>| energies.iter().zip(filter).map(|(bin, f)| bin * f).sum::<f32>();
        filters.iter().map(|filter| (energy(filter) + 1e-8).ln()).collect::<Vec<_>>()
    };
    let sound = |(number, spoken): (usize, &Spoken)| {
        let word = speak(spoken)?;
        let power = word.iter().map(|v| v * v).sum::<f32>() / word.len() as f32;
        let deviation = (power / SIGNAL_TO_NOISE).sqrt();
        let mut random = Random::new(seed ^ (number as u64).rotate_left(32));
        let mut rows = Vec::new();
        for _ in 0..draws {
            let silence = std::iter::repeat(&0.0);
            let noisy = word.iter().chain(silence).map(|v| v + deviation * random.normal() as f32);
            let noisy: Vec<f32> = noisy.take(SAMPLES).collect();
            let begins = (0..FRAMES).map(|frame| frame * (SAMPLES - WINDOW) / (FRAMES - 1));
            let bands: Vec<f32> = begins.flat_map(|begin| frame(&noisy[begin..begin + WINDOW])).collect();
            // How loud it is says nothing about the word.
            let mean = bands.iter().sum::<f32>() / bands.len() as f32;
            rows.extend(bands.into_iter().map(|band| band - mean));
        }
        Ok(rows)
    };
    let all: Result<Vec<_>, Exit> = spoken.par_iter().enumerate().map(sound).collect();
    Ok(all?.concat())
}

/// Has espeak-ng speak, and leaves out the silence before the word and after it.
fn speak(spoken: &Spoken) -> Result<Vec<f32>, Exit> {
    let Spoken { voice, speed, pitch, word } = spoken;
    let mut command = Command::new("espeak-ng");
    command.args(["-v", voice, "-s", &speed.to_string(), "-p", &pitch.to_string(), "--stdout", word]);
    let output = command.output().map_err(|error| match error.kind() {
        ErrorKind::NotFound => Exit::Usage("no espeak-ng; run `sudo apt-get install espeak-ng`".into()),
        _ => Exit::Failed(format!("espeak-ng: {error}")),
    })?;
    // To a pipe it writes no sizes; after the 44 bytes of the header there are samples to the end.
    let (header, samples) = output.stdout.split_at_checked(44).unwrap_or_default();
    let rate = header.get(24..28).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
    if !output.status.success() || rate != Some(RATE as u32) || samples.is_empty() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(Exit::Failed(format!("espeak-ng -v {voice}: no sound of {RATE} samples a second: {why}")));
    }
    let samples: Vec<f32> =
        samples.chunks_exact(2).map(|v| f32::from(i16::from_le_bytes([v[0], v[1]])) / 32768.0).collect();
    let loudest = samples.iter().fold(0.0f32, |most, v| most.max(v.abs()));
    let is_loud = |v: &f32| v.abs() > 0.02 * loudest;
    let (Some(begin), Some(end)) = (samples.iter().position(is_loud), samples.iter().rposition(is_loud)) else {
        return Err(Exit::Failed(format!("espeak-ng -v {voice}: silence")));
    };
    Ok(samples[begin..=end].to_vec())
}

fn hann() -> Vec<f32> {
    (0..WINDOW).map(|i| 0.5 - 0.5 * (std::f32::consts::TAU * i as f32 / WINDOW as f32).cos()).collect()
}

/// A complex number.
#[derive(Clone, Copy)]
struct Complex {
    re: f64,
    im: f64,
}

/// The powers of exp(-i 2 pi / WINDOW), up to half a turn.
fn roots_of_unity() -> Vec<Complex> {
    let root = |i: usize| {
        let angle = -TAU * i as f64 / WINDOW as f64;
        Complex { re: angle.cos(), im: angle.sin() }
    };
    (0..WINDOW / 2).map(root).collect()
}

/// The energy of each frequency in `WINDOW` samples, by the fast Fourier transform of Cooley and Tukey.
fn spectrum(samples: &[f32], roots: &[Complex]) -> Vec<f32> {
    let shift = usize::BITS - WINDOW.ilog2();
    let reversed = |i: usize| i.reverse_bits() >> shift;
    let mut bins: Vec<Complex> =
        (0..WINDOW).map(|i| Complex { re: f64::from(samples[reversed(i)]), im: 0.0 }).collect();
    let mut half = 1;
    while half < WINDOW {
        for part in bins.chunks_exact_mut(2 * half) {
            let (low, high) = part.split_at_mut(half);
            for (i, (a, b)) in low.iter_mut().zip(high).enumerate() {
                let root = roots[i * (WINDOW / 2 / half)];
                let turned = Complex { re: b.re * root.re - b.im * root.im, im: b.re * root.im + b.im * root.re };
                *b = Complex { re: a.re - turned.re, im: a.im - turned.im };
                *a = Complex { re: a.re + turned.re, im: a.im + turned.im };
            }
        }
        half *= 2;
    }
    bins.iter().map(|bin| (bin.re * bin.re + bin.im * bin.im) as f32).collect()
}

/// How much each bin of the transform counts in each band: triangles, as broad as the ear is coarse (the mel scale).
fn filters() -> Vec<Vec<f32>> {
    let mel = |hertz: f32| 2595.0 * (1.0 + hertz / 700.0).log10();
    let (low, high) = (mel(100.0), mel(8000.0));
    let edge = |i: usize| 700.0 * (10f32.powf((low + (high - low) * i as f32 / (BANDS + 1) as f32) / 2595.0) - 1.0);
    let filter = |band: usize| {
        let (left, centre, right) = (edge(band), edge(band + 1), edge(band + 2));
        let weight = |bin: usize| {
            let hertz = bin as f32 * RATE / WINDOW as f32;
            ((hertz - left) / (centre - left)).min((right - hertz) / (right - centre)).max(0.0)
        };
        (0..=WINDOW / 2).map(weight).collect()
    };
    (0..BANDS).map(filter).collect()
}
