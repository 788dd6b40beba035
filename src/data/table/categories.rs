//! Which cells of a column are the same category: equal numbers and equal truth words are one.

use std::{borrow::Cow, collections::HashMap};

use serde::{Deserialize, Serialize};

use crate::data::table::{Table, number_format::NumberFormat};

/// When two cells of a column are the same category.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Equality {
    /// If they are the same text.
    #[default]
    Text,
    /// If they are the same number: `1`, `1.0` and `01` are one.
    Number(NumberFormat),
    /// If they are the same truth word, in capitals or not.
    Truth,
}

/// Truth words; a column that has only words of one pair holds truth values.
const TRUTH: [[&str; 2]; 5] = [["false", "true"], ["no", "yes"], ["f", "t"], ["n", "y"], ["off", "on"]];

/// From here on some whole numbers are not f64.
const MAX_EXACT_INTEGER: f64 = 9_007_199_254_740_992.0;

impl Equality {
    /// How the categories of a column are compared.
    pub fn for_column(table: &Table, column: usize) -> Self {
        if let Some(format) = table.number_format(column) {
            return Self::Number(format);
        }
        let is_of = |words: &[&str; 2]| {
            let mut cells = table.column_cells(column).flatten();
            cells.all(|cell| words.iter().any(|word| cell.eq_ignore_ascii_case(word)))
        };
        let is_truth = table.column_cells(column).flatten().next().is_some() && TRUTH.iter().any(is_of);
        if is_truth { Self::Truth } else { Self::Text }
    }

    /// A text that is the same for equal cells and differs for others.
    pub fn key(self, cell: &str) -> Cow<'_, str> {
        match self {
            Self::Text => cell.into(),
            Self::Truth => cell.to_ascii_lowercase().into(),
            Self::Number(format) => match format.parse(cell) {
                Some(value) if value.abs() < MAX_EXACT_INTEGER => (value + 0.0).to_string().into(),
                // Identifiers of more digits than an f64 has are compared digit by digit.
                Some(_) => {
                    let digits: String =
                        cell.chars().filter(|c| c.is_ascii_alphanumeric() || "-.,".contains(*c)).collect();
                    digits.trim_start_matches('0').to_owned().into()
                }
                None => cell.into(),
            },
        }
    }

    /// The number of a category, by which numbers are sorted.
    fn value(self, cell: &str) -> Option<f64> {
        if let Self::Number(format) = self { format.parse(cell) } else { None }
    }

    /// The different categories with the number of cells of each, sorted: numbers by value, all others by their text.
    /// The name of a category is its shortest spelling, and the first of those.
    pub fn categories<'a>(self, cells: impl Iterator<Item = &'a str>) -> Vec<(String, usize)> {
        let mut spellings = HashMap::<&str, (usize, usize)>::new();
        for (at, cell) in cells.enumerate() {
            spellings.entry(cell).or_insert((at, 0)).1 += 1;
        }
        let mut spellings: Vec<(&str, (usize, usize))> = spellings.into_iter().collect();
        spellings.sort_unstable_by_key(|(cell, (first, _))| (cell.len(), *first));
        let mut named = HashMap::<Cow<'_, str>, usize>::new();
        let mut categories: Vec<(String, usize)> = Vec::new();
        for (cell, (_, count)) in spellings {
            let at = *named.entry(self.key(cell)).or_insert(categories.len());
            match categories.get_mut(at) {
                Some(category) => category.1 += count,
                None => categories.push((cell.to_owned(), count)),
            }
        }
        match self {
            Self::Number(_) => categories.sort_by(|(a, _), (b, _)| {
                let [left, right] = [a, b].map(|cell| self.value(cell).unwrap_or(f64::INFINITY));
                left.total_cmp(&right).then_with(|| a.cmp(b))
            }),
            Self::Truth | Self::Text => categories.sort_by(|(a, _), (b, _)| self.key(a).cmp(&self.key(b))),
        }
        categories
    }

    /// The place of each category by its name and by its key.
    pub fn index(self, names: &[String]) -> CategoryIndex {
        let mut places = HashMap::new();
        for (at, name) in names.iter().enumerate() {
            places.entry(self.key(name).into_owned()).or_insert(at);
        }
        let spellings = names.iter().filter_map(|name| Some((name.clone(), *places.get(&*self.key(name))?))).collect();
        CategoryIndex { equality: self, by_name: spellings, by_key: places }
    }
}

/// Finds categories.
pub(crate) struct CategoryIndex {
    equality: Equality,
    /// The names: nearly all cells are spelled like one, and need no key.
    by_name: HashMap<String, usize>,
    by_key: HashMap<String, usize>,
}

impl CategoryIndex {
    /// The place of the category of a cell, if it is one of those known.
    pub fn find(&self, cell: &str) -> Option<usize> {
        let place = self.by_name.get(cell).or_else(|| self.by_key.get(&*self.equality.key(cell)));
        place.copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_numbers_and_truth_words_are_one_category() {
        let count = |equality: Equality, cells: &[&str]| equality.categories(cells.iter().copied());
        let number = Equality::Number(NumberFormat::PLAIN);
        let owned = |categories: &[(&str, usize)]| {
            categories.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect::<Vec<_>>()
        };
        assert_eq!(
            count(number, &["1.0", "01", "10", "1", "-0", "0.0", "1e1"]),
            owned(&[("-0", 2), ("1", 3), ("10", 2)])
        );
        assert_eq!(count(Equality::Truth, &["True", "false", "TRUE"]), owned(&[("false", 1), ("True", 2)]));
        assert_eq!(count(Equality::Text, &["b", "B", "a"]), owned(&[("B", 1), ("a", 1), ("b", 1)]));
        let ids = ["9007199254740993", "9007199254740992", "09007199254740993"];
        assert_eq!(count(number, &ids).len(), 2);
    }
}
