//! Fits the encoder to a table, and checks that a network can train on its columns.

use gradus::data::table::{
    CategoryImputation, Column, ColumnKind, Encoder, EncoderSettings, FeatureColumns, NonNumber, NumericImputation,
    Table, TargetKind, UnknownCategory,
};

use super::roles::{Role, find_target, numbers_rows, print_columns, roles};
use crate::common::{
    Exit,
    csv_options::detected_properties,
    print_line,
    tables::{column_list, find_columns, shell_quoted, short, usage},
};

/// The options of the command line for the columns.
pub struct ColumnOptions<'a> {
    pub target: Option<&'a str>,
    pub ignore: &'a [String],
    pub categorical: &'a [String],
    pub keep: &'a [String],
    pub unknown_category: UnknownCategory,
    pub target_kind: TargetKind,
    /// Whether the encoder imputes missing values.
    pub imputes: bool,
}

/// The minimum number of rows.
const MIN_ROWS: usize = 20;

/// The maximum number of categories of a column.
const MAX_CATEGORIES: usize = 128;

/// The maximum number of categories of a column in which most cells differ.
const MAX_RARE_CATEGORIES: usize = 20;

/// The maximum number of columns in a message.
const MAX_COLUMNS: usize = 8;

/// The maximum number of bytes for suggested options in a message. Column names may have any length.
const MAX_OPTION_BYTES: usize = 1000;

/// Prints the columns of a table, and fits an encoder to it.
///
/// The returned table has only the rows with a target.
pub fn fit_encoder(file: &str, all: Table, options: &ColumnOptions<'_>) -> Result<(Table, Encoder), Exit> {
    print_line!("{file}: {} rows, {} columns", all.rows(), all.column_names().len());
    detected_properties(&all).iter().for_each(|line| print_line!("{line}"));
    // Print the columns before an error in --target, so that the user sees their names.
    let target = find_target(&all, options);
    let numbers_rows = numbers_rows(&all);
    let (table, dropped_rows) = match &target {
        Ok(Some(column)) if options.imputes => rows_with_target(all, *column)?,
        _ => (all, 0),
    };
    let columns = table.columns();
    let roles = roles(&numbers_rows, &table, &columns, target.as_ref().ok().copied().flatten(), options)?;
    print_columns(&table, &columns, &roles, options);
    let Some(target) = target? else {
        let names = column_list(&table);
        return Err(Exit::Usage(format!("no --target; pass the column to predict: the columns are {names}")));
    };

    check_target(&table, &columns[target])?;
    let target_name = &columns[target].name;
    if dropped_rows > 0 {
        print_line!("{dropped_rows} rows without a value in the target column {:?}: dropped", short(target_name));
    }
    if table.rows() < MIN_ROWS {
        return Err(Exit::Usage(format!("{file}: expected at least {MIN_ROWS} rows, got {}", table.rows())));
    }
    let features: Vec<usize> = (0..columns.len()).filter(|column| roles[*column] == Role::Feature).collect();
    if features.is_empty() {
        let target_name = short(target_name);
        let message = format!("no feature column to predict {target_name:?} from; ignore fewer columns");
        return Err(Exit::Usage(format!("{file}: {message}")));
    }
    check_categories(file, &table, &columns, &features, options)?;
    if !options.imputes {
        check_missing(&columns, &features)?;
    }
    let settings = encoder_settings(&table, &columns, &features, options)?;
    let encoder = Encoder::fit(&table, target_name, &settings).map_err(usage)?;
    Ok((table, encoder))
}

fn encoder_settings(
    table: &Table,
    columns: &[Column],
    features: &[usize],
    options: &ColumnOptions<'_>,
) -> Result<EncoderSettings, Exit> {
    let categorical = find_columns(table, "--categorical", options.categorical)?;
    let name = |column: &usize| columns[*column].name.clone();
    let (numeric_imputation, category_imputation) = match options.imputes {
        true => (NumericImputation::Median, CategoryImputation::NewCategory),
        false => (NumericImputation::Error, CategoryImputation::Error),
    };
    Ok(EncoderSettings {
        features: FeatureColumns::Only(features.iter().map(name).collect()),
        categorical: categorical.iter().filter(|column| features.contains(column)).map(name).collect(),
        max_categories: MAX_CATEGORIES,
        numeric_imputation,
        category_imputation,
        unknown_category: options.unknown_category,
        target_kind: options.target_kind,
        ..EncoderSettings::default()
    })
}

/// Returns the rows with a target, and the number of rows without one. If no row has a target, returns all rows.
fn rows_with_target(table: Table, target: usize) -> Result<(Table, usize), Exit> {
    let rows: Vec<usize> = (0..table.rows()).filter(|row| !table.is_missing(*row, target)).collect();
    let dropped_rows = table.rows() - rows.len();
    if dropped_rows == 0 || rows.is_empty() {
        return Ok((table, 0));
    }
    Ok((table.select(&rows).map_err(usage)?, dropped_rows))
}

/// Returns an error if a row has no target.
fn check_target(table: &Table, target: &Column) -> Result<(), Exit> {
    let (name, missing) = (short(&target.name), target.missing);
    if missing == table.rows() {
        return Err(Exit::Usage(format!("target column {name:?}: expected values, got only empty cells")));
    }
    if missing > 0 {
        return Err(Exit::Usage(format!(
            "target column {name:?}: missing values in {missing} of {} rows; pass --missing impute to drop these rows, or \
             --no-default-missing-values to read NA, None etc. as values",
            table.rows()
        )));
    }
    Ok(())
}

/// Returns an error if a feature column has too many categories, as names, texts, dates and ids have.
///
/// If most cells of the column are numbers, the error names the first cell that is not a number.
fn check_categories(
    file: &str,
    table: &Table,
    columns: &[Column],
    features: &[usize],
    options: &ColumnOptions<'_>,
) -> Result<(), Exit> {
    let categorical = find_columns(table, "--categorical", options.categorical)?;
    let mut rejected = Vec::new();
    let mut reasons = Vec::new();
    for column in features {
        let Column { name, missing, kind, .. } = &columns[*column];
        let ColumnKind::Categorical { count } = *kind else { continue };
        let present = table.rows().saturating_sub(*missing);
        let are_mostly_repeated = 2 * count <= present;
        if count <= MAX_RARE_CATEGORIES || count <= MAX_CATEGORIES && are_mostly_repeated {
            continue;
        }
        let name = short(name);
        if let Some(NonNumber { row, numbers, .. }) = table.first_non_number(*column)
            && 2 * numbers > present
            && !categorical.contains(column)
        {
            let line = table.line(row).unwrap_or_default();
            let cell = short(table.cell(row, *column).unwrap_or_default());
            let (quoted_cell, quoted_name) = (shell_quoted(&cell), shell_quoted(&name));
            return Err(Exit::Usage(format!(
                "{file}: line {line}, column {name:?}: expected a number, got {cell:?}; correct the cell, or pass \
                 --missing-values {quoted_cell} --missing impute to read it as a missing value, or --ignore {quoted_name} to \
                 leave out the column"
            )));
        }
        let example = short(table.cell(0, *column).unwrap_or_default());
        rejected.push(*column);
        reasons.push(format!("column {name:?} has {count} categories in {present} rows, for example {example:?}"));
    }
    if rejected.is_empty() {
        return Ok(());
    }
    if reasons.len() > MAX_COLUMNS {
        let more = reasons.len() - MAX_COLUMNS;
        reasons.truncate(MAX_COLUMNS);
        reasons.push(format!("{more} more columns"));
    }
    // The suggested command line repeats the columns that it already ignores.
    let ignored = find_columns(table, "--ignore", options.ignore)?;
    let mut suggestion = String::new();
    for column in rejected.iter().take(MAX_COLUMNS).chain(&ignored) {
        let option = format!(" --ignore {}", shell_quoted(&columns[*column].name));
        if suggestion.len() + option.len() < MAX_OPTION_BYTES {
            suggestion += &option;
        }
    }
    if suggestion.is_empty() {
        suggestion += " --ignore";
    }
    let reasons = reasons.join("; ");
    Err(Exit::Usage(format!(
        "{file}: too many categories, which is usual for names, dates and ids: expected at most {MAX_RARE_CATEGORIES} per \
         column, or {MAX_CATEGORIES} with 2 rows each on average; {reasons}; leave them out with{suggestion}"
    )))
}

/// Returns an error if a feature column has missing values.
fn check_missing(columns: &[Column], features: &[usize]) -> Result<(), Exit> {
    let incomplete: Vec<&Column> =
        features.iter().map(|column| &columns[*column]).filter(|column| column.missing > 0).collect();
    let Some(first) = incomplete.first() else { return Ok(()) };
    let count = |column: &&Column| format!("{} in column {:?}", column.missing, short(&column.name));
    let mut counts: Vec<String> = incomplete.iter().take(MAX_COLUMNS).map(count).collect();
    if incomplete.len() > MAX_COLUMNS {
        counts.push(format!("{} more columns", incomplete.len() - MAX_COLUMNS));
    }
    Err(Exit::Usage(format!(
        "missing values: {}; use --missing impute to fill them in, or --ignore {} to drop the column",
        counts.join(", "),
        shell_quoted(&short(&first.name))
    )))
}
