//! How the answer's column becomes classes or numbers.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::{
    AnswerKind, Table,
    column::{check_count, sorted},
};
use crate::{Answers, Result, formats::list};

/// The most whole numbers that are taken for classes.
const FEW: usize = 20;

/// The answer's column, and its classes if it has any.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Answer {
    pub name: String,
    pub classes: Option<Vec<String>>,
}

impl Answer {
    /// Learns what the answers are; none may be missing.
    pub fn learn(table: &Table, column: usize, kind: AnswerKind, most: usize) -> Result<Self> {
        let mut different = HashSet::new();
        let mut are_whole = true;
        for (row, cell) in table.cells(column).enumerate() {
            let text = cell.ok_or_else(|| table.wrong(row, column, "an answer"))?;
            match (table.number(text), kind) {
                (None, AnswerKind::Numbers) => return Err(table.wrong(row, column, "a number")),
                (value, _) => are_whole &= value.is_some_and(|value| value.fract() == 0.0),
            }
            different.insert(text);
        }
        let is_text = || different.iter().any(|text| table.number(text).is_none());
        let are_few = different.len() <= FEW && 2 * different.len() <= table.rows();
        let are_classes = match kind {
            AnswerKind::Auto => are_whole && are_few || is_text(),
            AnswerKind::Classes => true,
            AnswerKind::Numbers => false,
        };
        if are_classes && kind == AnswerKind::Auto {
            check_count(table, column, different.len(), most, "to learn so many classes, ask for classes")?;
        }
        let classes = are_classes.then(|| sorted(table, different.into_iter()));
        Ok(Self { name: table.names[column].clone(), classes })
    }

    /// The answers of a table's rows.
    pub fn encode(&self, table: &Table) -> Result<Answers> {
        let column = table.find(&self.name)?;
        let cells = table.cells(column).enumerate();
        match &self.classes {
            None => {
                let value = |(row, cell): (usize, Option<&str>)| {
                    let value = cell.and_then(|text| table.number(text)).map(|value| value as f32);
                    value.ok_or_else(|| table.wrong(row, column, "a number"))
                };
                cells.map(value).collect::<Result<_>>().map(Answers::Values)
            }
            Some(classes) => {
                let ids: HashMap<&str, u32> = classes.iter().map(String::as_str).zip(0..).collect();
                let id = |(row, cell): (usize, Option<&str>)| {
                    let id = cell.and_then(|text| ids.get(text).copied());
                    id.ok_or_else(|| table.wrong(row, column, format_args!("one of {}", list(classes))))
                };
                cells.map(id).collect::<Result<_>>().map(Answers::Classes)
            }
        }
    }
}
