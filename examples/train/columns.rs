//! The columns of a table: which of them a network can learn from, and what stands in the way.

use gradus::data::table::{
    CategoryImputation, Column, ColumnKind, Encoder, EncoderSettings, FeatureColumns, NonNumber, NumericImputation,
    Table, TargetKind, UnknownCategory,
};

use super::roles::{Role, roles, row_numbers, show, target};
use crate::common::{
    Exit,
    csv_options::readings,
    print_line,
    tables::{find_all, names, refused, shell, short},
};

/// What the command line says of the columns.
pub struct ColumnOptions<'a> {
    pub target: Option<&'a str>,
    pub ignore: &'a [String],
    pub categories: &'a [String],
    pub keep: &'a [String],
    pub unseen: UnknownCategory,
    pub kind: TargetKind,
    pub fills: bool,
}

/// Fewer rows than these are not worth a training.
const LEAST_ROWS: usize = 20;

/// More categories are too many for any column, and more than so many for one in which most cells differ.
const MOST_CATEGORIES: usize = 128;
const MANY_CATEGORIES: usize = 20;

/// As many columns are named in a message at most.
const NAMED: usize = 8;

/// The most bytes of options in a message: names may be of any length.
const LONGEST: usize = 1000;

/// Says what is in a table, and learns how it becomes numbers. The table that comes back has those of its rows that have
/// a target.
pub fn learn(file: &str, all: Table, options: &ColumnOptions<'_>) -> Result<(Table, Encoder), Exit> {
    print_line!("{file}: {} rows, {} columns", all.rows(), all.column_names().len());
    readings(&all).iter().for_each(|line| print_line!("{line}"));
    let target = target(&all, options);
    let (table, left_out) = match &target {
        Ok(Some(at)) if options.fills => with_targets(&all, *at)?,
        _ => (None, 0),
    };
    let row_numbers = row_numbers(&all);
    let table = table.unwrap_or(all);
    let columns = table.columns();
    let roles = roles(&row_numbers, &table, &columns, target.as_ref().ok().copied().flatten(), options)?;
    show(&table, &columns, &roles, options);
    let Some(target) = target? else {
        let why = "no --target: which column should be predicted? The columns are";
        return Err(Exit::Usage(format!("{why} {}", names(&table))));
    };

    check_target(&table, &columns[target])?;
    if left_out > 0 {
        print_line!("{left_out} rows have no {:?}: they are left out", short(&columns[target].name));
    }
    if table.rows() < LEAST_ROWS {
        let rows = table.rows();
        return Err(Exit::Usage(format!(
            "{file}: {rows} rows are too few to learn from and to test on: at least {LEAST_ROWS}"
        )));
    }
    let features: Vec<usize> = (0..columns.len()).filter(|at| roles[*at] == Role::Feature).collect();
    if features.is_empty() {
        let name = short(&columns[target].name);
        return Err(Exit::Usage(format!("{file}: no column is left to tell {name:?} from")));
    }
    check_categories(file, &table, &columns, &features, options)?;
    check_missing(&columns, &features, options.fills)?;
    let settings = settings(&table, &columns, &features, options)?;
    let encoder = Encoder::fit(&table, &columns[target].name, &settings).map_err(refused)?;
    Ok((table, encoder))
}

fn settings(
    table: &Table,
    columns: &[Column],
    features: &[usize],
    options: &ColumnOptions<'_>,
) -> Result<EncoderSettings, Exit> {
    let categories = find_all(table, "--categories", options.categories)?;
    let name = |at: &usize| columns[*at].name.clone();
    let (missing_number, missing_category) = match options.fills {
        true => (NumericImputation::Median, CategoryImputation::NewCategory),
        false => (NumericImputation::Error, CategoryImputation::Error),
    };
    Ok(EncoderSettings {
        features: FeatureColumns::Only(features.iter().map(name).collect()),
        categorical: categories.iter().filter(|at| features.contains(at)).map(name).collect(),
        max_categories: MOST_CATEGORIES,
        numeric_imputation: missing_number,
        category_imputation: missing_category,
        unknown_category: options.unseen,
        target_kind: options.kind,
        ..EncoderSettings::default()
    })
}

/// The rows that have a target, if some have none, and how many have none.
fn with_targets(table: &Table, at: usize) -> Result<(Option<Table>, usize), Exit> {
    let rows: Vec<usize> = (0..table.rows()).filter(|row| !table.is_missing(*row, at)).collect();
    match table.rows() - rows.len() {
        0 => Ok((None, 0)),
        _ if rows.is_empty() => Ok((None, 0)),
        missing => table.select(&rows).map(|some| (Some(some), missing)).map_err(refused),
    }
}

/// Refuses a target that is missing somewhere.
fn check_target(table: &Table, target: &Column) -> Result<(), Exit> {
    let (name, missing) = (short(&target.name), target.missing);
    if missing == table.rows() {
        return Err(Exit::Usage(format!("the target {name:?} is empty in every row")));
    }
    if missing > 0 {
        let why = format!("the target {name:?} is missing in {missing} of {} rows", table.rows());
        let how = "--missing fill goes on without those rows; --no-default-missing-values reads NA, None and the like as values";
        return Err(Exit::Usage(format!("{why}; {how}")));
    }
    Ok(())
}

/// Refuses columns of names, texts, dates or ids, and numbers with something else among them.
fn check_categories(
    file: &str,
    table: &Table,
    columns: &[Column],
    features: &[usize],
    options: &ColumnOptions<'_>,
) -> Result<(), Exit> {
    let categories = find_all(table, "--categories", options.categories)?;
    let mut wrong = Vec::new();
    for at in features {
        let Column { name, missing, kind, .. } = &columns[*at];
        let ColumnKind::Categorical { count } = *kind else { continue };
        let there = table.rows().saturating_sub(*missing);
        if count <= MANY_CATEGORIES || count <= MOST_CATEGORIES && 2 * count <= there {
            continue;
        }
        let name = short(name);
        if let Some(NonNumber { row, numbers, .. }) = table.first_non_number(*at)
            && 2 * numbers > there
            && !categories.contains(at)
        {
            let (line, cell) = (table.line(row).unwrap_or_default(), short(table.cell(row, *at).unwrap_or_default()));
            return Err(Exit::Usage(format!(
                "{file}: line {line}, column {name:?}: expected a number, got {cell:?}; mend that cell, or read it as a missing \
                 value (--missing-values {} --missing fill), or leave the column out with --ignore {}",
                shell(&cell),
                shell(&name)
            )));
        }
        let example = short(table.cell(0, *at).unwrap_or_default());
        wrong.push((*at, format!("{name:?} has {count} different texts in {there} rows, such as {example:?}")));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let more = wrong.len().saturating_sub(NAMED);
    let (places, mut texts): (Vec<usize>, Vec<String>) = wrong.into_iter().take(NAMED).unzip();
    if more > 0 {
        texts.push(format!("{more} more columns"));
    }
    let ignored = find_all(table, "--ignore", options.ignore)?;
    let mut options = String::new();
    for at in places.iter().chain(&ignored) {
        let option = format!(" --ignore {}", shell(&columns[*at].name));
        if options.len() + option.len() < LONGEST {
            options += &option;
        }
    }
    let why = "too many to learn from, as names, dates and numbers of customers are";
    Err(Exit::Usage(format!("{}: {why}; leave them out with{options}", texts.join("; "))))
}

/// Refuses missing cells, unless they are filled.
fn check_missing(columns: &[Column], features: &[usize], fills: bool) -> Result<(), Exit> {
    let missing = features.iter().map(|at| &columns[*at]).filter(|column| column.missing > 0);
    let texts: Vec<String> = missing.map(|column| format!("{} in {:?}", column.missing, short(&column.name))).collect();
    if fills || texts.is_empty() {
        return Ok(());
    }
    let first = texts.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    let more =
        if texts.len() > NAMED { format!(" and in {} more columns", texts.len() - NAMED) } else { String::new() };
    let how = "--missing fill puts the median of a column in their place, and a category of its own where it is text";
    Err(Exit::Usage(format!("values are missing: {first}{more}; {how}; --ignore leaves columns out")))
}
