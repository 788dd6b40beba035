//! Helpers that parse the text of a plan.

use crate::error::Error;

/// The maximum count in a plan, which no real plan reaches.
const MAX_COUNT: usize = 1_000_000;

/// Parses a count from 1 to [`MAX_COUNT`].
pub(crate) fn parse_count(text: &str) -> Option<usize> {
    text.parse().ok().filter(|count| (1..=MAX_COUNT).contains(count))
}

pub(crate) fn plan_error(field: &'static str, expected: &str, got: &str) -> Error {
    Error::InvalidPlan { field, expected: expected.to_owned(), got: got.to_owned() }
}
