//! Whether a selftest is worth anything: each WGSL file is changed in one place after the other, and some check has to fail.

use std::{
    collections::{BTreeMap, HashSet},
    fmt::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    device::Device,
    diagnostics::{Check, tests::llvmpipe},
    engine::gpu::device::mutant,
    error::Error,
};

/// How long the checks of one mutant may take before it counts as one that survives.
const MUTANT_TIMEOUT: Duration = Duration::from_secs(8);

/// A WGSL file.
pub(crate) struct File {
    /// From `shaders/` on.
    pub(crate) name: String,
    pub(crate) text: String,
}

/// One place of a file, and what is put there.
#[derive(Clone)]
struct Mutant {
    line: usize,
    from: String,
    to: String,
    text: String,
}

/// What becomes of a mutant.
enum MutantOutcome {
    /// By this check.
    Caught(String),
    /// WGSL does not let it through, so that no kernel is built.
    Rejected,
    Survived,
}

pub(crate) fn shader_files() -> Vec<File> {
    fn collect_files(folder: &Path, all: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() { collect_files(&path, all) } else { all.push(path) }
        }
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let mut all = Vec::new();
    collect_files(&folder, &mut all);
    all.sort();
    let file = |path: PathBuf| {
        let name = path.strip_prefix(&folder).expect("inside").with_extension("");
        let text = std::fs::read_to_string(&path).expect("a text");
        File { name: name.to_string_lossy().replace('\\', "/"), text }
    };
    all.into_iter().map(file).collect()
}

/// What an operator, or a call, is turned into; a file without them or numbers has its result turned.
const REPLACEMENTS: [(&str, &str); 30] = [
    (" += ", " -= "),
    (" -= ", " += "),
    (" *= ", " += "),
    (" ^= ", " |= "),
    (" + ", " - "),
    (" - ", " + "),
    (" * ", " + "),
    (" / ", " * "),
    (" % ", " / "),
    (" & ", " | "),
    (" | ", " & "),
    (" ^ ", " | "),
    (" >> ", " << "),
    (" << ", " >> "),
    (" <= ", " > "),
    (" >= ", " < "),
    (" < ", " >= "),
    (" > ", " <= "),
    (" == ", " != "),
    (" != ", " == "),
    (" && ", " || "),
    (" || ", " && "),
    ("min(", "max("),
    ("max(", "min("),
    ("(-", "("),
    (" -", " "),
    ("if ", "if !"),
    ("return z;", "return -z;"),
    ("] = v;", "] = -v;"),
    (" at.y, ", " at.x, "),
];

/// Every mutant of a file: each number another one, each operator its opposite. Attributes and comments stay.
fn list_mutants(file: &File) -> Vec<Mutant> {
    let mut all = Vec::new();
    let mut start = 0;
    for (number, line) in file.text.split_inclusive('\n').enumerate() {
        let code = line.find("//").map_or(line, |at| &line[..at]);
        if !code.contains('@') {
            let mut add = |at: usize, from: &str, to: String| {
                let at = start + at;
                let text = format!("{}{to}{}", &file.text[..at], &file.text[at + from.len()..]);
                all.push(Mutant { line: number + 1, from: from.trim().to_owned(), to: to.trim().to_owned(), text });
            };
            for (from, to) in REPLACEMENTS {
                code.match_indices(from).for_each(|(at, _)| add(at, from, to.to_owned()));
            }
            for (at, literal) in find_literals(code) {
                add(at, literal, other_literal(literal));
            }
        }
        start += line.len();
    }
    all
}

/// The numbers in a line of code, and where they stand.
fn find_literals(code: &str) -> Vec<(usize, &str)> {
    let bytes = code.as_bytes();
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'.';
    let (mut all, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        if !is_word(bytes[at]) {
            at += 1;
            continue;
        }
        let mut end = at;
        let is_exponent = |end: usize| bytes[end] == b'-' && bytes[end - 1] == b'e' && bytes[at].is_ascii_digit();
        while end < bytes.len() && (is_word(bytes[end]) || is_exponent(end)) {
            end += 1;
        }
        if bytes[at].is_ascii_digit() {
            all.push((at, &code[at..end]));
        }
        at = end;
    }
    all
}

/// Another number of the same type.
fn other_literal(literal: &str) -> String {
    let (digits, suffix) = match literal.strip_suffix('u') {
        Some(digits) => (digits, "u"),
        None => (literal, ""),
    };
    if let Some(hex) = digits.strip_prefix("0x") {
        return format!("{:#x}{suffix}", u64::from_str_radix(hex, 16).expect("hexadecimal") ^ 0x10);
    }
    if let Ok(whole) = digits.parse::<u64>() {
        return format!("{}{suffix}", whole + 1);
    }
    let value: f64 = digits.parse().expect("a number");
    format!("{:?}", if value == 0.0 { 1.0 } else { 1.5 * value })
}

/// The checks of a device, the quickest first, each with the texts that it assembles and the time that it takes.
fn time_checks(device: &Device) -> Vec<(Check, HashSet<String>, Duration)> {
    let one = |check: Check| {
        mutant::assembled();
        let start = Instant::now();
        let finding = pollster::block_on(check.run_to_report(device));
        assert!(finding.passed, "{finding}");
        (check, mutant::assembled(), start.elapsed())
    };
    let mut all: Vec<_> = Check::all(device).into_iter().map(one).collect();
    all.sort_by_key(|(_, _, time)| *time);
    all
}

/// What the checks that assemble a file say to a mutant of it.
fn test_mutant(
    device: &mut Device,
    checks: &[(Check, HashSet<String>, Duration)],
    file: &File,
    mutant: &Mutant,
) -> MutantOutcome {
    let start = Instant::now();
    for (check, ..) in checks.iter().filter(|(_, assembled, _)| assembled.contains(&file.text)) {
        let pair = [file.text.clone(), mutant.text.clone()];
        let finding = mutant::with_mutant(pair, || pollster::block_on(check.run_to_report(device)));
        match finding.failure {
            Some(Error::Internal { .. }) => return MutantOutcome::Rejected,
            Some(Error::DeviceLost { .. } | Error::Timeout { .. }) => {
                *device = llvmpipe().expect("it was there");
                return MutantOutcome::Caught(check.to_string());
            }
            _ if !finding.passed => return MutantOutcome::Caught(check.to_string()),
            _ if start.elapsed() > MUTANT_TIMEOUT => break,
            _ => {}
        }
    }
    MutantOutcome::Survived
}

/// Some of a file's mutants, spread over it by a fixed rule.
fn sample_mutants(mutants: &[Mutant], count: usize) -> Vec<Mutant> {
    let mut picked: Vec<(u64, &Mutant)> = mutants
        .iter()
        .enumerate()
        .map(|(i, m)| ((i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40, m))
        .collect();
    picked.sort_by_key(|(key, _)| *key);
    picked.into_iter().take(count).map(|(_, mutant)| mutant.clone()).collect()
}

/// The first mutant of some files that WGSL lets through is caught.
#[test]
fn a_change_of_a_kernel_is_caught_and_named() {
    // Only llvmpipe ends every loop.
    let Some(mut device) = llvmpipe() else { return };
    let check = |name: &str| name.starts_with("activations") || name.starts_with("data");
    let checks: Vec<_> = Check::all(&device).into_iter().filter(|one| check(one.group)).collect();
    let assembled = |one: Check| {
        mutant::assembled();
        assert!(pollster::block_on(one.run_to_report(&device)).passed, "{one}");
        (one, mutant::assembled(), Duration::ZERO)
    };
    let checks: Vec<_> = checks.into_iter().map(assembled).collect();
    let files = shader_files();
    for (name, part) in
        [("activation/gelu", "gelu"), ("optimizer/sgd", "sgd"), ("entry/lane", "lane"), ("features/u8", "bytes")]
    {
        let file = files.iter().find(|file| file.name == name).expect("a file");
        let fates = sample_mutants(&list_mutants(file), 9)
            .into_iter()
            .map(|mutant| test_mutant(&mut device, &checks, file, &mutant));
        let caught = fates.filter_map(|fate| if let MutantOutcome::Caught(by) = fate { Some(by) } else { None }).next();
        let by = caught.unwrap_or_else(|| panic!("no mutant of {name} is caught"));
        assert!(by.contains(part), "{name} is caught by {by}");
    }
}

/// Each file has a mutant that is caught. Takes minutes; `.ci/mutate_shaders` runs it, and writes what it found.
#[test]
#[ignore = "takes minutes: .ci/mutate_shaders"]
fn every_file_has_a_mutant_that_is_caught() {
    let mut device = llvmpipe().expect("llvmpipe, which alone ends every loop");
    let count = std::env::var("GRADUS_MUTANTS").ok().and_then(|n| n.parse().ok()).unwrap_or(4);
    let checks = time_checks(&device);
    let (mut rows, mut folders, mut blind) = (String::new(), BTreeMap::<String, [usize; 4]>::new(), Vec::new());
    for file in shader_files() {
        let all = list_mutants(&file);
        let [mut caught, mut refused, mut tried] = [0; 3];
        let mut survivors = Vec::new();
        let mutants = sample_mutants(&all, all.len());
        // Until one is caught more are tried than were asked for.
        for mutant in &mutants {
            if tried >= count + refused && (caught > 0 || tried >= 40) {
                break;
            }
            tried += 1;
            match test_mutant(&mut device, &checks, &file, mutant) {
                MutantOutcome::Caught(_) => caught += 1,
                MutantOutcome::Rejected => refused += 1,
                MutantOutcome::Survived => {
                    survivors.push(format!("line {} `{}` to `{}`", mutant.line, mutant.from, mutant.to))
                }
            }
        }
        let row = format!(
            "| {} | {} | {caught} of {} | {refused} | {} |",
            file.name,
            all.len(),
            tried - refused,
            survivors.join("; ")
        );
        println!("{row}");
        let _ = writeln!(rows, "{row}");
        let folder = file.name.split_once('/').map_or("whole kernels and what they share", |(folder, _)| folder);
        let sums = folders.entry(folder.to_owned()).or_default();
        for (sum, more) in sums.iter_mut().zip([1, caught, tried - refused, refused]) {
            *sum += more;
        }
        if caught == 0 {
            blind.push(file.name);
        }
    }
    let mut page = "# Mutants of the shaders, and how many of them a selftest catches\n\n".to_owned();
    page += "Written by `.ci/mutate_shaders`: each file is changed in some places, a number or an operator at a time, and the \
             checks of `gradus::diagnostics` that assemble it are made on llvmpipe. Refused are those that are no valid WGSL.\n\n\
             | folder | files | caught | refused |\n|---|---|---|---|\n";
    for (folder, [files, caught, tried, refused]) in &folders {
        let _ = writeln!(page, "| {folder} | {files} | {caught} of {tried} | {refused} |");
    }
    let sum = |i: usize| folders.values().map(|sums| sums[i]).sum::<usize>();
    let _ = writeln!(page, "| all | {} | {} of {} | {} |", sum(0), sum(1), sum(2), sum(3));
    page += "\n| file | mutants | caught | refused | survived |\n|---|---|---|---|---|\n";
    page += &rows;
    if let Ok(path) = std::env::var("GRADUS_MUTANTS_PAGE") {
        std::fs::write(path, &page).expect("a file");
    }
    assert!(blind.is_empty(), "nothing notices a change of {blind:?}");
}

#[test]
fn every_file_has_mutants() {
    for file in shader_files() {
        assert!(!list_mutants(&file).is_empty(), "{}", file.name);
    }
}
