//! Tables from CSV files.

use gradus::{
    Result,
    data::table::{ColumnKind, CsvSettings, Encoder, EncoderSettings, Table},
};

use super::expect_error;
use crate::common::Folder;

fn parse(content: impl AsRef<[u8]>) -> Result<Table> {
    Table::parse_csv(content.as_ref(), "t.csv", &CsvSettings::default())
}

fn cells(table: &Table) -> Vec<Vec<&str>> {
    let row = |row| (0..table.column_names().len()).map(|column| table.cell(row, column).unwrap()).collect();
    (0..table.rows()).map(row).collect()
}

#[test]
fn delimiters_line_endings_and_quotes_are_detected() {
    for delimiter in [",", ";", "\t"] {
        for line_end in ["\n", "\r\n", "\r"] {
            for file_end in ["", line_end] {
                let lines = ["\u{feff}a|b c|\"d|\"\"x\"\"\"", "1| two |\"3|,;\t4\"", "", "|\"\"|ä\"o"];
                let content = lines.join(line_end).replace('|', delimiter) + file_end;
                let table = parse(&content).unwrap();
                assert_eq!(table.column_names(), ["a", "b c", &format!("d{delimiter}\"x\"")], "{content:?}");
                assert_eq!(cells(&table), [vec!["1", "two", &format!("3{delimiter},;\t4")], vec!["", "", "ä\"o"]]);
            }
        }
    }
    let folder = Folder::new();
    let path = folder.file("x.csv", "a\n\"two\nlines\"\n3\n");
    assert_eq!(cells(&Table::load_csv(&path, &CsvSettings::default()).unwrap()), [["two\nlines"], ["3"]]);
    let without_header = Table::parse_csv(
        b"1|2\n3|4",
        "t",
        &CsvSettings { delimiter: Some(b'|'), header: false, ..CsvSettings::default() },
    )
    .unwrap();
    assert_eq!(
        (without_header.column_names(), cells(&without_header)),
        (&["1".to_owned(), "2".into()][..], vec![vec!["1", "2"], vec!["3", "4"]])
    );
    let only_header = parse("a,b").unwrap();
    assert_eq!((only_header.rows(), only_header.cell(0, 0)), (0, None));
}

#[test]
fn columns_describe_their_cells() {
    let table = parse("n,c,e,m\n1,x,NA,1\n-2.5e1,y,NA,inf\nnan,x,,3\n").unwrap();
    let columns = table.columns();
    assert_eq!(columns[0].kind, ColumnKind::Numeric { min: -25.0, max: 1.0 });
    let texts: Vec<_> = columns.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        ["n: numbers from -25 to 1, 1 missing", "c: 2 categories", "e: empty, 3 missing", "m: 3 categories"]
    );
}

#[test]
fn a_column_without_a_name_is_named_by_its_number() {
    let table = parse(",a,\n0,1,\n").unwrap();
    assert_eq!(table.column_names(), ["column 1", "a", "column 3"]);
    expect_error(parse(",column 1\n"), &["a name that no other column has"]);
}

#[test]
fn selected_rows_keep_their_line_numbers() {
    let table = parse("a;b\n1,5;x\n\n2;y\n3;z\n").unwrap();
    let selected = table.select(&[2, 0]).unwrap();
    assert_eq!((cells(&selected), selected.number(1, 0)), (vec![vec!["3", "z"], vec!["1,5", "x"]], Some(1.5)));
    let settings = EncoderSettings { numeric: vec!["b".into()], ..EncoderSettings::default() };
    expect_error(
        Encoder::fit(&selected, "a", &settings),
        &["t.csv: line 5, column \"b\": expected a number, got \"z\""],
    );
    expect_error(table.select(&[3]), &["row to select: expected a row below 3, got 3"]);
}

#[test]
fn invalid_csv_is_an_error_with_its_line() {
    let cases = [
        ("", "t.csv: line 1: expected a line with the column names, got an empty file"),
        ("\n\r\n", "line 1: expected a line with the column names, got an empty file"),
        ("a,b,a\n1,2,3", "t.csv: line 1, column 3: expected a name that no other column has, got \"a\""),
        ("a,b\n1,2\n3\n", "line 3: expected 2 cells, as in line 1, got 1"),
        ("a,b\r\n1,2\r\n\r\n3,4,5\r\n", "line 4: expected 2 cells, as in line 1, got 3; put quotes around"),
        ("a,b\r1,2\r3\r", "line 3: expected 2 cells"),
        ("a,b\n\"1\n\n1\",2\n3\n", "line 5: expected 2 cells"),
        ("a,b\n1,\"2\n3,4\n", "line 2: expected a closing quote, got the end of the file; close the quote"),
        ("a,b\n\"1,2\n3,4", "line 2: expected a closing quote"),
        ("\"a", "line 1: expected a closing quote"),
    ];
    for (content, message) in cases {
        expect_error(parse(content), &[message]);
    }
    expect_error(
        parse(b"a\n1\nx\xff\xfe"),
        &[
            "t.csv: line 3, byte 2: expected text in UTF-8, got bytes [ff, fe]; save the file in UTF-8, or if it is in Windows-1252",
        ],
    );
    expect_error(parse(b"\xff\xfea"), &["size: expected an even number of bytes of UTF-16 text, got 3"]);
    for delimiter in [b'a', b'"', b'\n', 200] {
        let settings = CsvSettings { delimiter: Some(delimiter), ..CsvSettings::default() };
        expect_error(Table::parse_csv(b"a\n1", "t", &settings), &["delimiter: expected an ASCII character"]);
    }
    let folder = Folder::new();
    expect_error(Table::load_csv(folder.join("none.csv"), &CsvSettings::default()), &["none.csv: "]);
    let large = folder.join("large.csv");
    std::fs::File::create(&large).and_then(|file| file.set_len((1 << 30) + 1)).unwrap();
    expect_error(
        Table::load_csv(&large, &CsvSettings::default()),
        &["large.csv: size: expected at most 1073741824 bytes, got 1073741825"],
    );
}

#[test]
fn truncated_and_changed_files_cause_no_panic() {
    let whole = "\u{feff}a;\"b\";c\r\n1;ä;\"3\r\n4\"\r\n\r\n5;\"\"\"6\"\"\";7\n".as_bytes();
    (0..=whole.len()).for_each(|end| drop(parse(&whole[..end])));
    for (index, byte) in (0..whole.len()).flat_map(|index| b"\0\n\r\";,x\xff".map(|byte| (index, byte))) {
        let mut changed = whole.to_vec();
        changed[index] = byte;
        let _ = parse(&changed).map(|table| table.columns());
    }
}
