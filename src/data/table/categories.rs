//! The categories of a column, and the rule by which two cells are the same category.

use std::{borrow::Cow, collections::HashMap};

use serde::{Deserialize, Serialize};

use crate::data::table::number_format::NumberFormat;

/// The rule by which two cells of a column are the same category.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Equality {
    /// Cells with the same text are equal.
    #[default]
    Text,
    /// Cells with the same number are equal: `1`, `1.0` and `01` are one category.
    Number(NumberFormat),
    /// Truth words are equal regardless of case: `True` and `TRUE` are one category.
    Truth,
}

/// Pairs of truth words. A column whose cells are all words of one pair contains truth values.
const TRUTH_WORDS: [[&str; 2]; 5] = [["false", "true"], ["no", "yes"], ["f", "t"], ["n", "y"], ["off", "on"]];

/// 2^53. From this number on, f64 cannot represent every whole number.
const MAX_EXACT_INTEGER: f64 = 9_007_199_254_740_992.0;

impl Equality {
    /// Returns the rule for a column with this number format and these cells.
    pub fn for_cells<'a>(format: Option<NumberFormat>, cells: impl Iterator<Item = &'a str> + Clone) -> Self {
        if let Some(format) = format {
            return Self::Number(format);
        }
        let are_all_in =
            |pair: &[&str; 2]| cells.clone().all(|cell| pair.iter().any(|word| cell.eq_ignore_ascii_case(word)));
        let has_cells = cells.clone().next().is_some();
        if has_cells && TRUTH_WORDS.iter().any(are_all_in) { Self::Truth } else { Self::Text }
    }

    /// Returns a text that is the same for equal cells and differs for different cells.
    fn key(self, cell: &str) -> Cow<'_, str> {
        match self {
            Self::Text => cell.into(),
            Self::Truth => cell.to_ascii_lowercase().into(),
            Self::Number(format) => match format.parse(cell) {
                Some(value) if value.abs() < MAX_EXACT_INTEGER => (value + 0.0).to_string().into(),
                // Identifiers with more digits than an f64 are compared digit by digit.
                Some(_) => {
                    let digits: String =
                        cell.chars().filter(|c| c.is_ascii_alphanumeric() || "-.,".contains(*c)).collect();
                    digits.trim_start_matches('0').to_owned().into()
                }
                None => cell.into(),
            },
        }
    }

    /// Returns the number by which a category is sorted. `None` if the categories are sorted by their text.
    fn sort_value(self, cell: &str) -> Option<f64> {
        match self {
            Self::Number(format) => format.parse(cell),
            Self::Text | Self::Truth => None,
        }
    }

    /// Returns the different categories with the number of their cells. Numbers are sorted by value, and all other
    /// categories by text.
    ///
    /// The name of a category is its shortest spelling; of equally short spellings, the first in the column.
    pub fn count_categories<'a>(self, cells: impl Iterator<Item = &'a str>) -> Vec<(String, usize)> {
        let mut spellings = HashMap::<&str, Spelling>::new();
        for (row, cell) in cells.enumerate() {
            spellings.entry(cell).or_insert(Spelling { first_row: row, count: 0 }).count += 1;
        }
        let mut spellings: Vec<(&str, Spelling)> = spellings.into_iter().collect();
        spellings.sort_unstable_by_key(|(cell, spelling)| (cell.len(), spelling.first_row));
        let mut ids = HashMap::<Cow<'_, str>, usize>::new();
        let mut categories: Vec<(String, usize)> = Vec::new();
        for (cell, spelling) in spellings {
            let id = *ids.entry(self.key(cell)).or_insert(categories.len());
            match categories.get_mut(id) {
                Some(category) => category.1 += spelling.count,
                None => categories.push((cell.to_owned(), spelling.count)),
            }
        }
        match self {
            Self::Number(_) => categories.sort_by(|(a, _), (b, _)| {
                let [a_value, b_value] = [a, b].map(|cell| self.sort_value(cell).unwrap_or(f64::INFINITY));
                a_value.total_cmp(&b_value).then_with(|| a.cmp(b))
            }),
            Self::Truth | Self::Text => categories.sort_by(|(a, _), (b, _)| self.key(a).cmp(&self.key(b))),
        }
        categories
    }

    /// Returns an index that finds the categories with these names.
    pub fn index(self, names: &[String]) -> CategoryIndex {
        let mut by_key = HashMap::new();
        for (id, name) in names.iter().enumerate() {
            by_key.entry(self.key(name).into_owned()).or_insert(id);
        }
        let by_name = names.iter().filter_map(|name| Some((name.clone(), *by_key.get(&*self.key(name))?))).collect();
        CategoryIndex { equality: self, by_name, by_key }
    }
}

/// The cells of a column that have the same text.
struct Spelling {
    first_row: usize,
    count: usize,
}

/// An index of categories, which finds the id of a cell.
pub(crate) struct CategoryIndex {
    equality: Equality,
    /// The id of each category by its name. Nearly all cells are spelled like a name and need no key.
    by_name: HashMap<String, usize>,
    by_key: HashMap<String, usize>,
}

impl CategoryIndex {
    /// Returns the id of the category of a cell; `None` for an unknown category.
    pub fn find(&self, cell: &str) -> Option<usize> {
        let id = self.by_name.get(cell).or_else(|| self.by_key.get(&*self.equality.key(cell)));
        id.copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_categories(equality: Equality, cells: &[&str], expected: &[(&str, usize)]) {
        let expected: Vec<_> = expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        assert_eq!(equality.count_categories(cells.iter().copied()), expected);
    }

    #[test]
    fn equal_numbers_and_truth_words_are_one_category() {
        let number = Equality::Number(NumberFormat::PLAIN);
        let cells = ["1.0", "01", "10", "1", "-0", "0.0", "1e1"];
        assert_categories(number, &cells, &[("-0", 2), ("1", 3), ("10", 2)]);
        assert_categories(Equality::Truth, &["True", "false", "TRUE"], &[("false", 1), ("True", 2)]);
        assert_categories(Equality::Text, &["b", "B", "a"], &[("B", 1), ("a", 1), ("b", 1)]);
    }

    #[test]
    fn whole_numbers_beyond_f64_are_compared_digit_by_digit() {
        let number = Equality::Number(NumberFormat::PLAIN);
        let cells = ["9007199254740993", "9007199254740992", "09007199254740993"];
        assert_eq!(number.count_categories(cells.into_iter()).len(), 2);
    }
}
