//! How much memory networks will take.

use std::fmt;

/// What a [`Population`](crate::population::Population) allocates when it is made, by [`Population::estimate_memory`](crate::population::Population::estimate_memory):
/// on a GPU its buffers there, else the memory of the CPU engine. What is kept, predicted and evaluated later takes more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryEstimate {
    /// What it is for, and its bytes.
    pub parts: Vec<(&'static str, u64)>,
    /// How many networks train in the same dispatches, wave by wave; on the CPU, all of them.
    pub group_sizes: Vec<usize>,
}

impl MemoryEstimate {
    /// All bytes together.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Adds to what is of the same name.
    pub(crate) fn add(&mut self, name: &'static str, bytes: u64) {
        match self.parts.iter_mut().find(|(other, _)| *other == name) {
            Some((_, sum)) => *sum += bytes,
            None => self.parts.push((name, bytes)),
        }
    }
}

impl fmt::Display for MemoryEstimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        for (name, bytes) in &self.parts {
            writeln!(f, "{name:>20} {:>12.3} MiB", mib(*bytes))?;
        }
        let (networks, waves) = (self.group_sizes.iter().sum::<usize>(), self.group_sizes.len());
        let waves = if waves == 1 { String::new() } else { format!(", in {waves} waves") };
        let plural = if networks == 1 { "" } else { "s" };
        writeln!(f, "{:>20} {:>12.3} MiB, {networks} network{plural}{waves}", "together", mib(self.bytes()))
    }
}
