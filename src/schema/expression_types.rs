//! Whether a condition means something for columns of these types: what does not would never be
//! broken, without a word.

use crate::frame::cell::read_float;
use crate::frame::table::{ColumnType, TableError};
use crate::schema::expression::{BinaryOp, Expression, UnaryOp};

/// What an expression gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExprType {
    /// A number or a truth value.
    Number,
    /// Text.
    Text,
    /// Either: a column without any value.
    Any,
}

impl Expression {
    /// Returns what it gives, where `kind` tells the type of a column.
    ///
    /// # Errors
    /// A column is not there; text is asked for a number, or a number for its length; a number is
    /// compared with text that is none.
    pub(super) fn sort(
        &self,
        kind: &dyn Fn(&str) -> Result<ColumnType, TableError>,
    ) -> Result<ExprType, TableError> {
        let number = |inner: &Self, what: &str| match inner.sort(kind)? {
            ExprType::Text if !inner.is_numeral() => Err(TableError(format!(
                "{} is text and cannot be used {what}",
                inner.show()
            ))),
            _ => Ok(ExprType::Number),
        };
        match self {
            Self::Number(_) => Ok(ExprType::Number),
            Self::Text(_) => Ok(ExprType::Text),
            Self::Column(name) => Ok(match kind(name)? {
                ColumnType::Int | ColumnType::Float | ColumnType::Bool => ExprType::Number,
                ColumnType::Empty => ExprType::Any,
                ColumnType::Text | ColumnType::Time | ColumnType::Other => ExprType::Text,
            }),
            Self::One(UnaryOp::IsMissing, inner) => inner.sort(kind).map(|_| ExprType::Number),
            Self::One(UnaryOp::Length, inner) => match inner.sort(kind)? {
                ExprType::Number => Err(TableError(format!(
                    "{} is a number: it has no `length`",
                    inner.show()
                ))),
                ExprType::Text | ExprType::Any => Ok(ExprType::Number),
            },
            Self::One(UnaryOp::Not, inner) => number(inner, "with `not`"),
            Self::One(UnaryOp::Negate | UnaryOp::Abs, inner) => number(inner, "as a number"),
            Self::Two(BinaryOp::Or | BinaryOp::And, left, right) => {
                number(left, "as a condition")?;
                number(right, "as a condition")
            }
            Self::Two(
                BinaryOp::Plus | BinaryOp::Minus | BinaryOp::Times | BinaryOp::Over,
                left,
                right,
            ) => {
                number(left, "in arithmetic")?;
                number(right, "in arithmetic")
            }
            Self::Two(_, left, right) => comparison(left, right, kind),
            Self::In(left, items) => {
                items
                    .iter()
                    .try_for_each(|item| comparison(left, item, kind).map(|_| ()))?;
                Ok(ExprType::Number)
            }
        }
    }

    /// Text that reads as a number is taken for one beside numbers.
    fn is_numeral(&self) -> bool {
        matches!(self, Self::Text(text) if read_float(text).is_some())
    }

    fn show(&self) -> String {
        match self {
            Self::Column(name) => format!("`{name}`"),
            Self::Text(text) => format!("'{text}'"),
            Self::Number(number) => number.to_string(),
            Self::One(..) | Self::Two(..) | Self::In(..) => "one side".to_owned(),
        }
    }
}

fn comparison(
    left: &Expression,
    right: &Expression,
    kind: &dyn Fn(&str) -> Result<ColumnType, TableError>,
) -> Result<ExprType, TableError> {
    let sides = (left.sort(kind)?, right.sort(kind)?);
    let refuse = |text: &Expression, number: &Expression| {
        let (text, number) = (text.show(), number.show());
        Err(TableError(format!(
            "{number} is a number and {text} is text: they cannot be compared"
        )))
    };
    match sides {
        (ExprType::Text, ExprType::Number)
            if matches!(left, Expression::Text(_)) && !left.is_numeral() =>
        {
            refuse(left, right)
        }
        (ExprType::Number, ExprType::Text)
            if matches!(right, Expression::Text(_)) && !right.is_numeral() =>
        {
            refuse(right, left)
        }
        _ => Ok(ExprType::Number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::expression::parse;

    fn sort(text: &str) -> Result<ExprType, String> {
        let kind = |name: &str| match name {
            "n" => Ok(ColumnType::Int),
            "t" => Ok(ColumnType::Text),
            "e" => Ok(ColumnType::Empty),
            _ => Err(TableError(format!("there is no column `{name}`"))),
        };
        parse(text).unwrap().sort(&kind).map_err(|error| error.0)
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for fine in [
            "n + 1 > 2",
            "length(t) > 3 and n = '80'",
            "t in ['a', 'b'] or not n",
            "e + 1 > 2",
            "length(e) = 1",
        ] {
            assert_eq!(sort(fine), Ok(ExprType::Number), "{fine}");
        }
        let refused = |text: &str| sort(text).unwrap_err();
        assert_eq!(
            refused("t + 1 > 2"),
            "`t` is text and cannot be used in arithmetic"
        );
        assert_eq!(
            refused("n in [80, 'http']"),
            "`n` is a number and 'http' is text: they cannot be compared"
        );
        assert_eq!(
            refused("length(n) > 2"),
            "`n` is a number: it has no `length`"
        );
        assert_eq!(
            refused("t or n"),
            "`t` is text and cannot be used as a condition"
        );
        assert_eq!(refused("x > 1"), "there is no column `x`");
    }
}
