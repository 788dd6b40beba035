//! The number format of a column, which follows from all of its cells.

use gradus::data::table::{ColumnKind, CsvSettings, NonNumber, NumberFormat, Table};

fn parse(content: &str) -> Table {
    Table::parse_csv(content.as_bytes(), "t.csv", &CsvSettings::default()).unwrap()
}

/// Returns the numbers of the first column. If another number format fits its cells too, also returns the minimum and
/// maximum in that format.
fn first_column(table: &Table) -> (Vec<Option<f64>>, Option<[f64; 2]>) {
    let numbers = (0..table.rows()).map(|row| table.number(row, 0)).collect();
    (numbers, table.columns()[0].alternative.map(|(_, range)| range))
}

fn numbers(values: &[f64]) -> Vec<Option<f64>> {
    values.iter().copied().map(Some).collect()
}

const fn format(decimal: char, thousands: Option<char>) -> NumberFormat {
    NumberFormat { decimal, thousands, symbol: None }
}

#[test]
fn a_column_has_the_format_in_which_all_cells_are_numbers() {
    for (content, expected, values) in [
        ("a\tb\n1.5\t1\n-2e1\t2\n", format('.', None), vec![1.5, -20.0]),
        ("a\tb\n1,200\t1\n900\t2\n", format('.', Some(',')), vec![1200.0, 900.0]),
        ("a\tb\n1,200.5\t1\n900\t2\n", format('.', Some(',')), vec![1200.5, 900.0]),
        ("a;b\n1,5;1\n2;2\n", format(',', None), vec![1.5, 2.0]),
        ("a;b\n1.200,5;1\n2;2\n", format(',', Some('.')), vec![1200.5, 2.0]),
        ("a;b\n1.200.300;1\n2,5;2\n", format(',', Some('.')), vec![1_200_300.0, 2.5]),
        ("a,b\n1 200,1\n900,2\n", format('.', Some(' ')), vec![1200.0, 900.0]),
        ("a,b\n1'200.5,1\n900,2\n", format('.', Some('\'')), vec![1200.5, 900.0]),
        ("a,b\n1_200,1\n900,2\n", format('.', Some('_')), vec![1200.0, 900.0]),
        ("a;b\n12\u{a0}345,5;1\n2;2\n", format(',', Some(' ')), vec![12345.5, 2.0]),
        ("a,b\n\"1,200\",1\n\"2,300\",2\n", format('.', Some(',')), vec![1200.0, 2300.0]),
    ] {
        let table = parse(content);
        assert_eq!(table.number_format(0), Some(expected), "{content:?}");
        assert_eq!(first_column(&table).0, numbers(&values), "{content:?}");
    }
    // A single cell can exclude a format.
    assert_eq!(first_column(&parse("a;b\n1,200;1\n0,567;2\n")).0, numbers(&[1.2, 0.567]));
    assert_eq!(first_column(&parse("a;b\n1,200;1\n1,25;2\n")).0, numbers(&[1.2, 1.25]));
    // No format fits all cells.
    for content in [
        "a;b\n1,5;1\n1,5,5;2\n",
        "a;b\n12.34,5;1\n",
        "a;b\n1,5.5;1\n",
        "a;b\n-1.234.567;2\n0.125;3\n",
        "a\tb\n1,2345\t1\n1.5\t2\n",
        "a\tb\n$5\t1\n6\t2\n",
        "a\tb\n5%\t1\n$6\t2\n",
    ] {
        assert_eq!(parse(content).number_format(0), None, "{content:?}");
    }
}

#[test]
fn a_symbol_is_accepted_if_every_cell_has_it() {
    for (content, symbol, values) in [
        ("a\tb\n$1,200.50\t1\n-$3\t2\n", '$', vec![1200.5, -3.0]),
        ("a\tb\n12%\t1\n3.5%\t2\n", '%', vec![12.0, 3.5]),
        ("a;b\n1.200,50 €;1\n3,00 €;2\n", '€', vec![1200.5, 3.0]),
    ] {
        let table = parse(content);
        assert_eq!(table.number_format(0).and_then(|format| format.symbol), Some(symbol), "{content:?}");
        assert_eq!(first_column(&table).0, numbers(&values), "{content:?}");
        assert!(table.columns()[0].to_string().contains(&format!("sign {:?}", symbol.to_string())), "{content:?}");
    }
}

#[test]
fn ambiguous_columns_report_the_alternative_format() {
    let grouped: String = (300..2700).step_by(100).map(|n| format!("{};x\n", thousands(n, '.'))).collect();
    let (values, alternative) = first_column(&parse(&format!("a;b\n{grouped}")));
    assert_eq!((values[0], values[23], alternative), (Some(300.0), Some(2600.0), Some([1.0, 900.0])));
    let tabs = format!("a;b\n{grouped}").replace('.', ",").replace(';', "\t");
    let (values, alternative) = first_column(&parse(&tabs));
    assert_eq!((values[0], values[23], alternative), (Some(300.0), Some(2600.0), Some([1.0, 900.0])));
    // An unambiguous column decides for the other columns of the file.
    assert_eq!(first_column(&parse("a;b\n1.200;0,5\n2.500;3\n")), (numbers(&[1200.0, 2500.0]), Some([1.2, 2.5])));
    assert_eq!(first_column(&parse("a;b\n1.200;0.5\n2.500;3\n")).0, numbers(&[1.2, 2.5]));
    // If all numbers have three decimals, they are decimals and not thousands.
    assert_eq!(first_column(&parse("a,b\n1.234,1\n12.345,2\n")), (numbers(&[1.234, 12.345]), None));
    assert_eq!(first_column(&parse("a;b\n1,234;1\n12,345;2\n")), (numbers(&[1.234, 12.345]), Some([1234.0, 12345.0])));
}

fn thousands(n: u32, mark: char) -> String {
    if n < 1000 { n.to_string() } else { format!("{}{mark}{:03}", n / 1000, n % 1000) }
}

#[test]
fn settings_override_the_format_of_all_columns_or_one() {
    let content = b"a;b\n1.200;1,500\n900;300\n";
    let parse_with = |settings: CsvSettings| {
        let table = Table::parse_csv(content, "t", &settings).unwrap();
        [0, 1].map(|column| (table.number(0, column), table.columns()[column].alternative.is_some()))
    };
    let point = CsvSettings { decimal: Some('.'), ..CsvSettings::default() };
    assert_eq!(parse_with(point), [(Some(1.2), false), (Some(1500.0), false)]);
    let thousands = CsvSettings { thousands: Some('.'), ..CsvSettings::default() };
    assert_eq!(parse_with(thousands)[0], (Some(1200.0), false));
    let column_b = CsvSettings { column_decimals: [("b".to_owned(), ',')].into(), ..CsvSettings::default() };
    assert_eq!(parse_with(column_b)[1], (Some(1.5), false));
    for (settings, message) in [
        (CsvSettings { decimal: Some('x'), ..CsvSettings::default() }, "decimal: expected \".\" or \",\", got 'x'"),
        (CsvSettings { thousands: Some('x'), ..CsvSettings::default() }, "thousands: expected \",\""),
        (
            CsvSettings { thousands: Some('.'), decimal: Some('.'), ..CsvSettings::default() },
            "thousands: expected a character other than the decimal mark, got '.'",
        ),
        (
            CsvSettings { comment: Some(b';'), delimiter: Some(b';'), ..CsvSettings::default() },
            "comment: expected a character other than the delimiter, got \";\"",
        ),
    ] {
        super::expect_error(Table::parse_csv(content, "t", &settings), &[message]);
    }
}

#[test]
fn the_first_non_number_of_a_column_is_found() {
    let table = parse("a;b\n1,5;1\n2,5;2\nx;3\n");
    assert_eq!(table.columns()[0].kind, ColumnKind::Categorical { count: 3 });
    let found = NonNumber { row: 2, format: format(',', None), numbers: 2 };
    assert_eq!((table.first_non_number(0), table.line(2)), (Some(found), Some(4)));
    let dollars = format('.', None);
    let found = NonNumber { row: 1, format: NumberFormat { symbol: Some('$'), ..dollars }, numbers: 2 };
    assert_eq!(parse("a,b\n$5,1\n6,2\n$7.5,3\n").first_non_number(0), Some(found));
    assert_eq!(table.first_non_number(1), None);
}
