//! The columns of a table: what they are, which of them a network can learn from, and what stands in the way.

use gradus::{
    AnswerKind, Column, ColumnKind, Encoder, EncoderSettings, FeatureColumns, MissingCategory, MissingNumber, Table,
};

use crate::common::{
    Exit, say,
    tables::{find, names, refused},
};

/// What the command line says of the columns.
pub struct Wishes<'a> {
    pub target: Option<&'a str>,
    pub ignore: &'a [String],
    pub categories: &'a [String],
    pub kind: AnswerKind,
    pub fills: bool,
}

/// Fewer rows than these are not worth a training.
const LEAST_ROWS: usize = 20;

/// More categories are too many for any column, and more than so many for one in which most cells differ.
const MOST_CATEGORIES: usize = 128;
const MANY_CATEGORIES: usize = 20;

/// As many columns are shown at most.
const SHOWN: usize = 40;

/// What becomes of a column.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    Target,
    Feature,
    Ignored,
    Empty,
    /// It numbers the rows from 0 or 1 on, as pandas, R and data bases write it: what a row stands at is no property of it.
    Numbering,
}

/// Says what is in a table, and learns how it becomes numbers. The table that comes back has those of its rows that have
/// an answer.
pub fn learn(file: &str, table: Table, wishes: &Wishes<'_>) -> Result<(Table, Encoder), Exit> {
    let columns = table.columns();
    let mut roles: Vec<Role> = columns.iter().zip(0..).map(|(column, at)| first_role(&table, column, at)).collect();
    for name in wishes.ignore {
        roles[find(&table, "--ignore", name)?] = Role::Ignored;
    }
    for name in wishes.categories {
        find(&table, "--categories", name)?;
    }
    let target = wishes.target.map(|name| find(&table, "--target", name)).transpose();
    if let Ok(Some(at)) = target {
        if roles[at] == Role::Ignored {
            return Err(Exit::Refused(format!("--ignore {:?}: that is the target", columns[at].name)));
        }
        roles[at] = Role::Target;
    }
    if !roles.contains(&Role::Feature) {
        // Then it may be the time.
        roles.iter_mut().filter(|role| **role == Role::Numbering).for_each(|role| *role = Role::Feature);
    }
    say!("{file}: {} rows, {} columns", table.rows(), columns.len());
    show(&columns, &roles, wishes.fills);
    let Some(target) = target? else {
        let why = "no --target: which column should be predicted? The columns are";
        return Err(Exit::Refused(format!("{why} {}", names(&table))));
    };

    let table = with_answers(table, &columns[target], target, wishes.fills)?;
    if table.rows() < LEAST_ROWS {
        let rows = table.rows();
        return Err(Exit::Refused(format!(
            "{file}: {rows} rows are too few to learn from and to test on: at least {LEAST_ROWS}"
        )));
    }
    let features: Vec<usize> = (0..columns.len()).filter(|at| roles[*at] == Role::Feature).collect();
    if features.is_empty() {
        return Err(Exit::Refused(format!("{file}: no column is left to tell {:?} from", columns[target].name)));
    }
    check_categories(&table, &columns, &features, wishes)?;
    check_missing(&columns, &features, wishes.fills)?;
    let settings = settings(&columns, &features, wishes);
    let encoder = Encoder::learn(&table, &columns[target].name, &settings).map_err(refused)?;
    Ok((table, encoder))
}

fn settings(columns: &[Column], features: &[usize], wishes: &Wishes<'_>) -> EncoderSettings {
    let features: Vec<String> = features.iter().map(|at| columns[*at].name.clone()).collect();
    let categories = wishes.categories.iter().filter(|name| features.contains(name)).cloned().collect();
    let (missing_number, missing_category) = match wishes.fills {
        true => (MissingNumber::Median, MissingCategory::Own),
        false => (MissingNumber::Refuse, MissingCategory::Refuse),
    };
    EncoderSettings {
        features: FeatureColumns::Only(features),
        categories,
        most_categories: MOST_CATEGORIES,
        missing_number,
        missing_category,
        answers: wishes.kind,
        ..EncoderSettings::default()
    }
}

/// What becomes of a column if nobody says anything.
fn first_role(table: &Table, column: &Column, at: usize) -> Role {
    let numbers_rows =
        |first: usize| (0..table.rows()).all(|row| table.number_at(row, at) == Some((row + first) as f64));
    match column.kind {
        ColumnKind::Empty => Role::Empty,
        ColumnKind::Numbers { .. } if column.missing == 0 && (numbers_rows(0) || numbers_rows(1)) => Role::Numbering,
        _ => Role::Feature,
    }
}

/// Prints the columns, each with what becomes of it.
fn show(columns: &[Column], roles: &[Role], fills: bool) {
    let wide = columns.iter().take(SHOWN).map(|column| column.name.chars().count().min(30)).max().unwrap_or(0);
    for (column, role) in columns.iter().zip(roles).take(SHOWN) {
        let about = column.to_string();
        let about = about.strip_prefix(&format!("{}: ", column.name)).unwrap_or(&about);
        let becomes = match (role, column.kind) {
            (Role::Target, _) => "; the target",
            (Role::Ignored, _) => "; ignored",
            (Role::Empty, _) => "; left out",
            (Role::Numbering, _) => "; left out, as it numbers the rows",
            (Role::Feature, ColumnKind::Numbers { .. }) if column.missing > 0 && fills => ", to be their median",
            (Role::Feature, _) if column.missing > 0 && fills => ", to be a category of their own",
            (Role::Feature, _) => "",
        };
        say!("  {:<wide$}  {about}{becomes}", column.name);
    }
    if columns.len() > SHOWN {
        say!("  and {} more", columns.len() - SHOWN);
    }
}

/// The rows that have an answer.
fn with_answers(table: Table, target: &Column, at: usize, fills: bool) -> Result<Table, Exit> {
    let (name, missing) = (&target.name, target.missing);
    if missing == 0 {
        return Ok(table);
    }
    if missing == table.rows() {
        return Err(Exit::Refused(format!("the target {name:?} is empty in every row")));
    }
    if !fills {
        let why = format!("the target {name:?} is missing in {missing} of {} rows", table.rows());
        return Err(Exit::Refused(format!("{why}; --missing fill goes on without those rows")));
    }
    say!("{missing} rows have no {name:?}: they are left out");
    table.select(&(0..table.rows()).filter(|row| !table.is_missing(*row, at)).collect::<Vec<_>>()).map_err(refused)
}

/// Refuses columns of names, texts, dates or ids, and numbers with something else among them.
fn check_categories(table: &Table, columns: &[Column], features: &[usize], wishes: &Wishes<'_>) -> Result<(), Exit> {
    let mut wrong = Vec::new();
    for at in features {
        let Column { name, missing, kind } = &columns[*at];
        let ColumnKind::Categories { count } = *kind else { continue };
        let there = table.rows().saturating_sub(*missing);
        if count <= MANY_CATEGORIES || count <= MOST_CATEGORIES && 2 * count <= there {
            continue;
        }
        let is_number = |row: &usize| table.number_at(*row, *at).is_some();
        if 2 * (0..table.rows()).filter(is_number).count() > there && !wishes.categories.contains(name) {
            // The library knows the line of the cell that is none.
            let numbers = EncoderSettings { numbers: vec![name.clone()], ..settings(columns, &[*at], wishes) };
            let target = wishes.target.unwrap_or_default();
            let fills = EncoderSettings { missing_number: MissingNumber::Median, ..numbers };
            let Err(error) = Encoder::learn(table, target, &fills) else { continue };
            let why = "mend that cell, empty it (and give --missing fill)";
            return Err(Exit::Refused(format!("{error}; {why}, or leave the column out with --ignore {name:?}")));
        }
        let example = table.cell(0, *at).unwrap_or_default();
        let example: String = example.chars().take(30).collect();
        wrong.push((name, format!("{name:?} has {count} different texts in {there} rows, such as {example:?}")));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let (names, texts): (Vec<_>, Vec<_>) = wrong.into_iter().unzip();
    let names = names.iter().map(|name| name.as_str()).chain(wishes.ignore.iter().map(String::as_str));
    let why = "too many to learn from, as names, dates and numbers of customers are";
    let option = names.collect::<Vec<_>>().join(",");
    Err(Exit::Refused(format!("{}: {why}; leave them out with --ignore {option:?}", texts.join("; "))))
}

/// Refuses missing cells, unless they are filled.
fn check_missing(columns: &[Column], features: &[usize], fills: bool) -> Result<(), Exit> {
    let missing = features.iter().map(|at| &columns[*at]).filter(|column| column.missing > 0);
    let texts: Vec<String> = missing.map(|column| format!("{} in {:?}", column.missing, column.name)).collect();
    if fills || texts.is_empty() {
        return Ok(());
    }
    let first = texts.iter().take(8).cloned().collect::<Vec<_>>().join(", ");
    let more = if texts.len() > 8 { format!(" and in {} more columns", texts.len() - 8) } else { String::new() };
    let how = "--missing fill puts the median of a column in their place, and a category of its own where it is text";
    Err(Exit::Refused(format!("values are missing: {first}{more}; {how}; --ignore leaves columns out")))
}
