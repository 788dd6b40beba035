//! For tests alone: a WGSL file that says something else than it should, which files were assembled, and what came back.

use std::{borrow::Cow, cell::RefCell, collections::HashSet};

thread_local! {
    static MUTANT: RefCell<Option<[String; 2]>> = const { RefCell::new(None) };
    static ASSEMBLED: RefCell<HashSet<String>> = RefCell::default();
    static READS: RefCell<Option<Vec<Vec<u8>>>> = const { RefCell::new(None) };
}

/// The text that is assembled for a file: its own, unless [`with`] is at work.
pub(crate) fn source_of(piece: &str) -> Cow<'_, str> {
    ASSEMBLED.with_borrow_mut(|assembled| {
        if !assembled.contains(piece) {
            assembled.insert(piece.to_owned());
        }
    });
    MUTANT.with_borrow(|mutant| match mutant {
        Some([from, to]) if from == piece => Cow::Owned(to.clone()),
        _ => Cow::Borrowed(piece),
    })
}

/// Runs `work` with the text of a file replaced by another one wherever this thread assembles it.
pub(crate) fn with_mutant<T>(mutant: [String; 2], work: impl FnOnce() -> T) -> T {
    MUTANT.set(Some(mutant));
    let value = work();
    MUTANT.set(None);
    value
}

/// The texts of the files that this thread has assembled since the last call.
pub(crate) fn assembled() -> HashSet<String> {
    ASSEMBLED.take()
}

/// What was read back, if [`reads_of`] is at work.
pub(crate) fn record_read(bytes: &[u8]) {
    READS.with_borrow_mut(|reads| {
        if let Some(reads) = reads {
            reads.push(bytes.to_vec());
        }
    });
}

/// Runs `work` and gives all that this thread read back meanwhile, in its order.
#[cfg(feature = "test-backends")]
pub(crate) fn collect_reads(work: impl FnOnce()) -> Vec<Vec<u8>> {
    READS.set(Some(Vec::new()));
    work();
    READS.take().unwrap_or_default()
}
