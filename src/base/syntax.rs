//! YAML text → tree of values with places; no meaning yet.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span as YamlSpan, StrInput};

use crate::base::problem::{Problem, ProblemReport};
use crate::base::source::{SourceText, Span, Spanned};

/// The deepest nesting that is read.
const DEPTH: usize = 48;
/// The most nodes that aliases may add up to.
const ALIASED: usize = 50_000;
/// The largest file that is read, in bytes.
pub const SIZE: usize = 64 << 20;

/// A value with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct SyntaxNode {
    /// The value.
    pub value: SyntaxValue,
    /// Where it stands: of a scalar all of it, of a list or map its first line.
    pub span: Span,
    /// Whether it came in for a reference: then a number may stand where text is needed.
    pub is_referred: bool,
}

/// A value of the YAML 1.2 core schema.
#[derive(Clone, Debug, PartialEq)]
pub enum SyntaxValue {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text, quoted or not.
    Text(String),
    /// A sequence.
    List(Vec<SyntaxNode>),
    /// A mapping, in the order of the file; no key stands twice.
    Map(Vec<(Spanned<String>, SyntaxNode)>),
}

impl SyntaxValue {
    /// Returns the name of the value's type, for messages.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a truth value",
            Self::Int(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

impl SyntaxNode {
    /// Makes a node of what is written.
    pub fn new(value: SyntaxValue, span: Span) -> Self {
        Self {
            value,
            span,
            is_referred: false,
        }
    }

    /// Returns the value under `key` if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&SyntaxNode> {
        match &self.value {
            SyntaxValue::Map(entries) => entries
                .iter()
                .find(|(name, _)| name.value == key)
                .map(|(_, node)| node),
            _ => None,
        }
    }

    /// Returns the text if this is text.
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            SyntaxValue::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Reads the bytes of a file as a source.
///
/// # Errors
/// One problem if the bytes are not UTF-8 or are too many.
pub fn source(name: &str, bytes: Vec<u8>) -> Result<SourceText, ProblemReport> {
    let failed = |text, problem| ProblemReport::new(SourceText::new(name, text), vec![problem]);
    if bytes.len() > SIZE {
        let message = format!(
            "the file has {} bytes; at most {SIZE} are read",
            bytes.len()
        );
        return Err(failed(
            String::new(),
            Problem::new("yaml::too_large", message),
        ));
    }
    String::from_utf8(bytes)
        .map(|text| SourceText::new(name, text))
        .map_err(|error| {
            let good = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(&error.as_bytes()[..good]).into_owned();
            let problem = Problem::new(
                "yaml::not_utf8",
                format!("the file is not UTF-8: byte {good} begins no character"),
            )
            .at(
                Span {
                    start: good.saturating_sub(1),
                    length: 1,
                },
                "the last good byte",
            )
            .help("save the file as UTF-8 text".to_owned());
            failed(text, problem)
        })
}

/// Reads one YAML document into a tree. The places in it are counted from `base`, where the text
/// begins in its source.
///
/// # Errors
/// All repeated keys, or the first place where the text is not YAML, is nested too deeply, or grows
/// too large through aliases.
pub fn parse(text: &str, base: usize) -> Result<SyntaxNode, Vec<Problem>> {
    let mut builder = TreeBuilder::new(text, base);
    for event in Parser::new(StrInput::new(text)) {
        match event {
            Ok((event, span)) => builder.on_event(event, span),
            Err(error) => {
                let start = base + builder.offset(error.marker().index());
                let problem = Problem::new(
                    "yaml::syntax",
                    format!("this is not YAML: {}", error.info()),
                )
                .at(Span { start, length: 1 }, "here")
                .help("check indentation, quotes and colons just before this place".to_owned());
                builder.problems.push(problem);
                break;
            }
        }
        if builder.stop {
            break;
        }
    }
    builder.finish()
}

/// Reads a piece of text as YAML wherever it stands, such as the value of a command-line flag or a
/// default.
pub fn parse_snippet(text: &str) -> Result<SyntaxValue, String> {
    parse(text, 0)
        .map(|node| node.value)
        .map_err(|problems| problems[0].message.clone())
}

enum OpenNode {
    List(Span, usize, Vec<SyntaxNode>),
    Map(OpenMap),
}

struct OpenMap {
    span: Span,
    anchor: usize,
    entries: Vec<(Spanned<String>, SyntaxNode)>,
    seen: HashMap<String, Span>,
    key: Option<Spanned<String>>,
}

struct TreeBuilder<'a> {
    text: &'a str,
    base: usize,
    /// Byte offset of every 64th character; empty if the text is ASCII.
    marks: Vec<usize>,
    open: Vec<OpenNode>,
    anchors: HashMap<usize, (SyntaxNode, usize)>,
    aliased: usize,
    root: Option<SyntaxNode>,
    documents: usize,
    problems: Vec<Problem>,
    stop: bool,
}

impl<'a> TreeBuilder<'a> {
    fn new(text: &'a str, base: usize) -> Self {
        let marks = if text.is_ascii() {
            Vec::new()
        } else {
            text.char_indices().step_by(64).map(|(at, _)| at).collect()
        };
        Self {
            text,
            base,
            marks,
            open: Vec::new(),
            anchors: HashMap::new(),
            aliased: 0,
            root: None,
            documents: 0,
            problems: Vec::new(),
            stop: false,
        }
    }

    /// The parser counts characters; sources count bytes.
    fn offset(&self, characters: usize) -> usize {
        if self.marks.is_empty() {
            return characters.min(self.text.len());
        }
        let Some(&mark) = self.marks.get(characters / 64) else {
            return self.text.len();
        };
        self.text[mark..]
            .char_indices()
            .nth(characters % 64)
            .map_or(self.text.len(), |(at, _)| mark + at)
    }

    fn span(&self, span: YamlSpan) -> Span {
        let (start, end) = (
            self.offset(span.start.index()),
            self.offset(span.end.index()),
        );
        // A list or map has an empty span at its start: mark the rest of that line.
        let length = if end > start {
            self.text[start..end].trim_end().len().max(1)
        } else {
            self.text[start..]
                .lines()
                .next()
                .map_or(0, |line| line.trim_end().len())
                .max(1)
        };
        Span {
            start: self.base + start,
            length,
        }
    }

    fn fail(&mut self, problem: Problem) {
        self.problems.push(problem);
        self.stop = true;
    }

    fn on_event(&mut self, event: Event<'_>, at: YamlSpan) {
        let span = self.span(at);
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    let problem = Problem::new(
                        "yaml::many_documents",
                        "the file holds more than one document",
                    );
                    self.fail(
                        problem
                            .at(span, "the second begins here")
                            .help("put it in a file of its own".to_owned()),
                    );
                }
            }
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && tag.is_none();
                let value = if plain {
                    scalar(&text)
                } else {
                    SyntaxValue::Text(text.into_owned())
                };
                self.push(SyntaxNode::new(value, span), anchor);
            }
            Event::SequenceStart(anchor, _) => {
                self.descend(OpenNode::List(span, anchor, Vec::new()), span)
            }
            Event::MappingStart(anchor, _) => {
                let (entries, seen) = (Vec::new(), HashMap::new());
                self.descend(
                    OpenNode::Map(OpenMap {
                        span,
                        anchor,
                        entries,
                        seen,
                        key: None,
                    }),
                    span,
                );
            }
            Event::SequenceEnd | Event::MappingEnd => self.ascend(),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
    }

    fn descend(&mut self, open: OpenNode, span: Span) {
        if self.open.len() == DEPTH {
            let message = format!("this is nested more than {DEPTH} deep");
            return self.fail(Problem::new("yaml::too_deep", message).at(span, "too deep"));
        }
        self.open.push(open);
    }

    fn ascend(&mut self) {
        match self.open.pop() {
            Some(OpenNode::List(span, anchor, items)) => {
                self.push(SyntaxNode::new(SyntaxValue::List(items), span), anchor)
            }
            Some(OpenNode::Map(map)) => self.push(
                SyntaxNode::new(SyntaxValue::Map(map.entries), map.span),
                map.anchor,
            ),
            None => {}
        }
    }

    fn alias(&mut self, anchor: usize, span: Span) {
        let Some((node, size)) = self.anchors.get(&anchor) else {
            let problem = Problem::new(
                "yaml::unknown_alias",
                "this alias stands inside its own anchor",
            );
            return self.fail(problem.at(span, "refers to itself"));
        };
        self.aliased += size;
        if self.aliased > ALIASED {
            let message = format!("aliases add up to more than {ALIASED} values");
            return self.fail(Problem::new("yaml::alias_bomb", message).at(span, "with this one"));
        }
        let copy = SyntaxNode::new(node.value.clone(), span);
        self.push(copy, 0);
    }

    fn push(&mut self, node: SyntaxNode, anchor: usize) {
        if anchor > 0 {
            let size = size(&node);
            self.anchors.insert(anchor, (node.clone(), size));
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(OpenNode::List(_, _, items)) => items.push(node),
            Some(OpenNode::Map(map)) => match map.key.take() {
                Some(key) => match map.seen.insert(key.value.clone(), key.span) {
                    Some(first) => self.problems.push(repeated(&key, first)),
                    None => map.entries.push((key, node)),
                },
                None => match key_text(&node.value) {
                    Some(value) => {
                        map.key = Some(Spanned {
                            value,
                            span: node.span,
                        })
                    }
                    None => {
                        let message =
                            format!("a key must be text, and this is {}", node.value.type_name());
                        self.fail(
                            Problem::new("yaml::odd_key", message).at(node.span, "not a key"),
                        );
                    }
                },
            },
        }
    }

    fn finish(mut self) -> Result<SyntaxNode, Vec<Problem>> {
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        self.root
            .take()
            .ok_or_else(|| vec![Problem::new("yaml::empty", "the file is empty")])
    }
}

fn repeated(key: &Spanned<String>, first: Span) -> Problem {
    Problem::new(
        "yaml::duplicate_key",
        format!("the key `{}` stands twice", key.value),
    )
    .at(key.span, "again")
    .at(first, "first")
    .help("remove or rename one of them".to_owned())
}

fn key_text(value: &SyntaxValue) -> Option<String> {
    match value {
        SyntaxValue::Text(text) => Some(text.clone()),
        SyntaxValue::Int(number) => Some(number.to_string()),
        SyntaxValue::Float(number) => Some(number.to_string()),
        SyntaxValue::Bool(flag) => Some(flag.to_string()),
        SyntaxValue::Null | SyntaxValue::List(_) | SyntaxValue::Map(_) => None,
    }
}

fn size(node: &SyntaxNode) -> usize {
    match &node.value {
        SyntaxValue::List(items) => 1 + items.iter().map(size).sum::<usize>(),
        SyntaxValue::Map(entries) => {
            1 + entries
                .iter()
                .map(|(_, node)| 1 + size(node))
                .sum::<usize>()
        }
        _ => 1,
    }
}

/// Resolves a plain scalar by the YAML 1.2 core schema (section 10.3.2).
fn scalar(text: &str) -> SyntaxValue {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return SyntaxValue::Null,
        "true" | "True" | "TRUE" => return SyntaxValue::Bool(true),
        "false" | "False" | "FALSE" => return SyntaxValue::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return SyntaxValue::Float(f64::INFINITY);
        }
        "-.inf" | "-.Inf" | "-.INF" => return SyntaxValue::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return SyntaxValue::Float(f64::NAN),
        _ => {}
    }
    let radix = |digits: &str, radix| {
        i64::from_str_radix(digits, radix)
            .ok()
            .map(SyntaxValue::Int)
    };
    if let Some(value) = text.strip_prefix("0x").and_then(|digits| radix(digits, 16)) {
        return value;
    }
    if let Some(value) = text.strip_prefix("0o").and_then(|digits| radix(digits, 8)) {
        return value;
    }
    let numeric = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'))
        && text
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E'));
    if !numeric {
        return SyntaxValue::Text(text.to_owned());
    }
    if let Ok(number) = text.parse::<i64>() {
        return SyntaxValue::Int(number);
    }
    text.parse::<f64>()
        .map_or_else(|_| SyntaxValue::Text(text.to_owned()), SyntaxValue::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<SyntaxNode, Vec<Problem>> {
        parse(text, 0)
    }

    #[test]
    fn scalars_follow_the_core_schema() {
        let cases: [(&str, SyntaxValue); 8] = [
            ("no", SyntaxValue::Text("no".to_owned())),
            ("-1", SyntaxValue::Int(-1)),
            ("1e3", SyntaxValue::Float(1000.0)),
            ("0x1F", SyntaxValue::Int(31)),
            ("'1'", SyntaxValue::Text("1".to_owned())),
            ("~", SyntaxValue::Null),
            ("1.2.3", SyntaxValue::Text("1.2.3".to_owned())),
            ("True", SyntaxValue::Bool(true)),
        ];
        for (text, value) in cases {
            assert_eq!(read(text).unwrap().value, value, "{text}");
        }
    }

    #[test]
    fn places_are_exact_after_wide_characters() {
        let text = "größe: ä\nnäxt: [1, zwölf]\n";
        let node = read(text).unwrap();
        let SyntaxValue::List(items) = &node.get("näxt").unwrap().value else {
            panic!("a list")
        };
        let span = items[1].span;
        assert_eq!(&text[span.start..span.start + span.length], "zwölf");
    }

    #[test]
    fn every_repeated_key_is_told() {
        assert_eq!(read("a: 1\nb: 2\na: 3\nb: 4\n").unwrap_err().len(), 2);
    }

    #[test]
    fn bombs_and_pits_are_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..12 {
            let refs = vec![format!("*a{}", i - 1); 9].join(", ");
            bomb.push_str(&format!("a{i}: &a{i} [{refs}]\n"));
        }
        assert_eq!(read(&bomb).unwrap_err()[0].code, "yaml::alias_bomb");
        assert_eq!(read(&"[".repeat(60)).unwrap_err()[0].code, "yaml::too_deep");
        assert_eq!(
            read(&"- ".repeat(5 << 20)).unwrap_err()[0].code,
            "yaml::too_deep"
        );
        // So many brackets the parser refuses by itself.
        assert_eq!(read(&"[".repeat(10 << 20)).unwrap_err().len(), 1);
        assert_eq!(
            read("a: &a [*a]").unwrap_err()[0].code,
            "yaml::unknown_alias"
        );
        assert_eq!(read("").unwrap_err()[0].code, "yaml::empty");
    }
}
