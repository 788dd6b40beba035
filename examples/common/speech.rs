//! Synthetic speech: espeak-ng speaks words, and this module computes their spectrograms.

use std::{f64::consts::TAU, io::ErrorKind, process::Command};

use rayon::prelude::*;

use super::{Exit, random::Random};

/// A word spoken by one voice.
#[derive(Debug, Clone)]
pub struct Utterance {
    /// The voice in espeak-ng's notation: the accent, a plus sign, and the speaker.
    pub voice: String,
    /// The speed in words per minute.
    pub speed: u32,
    /// The pitch, 0 to 99.
    pub pitch: u32,
    pub word: &'static str,
}

/// The sample rate in Hz, the only one that espeak-ng supports.
const SAMPLE_RATE: f32 = 22_050.0;

/// The number of frames of a spectrogram. The frames cover 1.2 s and overlap.
pub const FRAMES: usize = 32;
/// The number of frequency bands of a spectrogram, from [`MIN_HERTZ`] to [`MAX_HERTZ`].
pub const BANDS: usize = 24;
const MIN_HERTZ: f32 = 100.0;
const MAX_HERTZ: f32 = 8000.0;

/// The number of audio samples of a spectrogram: 1.2 s.
const SAMPLES: usize = 26_460;
/// The number of audio samples of a frame. It is a power of two for the fast Fourier transform.
const FRAME_SAMPLES: usize = 1024;

/// The ratio of the power of the word to that of the noise: 10 dB.
const SIGNAL_TO_NOISE: f32 = 10.0;

/// Returns the spectrograms of utterances with noise: the logarithm of the energy per frame and band.
///
/// Each utterance gives `noise_draws` rows of shape `[FRAMES, BANDS]`. `seed` determines the noise.
pub fn spectrograms(utterances: &[Utterance], noise_draws: usize, seed: u64) -> Result<Vec<f32>, Exit> {
    let (window, filters, roots) = (hann_window(), mel_filters(), roots_of_unity());
    let band_energies = |samples: &[f32]| {
        let windowed: Vec<f32> = samples.iter().zip(&window).map(|(v, w)| v * w).collect();
        let bins = power_spectrum(&windowed, &roots);
        let energy = |filter: &Vec<f32>| bins.iter().zip(filter).map(|(bin, f)| bin * f).sum::<f32>();
        filters.iter().map(|filter| (energy(filter) + 1e-8).ln()).collect::<Vec<_>>()
    };
    let rows = |(number, utterance): (usize, &Utterance)| {
        let word = speak(utterance)?;
        let power = word.iter().map(|v| v * v).sum::<f32>() / word.len() as f32;
        let noise_std = (power / SIGNAL_TO_NOISE).sqrt();
        let mut random = Random::new(seed ^ (number as u64).rotate_left(32));
        let mut rows = Vec::new();
        for _ in 0..noise_draws {
            let silence = std::iter::repeat(&0.0);
            let noisy = word.iter().chain(silence).map(|v| v + noise_std * random.normal() as f32);
            let noisy: Vec<f32> = noisy.take(SAMPLES).collect();
            let starts = (0..FRAMES).map(|frame| frame * (SAMPLES - FRAME_SAMPLES) / (FRAMES - 1));
            let bands: Vec<f32> =
                starts.flat_map(|start| band_energies(&noisy[start..start + FRAME_SAMPLES])).collect();
            // The loudness does not depend on the word, so subtract it.
            let mean = bands.iter().sum::<f32>() / bands.len() as f32;
            rows.extend(bands.into_iter().map(|band| band - mean));
        }
        Ok(rows)
    };
    let all: Result<Vec<_>, Exit> = utterances.par_iter().enumerate().map(rows).collect();
    Ok(all?.concat())
}

/// Runs espeak-ng and returns the audio samples of a word, without the silence before and after it.
fn speak(utterance: &Utterance) -> Result<Vec<f32>, Exit> {
    let Utterance { voice, speed, pitch, word } = utterance;
    let mut command = Command::new("espeak-ng");
    command.args(["-v", voice, "-s", &speed.to_string(), "-p", &pitch.to_string(), "--stdout", word]);
    let output = command.output().map_err(|error| match error.kind() {
        ErrorKind::NotFound => Exit::Usage("espeak-ng not found; run `sudo apt-get install espeak-ng`".into()),
        _ => Exit::Failed(format!("espeak-ng: {error}")),
    })?;
    // espeak-ng cannot write the sizes into the WAV header of a pipe. The samples follow the 44 bytes of the header.
    let (header, samples) = output.stdout.split_at_checked(44).unwrap_or_default();
    let rate = header.get(24..28).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
    if !output.status.success() || rate != Some(SAMPLE_RATE as u32) || samples.is_empty() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let rate = rate.map_or("no WAV header".to_owned(), |rate| format!("{rate} Hz"));
        let message = format!("expected audio at {SAMPLE_RATE} Hz, got {rate} and {} bytes of audio", samples.len());
        return Err(Exit::Failed(format!("espeak-ng -v {voice}: {message}: {stderr}")));
    }
    let samples: Vec<f32> =
        samples.chunks_exact(2).map(|v| f32::from(i16::from_le_bytes([v[0], v[1]])) / 32768.0).collect();
    let loudest = samples.iter().fold(0.0f32, |max, v| max.max(v.abs()));
    let is_loud = |v: &f32| v.abs() > 0.02 * loudest;
    let (Some(start), Some(end)) = (samples.iter().position(is_loud), samples.iter().rposition(is_loud)) else {
        return Err(Exit::Failed(format!("espeak-ng -v {voice}: expected a spoken word, got silence")));
    };
    Ok(samples[start..=end].to_vec())
}

/// Returns the Hann window of a frame.
fn hann_window() -> Vec<f32> {
    (0..FRAME_SAMPLES).map(|i| 0.5 - 0.5 * (std::f32::consts::TAU * i as f32 / FRAME_SAMPLES as f32).cos()).collect()
}

/// A complex number.
#[derive(Clone, Copy)]
struct Complex {
    re: f64,
    im: f64,
}

/// Returns the powers `exp(-2 pi i k / FRAME_SAMPLES)` for `k` below half of [`FRAME_SAMPLES`].
fn roots_of_unity() -> Vec<Complex> {
    let root = |i: usize| {
        let angle = -TAU * i as f64 / FRAME_SAMPLES as f64;
        Complex { re: angle.cos(), im: angle.sin() }
    };
    (0..FRAME_SAMPLES / 2).map(root).collect()
}

/// Returns the energy of each frequency bin of a frame, by the fast Fourier transform of Cooley and Tukey.
fn power_spectrum(samples: &[f32], roots: &[Complex]) -> Vec<f32> {
    let shift = usize::BITS - FRAME_SAMPLES.ilog2();
    let bit_reversed = |i: usize| i.reverse_bits() >> shift;
    let mut bins: Vec<Complex> =
        (0..FRAME_SAMPLES).map(|i| Complex { re: f64::from(samples[bit_reversed(i)]), im: 0.0 }).collect();
    let mut half = 1;
    while half < FRAME_SAMPLES {
        for block in bins.chunks_exact_mut(2 * half) {
            let (low, high) = block.split_at_mut(half);
            for (i, (a, b)) in low.iter_mut().zip(high).enumerate() {
                let root = roots[i * (FRAME_SAMPLES / 2 / half)];
                let rotated = Complex { re: b.re * root.re - b.im * root.im, im: b.re * root.im + b.im * root.re };
                *b = Complex { re: a.re - rotated.re, im: a.im - rotated.im };
                *a = Complex { re: a.re + rotated.re, im: a.im + rotated.im };
            }
        }
        half *= 2;
    }
    bins.iter().map(|bin| (bin.re * bin.re + bin.im * bin.im) as f32).collect()
}

/// Returns the weight of each frequency bin in each band: triangles of equal width on the mel scale, which follows the
/// resolution of the ear.
fn mel_filters() -> Vec<Vec<f32>> {
    let mel = |hertz: f32| 2595.0 * (1.0 + hertz / 700.0).log10();
    let (low, high) = (mel(MIN_HERTZ), mel(MAX_HERTZ));
    let edge = |i: usize| 700.0 * (10f32.powf((low + (high - low) * i as f32 / (BANDS + 1) as f32) / 2595.0) - 1.0);
    let filter = |band: usize| {
        let (left, center, right) = (edge(band), edge(band + 1), edge(band + 2));
        let weight = |bin: usize| {
            let hertz = bin as f32 * SAMPLE_RATE / FRAME_SAMPLES as f32;
            ((hertz - left) / (center - left)).min((right - hertz) / (right - center)).max(0.0)
        };
        (0..=FRAME_SAMPLES / 2).map(weight).collect()
    };
    (0..BANDS).map(filter).collect()
}
