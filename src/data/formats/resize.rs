//! Resizes images with a triangle filter.

use std::array;

use crate::data::formats::image::Image;

impl Image {
    /// Returns the image in another size. The triangle filter averages pixels along an axis that shrinks, and
    /// interpolates linearly along an axis that grows.
    pub(crate) fn resized(&self, height: usize, width: usize) -> Self {
        match self.channels {
            1 => self.resized_channels::<1>(height, width),
            _ => self.resized_channels::<3>(height, width),
        }
    }

    fn resized_channels<const N: usize>(&self, height: usize, width: usize) -> Self {
        let (pixels, _) = self.bytes.as_chunks::<N>();
        let mut rows = vec![[0.0f32; N]; height * self.width];
        for (y, to) in rows.chunks_exact_mut(self.width).enumerate() {
            let window = Window::new(y, self.height, height);
            for (x, to) in to.iter_mut().enumerate() {
                *to = window.mean(|row| pixels[row * self.width + x].map(f32::from));
            }
        }
        let mut resized = vec![[0; N]; height * width];
        for x in 0..width {
            let window = Window::new(x, self.width, width);
            for y in 0..height {
                let mean = window.mean(|column| rows[y * self.width + column]);
                resized[y * width + x] = mean.map(|value| value.clamp(0.0, 255.0).round() as u8);
            }
        }
        Self { height, width, channels: self.channels, bytes: resized.into_flattened() }
    }
}

/// The filter window of one pixel of the resized image: the pixels along one axis, and their weights in the mean.
struct Window {
    /// The index of the first pixel.
    start: usize,
    /// One weight per pixel. Their sum is 1.
    weights: Vec<f32>,
}

impl Window {
    /// Creates the window of the pixel `index` along an axis that is resized from `old_size` to `new_size` pixels.
    fn new(index: usize, old_size: usize, new_size: usize) -> Self {
        let ratio = old_size as f32 / new_size as f32;
        let radius = ratio.max(1.0);
        let center = (index as f32 + 0.5) * ratio;
        let start = ((center - radius).floor().max(0.0) as usize).min(old_size - 1);
        let end = ((center + radius).ceil() as usize).clamp(start + 1, old_size);
        let distance = |i: usize| ((i as f32 - (center - 0.5)) / radius).abs();
        let mut weights: Vec<f32> = (start..end).map(|i| (1.0 - distance(i)).max(0.0)).collect();
        let sum: f32 = weights.iter().sum();
        for weight in &mut weights {
            *weight /= sum;
        }
        Self { start, weights }
    }

    /// Returns the weighted mean of the pixels. `pixel` returns the channels of the pixel at an index.
    fn mean<const N: usize>(&self, pixel: impl Fn(usize) -> [f32; N]) -> [f32; N] {
        let mut mean = [0.0; N];
        for (i, weight) in (self.start..).zip(&self.weights) {
            let pixel = pixel(i);
            mean = array::from_fn(|channel| mean[channel] + pixel[channel] * weight);
        }
        mean
    }
}
