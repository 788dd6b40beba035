//! Hooks for tests: they replace a WGSL file by a mutant, list the assembled files, and record the data read back.

use std::{borrow::Cow, cell::RefCell, collections::HashSet};

thread_local! {
    /// The original text of a WGSL file, and its replacement.
    static MUTANT: RefCell<Option<[String; 2]>> = const { RefCell::new(None) };
    static ASSEMBLED: RefCell<HashSet<String>> = RefCell::default();
    static READS: RefCell<Option<Vec<Vec<u8>>>> = const { RefCell::new(None) };
}

/// Returns the text to assemble for a WGSL file: the file itself, or its mutant inside [`with_mutant`].
pub(crate) fn source_of(file: &str) -> Cow<'_, str> {
    ASSEMBLED.with_borrow_mut(|assembled| {
        if !assembled.contains(file) {
            assembled.insert(file.to_owned());
        }
    });
    MUTANT.with_borrow(|mutant| match mutant {
        Some([original, replacement]) if original == file => Cow::Owned(replacement.clone()),
        _ => Cow::Borrowed(file),
    })
}

/// Runs `work`, and replaces the text of a WGSL file wherever this thread assembles it. `mutant` is the original text
/// and its replacement.
pub(crate) fn with_mutant<T>(mutant: [String; 2], work: impl FnOnce() -> T) -> T {
    MUTANT.set(Some(mutant));
    let value = work();
    MUTANT.set(None);
    value
}

/// Returns the texts of the WGSL files that this thread has assembled since the last call.
pub(crate) fn assembled() -> HashSet<String> {
    ASSEMBLED.take()
}

/// Records data that was read back, inside [`collect_reads`].
pub(crate) fn record_read(bytes: &[u8]) {
    READS.with_borrow_mut(|reads| {
        if let Some(reads) = reads {
            reads.push(bytes.to_vec());
        }
    });
}

/// Runs `work` and returns everything that this thread has read back meanwhile, in order.
#[cfg(feature = "test-backends")]
pub(crate) fn collect_reads(work: impl FnOnce()) -> Vec<Vec<u8>> {
    READS.set(Some(Vec::new()));
    work();
    READS.take().unwrap_or_default()
}
