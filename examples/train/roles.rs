//! What becomes of each column of a table: the target, a feature, or nothing.

use gradus::data::table::{Column, ColumnKind, NonNumber, NumberFormat, Table};

use super::columns::ColumnOptions;
use crate::common::{
    Exit,
    csv_options::ambiguity,
    print_line,
    tables::{find, find_all, shell, short},
};

/// As many columns are shown at most, and as many notes.
const SHOWN: usize = 40;
const NOTES: usize = 8;

/// What becomes of a column.
#[derive(Clone, Copy, PartialEq)]
pub enum Role {
    Target,
    Feature,
    Ignored,
    Empty,
    /// It holds the numbers 0 or 1 to the number of rows, each once, as pandas, R and data bases number rows. They say
    /// nothing of a row, but may tell the target of a file that was once sorted by it.
    RowNumbers,
}

/// The roles of the columns of a table, which has the rows with a target. `row_numbers` says which columns number the rows of the
/// whole file.
pub fn roles(
    row_numbers: &[bool],
    table: &Table,
    columns: &[Column],
    target: Option<usize>,
    options: &ColumnOptions<'_>,
) -> Result<Vec<Role>, Exit> {
    let mut roles: Vec<Role> = (0..columns.len())
        .map(|at| match columns[at].kind {
            ColumnKind::Empty => Role::Empty,
            ColumnKind::Numeric { .. } if row_numbers[at] => Role::RowNumbers,
            _ => Role::Feature,
        })
        .collect();
    let kept = find_all(table, "--keep", options.keep)?.into_iter();
    for at in kept.chain(find_all(table, "--categories", options.categories)?) {
        if roles[at] == Role::RowNumbers {
            roles[at] = Role::Feature;
        }
    }
    for at in find_all(table, "--ignore", options.ignore)? {
        roles[at] = Role::Ignored;
    }
    if let Some(at) = target {
        if roles[at] == Role::Ignored {
            return Err(Exit::Usage(format!("--ignore {}: that is the target", shell(&short(&columns[at].name)))));
        }
        roles[at] = Role::Target;
    }
    if !roles.contains(&Role::Feature) {
        // A single column that counts the rows may be the time.
        roles.iter_mut().filter(|role| **role == Role::RowNumbers).for_each(|role| *role = Role::Feature);
    }
    Ok(roles)
}

/// The smallest number of a column that holds as many consecutive whole numbers as there are rows, each once, in any order.
fn first_number(table: &Table, at: usize) -> Option<f64> {
    let mut values = Vec::new();
    for row in 0..table.rows() {
        // Most columns are left at their first number.
        values.push(table.number(row, at).filter(|value| value.fract() == 0.0)?);
    }
    let first = values.iter().copied().fold(f64::INFINITY, f64::min);
    let mut is_seen = vec![false; values.len()];
    for value in values {
        let seen = is_seen.get_mut((value - first) as usize).filter(|seen| !**seen)?;
        *seen = true;
    }
    Some(first)
}

/// Which columns number the rows of a table from 0 or 1 on.
pub fn row_numbers(table: &Table) -> Vec<bool> {
    (0..table.column_names().len())
        .map(|at| first_number(table, at).is_some_and(|first| first == 0.0 || first == 1.0))
        .collect()
}

/// The place of the target, if the command line names one.
pub fn target(table: &Table, options: &ColumnOptions<'_>) -> Result<Option<usize>, Exit> {
    options.target.map(|name| find(table, "--target", name)).transpose()
}

/// Prints the columns, each with what becomes of it, and what is to be known of how they were read.
pub fn show(table: &Table, columns: &[Column], roles: &[Role], options: &ColumnOptions<'_>) {
    let wide = columns.iter().take(SHOWN).map(|column| short(&column.name).chars().count()).max().unwrap_or(0);
    for (column, role) in columns.iter().zip(roles).take(SHOWN) {
        let about = column.to_string();
        let about = about.strip_prefix(&format!("{}: ", column.name)).unwrap_or(&about);
        let becomes = match (role, column.kind) {
            (Role::Target, _) => "; the target".to_owned(),
            (Role::Ignored, _) => "; ignored".to_owned(),
            (Role::Empty, _) => "; left out".to_owned(),
            (Role::RowNumbers, _) => {
                format!("; left out, as it numbers the rows (--keep {} uses it)", shell(&short(&column.name)))
            }
            (Role::Feature, ColumnKind::Numeric { .. }) if column.missing > 0 && options.fills => {
                ", to be their median".to_owned()
            }
            (Role::Feature, _) if column.missing > 0 && options.fills => ", to be a category of their own".to_owned(),
            (Role::Feature, _) => String::new(),
        };
        print_line!("  {:<wide$}  {about}{becomes}", short(&column.name));
    }
    if columns.len() > SHOWN {
        print_line!("  and {} more", columns.len() - SHOWN);
    }
    let is_used = |at: &usize| [Role::Target, Role::Feature].contains(&roles[*at]);
    let notes: Vec<String> =
        (0..columns.len()).filter(is_used).flat_map(|at| notes(table, columns, at, roles[at])).collect();
    for note in notes.iter().take(NOTES) {
        print_line!("{note}");
    }
    if notes.len() > NOTES {
        print_line!("and {} more notes on columns", notes.len() - NOTES);
    }
}

/// What is to be known of a column.
fn notes(table: &Table, columns: &[Column], at: usize, role: Role) -> Vec<String> {
    let column = &columns[at];
    let name = short(&column.name);
    let mut notes = Vec::new();
    if let Some(other) = ambiguity(column) {
        notes.push(format!("{name:?} can be read in two ways; {other}"));
    }
    if let ColumnKind::Categorical { count } = column.kind {
        if let Some(NonNumber { row, format, numbers }) = table.first_non_number(at)
            && 2 * numbers > table.rows() - column.missing
        {
            let there = table.rows() - column.missing;
            let cell = short(table.cell(row, at).unwrap_or_default());
            let line = table.line(row).unwrap_or_default();
            let written = if format == NumberFormat::PLAIN { String::new() } else { format!(" written with {format}") };
            notes.push(format!(
                "{numbers} of the {there} cells of {name:?} are numbers{written}, but {cell:?} in line {line} is not: all are \
                 read as categories; if it marks a missing value: --missing-values {} --missing fill",
                shell(&cell)
            ));
        }
        if let Some((one, other)) = differ_in_case(table, at, count) {
            notes.push(format!(
                "{name:?}: {one:?} and {other:?} differ only in upper and lower case, and are two categories"
            ));
        }
    }
    if let Some((word, count)) = missing_word(table, at, column) {
        notes.push(format!(
            "{count} cells of {name:?} are {word:?} and read as missing; if that is a value: --no-default-missing-values"
        ));
    }
    if role == Role::Feature
        && let Some(first) = first_number(table, at).filter(|first| *first > 1.0)
    {
        notes.push(format!(
            "{name:?} holds each whole number from {first} to {} once, as row numbers do, which may give the target away; \
             to leave it out: --ignore {}",
            first + table.rows() as f64 - 1.0,
            shell(&name)
        ));
    }
    notes
}

/// Two categories that differ only in case.
fn differ_in_case(table: &Table, at: usize, count: usize) -> Option<(String, String)> {
    if count > 1000 {
        return None;
    }
    let mut seen = std::collections::BTreeMap::new();
    let cells = (0..table.rows()).filter(|row| !table.is_missing(*row, at)).filter_map(|row| table.cell(row, at));
    let distinct: std::collections::BTreeSet<&str> = cells.collect();
    if distinct.len() > count {
        // Truth words are one category in every case.
        return None;
    }
    for cell in distinct {
        if let Some(other) = seen.insert(cell.to_lowercase(), cell) {
            return Some((short(other), short(cell)));
        }
    }
    None
}

/// The word of the missing cells of a column of categories, if it is not the empty cell.
fn missing_word(table: &Table, at: usize, column: &Column) -> Option<(String, usize)> {
    if column.missing == 0 || !matches!(column.kind, ColumnKind::Categorical { .. }) {
        return None;
    }
    let words = (0..table.rows()).filter(|row| table.is_missing(*row, at)).filter_map(|row| table.cell(row, at));
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let first = words.first()?;
    Some(((*first).to_owned(), words.iter().filter(|word| *word == first).count()))
}
