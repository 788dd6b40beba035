//! What an encoder is told.

/// How an [`Encoder`](crate::Encoder) turns a table into numbers.
///
/// A column is numbers if every cell that is not missing is one, and categories otherwise; what is named here is what it
/// is said to be.
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderSettings {
    /// The columns that a network is shown.
    pub features: FeatureColumns,
    /// Columns that have to be numbers: a cell that is none is an error that says where, not one more category.
    pub numbers: Vec<String>,
    /// Columns that are categories though they look like numbers, as postal codes do.
    pub categories: Vec<String>,
    /// How categories become numbers.
    pub coding: Coding,
    /// How many categories a column may have at most: a column of names or a wrong cell among numbers would make many.
    pub most_categories: usize,
    /// What stands for a missing number.
    pub missing_number: MissingNumber,
    /// What stands for a missing category.
    pub missing_category: MissingCategory,
    /// What a category becomes that was not learned.
    pub unseen: Unseen,
    /// What the answers are.
    pub answers: AnswerKind,
}

impl Default for EncoderSettings {
    fn default() -> Self {
        Self {
            features: FeatureColumns::All,
            numbers: Vec::new(),
            categories: Vec::new(),
            coding: Coding::OneHot,
            most_categories: 128,
            missing_number: MissingNumber::Refuse,
            missing_category: MissingCategory::Refuse,
            unseen: Unseen::Refuse,
            answers: AnswerKind::Auto,
        }
    }
}

/// Which columns a network is shown, in the order of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeatureColumns {
    /// All but the answer.
    All,
    /// These.
    Only(Vec<String>),
    /// All but the answer and these.
    Except(Vec<String>),
}

/// How categories become numbers. They are sorted: by their value where all are numbers, else by their text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// A feature for each category, which is 1 where the row has it and 0 elsewhere.
    OneHot,
    /// One feature: the number of the category, from 0 up.
    Ids,
}

/// What stands for a missing number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MissingNumber {
    /// Nothing: it is an error.
    Refuse,
    /// The mean of the numbers that the encoder learned from.
    Mean,
    /// Their median.
    Median,
    /// This number.
    Value(f32),
}

/// What stands for a missing category.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingCategory {
    /// Nothing: it is an error.
    Refuse,
    /// The category that most rows have which the encoder learned from; of equals the first.
    MostFrequent,
    /// A category of its own, the last, if one was missing where the encoder learned; else it is an error.
    Own,
}

/// What a category becomes that was not learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Unseen {
    /// An error.
    Refuse,
    /// None of those that were: zeros in their features, or the id -1.
    None,
}

/// What the answers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerKind {
    /// Classes if the column is text, or at most 20 different whole numbers of which each stands in two rows or more on
    /// average; numbers otherwise.
    Auto,
    /// Classes, sorted as categories are.
    Classes,
    /// Numbers.
    Numbers,
}
