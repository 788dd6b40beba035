//! The estimate of the memory that a population needs.

use std::fmt;

/// An estimate of the memory that a [`Population`](crate::population::Population) allocates when it is created.
///
/// [`Population::estimate_memory`](crate::population::Population::estimate_memory) returns it. On a GPU it counts the
/// buffers on the device, otherwise the memory of the CPU engine. Snapshots, predictions and evaluations allocate more
/// memory later.
#[doc(alias = "memory_usage")]
#[doc(alias = "vram")]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryEstimate {
    /// The parts of the memory: the name of each and its size in bytes.
    pub parts: Vec<(&'static str, u64)>,
    /// The number of members in each group. The members of a group train in the same dispatches, and the groups run one
    /// after the other. On the CPU all members are one group.
    pub group_sizes: Vec<usize>,
}

impl MemoryEstimate {
    /// Returns the total size in bytes.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Adds `bytes` to the part of that name, or adds the part if it is new.
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
        let (members, groups) = (self.group_sizes.iter().sum::<usize>(), self.group_sizes.len());
        let groups = if groups == 1 { String::new() } else { format!(" in {groups} groups") };
        let plural = if members == 1 { "" } else { "s" };
        writeln!(f, "{:>20} {:>12.3} MiB, {members} member{plural}{groups}", "total", mib(self.bytes()))
    }
}
