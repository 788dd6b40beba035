//! The number types of arrays in files, and their conversion to f32 and f64.

use half::f16;

/// The type of the values in a file, in the notation of numpy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ValueType {
    /// The kind: `f` (float), `i` (signed), `u` (unsigned) or `b` (bool).
    pub(crate) type_code: u8,
    /// The number of bytes per value.
    pub(crate) width: usize,
    /// Whether the most significant byte comes first.
    pub(crate) is_big_endian: bool,
}

impl ValueType {
    /// Returns whether the values are unsigned bytes or bools, which stay bytes also on the device.
    pub(crate) fn is_bytes(self) -> bool {
        self.width == 1 && self.type_code != b'i'
    }

    /// Converts values to f32, and rounds those that f32 cannot represent.
    pub(crate) fn convert_f32(self, bytes: &[u8], into: &mut [f32]) {
        match (self.type_code, self.width) {
            (b'f', 2) => self.convert_each(bytes, into, |v| f16::from_le_bytes(v).to_f32()),
            (b'f', 4) => self.convert_each(bytes, into, f32::from_le_bytes),
            (b'f', _) => self.convert_each(bytes, into, |v| f64::from_le_bytes(v) as f32),
            (b'i', 1) => self.convert_each(bytes, into, |v| f32::from(i8::from_le_bytes(v))),
            (b'i', 2) => self.convert_each(bytes, into, |v| f32::from(i16::from_le_bytes(v))),
            (b'i', 4) => self.convert_each(bytes, into, |v| i32::from_le_bytes(v) as f32),
            (b'i', _) => self.convert_each(bytes, into, |v| i64::from_le_bytes(v) as f32),
            (_, 1) => self.convert_each(bytes, into, |[v]: [u8; 1]| f32::from(v)),
            (_, 2) => self.convert_each(bytes, into, |v| f32::from(u16::from_le_bytes(v))),
            (_, 4) => self.convert_each(bytes, into, |v| u32::from_le_bytes(v) as f32),
            _ => self.convert_each(bytes, into, |v| u64::from_le_bytes(v) as f32),
        }
    }

    /// Converts values of 4 or 8 bytes to f64.
    pub(crate) fn convert_f64(self, bytes: &[u8], into: &mut [f64]) {
        match (self.type_code, self.width) {
            (b'f', _) => self.convert_each(bytes, into, f64::from_le_bytes),
            (b'i', 4) => self.convert_each(bytes, into, |v| f64::from(i32::from_le_bytes(v))),
            (b'i', _) => self.convert_each(bytes, into, |v| i64::from_le_bytes(v) as f64),
            (_, 4) => self.convert_each(bytes, into, |v| f64::from(u32::from_le_bytes(v))),
            _ => self.convert_each(bytes, into, |v| u64::from_le_bytes(v) as f64),
        }
    }

    /// Converts values of `N` bytes. `number` takes the bytes in little-endian order. Each type has its own loop, so
    /// that the compiler can vectorize it.
    fn convert_each<T, const N: usize>(self, bytes: &[u8], into: &mut [T], number: impl Fn([u8; N]) -> T) {
        let (values, _) = bytes.as_chunks::<N>();
        if self.is_big_endian {
            into.iter_mut().zip(values).for_each(|(to, value)| {
                let mut value = *value;
                value.reverse();
                *to = number(value);
            });
        } else {
            into.iter_mut().zip(values).for_each(|(to, value)| *to = number(*value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares with the definition of binary16 (IEEE 754), computed in f64.
    #[test]
    fn every_half_precision_number_is_converted_exactly() {
        for is_big_endian in [false, true] {
            let value_type = ValueType { type_code: b'f', width: 2, is_big_endian };
            let to_bytes = if is_big_endian { u16::to_be_bytes } else { u16::to_le_bytes };
            let patterns = 0..=u16::MAX;
            let bytes: Vec<u8> = patterns.clone().flat_map(to_bytes).collect();
            let mut numbers = vec![0.0; 1 << 16];
            value_type.convert_f32(&bytes, &mut numbers);
            for (pattern, number) in patterns.zip(numbers) {
                let sign = if pattern >> 15 == 1 { -1.0 } else { 1.0 };
                let (exponent, fraction) = (i32::from(pattern >> 10 & 0x1f), f64::from(pattern & 0x3ff));
                let expected = match exponent {
                    0 => sign * fraction * 2f64.powi(-24),
                    0x1f if fraction == 0.0 => sign * f64::INFINITY,
                    0x1f => f64::NAN,
                    _ => sign * (1024.0 + fraction) * 2f64.powi(exponent - 25),
                };
                let is_same = number.to_bits() == (expected as f32).to_bits() || number.is_nan() && expected.is_nan();
                assert!(is_same, "{pattern:#06x}: {number}, not {expected}");
            }
        }
    }
}
