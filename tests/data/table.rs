use gradus::{
    Result,
    data::table::{ColumnKind, CsvSettings, Encoder, EncoderSettings, Table},
};

use super::refused;
use crate::common::Folder;

fn read(content: impl AsRef<[u8]>) -> Result<Table> {
    Table::parse_csv(content.as_ref(), "t.csv", &CsvSettings::default())
}

fn cells(table: &Table) -> Vec<Vec<&str>> {
    let row = |row| (0..table.column_names().len()).map(|column| table.cell(row, column).unwrap()).collect();
    (0..table.rows()).map(row).collect()
}

#[test]
fn a_file_is_read_whatever_its_delimiter_ends_of_lines_and_quotes() {
    for delimiter in [",", ";", "\t"] {
        for end in ["\n", "\r\n", "\r"] {
            for last in ["", end] {
                let lines = ["\u{feff}a|b c|\"d|\"\"x\"\"\"", "1| two |\"3|,;\t4\"", "", "|\"\"|ä\"o"];
                let content = lines.join(end).replace('|', delimiter) + last;
                let table = read(&content).unwrap();
                assert_eq!(table.column_names(), ["a", "b c", &format!("d{delimiter}\"x\"")], "{content:?}");
                assert_eq!(cells(&table), [vec!["1", "two", &format!("3{delimiter},;\t4")], vec!["", "", "ä\"o"]]);
            }
        }
    }
    let folder = Folder::new();
    let path = folder.file("x.csv", "a\n\"two\nlines\"\n3\n");
    assert_eq!(cells(&Table::load_csv(&path, &CsvSettings::default()).unwrap()), [["two\nlines"], ["3"]]);
    let none = Table::parse_csv(
        b"1|2\n3|4",
        "t",
        &CsvSettings { delimiter: Some(b'|'), header: false, ..CsvSettings::default() },
    )
    .unwrap();
    assert_eq!(
        (none.column_names(), cells(&none)),
        (&["1".to_owned(), "2".into()][..], vec![vec!["1", "2"], vec!["3", "4"]])
    );
    let header = read("a,b").unwrap();
    assert_eq!((header.rows(), header.cell(0, 0)), (0, None));
}

#[test]
fn columns_say_what_is_in_them() {
    let table = read("n,c,e,m\n1,x,NA,1\n-2.5e1,y,NA,inf\nnan,x,,3\n").unwrap();
    let columns = table.columns();
    assert_eq!(columns[0].kind, ColumnKind::Numeric { min: -25.0, max: 1.0 });
    let texts: Vec<_> = columns.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        ["n: numbers from -25 to 1, 1 missing", "c: 2 categories", "e: empty, 3 missing", "m: 3 categories"]
    );
}

#[test]
fn a_column_without_a_name_has_its_number() {
    let table = read(",a,\n0,1,\n").unwrap();
    assert_eq!(table.column_names(), ["column 1", "a", "column 3"]);
    refused(read(",column 1\n"), &["a name that no other column has"]);
}

#[test]
fn some_rows_of_a_table_keep_their_lines() {
    let table = read("a;b\n1,5;x\n\n2;y\n3;z\n").unwrap();
    let some = table.select(&[2, 0]).unwrap();
    assert_eq!((cells(&some), some.number(1, 0)), (vec![vec!["3", "z"], vec!["1,5", "x"]], Some(1.5)));
    let settings = EncoderSettings { numeric: vec!["b".into()], ..EncoderSettings::default() };
    refused(Encoder::fit(&some, "a", &settings), &["t.csv: line 5, column \"b\": expected a number, got \"z\""]);
    refused(table.select(&[3]), &["row to select: expected below 3, got 3"]);
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let corpus = [
        ("", "t.csv: line 1: expected the names of columns, got an empty file"),
        ("\n\r\n", "line 1: expected the names of columns"),
        ("a,b,a\n1,2,3", "t.csv: line 1, column 3: expected a name that no other column has, got \"a\""),
        ("a,b\n1,2\n3\n", "line 3: expected 2 cells, as the first line has, got 1"),
        ("a,b\r\n1,2\r\n\r\n3,4,5\r\n", "line 4: expected 2 cells, as the first line has, got 3"),
        ("a,b\r1,2\r3\r", "line 3: expected 2 cells"),
        ("a,b\n\"1\n\n1\",2\n3\n", "line 5: expected 2 cells"),
        ("a,b\n1,\"2\n3,4\n", "line 2: expected a quote that is closed, got the end of the file"),
        ("a,b\n\"1,2\n3,4", "line 2: expected a quote that is closed"),
        ("\"a", "line 1: expected a quote that is closed"),
    ];
    for (content, words) in corpus {
        refused(read(content), &[words]);
    }
    refused(
        read(b"a\n1\nx\xff\xfe"),
        &[
            "t.csv: line 3, byte 2: expected text in UTF-8, as which a spreadsheet can save it, got [ff, fe]; if the file is in",
        ],
    );
    refused(read(b"\xff\xfea"), &["text: expected UTF-16"]);
    for delimiter in [b'a', b'"', b'\n', 200] {
        let settings = CsvSettings { delimiter: Some(delimiter), ..CsvSettings::default() };
        refused(Table::parse_csv(b"a\n1", "t", &settings), &["delimiter: expected an ASCII character"]);
    }
    let folder = Folder::new();
    refused(Table::load_csv(folder.join("none.csv"), &CsvSettings::default()), &["none.csv: "]);
    let large = folder.join("large.csv");
    std::fs::File::create(&large).and_then(|file| file.set_len((1 << 30) + 1)).unwrap();
    refused(
        Table::load_csv(&large, &CsvSettings::default()),
        &["large.csv: size: expected at most 1073741824 bytes, got 1073741825"],
    );
}

#[test]
fn every_cut_and_every_changed_byte_is_read_or_refused() {
    let whole = "\u{feff}a;\"b\";c\r\n1;ä;\"3\r\n4\"\r\n\r\n5;\"\"\"6\"\"\";7\n".as_bytes();
    (0..=whole.len()).for_each(|end| drop(read(&whole[..end])));
    for (at, byte) in (0..whole.len()).flat_map(|at| b"\0\n\r\";,x\xff".map(|byte| (at, byte))) {
        let mut changed = whole.to_vec();
        changed[at] = byte;
        let _ = read(&changed).map(|table| table.columns());
    }
}
