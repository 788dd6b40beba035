//! Decides the role of each column of a table, and prints the columns.

use std::collections::{BTreeMap, BTreeSet};

use gradus::data::table::{Column, ColumnKind, NonNumber, NumberFormat, Table};

use super::columns::ColumnOptions;
use crate::common::{
    Exit,
    csv_options::alternative_reading,
    print_line,
    tables::{find_column, find_columns, shell_quoted, short},
};

/// The maximum number of columns and of notes to print.
const MAX_PRINTED_COLUMNS: usize = 40;
const MAX_NOTES: usize = 8;

/// The maximum number of categories to compare without case.
const MAX_COMPARED_CATEGORIES: usize = 1000;

/// The role of a column.
#[derive(Clone, Copy, PartialEq)]
pub enum Role {
    Target,
    Feature,
    Ignored,
    Empty,
    /// A column with consecutive integers from 0 or 1, each once, as pandas, R and databases number rows.
    ///
    /// Row numbers do not describe a row. If the file was once sorted by the target, row numbers would reveal the
    /// target.
    RowNumbers,
}

/// Returns the roles of the columns of a table.
///
/// `numbers_rows` states for each column whether it numbers the rows of the file. `table` may have fewer rows.
pub fn roles(
    numbers_rows: &[bool],
    table: &Table,
    columns: &[Column],
    target: Option<usize>,
    options: &ColumnOptions<'_>,
) -> Result<Vec<Role>, Exit> {
    let mut roles = Vec::new();
    for (column, numbers_rows) in columns.iter().zip(numbers_rows) {
        roles.push(match column.kind {
            ColumnKind::Empty => Role::Empty,
            ColumnKind::Numeric { .. } if *numbers_rows => Role::RowNumbers,
            _ => Role::Feature,
        });
    }
    let kept = find_columns(table, "--keep", options.keep)?;
    let categorical = find_columns(table, "--categorical", options.categorical)?;
    for column in kept.into_iter().chain(categorical) {
        if roles[column] == Role::RowNumbers {
            roles[column] = Role::Feature;
        }
    }
    for column in find_columns(table, "--ignore", options.ignore)? {
        roles[column] = Role::Ignored;
    }
    if let Some(target) = target {
        if roles[target] == Role::Ignored {
            let name = shell_quoted(&short(&columns[target].name));
            return Err(Exit::Usage(format!("--ignore {name}: this column is the target, which cannot be ignored")));
        }
        roles[target] = Role::Target;
    }
    if !roles.contains(&Role::Feature) {
        // A single column that numbers the rows may be the time.
        roles.iter_mut().filter(|role| **role == Role::RowNumbers).for_each(|role| *role = Role::Feature);
    }
    Ok(roles)
}

/// Returns the smallest number of a column with as many consecutive integers as rows, each once, in any order.
fn first_of_consecutive(table: &Table, column: usize) -> Option<f64> {
    let mut values = Vec::new();
    for row in 0..table.rows() {
        // In most columns this returns at the first number.
        values.push(table.number(row, column).filter(|value| value.fract() == 0.0)?);
    }
    let first = values.iter().copied().fold(f64::INFINITY, f64::min);
    let mut is_seen = vec![false; values.len()];
    for value in values {
        let seen = is_seen.get_mut((value - first) as usize).filter(|seen| !**seen)?;
        *seen = true;
    }
    Some(first)
}

/// Returns for each column of a table whether it numbers the rows from 0 or 1.
pub fn numbers_rows(table: &Table) -> Vec<bool> {
    let starts_at_0_or_1 = |column| matches!(first_of_consecutive(table, column), Some(0.0 | 1.0));
    (0..table.column_names().len()).map(starts_at_0_or_1).collect()
}

/// Returns the index of the target column, if the command line names one.
pub fn find_target(table: &Table, options: &ColumnOptions<'_>) -> Result<Option<usize>, Exit> {
    options.target.map(|name| find_column(table, "--target", name)).transpose()
}

/// Prints the columns with their roles, and notes about columns that may have been read in an unexpected way.
pub fn print_columns(table: &Table, columns: &[Column], roles: &[Role], options: &ColumnOptions<'_>) {
    let shown = || columns.iter().take(MAX_PRINTED_COLUMNS);
    let width = shown().map(|column| short(&column.name).chars().count()).max().unwrap_or(0);
    for (column, role) in shown().zip(roles) {
        let description = column.to_string();
        let description = description.strip_prefix(&format!("{}: ", column.name)).unwrap_or(&description);
        let role = role_description(column, *role, options);
        print_line!("  {:<width$}  {description}{role}", short(&column.name));
    }
    if columns.len() > MAX_PRINTED_COLUMNS {
        print_line!("  and {} more columns", columns.len() - MAX_PRINTED_COLUMNS);
    }
    let mut all_notes = Vec::new();
    for (i, role) in roles.iter().enumerate() {
        if matches!(role, Role::Target | Role::Feature) {
            all_notes.extend(notes(table, &columns[i], i, *role));
        }
    }
    for note in all_notes.iter().take(MAX_NOTES) {
        print_line!("{note}");
    }
    if all_notes.len() > MAX_NOTES {
        print_line!("and {} more notes on columns", all_notes.len() - MAX_NOTES);
    }
}

/// Returns the description of a role, to append to the description of the column.
fn role_description(column: &Column, role: Role, options: &ColumnOptions<'_>) -> String {
    let imputes = column.missing > 0 && options.imputes;
    match role {
        Role::Target => "; target".to_owned(),
        Role::Ignored => "; ignored".to_owned(),
        Role::Empty => "; left out: empty".to_owned(),
        Role::RowNumbers => {
            format!("; left out: row numbers (pass --keep {} to use it)", shell_quoted(&short(&column.name)))
        }
        Role::Feature if imputes && matches!(column.kind, ColumnKind::Numeric { .. }) => {
            "; imputed with the median".to_owned()
        }
        Role::Feature if imputes => "; imputed with a separate category".to_owned(),
        Role::Feature => String::new(),
    }
}

/// Returns the notes about a column.
fn notes(table: &Table, column: &Column, index: usize, role: Role) -> Vec<String> {
    let name = short(&column.name);
    let mut notes = Vec::new();
    if let Some(alternative) = alternative_reading(column) {
        notes.push(format!("column {name:?}: the number format is ambiguous; {alternative}"));
    }
    if let ColumnKind::Categorical { count } = column.kind {
        let present = table.rows() - column.missing;
        if let Some(NonNumber { row, format, numbers }) = table.first_non_number(index)
            && 2 * numbers > present
        {
            let cell = short(table.cell(row, index).unwrap_or_default());
            let line = table.line(row).unwrap_or_default();
            let format = if format == NumberFormat::PLAIN { String::new() } else { format!(" with {format}") };
            notes.push(format!(
                "column {name:?}: {numbers} of {present} cells are numbers{format}, but line {line} is {cell:?}, so all cells \
                 are categories; if {cell:?} means a missing value, pass --missing-values {} --missing impute",
                shell_quoted(&cell)
            ));
        }
        if let Some((first, second)) = differ_in_case(table, index, count) {
            notes.push(format!("column {name:?}: {first:?} and {second:?} differ only in case: two categories"));
        }
    }
    if let Some((word, count)) = missing_value_word(table, column, index) {
        notes.push(format!(
            "column {name:?}: {count} cells with {word:?} are missing values; to read them as a category, pass \
             --no-default-missing-values"
        ));
    }
    if role == Role::Feature
        && let Some(first) = first_of_consecutive(table, index).filter(|first| *first > 1.0)
    {
        let last = first + table.rows() as f64 - 1.0;
        notes.push(format!(
            "column {name:?}: contains each integer from {first} to {last} once, like row numbers, which may give the target \
             away; to leave it out, pass --ignore {}",
            shell_quoted(&name)
        ));
    }
    notes
}

/// Returns two categories of a column that differ only in case.
fn differ_in_case(table: &Table, column: usize, count: usize) -> Option<(String, String)> {
    if count > MAX_COMPARED_CATEGORIES {
        return None;
    }
    let rows = (0..table.rows()).filter(|row| !table.is_missing(*row, column));
    let distinct: BTreeSet<&str> = rows.filter_map(|row| table.cell(row, column)).collect();
    if distinct.len() > count {
        // The column has Boolean words, such as "true" and "TRUE". gradus compares them without case.
        return None;
    }
    let mut seen = BTreeMap::new();
    for cell in distinct {
        if let Some(other) = seen.insert(cell.to_lowercase(), cell) {
            return Some((short(other), short(cell)));
        }
    }
    None
}

/// Returns the first word for a missing value in a categorical column, and the number of its cells.
fn missing_value_word(table: &Table, column: &Column, index: usize) -> Option<(String, usize)> {
    if column.missing == 0 || !matches!(column.kind, ColumnKind::Categorical { .. }) {
        return None;
    }
    let missing = (0..table.rows()).filter(|row| table.is_missing(*row, index));
    let words: Vec<&str> = missing.filter_map(|row| table.cell(row, index)).filter(|cell| !cell.is_empty()).collect();
    let first = words.first()?;
    Some(((*first).to_owned(), words.iter().filter(|word| *word == first).count()))
}
