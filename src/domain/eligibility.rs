//! Who may take part: a CEL expression over `unit_id` and `attributes`.
//!
//! Compiled once, when the experiment is created or read from the store. An expression that
//! fails on a unit (an absent attribute, a wrong type) means "not eligible": an experiment never
//! includes a unit by accident.
//!
//! A rule comes from the network and parser, evaluation and destructor of `cel` recurse, so a
//! rule's depth is bounded, or its author could overflow the stack and end the process. The crate's
//! default parser overflows already while it looks ahead over 4,096 times `(`; its Pratt parser
//! counts its recursion. What that builds in loops (`1+1+1...`) is bounded by `Scope`.

use std::fmt;
use std::sync::Arc;

use cel::Context;
use cel::common::ast::{EntryExpr, Expr, IdedExpr};
use cel::parser::{ParseErrors, PrattParser};
use serde::{Deserialize, Serialize};

use crate::domain::id::UnitId;
use crate::domain::value::{Attributes, Value};

/// A compiled rule. Equal when the source is.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Eligibility {
    source: String,
    expression: Arc<IdedExpr>,
}

/// Why a text is not a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRule {
    /// Longer than [`Eligibility::LIMIT`].
    #[error("has {0} bytes, at most {limit} are allowed", limit = Eligibility::LIMIT)]
    TooLong(usize),
    /// Not CEL.
    #[error("is not a CEL expression: line {line}, column {column}: {message}")]
    Syntax {
        /// From 1.
        line: isize,
        /// From 1.
        column: isize,
        /// What the parser says.
        message: String,
    },
    /// Names a variable that does not exist.
    #[error("knows only the variables 'unit_id' and 'attributes', not '{0}'")]
    UnknownVariable(String),
    /// Deeper than [`Eligibility::DEPTH_LIMIT`].
    #[error("is nested or chained more than {limit} levels deep", limit = Eligibility::DEPTH_LIMIT)]
    TooDeep,
    /// Loops in loops in loops.
    #[error("has loops nested more than {limit} deep", limit = Eligibility::LOOP_LIMIT)]
    TooManyLoops,
}

impl Eligibility {
    /// Longest source in bytes.
    pub const LIMIT: usize = 4_096;

    /// Deepest syntax tree. `&&` and `||` build flat trees, so a rule of many clauses fits.
    pub const DEPTH_LIMIT: usize = 64;

    /// Deepest nesting of `all`, `exists`, `map` and their like: each one multiplies the cost by the
    /// number of attributes, and one costs some 100 microseconds.
    pub const LOOP_LIMIT: usize = 1;

    /// The source.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the unit may take part. Anything but `true` means no.
    #[must_use]
    pub fn admits(&self, unit: UnitId<'_>, attributes: &Attributes) -> bool {
        let mut context = Context::default();
        context.add_variable_from_value("unit_id", unit.as_str().to_owned());
        context.add_variable_from_value("attributes", cel_record(attributes));
        matches!(cel::Value::resolve(&self.expression, &context), Ok(cel::Value::Bool(true)))
    }
}

impl TryFrom<String> for Eligibility {
    type Error = InvalidRule;

    fn try_from(source: String) -> Result<Self, InvalidRule> {
        if source.len() > Self::LIMIT {
            return Err(InvalidRule::TooLong(source.len()));
        }
        if source.bytes().filter(|byte| *byte == b'?').count() > CONDITIONAL_LIMIT {
            return Err(InvalidRule::TooDeep);
        }
        let expression = PrattParser::new()
            .max_recursion_depth(PARSER_DEPTH)
            .max_expression_node_count(NODE_LIMIT)
            .parse(&source)
            .map_err(|errors| InvalidRule::syntax(&errors))?;
        Scope::default().check(&expression)?;
        Ok(Self { source, expression: Arc::new(expression) })
    }
}

/// Brackets within brackets; half of what trees may be deep, and a 16th of what fits a thread.
const PARSER_DEPTH: u16 = 32;

/// The parser recurses into the branch of every `?:` without counting it, so they are counted
/// before. A question mark in a text counts as well; a rule has no need of that many.
const CONDITIONAL_LIMIT: usize = 32;

/// Macros copy their arguments: nested ones grow a tree beyond its source.
const NODE_LIMIT: usize = 4_096;

impl InvalidRule {
    fn syntax(errors: &ParseErrors) -> Self {
        let (position, message) = errors
            .errors
            .first()
            .map_or(((1, 1), "unreadable"), |error| (error.pos, error.msg.as_str()));
        // Faults of the whole expression have no position.
        let (line, column) = (position.0.max(1), position.1.max(1));
        // The parser repeats what it could not read, which may be all of it.
        Self::Syntax { line, column, message: message.chars().take(200).collect() }
    }
}

/// Where a walk over a rule is: it may name what the rule is given and what the loops around it
/// introduce.
#[derive(Default)]
struct Scope<'a> {
    depth: usize,
    loops: Vec<[&'a str; 3]>,
}

impl<'a> Scope<'a> {
    fn check(&mut self, node: &'a IdedExpr) -> Result<(), InvalidRule> {
        if self.depth == Eligibility::DEPTH_LIMIT {
            return Err(InvalidRule::TooDeep);
        }
        self.depth += 1;
        self.check_inside(&node.expr)?;
        self.depth -= 1;
        Ok(())
    }

    fn check_inside(&mut self, expression: &'a Expr) -> Result<(), InvalidRule> {
        match expression {
            Expr::Unspecified | Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.check_name(name),
            Expr::Select(select) => self.check(&select.operand),
            Expr::Call(call) => {
                let operands = call.target.as_deref().into_iter().chain(&call.args);
                operands.into_iter().try_for_each(|operand| self.check(operand))
            }
            Expr::List(list) => list.elements.iter().try_for_each(|item| self.check(item)),
            Expr::Map(map) => map.entries.iter().try_for_each(|e| self.check_entry(&e.expr)),
            Expr::Struct(record) => {
                record.entries.iter().try_for_each(|e| self.check_entry(&e.expr))
            }
            Expr::Comprehension(each) => {
                self.check(&each.iter_range)?;
                self.check(&each.accu_init)?;
                let second = each.iter_var2.as_deref().unwrap_or_default();
                self.loops.push([&each.iter_var, second, &each.accu_var]);
                if self.loops.len() > Eligibility::LOOP_LIMIT {
                    return Err(InvalidRule::TooManyLoops);
                }
                let inside = [&each.loop_cond, &each.loop_step, &each.result];
                inside.into_iter().try_for_each(|part| self.check(part))?;
                self.loops.pop();
                Ok(())
            }
        }
    }

    fn check_entry(&mut self, entry: &'a EntryExpr) -> Result<(), InvalidRule> {
        match entry {
            EntryExpr::StructField(field) => self.check(&field.value),
            EntryExpr::MapEntry(pair) => {
                self.check(&pair.key)?;
                self.check(&pair.value)
            }
        }
    }

    fn check_name(&self, name: &str) -> Result<(), InvalidRule> {
        let introduced = self.loops.iter().any(|names| names.contains(&name));
        if introduced || matches!(name, "unit_id" | "attributes") {
            return Ok(());
        }
        Err(InvalidRule::UnknownVariable(name.chars().take(64).collect()))
    }
}

impl From<Eligibility> for String {
    fn from(rule: Eligibility) -> Self {
        rule.source
    }
}

impl PartialEq for Eligibility {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl fmt::Debug for Eligibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Eligibility").field(&self.source).finish()
    }
}

fn cel_record(record: &Attributes) -> cel::Value {
    let entries = record.iter().map(|(key, value)| (key.clone(), cel_value(value)));
    cel::Value::from(entries.collect::<std::collections::HashMap<_, _>>())
}

fn cel_value(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(truth) => cel::Value::Bool(*truth),
        Value::Number(number) => cel::Value::Float(*number),
        Value::Text(text) => cel::Value::from(text.clone()),
        Value::List(items) => cel::Value::from(items.iter().map(cel_value).collect::<Vec<_>>()),
        Value::Record(record) => cel_record(record),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(source: &str) -> Result<Eligibility, InvalidRule> {
        Eligibility::try_from(source.to_owned())
    }

    #[test]
    fn rules_see_the_unit_and_its_attributes() {
        let unit = UnitId::parse("user-7").unwrap();
        let attributes = Attributes::from([
            ("plan".to_owned(), Value::Text("pro".to_owned())),
            ("turns".to_owned(), Value::Number(3.0)),
        ]);
        let admits = |source: &str| rule(source).unwrap().admits(unit, &attributes);
        assert!(admits("attributes.plan == 'pro' && attributes.turns >= 3.0"));
        assert!(admits("attributes.turns > 2"));
        assert!(admits("unit_id.startsWith('user-')"));
        assert!(!admits("attributes.plan == 'free'"));
        assert!(!admits("attributes.absent == 'x'"), "an absent attribute is not eligible");
        assert!(!admits("attributes.plan"), "only true admits");
    }

    #[test]
    fn bad_rules_say_where() {
        assert!(matches!(rule("attributes.plan =="), Err(InvalidRule::Syntax { line: 1, .. })));
        assert_eq!(rule("user.plan == 1"), Err(InvalidRule::UnknownVariable("user".to_owned())));
        assert_eq!(rule(&"1".repeat(5_000)), Err(InvalidRule::TooLong(5_000)));
    }

    #[test]
    fn loops_introduce_their_variables() {
        let unit = UnitId::parse("user-7").unwrap();
        let tags = Value::List(vec![Value::Text("x".to_owned()), Value::Text("y".to_owned())]);
        let attributes = Attributes::from([("tags".to_owned(), tags)]);
        let admits = |source: &str| rule(source).unwrap().admits(unit, &attributes);
        assert!(admits("attributes.tags.exists(t, t == 'x')"));
        assert!(admits("attributes.tags.all(t, t in ['x', 'y'])"));
        assert!(admits("attributes.tags.exists_one(t, t == 'y')"));
        assert!(admits("size(attributes.tags.filter(t, t > 'x')) == 1"));
        assert!(admits("attributes.tags.map(t, t + unit_id).exists(u, u == 'xuser-7')"));
        assert!(admits("has(attributes.tags) && !has(attributes.absent)"));
        let unknown = |name: &str| Err(InvalidRule::UnknownVariable(name.to_owned()));
        assert_eq!(rule("attributes.tags.exists(t, s == 'x')"), unknown("s"));
        assert_eq!(rule("attributes.tags.exists(t, true) && t == 'x'"), unknown("t"));
        assert_eq!(rule("[1].all(a, [1].all(b, true))"), Err(InvalidRule::TooManyLoops));
    }

    /// Every way to grow a tree, as deep as the source may be long, on half of the stack that a
    /// thread of the server has.
    #[test]
    fn no_rule_overflows_the_stack() {
        let fill = |part: &str, core: &str, end: &str| {
            let count = (Eligibility::LIMIT - core.len()) / (part.len() + end.len());
            [part.repeat(count).as_str(), core, end.repeat(count).as_str()].concat()
        };
        let chain = |core: &str, part: &str| {
            core.to_owned() + &part.repeat((Eligibility::LIMIT - core.len()) / part.len())
        };
        let mut sources = vec![chain("1", "+1"), chain("1", "<1"), chain("true", " in []")];
        sources.extend([".a", "[1]", ".a()", "[1].a", ".map(a,a)"].map(|p| chain("attributes", p)));
        sources.extend(["?1:1", "&&true", "||true", "==true"].map(|p| chain("true", p)));
        let openings = ["(", "!", "-", "[", "!-", "!(", "-(", "{1:", "1?1:", "[1].map(a,", "a("];
        sources.extend(openings.map(|part| fill(part, "", "")));
        sources.extend(openings.map(|part| fill(part, "unit_id", "")));
        sources.extend(
            [("(", ")"), ("[", "]"), ("!(", ")"), ("{1:", "}"), ("[1].map(a,", ")")]
                .map(|(part, end)| fill(part, "1", end)),
        );
        let try_all = move || {
            let unit = UnitId::parse("user-7").unwrap();
            for source in sources {
                if let Ok(rule) = rule(&source) {
                    let _whatever_it_says = rule.admits(unit, &Attributes::new());
                }
            }
        };
        let half = std::thread::Builder::new().stack_size(1 << 20).spawn(try_all).unwrap();
        half.join().unwrap();
    }

    #[test]
    fn long_rules_are_fine_and_deep_ones_say_so() {
        let long = vec!["attributes.country == 'DE'"; 130].join(" || ");
        assert!(rule(&long).is_ok());
        let deep = "1".to_owned() + &"+1".repeat(70) + " == 1";
        assert_eq!(rule(&deep), Err(InvalidRule::TooDeep));
        let brackets = "[".repeat(40) + &"]".repeat(40);
        assert!(matches!(rule(&brackets), Err(InvalidRule::Syntax { line: 1, column: 1, .. })));
    }
}
