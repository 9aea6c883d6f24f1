//! Numbers as people read them. What is absent is an en dash, never a made-up number.

/// Stands for what the server did not tell.
pub(super) const ABSENT: &str = "–";

/// The scale on which a metric is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scale<'a> {
    /// Shares are read in percent, their differences in percentage points.
    pub(super) share: bool,
    /// Appended to amounts; may be empty.
    pub(super) unit: &'a str,
    /// Digits after the point.
    pub(super) decimals: usize,
}

impl<'a> Scale<'a> {
    /// A scale that shows `typical` with four significant digits; shares with one decimal, more
    /// where they are rare.
    pub(super) fn new(share: bool, unit: &'a str, typical: f64) -> Self {
        let size = if share { typical.abs() * 100.0 } else { typical.abs() };
        let thresholds: &[f64] =
            if share { &[1.0, 0.1] } else { &[1e3, 1e2, 10.0, 1.0, 0.1, 1e-2] };
        let skipped = thresholds.iter().filter(|&&bound| size < bound && size > 0.0).count();
        let unit = if share { "%" } else { unit };
        Self { share, unit, decimals: skipped + usize::from(share) }
    }

    /// "71.3 %", "2.134 s".
    pub(super) fn amount(self, value: f64) -> String {
        join(&fixed(self.scaled(value), self.decimals), self.unit)
    }

    /// "+6.9 pp", "−0.21 s".
    pub(super) fn change(self, value: f64) -> String {
        let unit = if self.share { "pp" } else { self.unit };
        join(&signed(self.scaled(value), self.decimals), unit)
    }

    /// "[+4.1, +9.7]", in the unit of the change before it.
    pub(super) fn range(self, lower: f64, upper: f64) -> String {
        bracket(self.scaled(lower), self.scaled(upper), self.decimals)
    }

    fn scaled(self, value: f64) -> f64 {
        if self.share { value * 100.0 } else { value }
    }
}

/// A relative change: "+9.7 %".
pub(super) fn lift(value: f64) -> String {
    join(&signed(value * 100.0, 1), "%")
}

/// The ends of a relative change: "[+5.6, +13.8]".
pub(super) fn lift_range(lower: f64, upper: f64) -> String {
    bracket(lower * 100.0, upper * 100.0, 1)
}

/// "71.3 %".
pub(super) fn percent(share: f64) -> String {
    join(&fixed(share * 100.0, 1), "%")
}

/// "0.1155": a number without a unit.
pub(super) fn plain(value: f64, decimals: usize) -> String {
    fixed(value, decimals)
}

/// A sentence of the server with its amounts as the table writes them: "by −1,234.5". Only what
/// follows a word that announces an amount is one; names may hold digits, too.
pub(super) fn prose(sentence: &str) -> String {
    let mut announced = false;
    let words = sentence.split(' ').map(|word| {
        let amount = std::mem::replace(&mut announced, ["by", "interval", "to"].contains(&word));
        if amount { typeset(word) } else { word.to_owned() }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn typeset(word: &str) -> String {
    let number = word.trim_end_matches([')', ',', '.', ':', ';']);
    let Ok(value) = number.parse::<f64>() else { return word.to_owned() };
    let decimals = number.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    fixed(value, decimals) + word.get(number.len()..).unwrap_or_default()
}

/// "0.0372", "0.25", "< 0.0001": two digits that matter, never a bare zero.
pub(super) fn p_value(p: f64) -> String {
    if p < 0.0001 {
        "< 0.0001".to_owned()
    } else if p < 0.1 {
        // 0.0372 and 0.025 read better than 0.04 and 0.03.
        let decimals = if p < 0.01 { 4 } else { 3 };
        format!("{p:.decimals$}")
    } else {
        format!("{p:.2}")
    }
}

/// "0.037" after "p = ", "0.0001" after "p < ".
pub(super) fn p_equals(p: f64) -> String {
    let text = p_value(p);
    if text.starts_with('<') { format!("p {text}") } else { format!("p = {text}") }
}

/// "4,001".
pub(super) fn count(number: i64) -> String {
    let digits = group(&number.unsigned_abs().to_string());
    if number < 0 { format!("−{digits}") } else { digits }
}

/// "1 row", "4,001 rows".
pub(super) fn counted(number: i64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// Counts as an input of arithmetic.
#[expect(clippy::cast_precision_loss, reason = "shown with three digits; exact up to 2^53")]
pub(super) fn float(count: i64) -> f64 {
    count as f64
}

/// A counter of this program as the contract's signed one.
pub(super) fn signed_count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn bracket(lower: f64, upper: f64, decimals: usize) -> String {
    format!("[{}, {}]", signed(lower, decimals), signed(upper, decimals))
}

fn signed(value: f64, decimals: usize) -> String {
    let text = fixed(value, decimals);
    let zero = !text.contains(|digit: char| digit.is_ascii_digit() && digit != '0');
    if value > 0.0 && (!zero || value.is_infinite()) { format!("+{text}") } else { text }
}

fn fixed(value: f64, decimals: usize) -> String {
    if value.is_nan() {
        return ABSENT.to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "∞" } else { "−∞" }.to_owned();
    }
    let digits = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
    let zero = digits.chars().all(|digit| digit == '0' || digit == '.');
    format!("{}{}{fraction}", if value < 0.0 && !zero { "−" } else { "" }, group(whole))
}

fn group(digits: &str) -> String {
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn join(number: &str, unit: &str) -> String {
    if unit.is_empty() { number.to_owned() } else { format!("{number} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_keep_four_digits_and_their_unit() {
        for (value, unit, shown) in [
            (2.13412, "s", "2.134 s"),
            (0.002_513, "USD", "0.002513 USD"),
            (61004.2, "", "61,004"),
            (0.0, "s", "0 s"),
            (-12.345, "", "−12.35"),
        ] {
            assert_eq!(Scale::new(false, unit, value).amount(value), shown);
        }
    }

    #[test]
    fn shares_are_read_in_percent_and_points() {
        let scale = Scale::new(true, "", 0.713);
        assert_eq!(scale.amount(0.713), "71.3 %");
        assert_eq!(scale.change(0.069), "+6.9 pp");
        assert_eq!(scale.range(-0.0001, 0.097), "[0.0, +9.7]");
        assert_eq!(Scale::new(true, "", 0.0042).amount(0.0042), "0.42 %");
    }

    #[test]
    fn unbounded_ends_are_shown_as_such() {
        let scale = Scale::new(false, "s", 1.0);
        assert_eq!(scale.range(f64::NEG_INFINITY, f64::INFINITY), "[−∞, +∞]");
        assert_eq!(lift_range(-0.5, f64::INFINITY), "[−50.0, +∞]");
    }

    #[test]
    fn p_values_never_read_as_zero() {
        assert_eq!(p_value(0.03686), "0.037");
        assert_eq!(p_value(0.00037), "0.0004");
        assert_eq!(p_value(0.2479), "0.25");
        assert_eq!(p_value(3e-9), "< 0.0001");
        assert_eq!(p_equals(0.0), "p < 0.0001");
        assert_eq!(p_equals(1.0), "p = 1.00");
    }

    #[test]
    fn amounts_in_prose_look_like_those_of_the_table() {
        assert_eq!(
            prose("Cost 2024 rose by 1234.5 USD (95 % interval -0.25 to 12000), 'v-1' to keep."),
            "Cost 2024 rose by 1,234.5 USD (95 % interval −0.25 to 12,000), 'v-1' to keep."
        );
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!(count(4001), "4,001");
        assert_eq!(count(999), "999");
        assert_eq!(count(-1_234_567), "−1,234,567");
        assert_eq!(counted(1, "row"), "1 row");
        assert_eq!(counted(0, "row"), "0 rows");
    }
}
