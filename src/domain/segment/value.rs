//! What an attribute says of a dimension. It is user input: what cannot name a segment, because
//! it is too long, unprintable or no single value, counts among the others. An attribute that is
//! only analysed never costs an assignment or an outcome, and never reaches a row's name, a log or
//! a terminal unless it can be shown there.

use crate::domain::value::{Attributes, Value};

/// Longest name of a segment in bytes.
pub const NAME_LIMIT: usize = 64;

/// The segment of units that came without a value.
pub const NONE: &str = "(none)";

/// The segment of units whose value has no segment of its own.
pub const OTHER: &str = "(other)";

/// What a unit tells about one dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Nothing: there is no such attribute, or it is null or empty.
    Absent,
    /// A value that can name a segment.
    Value(String),
    /// One that cannot.
    Unnameable,
}

impl Told {
    /// About every dimension, in their order.
    #[must_use]
    pub fn all(dimensions: &[String], attributes: &Attributes) -> Vec<Self> {
        dimensions.iter().map(|dimension| Self::by(attributes.get(dimension))).collect()
    }

    /// By one attribute. Text is taken as it is, `true` and `false` and numbers as they are
    /// written: the number 5 and the text "5" are the same value.
    #[must_use]
    pub fn by(attribute: Option<&Value>) -> Self {
        let name = match attribute {
            None | Some(Value::Null) => return Self::Absent,
            Some(Value::List(_) | Value::Record(_)) => return Self::Unnameable,
            Some(Value::Bool(truth)) => truth.to_string(),
            // Plus zero: there is no minus zero.
            Some(Value::Number(number)) => (number + 0.0).to_string(),
            Some(Value::Text(text)) => text.clone(),
        };
        match name.as_str() {
            "" | NONE => Self::Absent,
            OTHER => Self::Unnameable,
            text if is_name(text) => Self::Value(name),
            _ => Self::Unnameable,
        }
    }
}

/// Whether a text can name a segment: short, without control characters and without those that
/// change how the text around them reads.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let deceives = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
            || c == '\u{feff}'
    };
    (1..=NAME_LIMIT).contains(&text.len()) && !text.contains(deceives)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Told {
        Told::by(Some(&Value::Text(text.to_owned())))
    }

    #[test]
    fn single_values_have_names() {
        let number = |number| Told::by(Some(&Value::Number(number)));
        let value = |name: &str| Told::Value(name.to_owned());
        assert_eq!(text("DE"), value("DE"));
        assert_eq!(text(" a/b%é "), value(" a/b%é "));
        assert_eq!((number(5.0), text("5")), (value("5"), value("5")));
        assert_eq!((number(-0.0), number(0.1)), (value("0"), value("0.1")));
        assert_eq!(Told::by(Some(&Value::Bool(true))), value("true"));
        assert_eq!(text(&"x".repeat(64)), value(&"x".repeat(64)));
    }

    #[test]
    fn nothing_is_absent() {
        for nothing in [Told::by(None), Told::by(Some(&Value::Null)), text(""), text("(none)")] {
            assert_eq!(nothing, Told::Absent);
        }
    }

    #[test]
    fn what_nobody_could_read_is_one_of_the_others() {
        let long = "x".repeat(65);
        for bad in [long.as_str(), "a\nb", "\u{1b}[2J", "a\u{202e}b", "\u{7f}", "\0", "(other)"] {
            assert_eq!(text(bad), Told::Unnameable, "{bad:?}");
        }
        assert_eq!(Told::by(Some(&Value::List(Vec::new()))), Told::Unnameable);
        assert_eq!(Told::by(Some(&Value::Number(1e300))), Told::Unnameable);
    }

    #[test]
    fn dimensions_are_told_in_their_order() {
        let attributes = [("b".to_owned(), Value::Bool(false))].into();
        let told = Told::all(&["a".to_owned(), "b".to_owned()], &attributes);
        assert_eq!(told, [Told::Absent, Told::Value("false".to_owned())]);
    }
}
