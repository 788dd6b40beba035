//! The number format of a column: decimal mark, thousands separator, and currency or percent sign.

use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

/// The format of the numbers of a column. Every cell of the column has this format.
///
/// Exactly three digits follow a thousands separator. One to three digits, of which the first is not 0, precede the
/// first separator. A minus or plus sign precedes the number. A currency or percent sign precedes or follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberFormat {
    /// The decimal mark: `.` or `,`.
    pub decimal: char,
    /// The thousands separator: `,`, `.`, `'`, `_` or a space. `None` if the column has none.
    pub thousands: Option<char>,
    /// The currency or percent sign in every cell. `None` if the column has none. gradus reads `12%` as 12.
    pub symbol: Option<char>,
}

/// The currency and percent signs.
const SYMBOLS: [char; 8] = ['$', '€', '£', '¥', '₹', '₩', '₽', '%'];

impl NumberFormat {
    /// The format of `1234.5`: a decimal point, no thousands separator and no sign.
    pub const PLAIN: Self = Self::new('.', None);

    /// The formats that gradus tries for a column, in the order of preference.
    pub(crate) const CANDIDATES: [Self; 9] = [
        Self::PLAIN,
        Self::new('.', Some(',')),
        Self::new(',', None),
        Self::new(',', Some('.')),
        Self::new('.', Some(' ')),
        Self::new(',', Some(' ')),
        Self::new('.', Some('\'')),
        Self::new(',', Some('\'')),
        Self::new('.', Some('_')),
    ];

    const fn new(decimal: char, thousands: Option<char>) -> Self {
        Self { decimal, thousands, symbol: None }
    }

    /// Returns the number in a cell; `None` if the cell does not have this format or exceeds the range of f32.
    pub fn parse(self, cell: &str) -> Option<f64> {
        if self == Self::PLAIN {
            return parse_plain(cell);
        }
        let (symbol, rest) = split_symbol(cell);
        if symbol == self.symbol { self.parse_bare(&rest) } else { None }
    }

    /// Returns the number in a cell of a later file, which may have thousands separators that the training file lacks.
    ///
    /// A cell with both a decimal mark and thousands separators is not ambiguous.
    pub(crate) fn parse_later(self, cell: &str) -> Option<f64> {
        if let Some(value) = self.parse(cell) {
            return Some(value);
        }
        let separator = if self.decimal == '.' { ',' } else { '.' };
        let has_both_marks = cell.contains(self.decimal) && cell.contains(separator);
        if self.thousands.is_some() || !has_both_marks {
            return None;
        }
        Self { thousands: Some(separator), ..self }.parse(cell)
    }

    /// Returns the number in a cell whose currency or percent sign is removed.
    pub(crate) fn parse_bare(self, cell: &str) -> Option<f64> {
        let has_marks = cell.bytes().any(|byte| !(byte.is_ascii_digit() || byte == b'-' || byte == b'+'));
        if !has_marks || self.decimal == '.' && self.thousands.is_none() {
            return parse_plain(cell);
        }
        let (sign, unsigned) = match cell.strip_prefix(['-', '\u{2212}']) {
            Some(rest) => ("-", rest),
            None => ("", cell.strip_prefix('+').unwrap_or(cell)),
        };
        let (whole, fraction) = unsigned.split_once(self.decimal).map_or((unsigned, None), |(w, f)| (w, Some(f)));
        if fraction.is_some_and(|fraction| !fraction.starts_with(|c: char| c.is_ascii_digit() || "eE".contains(c))) {
            return None;
        }
        if self.decimal != '.' && self.thousands != Some('.') && whole.contains('.') {
            return None;
        }
        let mut text = String::with_capacity(cell.len() + 1);
        text.push_str(sign);
        let mut groups = whole.split(|c| self.thousands.is_some_and(|separator| is_separator(c, separator)));
        let first = groups.next().unwrap_or_default();
        text.push_str(first);
        let mut is_grouped = false;
        for group in groups {
            is_grouped = true;
            if group.len() != 3 || !group.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            text.push_str(group);
        }
        let is_first_group = (1..=3).contains(&first.len())
            && first.bytes().all(|byte| byte.is_ascii_digit())
            && !first.starts_with('0');
        if is_grouped && !is_first_group {
            return None;
        }
        if let Some(fraction) = fraction {
            text.push('.');
            text.push_str(fraction);
        }
        parse_plain(&text)
    }

    /// Returns the words for a number in this format in an error message.
    pub(crate) fn expected(self) -> String {
        if self == Self::PLAIN { "a number".to_owned() } else { format!("a number written with {self}") }
    }

    /// Returns this format with another currency or percent sign.
    pub(crate) const fn with_symbol(self, symbol: Option<char>) -> Self {
        Self { symbol, ..self }
    }
}

impl Default for NumberFormat {
    fn default() -> Self {
        Self::PLAIN
    }
}

/// Writes the marks, for example `decimal ",", thousands ".", sign "€"`.
impl Display for NumberFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "decimal {:?}", self.decimal.to_string())?;
        if let Some(thousands) = self.thousands {
            write!(f, ", thousands {:?}", thousands.to_string())?;
        }
        match self.symbol {
            Some(symbol) => write!(f, ", sign {:?}", symbol.to_string()),
            None => Ok(()),
        }
    }
}

/// Returns the number in a text in the plain format; `None` if the text is not a number or exceeds the range of f32.
#[inline]
pub(crate) fn parse_plain(cell: &str) -> Option<f64> {
    parse_short(cell.as_bytes()).or_else(|| cell.parse().ok().filter(|value: &f64| (*value as f32).is_finite()))
}

/// Parses a text of at most 15 digits, which nearly all numbers have; `None` for longer and other texts.
///
/// The digits as a whole number and the power of ten are exact in f64. Their quotient is therefore rounded once, which
/// gives the same bits as the standard library.
#[inline]
fn parse_short(cell: &[u8]) -> Option<f64> {
    const POWERS: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    let (is_negative, digits) = match cell {
        [b'-', rest @ ..] => (true, rest),
        unsigned => (false, unsigned),
    };
    let (mut whole, mut decimals, mut is_fraction) = (0u64, 0, false);
    if digits.len() > 16 || digits.len() <= usize::from(digits.contains(&b'.')) {
        return None;
    }
    for byte in digits {
        match byte {
            b'0'..=b'9' => {
                whole = 10 * whole + u64::from(byte - b'0');
                decimals += usize::from(is_fraction);
            }
            b'.' if !is_fraction => is_fraction = true,
            _ => return None,
        }
    }
    if digits.len() - usize::from(is_fraction) > 15 {
        return None;
    }
    let value = whole as f64 / POWERS[decimals];
    Some(if is_negative { -value } else { value })
}

/// Returns whether a character is the thousands separator. Spaces and apostrophes have several code points.
fn is_separator(c: char, separator: char) -> bool {
    match separator {
        ' ' => matches!(c, ' ' | '\u{a0}' | '\u{2009}' | '\u{202f}'),
        '\'' => matches!(c, '\'' | '\u{2019}'),
        _ => c == separator,
    }
}

/// Returns the currency or percent sign of a cell, and the cell without it. A minus or plus sign may precede the sign.
pub(crate) fn split_symbol(cell: &str) -> (Option<char>, std::borrow::Cow<'_, str>) {
    let trimmed = |text: &str| text.trim_matches(|c: char| c.is_whitespace()).to_owned();
    if let Some(symbol) = cell.chars().next_back().filter(|c| SYMBOLS.contains(c)) {
        return (Some(symbol), trimmed(&cell[..cell.len() - symbol.len_utf8()]).into());
    }
    let unsigned = cell.strip_prefix(['-', '+', '\u{2212}']).unwrap_or(cell);
    let sign = &cell[..cell.len() - unsigned.len()];
    match unsigned.chars().next().filter(|c| SYMBOLS.contains(c)) {
        Some(symbol) => (Some(symbol), format!("{sign}{}", trimmed(&unsigned[symbol.len_utf8()..])).into()),
        None => (None, cell.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_three_digits_follow_a_thousands_separator() {
        let comma = NumberFormat::new('.', Some(','));
        for (cell, value) in [
            ("1,200", Some(1200.0)),
            ("-1,234,567.5", Some(-1_234_567.5)),
            ("900", Some(900.0)),
            ("1200", Some(1200.0)),
            ("0.25", Some(0.25)),
            ("1e3", Some(1000.0)),
            ("1,20", None),
            ("1,2000", None),
            ("0,567", None),
            ("1234,567", None),
            (",567", None),
            ("1,200.", None),
            ("1,200,", None),
            ("1.5,200", None),
        ] {
            assert_eq!(comma.parse(cell), value, "{cell}");
        }
        let german = NumberFormat::new(',', Some('.'));
        assert_eq!(german.parse("1.234,5"), Some(1234.5));
        assert_eq!(german.parse("+12"), Some(12.0));
        assert_eq!(german.parse("1.5"), None);
        assert_eq!(NumberFormat::new(',', Some(' ')).parse("12\u{202f}345,5"), Some(12345.5));
        assert_eq!(NumberFormat::new('.', Some('\'')).parse("1’234.50"), Some(1234.5));
    }

    #[test]
    fn plain_numbers_have_the_bits_of_the_standard_library() {
        let mut state = 1u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let digits = (state >> 20) % 10u64.pow((state >> 60) as u32);
            let mut text = digits.to_string();
            text.insert((state >> 8) as usize % (text.len() + 1), '.');
            for text in [format!("-{text}"), text] {
                assert_eq!(parse_plain(&text).map(f64::to_bits), text.parse().ok().map(f64::to_bits), "{text}");
            }
        }
        for text in ["", "-", ".", "-.", "1.2.3", "--1", "1-", "٣"] {
            assert_eq!(parse_plain(text), None, "{text}");
        }
        assert_eq!(["1.", ".5", "+1", "1e2", "007"].map(parse_plain), [1.0, 0.5, 1.0, 100.0, 7.0].map(Some));
    }

    #[test]
    fn a_later_cell_may_have_unambiguous_thousands_separators() {
        let comma = NumberFormat::new(',', None);
        assert_eq!(
            ["1.812,5", "1812,5", "1.812", "1,812.5"].map(|cell| comma.parse_later(cell)),
            [Some(1812.5), Some(1812.5), None, None]
        );
        assert_eq!(["1,812.5", "1,812"].map(|cell| NumberFormat::PLAIN.parse_later(cell)), [Some(1812.5), None]);
    }

    #[test]
    fn a_currency_or_percent_sign_is_part_of_the_format() {
        let dollars = NumberFormat::new('.', Some(',')).with_symbol(Some('$'));
        assert_eq!(
            [dollars.parse("-$1,200.50"), dollars.parse("$-3"), dollars.parse("3")],
            [Some(-1200.5), Some(-3.0), None]
        );
        let euros = NumberFormat::new(',', None).with_symbol(Some('€'));
        assert_eq!([euros.parse("12,50 €"), euros.parse("€ 1,5")], [Some(12.5), Some(1.5)]);
        assert_eq!(NumberFormat::PLAIN.with_symbol(Some('%')).parse("12%"), Some(12.0));
        assert_eq!(NumberFormat::PLAIN.with_symbol(Some('%')).parse("%"), None);
    }
}
