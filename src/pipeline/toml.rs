//! TOML text → tree of values with places.

use toml::Spanned as Placed;
use toml::de::{DeTable, DeValue};

use crate::base::problem::Problem;
use crate::base::source::{Span, Spanned};
use crate::base::syntax::{SyntaxNode, SyntaxValue};

/// Reads a TOML document into a tree. The places in it are counted from `base`, where the text
/// begins in its source.
///
/// # Errors
/// Where the text is not TOML.
pub fn parse(text: &str, base: usize) -> Result<SyntaxNode, Vec<Problem>> {
    let place = |range: std::ops::Range<usize>| Span {
        start: base + range.start,
        length: range.len().max(1),
    };
    match DeTable::parse(text) {
        Ok(table) => {
            let span = place(table.span());
            Ok(SyntaxNode::new(map(table.get_ref(), &place), span))
        }
        Err(error) => {
            let problem = Problem::new(
                "toml::syntax",
                format!("this is not TOML: {}", error.message()),
            );
            Err(vec![
                problem.at(place(error.span().unwrap_or(0..0)), "here"),
            ])
        }
    }
}

type SpanOf<'a> = &'a dyn Fn(std::ops::Range<usize>) -> Span;

fn map(table: &DeTable<'_>, place: SpanOf<'_>) -> SyntaxValue {
    let entry = |(key, value): (&Placed<std::borrow::Cow<'_, str>>, &Placed<DeValue<'_>>)| {
        (
            Spanned {
                value: key.get_ref().to_string(),
                span: place(key.span()),
            },
            node(value, place),
        )
    };
    let mut entries: Vec<_> = table.iter().map(entry).collect();
    entries.sort_by_key(|(key, _)| key.span.start);
    SyntaxValue::Map(entries)
}

fn node(value: &Placed<DeValue<'_>>, place: SpanOf<'_>) -> SyntaxNode {
    let inner = match value.get_ref() {
        DeValue::String(text) => SyntaxValue::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(
                |_| SyntaxValue::Text(number.as_str().to_owned()),
                SyntaxValue::Int,
            ),
        DeValue::Float(number) => number.as_str().parse().map_or_else(
            |_| SyntaxValue::Text(number.as_str().to_owned()),
            SyntaxValue::Float,
        ),
        DeValue::Boolean(flag) => SyntaxValue::Bool(*flag),
        DeValue::Datetime(instant) => SyntaxValue::Text(instant.to_string()),
        DeValue::Array(items) => {
            SyntaxValue::List(items.iter().map(|item| node(item, place)).collect())
        }
        DeValue::Table(table) => map(table, place),
    };
    SyntaxNode::new(inner, place(value.span()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_types_and_places() {
        let node = parse("rate = 0.1\n[deep]\nlist = [1, true, 'x']\n", 100).unwrap();
        assert_eq!(node.get("rate").unwrap().value, SyntaxValue::Float(0.1));
        assert_eq!(
            node.get("rate").unwrap().span,
            Span {
                start: 107,
                length: 3
            }
        );
        let SyntaxValue::List(items) = &node.get("deep").unwrap().get("list").unwrap().value else {
            panic!("a list")
        };
        let values: Vec<_> = items.iter().map(|item| item.value.clone()).collect();
        assert_eq!(
            values,
            [
                SyntaxValue::Int(1),
                SyntaxValue::Bool(true),
                SyntaxValue::Text("x".to_owned())
            ]
        );
        assert_eq!(parse("x = ", 0).unwrap_err()[0].code, "toml::syntax");
    }
}
