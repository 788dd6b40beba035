//! The guide agrees with the code: `shaders/` contains the WGSL that it quotes, and the example `neuron` prints its
//! numbers. The Rust snippets of the guide are documentation tests.

use std::{fs, path::Path};

use crate::common::{example, run};

/// Returns the names and texts of the chapters, in order.
fn chapters() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/guide");
    let files = fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").path());
    let mut chapters: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).expect("a text"))
        })
        .collect();
    chapters.sort();
    chapters
}

/// Returns the lines of each code block in `language`.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<Vec<&'a str>> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(fence) = line.strip_prefix("```") {
            let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.extend((fence == language).then_some(block));
        }
    }
    blocks
}

/// Finds `quote` in the lines of a file from line `from` on, and returns the line after it. The quote may be indented
/// less than the file.
fn find_quote_end(file: &[&str], from: usize, quote: &[&str]) -> Option<usize> {
    let is_quoted_at = |start: &usize| {
        let Some(lines) = file.get(*start..start + quote.len()) else { return false };
        let Some(indent) = lines[0].strip_suffix(quote[0]) else { return false };
        let is_line = |(line, quoted): (&&str, &&str)| match line.strip_prefix(indent) {
            Some(rest) => rest == *quoted,
            None => line.is_empty() && quoted.is_empty(),
        };
        indent.trim().is_empty() && lines.iter().zip(quote).all(is_line)
    };
    (from..file.len()).find(is_quoted_at).map(|start| start + quote.len())
}

#[test]
fn every_chapter_has_all_sections_and_code_blocks() {
    let chapters = chapters();
    assert_eq!(chapters.len(), 8);
    for (name, text) in chapters {
        for section in ["# The formula", "# The numbers", "# In Rust", "# In WGSL", "# On the device"] {
            assert!(text.lines().any(|line| line == section), "{name} has no {section:?}");
        }
        for language in ["text", "rust", "wgsl"] {
            assert!(!blocks(&text, language).is_empty(), "{name} has no code block in {language}");
        }
    }
}

#[test]
fn quoted_wgsl_equals_the_shaders() {
    for (name, text) in chapters() {
        for block in blocks(&text, "wgsl") {
            let path = block[0].strip_prefix("// ").expect("the first line is a comment with the path");
            let file = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path));
            let file = file.unwrap_or_else(|error| panic!("{name}, {path}: {error}"));
            // The comments with the maximum rounds of loops are for a test, not for readers.
            let file: Vec<_> = file.lines().filter(|line| !line.trim_start().starts_with("// rounds:")).collect();
            let mut from = 0;
            for quote in block[1..].split(|line| line.trim() == "// ...") {
                let end = find_quote_end(&file, from, quote);
                from = end.unwrap_or_else(|| panic!("{name}: {path} does not contain\n{}", quote.join("\n")));
            }
        }
    }
}

#[test]
fn numbers_of_the_guide_equal_those_of_the_example() {
    let outcome = run(example("neuron").args(["--device", "cpu", "--json"]));
    let json = outcome.expect(0, &[]).json();
    let quantities: Vec<(&str, &str, f64)> = json["quantities"]
        .as_array()
        .expect("quantities")
        .iter()
        .map(|quantity| {
            let text = |key: &str| quantity[key].as_str().expect(key);
            (text("name"), text("formula"), quantity["reference"].as_f64().expect("a number"))
        })
        .collect();
    // Whether a number of the guide is `value`, rounded to the decimal places of the guide.
    let is_rounded = |text: &str, value: f64| {
        let places = text.split_once('.').map_or(0, |(_, decimals)| decimals.len() as i32);
        let number: f64 = text.parse().expect("a number");
        (number - value).abs() <= 0.500_001 * 0.1f64.powi(places)
    };

    let mut is_in_guide = vec![false; quantities.len()];
    for (name, text) in chapters() {
        // A row of a table: `name` | `formula` | `with the numbers` | value
        for row in text.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<_> = row.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect();
            let [quantity, formula, _, value] = cells[..] else { panic!("{name}: {row}") };
            let is_row = |(name, text, number): &(&str, &str, f64)| {
                (*name, *text) == (quantity, formula) && is_rounded(value, *number)
            };
            let index = quantities.iter().position(is_row);
            is_in_guide[index.unwrap_or_else(|| panic!("{name}: the example does not print {row}"))] = true;
        }
        // The text may have other numbers. Check those with five decimals or more.
        let numbers = text.split(|c: char| !c.is_ascii_digit() && c != '.').map(|token| token.trim_matches('.'));
        let is_long = |number: &&str| {
            let decimals = number.split_once('.').map_or("", |(_, decimals)| decimals);
            decimals.len() > 4 && !decimals.contains('.')
        };
        for number in numbers.filter(is_long) {
            let is_printed = quantities.iter().any(|(_, _, value)| is_rounded(number, value.abs()));
            assert!(is_printed, "{name}: the example does not print {number}");
        }
    }
    let missing: Vec<_> = quantities
        .iter()
        .zip(is_in_guide)
        .filter(|(_, is_in_guide)| !is_in_guide)
        .map(|((name, ..), _)| *name)
        .collect();
    assert!(missing.is_empty(), "the guide does not contain {missing:?}");
}
