//! For tests alone: a WGSL file that says something else than it should, and which files were linked.

use std::{borrow::Cow, cell::RefCell, collections::HashSet};

thread_local! {
    static MUTANT: RefCell<Option<[String; 2]>> = const { RefCell::new(None) };
    static LINKED: RefCell<HashSet<String>> = RefCell::default();
}

/// What is linked for a file: its own text, unless [`with`] is at work.
pub(super) fn text_of(piece: &str) -> Cow<'_, str> {
    LINKED.with_borrow_mut(|linked| {
        if !linked.contains(piece) {
            linked.insert(piece.to_owned());
        }
    });
    MUTANT.with_borrow(|mutant| match mutant {
        Some([from, to]) if from == piece => Cow::Owned(to.clone()),
        _ => Cow::Borrowed(piece),
    })
}

/// Runs `work` with the text of a file replaced by another one wherever this thread links it.
pub(crate) fn with<T>(mutant: [String; 2], work: impl FnOnce() -> T) -> T {
    MUTANT.set(Some(mutant));
    let value = work();
    MUTANT.set(None);
    value
}

/// The texts of the files that this thread has linked since the last call.
pub(crate) fn linked() -> HashSet<String> {
    LINKED.take()
}
