//! Conditions between the columns of a row, such as `src_bytes + dst_bytes <= total or flag in
//! ['S0', 'REJ']`.
//!
//! As in a CHECK of SQL, what is missing is unknown, and a condition that is unknown is not broken.

use std::collections::BTreeSet;

use crate::frame::cell::read_float;
use crate::frame::table::{ColumnType, Table, TableError};

/// The deepest nesting that is read.
const DEPTH: usize = 64;

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// A number.
    Number(f64),
    /// Text.
    Text(String),
    /// The value of a column.
    Column(String),
    /// One operand.
    One(UnaryOp, Box<Expression>),
    /// Two operands.
    Two(BinaryOp, Box<Expression>, Box<Expression>),
    /// Whether a value is one of these.
    In(Box<Expression>, Vec<Expression>),
}

/// What is done with one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOp {
    /// Minus.
    Negate,
    /// Not.
    Not,
    /// Whether it is missing.
    IsMissing,
    /// Its size without the sign.
    Abs,
    /// How many characters it has.
    Length,
}

/// What is done with two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum BinaryOp {
    Or,
    And,
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
    Plus,
    Minus,
    Times,
    Over,
}

/// A value of an expression in one row.
#[derive(Clone, Debug, PartialEq)]
pub enum ExpressionValue {
    /// Nothing is known.
    Unknown,
    /// A truth value.
    Truth(bool),
    /// A number.
    Number(f64),
    /// Text.
    Text(String),
}

/// Why a text is no condition: the byte where, and what is so.
pub type SyntaxError = (usize, String);

#[derive(Clone, Debug, PartialEq)]
enum ExpressionToken {
    Number(f64),
    Text(String),
    Name(String),
    Sign(&'static str),
}

const SIGNS: [&str; 16] = [
    "<=", ">=", "!=", "<>", "==", "<", ">", "=", "+", "-", "*", "/", "(", ")", "[", "]",
];

fn tokens(text: &str) -> Result<Vec<(usize, ExpressionToken)>, SyntaxError> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let token = match first {
            _ if first.is_whitespace() => {
                at += first.len_utf8();
                continue;
            }
            ',' => (1, ExpressionToken::Sign(",")),
            '0'..='9' | '.' => {
                let mut end = rest
                    .find(|c: char| !c.is_ascii_digit() && c != '.')
                    .unwrap_or(rest.len());
                // An exponent, with its sign.
                if rest[end..].starts_with(['e', 'E']) {
                    let digits = &rest[end + 1..];
                    let sign = usize::from(digits.starts_with(['+', '-']));
                    let length = digits[sign..]
                        .find(|c: char| !c.is_ascii_digit())
                        .unwrap_or(digits.len() - sign);
                    end += if length > 0 { 1 + sign + length } else { 0 };
                }
                let number = rest[..end]
                    .parse()
                    .map_err(|_| (at, format!("`{}` is not a number", &rest[..end])))?;
                (end, ExpressionToken::Number(number))
            }
            '\'' | '"' | '`' => {
                let end = rest[1..]
                    .find(first)
                    .ok_or((at, "this quote is never closed".to_owned()))?
                    + 1;
                let inner = rest[1..end].to_owned();
                (
                    end + 1,
                    if first == '`' {
                        ExpressionToken::Name(inner)
                    } else {
                        ExpressionToken::Text(inner)
                    },
                )
            }
            _ if first.is_alphabetic() || first == '_' => {
                let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
                let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
                (end, ExpressionToken::Name(rest[..end].to_owned()))
            }
            _ => match SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
                Some(sign) => (sign.len(), ExpressionToken::Sign(sign)),
                None => {
                    return Err((
                        at,
                        format!(
                            "`{first}` means nothing here; a column with odd characters goes in `…`"
                        ),
                    ));
                }
            },
        };
        found.push((at, token.1));
        at += token.0;
    }
    Ok(found)
}

/// Reads a condition.
///
/// # Errors
/// Where the text is none.
pub fn parse(text: &str) -> Result<Expression, SyntaxError> {
    let tokens = tokens(text)?;
    let mut parser = ExpressionParser {
        tokens,
        at: 0,
        end: text.len(),
        depth: 0,
    };
    let whole = parser.binary(0)?;
    match parser.tokens.get(parser.at) {
        None => Ok(whole),
        Some((at, _)) => Err((*at, "an operator is missing before this".to_owned())),
    }
}

struct ExpressionParser {
    tokens: Vec<(usize, ExpressionToken)>,
    at: usize,
    end: usize,
    depth: usize,
}

/// Operators by how strongly they bind, the weakest first.
const LEVELS: [&[(&str, BinaryOp)]; 5] = [
    &[("or", BinaryOp::Or)],
    &[("and", BinaryOp::And)],
    &[
        ("==", BinaryOp::Equal),
        ("=", BinaryOp::Equal),
        ("!=", BinaryOp::Unequal),
        ("<>", BinaryOp::Unequal),
        ("<=", BinaryOp::AtMost),
        ("<", BinaryOp::Less),
        (">=", BinaryOp::AtLeast),
        (">", BinaryOp::Greater),
    ],
    &[("+", BinaryOp::Plus), ("-", BinaryOp::Minus)],
    &[("*", BinaryOp::Times), ("/", BinaryOp::Over)],
];

impl ExpressionParser {
    fn place(&self) -> usize {
        self.tokens.get(self.at).map_or(self.end, |(at, _)| *at)
    }

    fn word(&self) -> Option<&str> {
        match self.tokens.get(self.at) {
            Some((_, ExpressionToken::Sign(sign))) => Some(sign),
            Some((_, ExpressionToken::Name(name))) => Some(name),
            _ => None,
        }
    }

    fn take(&mut self, word: &str) -> bool {
        let is_here = self.word() == Some(word);
        self.at += usize::from(is_here);
        is_here
    }

    fn expect(&mut self, word: &str) -> Result<(), SyntaxError> {
        let place = self.place();
        if self.take(word) {
            Ok(())
        } else {
            Err((place, format!("`{word}` is missing here")))
        }
    }

    fn binary(&mut self, level: usize) -> Result<Expression, SyntaxError> {
        let Some(operators) = LEVELS.get(level) else {
            return self.unary();
        };
        self.depth += 1;
        if self.depth > DEPTH * LEVELS.len() {
            return Err((self.place(), "it is nested too deeply".to_owned()));
        }
        if level == 2 && self.take("not") {
            let inner = self.binary(level)?;
            self.depth -= 1;
            return Ok(Expression::One(UnaryOp::Not, Box::new(inner)));
        }
        let mut left = self.binary(level + 1)?;
        let mut count = 0;
        loop {
            let found = operators
                .iter()
                .find(|(word, _)| self.word() == Some(word))
                .map(|(_, two)| *two);
            if let Some(two) = found {
                self.at += 1;
                // A comparison of a comparison is nearly always meant as something else.
                if level == 2 && count > 0 {
                    return Err((self.place(), "write `a < b and b < c`".to_owned()));
                }
                left = Expression::Two(two, Box::new(left), Box::new(self.binary(level + 1)?));
                count += 1;
                if count > 1000 {
                    return Err((self.place(), "it is too long".to_owned()));
                }
            } else if level == 2 && (self.word() == Some("in") || self.word() == Some("not")) {
                left = self.membership(left)?;
            } else if level == 2 && self.take("is") {
                let negated = self.take("not");
                if !self.take("null") {
                    self.expect("missing")?;
                }
                let is = Expression::One(UnaryOp::IsMissing, Box::new(left));
                left = if negated {
                    Expression::One(UnaryOp::Not, Box::new(is))
                } else {
                    is
                };
            } else {
                self.depth -= 1;
                return Ok(left);
            }
        }
    }

    fn membership(&mut self, left: Expression) -> Result<Expression, SyntaxError> {
        let negated = self.take("not");
        self.expect("in")?;
        let close = if self.take("[") {
            "]"
        } else {
            self.expect("(")?;
            ")"
        };
        let mut items = Vec::new();
        loop {
            items.push(self.binary(3)?);
            if !self.take(",") {
                break;
            }
        }
        self.expect(close)?;
        let inside = Expression::In(Box::new(left), items);
        Ok(if negated {
            Expression::One(UnaryOp::Not, Box::new(inside))
        } else {
            inside
        })
    }

    fn unary(&mut self) -> Result<Expression, SyntaxError> {
        let place = self.place();
        if self.take("-") {
            self.depth += 1;
            if self.depth > DEPTH * LEVELS.len() {
                return Err((place, "it is nested too deeply".to_owned()));
            }
            let inner = self.unary()?;
            self.depth -= 1;
            return Ok(Expression::One(UnaryOp::Negate, Box::new(inner)));
        }
        if self.take("(") {
            let inner = self.binary(0)?;
            self.expect(")")?;
            return Ok(inner);
        }
        let Some((_, token)) = self.tokens.get(self.at).cloned() else {
            return Err((place, "a value is missing here".to_owned()));
        };
        self.at += 1;
        match token {
            ExpressionToken::Number(number) => Ok(Expression::Number(number)),
            ExpressionToken::Text(text) => Ok(Expression::Text(text)),
            ExpressionToken::Name(name) if self.word() == Some("(") => {
                let one = match name.as_str() {
                    "abs" => UnaryOp::Abs,
                    "length" => UnaryOp::Length,
                    _ => {
                        return Err((
                            place,
                            format!("there is no function `{name}`: there are `abs` and `length`"),
                        ));
                    }
                };
                self.at += 1;
                let inner = self.binary(0)?;
                self.expect(")")?;
                Ok(Expression::One(one, Box::new(inner)))
            }
            ExpressionToken::Name(name) => Ok(Expression::Column(name)),
            ExpressionToken::Sign(sign) => {
                Err((place, format!("a value is missing before `{sign}`")))
            }
        }
    }
}

enum ExpressionCells {
    Numbers(Vec<f64>, Vec<bool>),
    Texts(Vec<Option<String>>),
}

/// The columns a condition needs, read from one table.
pub struct BoundColumns {
    columns: Vec<(String, ExpressionCells)>,
}

impl Expression {
    /// Returns the columns it speaks of.
    pub fn columns(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        self.visit(&mut |name| {
            names.insert(name.to_owned());
        });
        names
    }

    fn visit(&self, each: &mut dyn FnMut(&str)) {
        match self {
            Self::Column(name) => each(name),
            Self::One(_, inner) => inner.visit(each),
            Self::Two(_, left, right) => {
                left.visit(each);
                right.visit(each);
            }
            Self::In(left, items) => {
                left.visit(each);
                items.iter().for_each(|item| item.visit(each));
            }
            Self::Number(_) | Self::Text(_) => {}
        }
    }

    /// Reads the columns it needs.
    ///
    /// # Errors
    /// A column is not there, or of a type with which this means nothing.
    pub fn bind(&self, table: &Table) -> Result<BoundColumns, TableError> {
        self.sort(&|name| table.column_type(name))?;
        let read = |name: String| {
            let cells = match table.column_type(&name)? {
                ColumnType::Int | ColumnType::Float | ColumnType::Bool => {
                    ExpressionCells::Numbers(table.numbers(&name)?, table.missing(&name)?)
                }
                _ => ExpressionCells::Texts(table.texts(&name)?),
            };
            Ok((name, cells))
        };
        Ok(BoundColumns {
            columns: self
                .columns()
                .into_iter()
                .map(read)
                .collect::<Result<_, TableError>>()?,
        })
    }

    /// Returns its value in a row.
    pub fn value(&self, bound: &BoundColumns, row: usize) -> ExpressionValue {
        match self {
            Self::Number(number) => ExpressionValue::Number(*number),
            Self::Text(text) => ExpressionValue::Text(text.clone()),
            Self::Column(name) => bound.cell(name, row),
            Self::One(one, inner) => apply(*one, inner.value(bound, row)),
            Self::Two(two, left, right) => {
                combine(*two, left.value(bound, row), || right.value(bound, row))
            }
            Self::In(left, items) => {
                let left = left.value(bound, row);
                let is = items
                    .iter()
                    .map(|item| combine(BinaryOp::Equal, left.clone(), || item.value(bound, row)));
                is.fold(ExpressionValue::Truth(false), |all, one| {
                    combine(BinaryOp::Or, all, || one.clone())
                })
            }
        }
    }

    /// Returns whether the condition is broken in a row: known, and not true.
    pub fn is_broken(&self, bound: &BoundColumns, row: usize) -> bool {
        match self.value(bound, row) {
            ExpressionValue::Truth(truth) => !truth,
            ExpressionValue::Number(number) => number == 0.0,
            ExpressionValue::Unknown | ExpressionValue::Text(_) => false,
        }
    }
}

impl BoundColumns {
    fn cell(&self, name: &str, row: usize) -> ExpressionValue {
        match self.columns.iter().find(|(column, _)| column == name) {
            Some((_, ExpressionCells::Numbers(_, missing))) if missing[row] => {
                ExpressionValue::Unknown
            }
            Some((_, ExpressionCells::Numbers(cells, _))) => ExpressionValue::Number(cells[row]),
            Some((_, ExpressionCells::Texts(cells))) => cells[row]
                .clone()
                .map_or(ExpressionValue::Unknown, ExpressionValue::Text),
            None => ExpressionValue::Unknown,
        }
    }

    /// Returns the values of all columns in a row, for a message.
    pub fn show(&self, row: usize) -> String {
        let one = |(name, _): &(String, ExpressionCells)| match self.cell(name, row) {
            ExpressionValue::Unknown => format!("{name}=missing"),
            ExpressionValue::Truth(truth) => format!("{name}={truth}"),
            ExpressionValue::Number(number) => format!("{name}={number}"),
            ExpressionValue::Text(text) => format!("{name}={text}"),
        };
        self.columns.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

fn truth(outcome: &ExpressionValue) -> Option<bool> {
    match outcome {
        ExpressionValue::Truth(truth) => Some(*truth),
        ExpressionValue::Number(number) => Some(*number != 0.0),
        ExpressionValue::Unknown | ExpressionValue::Text(_) => None,
    }
}

fn number(outcome: &ExpressionValue) -> Option<f64> {
    match outcome {
        ExpressionValue::Number(number) => Some(*number),
        ExpressionValue::Truth(truth) => Some(f64::from(u8::from(*truth))),
        ExpressionValue::Text(text) => read_float(text),
        ExpressionValue::Unknown => None,
    }
}

fn apply(one: UnaryOp, value: ExpressionValue) -> ExpressionValue {
    match one {
        UnaryOp::IsMissing => ExpressionValue::Truth(value == ExpressionValue::Unknown),
        UnaryOp::Not => truth(&value).map_or(ExpressionValue::Unknown, |truth| {
            ExpressionValue::Truth(!truth)
        }),
        UnaryOp::Negate => number(&value).map_or(ExpressionValue::Unknown, |number| {
            ExpressionValue::Number(-number)
        }),
        UnaryOp::Abs => number(&value).map_or(ExpressionValue::Unknown, |number| {
            ExpressionValue::Number(number.abs())
        }),
        UnaryOp::Length => match value {
            ExpressionValue::Text(text) => ExpressionValue::Number(text.chars().count() as f64),
            _ => ExpressionValue::Unknown,
        },
    }
}

/// Combines two values; the second is only asked for where it matters. Logic is that of three
/// values (Kleene).
fn combine(
    two: BinaryOp,
    left: ExpressionValue,
    right: impl Fn() -> ExpressionValue,
) -> ExpressionValue {
    let compare = |fits: fn(std::cmp::Ordering) -> bool| {
        let right = right();
        let order = match (&left, &right) {
            (ExpressionValue::Unknown, _) | (_, ExpressionValue::Unknown) => None,
            (ExpressionValue::Text(a), ExpressionValue::Text(b)) => Some(Some(a.cmp(b))),
            (a, b) => match (number(a), number(b)) {
                (Some(a), Some(b)) => Some(a.partial_cmp(&b)),
                // Text that is no number equals none.
                _ => Some(None),
            },
        };
        match order {
            None => ExpressionValue::Unknown,
            Some(Some(order)) => ExpressionValue::Truth(fits(order)),
            Some(None) => ExpressionValue::Truth(two == BinaryOp::Unequal),
        }
    };
    let count = |of: fn(f64, f64) -> f64| match (number(&left), number(&right())) {
        (Some(a), Some(b)) => ExpressionValue::Number(of(a, b)),
        _ => ExpressionValue::Unknown,
    };
    match two {
        BinaryOp::Or | BinaryOp::And => {
            let decisive = two == BinaryOp::Or;
            match truth(&left) {
                Some(truth) if truth == decisive => ExpressionValue::Truth(decisive),
                mine => match (mine, truth(&right())) {
                    (_, Some(truth)) if truth == decisive => ExpressionValue::Truth(decisive),
                    (Some(_), Some(_)) => ExpressionValue::Truth(!decisive),
                    _ => ExpressionValue::Unknown,
                },
            }
        }
        BinaryOp::Equal => compare(std::cmp::Ordering::is_eq),
        BinaryOp::Unequal => compare(std::cmp::Ordering::is_ne),
        BinaryOp::Less => compare(std::cmp::Ordering::is_lt),
        BinaryOp::AtMost => compare(std::cmp::Ordering::is_le),
        BinaryOp::Greater => compare(std::cmp::Ordering::is_gt),
        BinaryOp::AtLeast => compare(std::cmp::Ordering::is_ge),
        BinaryOp::Plus => count(|a, b| a + b),
        BinaryOp::Minus => count(|a, b| a - b),
        BinaryOp::Times => count(|a, b| a * b),
        BinaryOp::Over => count(|a, b| a / b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(text: &str, a: f64, b: f64) -> bool {
        let table = Table::of_numbers(vec![("a".to_owned(), vec![a]), ("b c".to_owned(), vec![b])])
            .unwrap();
        let expression = parse(text).unwrap();
        expression.is_broken(&expression.bind(&table).unwrap(), 0)
    }

    #[test]
    fn operators_bind_as_usual() {
        assert!(!broken("1 + 2 * a == 7 and not a < `b c`", 3.0, 1.0));
        assert!(broken("a > 0 and `b c` / a >= 1 or a = 9", 2.0, 1.0));
        assert!(!broken("abs(-a) <= 3 and a not in [1, 2]", 3.0, 0.0));
        assert!(!broken("-a - -1 == -2", 3.0, 0.0));
    }

    #[test]
    fn what_is_missing_breaks_nothing() {
        assert!(!broken("a > 5", f64::NAN, 0.0));
        assert!(broken("a > 5 and `b c` > 5", f64::NAN, 0.0));
        assert!(!broken("a is null", f64::NAN, 0.0));
        assert!(broken("a is not missing", f64::NAN, 0.0));
    }

    #[test]
    fn faults_are_told_with_their_place() {
        let fault = |text: &str| parse(text).unwrap_err();
        assert_eq!(fault("a >"), (3, "a value is missing here".to_owned()));
        assert_eq!(
            fault("a b"),
            (2, "an operator is missing before this".to_owned())
        );
        assert_eq!(fault("a < b < c").1, "write `a < b and b < c`");
        assert_eq!(fault("f(a)").0, 0);
        assert_eq!(fault("a = 'x").1, "this quote is never closed");
        assert!(parse(&"(".repeat(100_000)).is_err());
        assert!(parse(&"-".repeat(100_000)).is_err());
        assert!(parse(&format!("a {}", "not ".repeat(10_000))).is_err());
    }
}
