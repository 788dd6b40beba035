//! Short passages in ten languages, from the translated manual pages of Debian's packages manpages-cs and so on.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    process::Command,
};

use flate2::read::GzDecoder;

use super::Exit;

/// What the packages' names end in, the folders of their pages, and the languages.
pub const LANGUAGES: [(&str, &str, &str); 10] = [
    ("cs", "cs", "Czech"),
    ("da", "da", "Danish"),
    ("de", "de", "German"),
    ("es", "es", "Spanish"),
    ("fr", "fr", "French"),
    ("it", "it", "Italian"),
    ("nl", "nl", "Dutch"),
    ("pl", "pl", "Polish"),
    ("pt-br", "pt_BR", "Portuguese"),
    ("sv", "sv", "Swedish"),
];

/// A passage ends with the word by which it has so many letters and spaces.
const LETTERS: usize = 20;

/// A paragraph with one of these words was not translated, or quotes at length.
const ENGLISH: [&str; 12] =
    ["the", "and", "this", "with", "from", "that", "which", "are", "should", "when", "you", "your"];

/// Passages and the numbers of their languages, in two parts that share no document: a page's name, such as `ls.1`,
/// decides for all of its translations.
#[derive(Debug, Default)]
pub struct Passages {
    pub train: Vec<(String, usize)>,
    pub test: Vec<(String, usize)>,
}

/// The most passages that are taken of one language.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub train: usize,
    pub test: usize,
}

/// Reads the packages' pages, or those in a folder such as `/usr/share/man`. The passages that are taken of a language
/// are spread evenly over its pages.
pub fn passages(data: Option<&Path>, most: Limits) -> Result<Passages, Exit> {
    // In which language a passage stands, and whether only in pages that are held out.
    let mut seen: HashMap<String, (usize, bool)> = HashMap::new();
    let mut all = Vec::new();
    for (language, (package, folder, _)) in LANGUAGES.iter().enumerate() {
        for (page, text) in pages(data, package, folder)? {
            let held_out = hash(page.as_bytes()).is_multiple_of(5);
            for passage in paragraphs(&text).iter().flat_map(|paragraph| cut(paragraph)) {
                all.push((passage, language, held_out));
            }
        }
    }
    // What stands in two languages belongs to none, and what was learned is no test: such passages go.
    for (passage, language, held_out) in &all {
        let first = seen.entry(passage.clone()).or_insert((*language, *held_out));
        first.0 = if first.0 == *language { *language } else { usize::MAX };
        first.1 &= *held_out;
    }
    let mut passages = Passages::default();
    for (language, (_, _, name)) in LANGUAGES.iter().enumerate() {
        for (part, held_out, most) in [(&mut passages.train, false, most.train), (&mut passages.test, true, most.test)]
        {
            let mut own = Vec::new();
            for (passage, _, _) in all.iter().filter(|(_, of, test)| (*of, *test) == (language, held_out)) {
                // Each counts once.
                if seen.get(passage) == Some(&(language, held_out)) && seen.remove(passage).is_some() {
                    own.push(passage);
                }
            }
            if own.is_empty() {
                return Err(Exit::Usage(format!("no passages in {name}; {}", how_to_get())));
            }
            let taken = own.len().min(most);
            part.extend((0..taken).map(|i| (own[i * own.len() / taken].clone(), language)));
        }
    }
    Ok(passages)
}

/// 32 bits of FNV-1a.
pub fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

fn how_to_get() -> String {
    let packages: Vec<_> = LANGUAGES.iter().map(|(package, ..)| format!("manpages-{package}")).collect();
    let packages = packages.join(" ");
    format!(
        "run `sudo apt-get install {packages}`, or, where the system leaves manual pages out, `apt-get download \
         {packages}`, `dpkg -x` each .deb into a folder x and give --data x/usr/share/man"
    )
}

/// The names and texts of a language's pages.
fn pages(data: Option<&Path>, package: &str, folder: &str) -> Result<Vec<(String, String)>, Exit> {
    let missing = || Exit::Usage(format!("no manual pages of manpages-{package}; {}", how_to_get()));
    let mut paths: Vec<PathBuf> = match data {
        None => {
            // Other packages' pages lie in the same folders, and would make the results depend on what is installed.
            let listed = Command::new("dpkg-query").args(["-L", &format!("manpages-{package}")]).output();
            let listed = listed.map_err(|_| missing())?.stdout;
            String::from_utf8_lossy(&listed).lines().map(PathBuf::from).collect()
        }
        Some(data) => {
            let entries = |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
            entries(data.join(folder)).flat_map(entries).collect()
        }
    };
    let is_page = |path: &PathBuf| path.extension().is_some_and(|end| end == "gz") && path.is_file();
    paths.retain(is_page);
    paths.sort();
    if paths.is_empty() {
        return Err(missing());
    }
    let read = |path: &PathBuf| {
        let mut bytes = Vec::new();
        let unpacked = File::open(path).and_then(|file| GzDecoder::new(file).read_to_end(&mut bytes));
        unpacked.map_err(|error| Exit::Usage(format!("{}: {error}", path.display())))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok((name, String::from_utf8_lossy(&bytes).into_owned()))
    };
    paths.iter().map(read).collect()
}

/// The paragraphs of a page: the lines between two requests, without those of examples, which are code.
fn paragraphs(page: &str) -> Vec<String> {
    let mut paragraphs = vec![String::new()];
    let mut is_code = false;
    for line in page.lines() {
        let Some(request) = line.strip_prefix(['.', '\'']) else {
            if let Some(last) = paragraphs.last_mut().filter(|_| !is_code) {
                *last += line;
                last.push('\n');
            }
            continue;
        };
        match request.split_whitespace().next().unwrap_or_default() {
            "nf" | "EX" => is_code = true,
            "fi" | "EE" => is_code = false,
            // Names in another type, in the middle of a sentence.
            "B" | "I" | "BR" | "RB" | "IR" | "RI" | "BI" | "IB" | "R" | "SM" => continue,
            _ => {}
        }
        paragraphs.push(String::new());
    }
    paragraphs
}

/// Cuts a paragraph into passages of words in lower case; an English one gives none.
fn cut(paragraph: &str) -> Vec<String> {
    let text = plain(paragraph).to_lowercase();
    let words = || text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
    if words().any(|word| ENGLISH.contains(&word)) {
        return Vec::new();
    }
    let (mut passages, mut passage) = (Vec::new(), String::new());
    for word in words() {
        if !passage.is_empty() {
            passage.push(' ');
        }
        passage += word;
        if passage.chars().count() >= LETTERS {
            passages.push(std::mem::take(&mut passage));
        }
    }
    passages
}

/// Text without roff's escapes, and without what they set in bold or italics: names of programs and options, which are
/// the same in every language.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut is_name = false;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            plain.push(if is_name { ' ' } else { c });
            continue;
        }
        match rest.next() {
            // Zero width.
            Some('&' | ',' | '/' | ':' | '%' | '|' | '^' | 'c') => {}
            Some('f') => is_name = escaped(&mut rest).is_some_and(|font| font.contains(['B', 'I'])),
            Some('s') => {
                let text = rest.as_str();
                rest = text.trim_start_matches(['+', '-']).trim_start_matches(|c: char| c.is_ascii_digit()).chars();
            }
            Some('(') => drop(rest.by_ref().take(2).count()),
            Some('[') => drop(rest.find(|c| *c == ']')),
            _ => plain.push(' '),
        }
    }
    plain
}

/// The name behind an escape: a letter, two after `(`, or what stands in brackets.
fn escaped(rest: &mut std::str::Chars<'_>) -> Option<String> {
    Some(match rest.next()? {
        '(' => rest.take(2).collect(),
        '[' => rest.take_while(|c| *c != ']').collect(),
        c => c.to_string(),
    })
}
