//! A parameter, declared once: type, default, range, doc → check, canonical form, schema, docs.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::Serialize;
use serde_json::Value as Json;

use crate::base::digest::FramedHasher;
use crate::base::name::in_backticks;
use crate::base::nearest::suggest;
use crate::base::problem::Problem;
use crate::base::secret::Secret;
use crate::base::source::{Span, Spanned};
use crate::base::syntax::{self, SyntaxNode, SyntaxValue};

/// The declaration of a parameter.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// What may stand there.
    pub kind: ParamType,
    /// What is so when it is left out.
    pub default: ParamFallback,
    /// What it does, in a sentence.
    pub doc: &'static str,
}

/// What is so when a parameter is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamFallback {
    /// It must be given.
    Required,
    /// It has no value.
    Absent,
    /// It has this value, written as YAML.
    Yaml(&'static str),
}

/// What may stand as a parameter's value.
#[derive(Clone, Copy, Debug)]
pub enum ParamType {
    /// `true` or `false`.
    Bool,
    /// A whole number within these bounds.
    Int(i64, i64),
    /// A finite number within these bounds.
    Float(f64, f64),
    /// Text.
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A truth value, a number or text.
    Scalar,
    /// Text that may hold `${env.NAME}` and is never shown, recorded or made part of a key.
    Secret,
    /// A list of values of a type.
    List(&'static ParamType),
    /// A map from free names to values of a type.
    Map(&'static ParamType),
    /// A map with these keys.
    Record(&'static [Param]),
}

/// A checked value.
#[derive(Clone, Debug)]
pub enum Value {
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// A map; of a record, with its defaults filled in.
    Map(Values),
    /// A secret, or the name of the environment variable that is not set.
    Secret(Result<Secret, String>),
    /// Keeps the place of a list's item that was refused.
    Wrong,
}

/// Checked values by name, with the defaults filled in.
#[derive(Clone, Debug, Default)]
pub struct Values(pub BTreeMap<String, Value>);

/// One step from the root of the parameters to a value inside them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParamStep {
    /// Into a map.
    Key(String),
    /// Into a list.
    Index(usize),
}

impl ParamStep {
    /// A step into a map.
    pub fn key(name: &str) -> Self {
        Self::Key(name.to_owned())
    }
}

/// What is wrong between parameters that each are right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamError {
    /// The way to the value that is wrong.
    pub path: Vec<ParamStep>,
    /// What is so.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl ParamError {
    /// Says what is wrong with a value, by the keys that lead to it, and what to do.
    pub fn new(keys: &[&str], message: impl Into<String>, help: &str) -> Self {
        Self {
            path: keys.iter().map(|key| ParamStep::key(key)).collect(),
            message: message.into(),
            help: Some(help.to_owned()),
        }
    }
}

/// How a checker looks up environment variables; from several threads.
pub type EnvLookup<'a> = &'a (dyn Fn(&str) -> Option<String> + Sync);

impl ParamType {
    /// Returns what may stand there, in words.
    pub fn describe(&self) -> String {
        match self {
            Self::Bool => "`true` or `false`".to_owned(),
            Self::Int(low, high) => {
                format!("a whole number{}", bounds(*low, *high, i64::MIN, i64::MAX))
            }
            Self::Float(low, high) => {
                format!("a number{}", bounds(*low, *high, f64::MIN, f64::MAX))
            }
            Self::Text => "text".to_owned(),
            Self::Choice(words) => format!("one of {}", in_backticks(*words)),
            Self::Scalar => "a number, text, `true` or `false`".to_owned(),
            Self::Secret => "text, which may hold `${env.NAME}`".to_owned(),
            Self::List(of) => format!("a list (each {})", of.describe()),
            Self::Map(of) => format!("a map (each value {})", of.describe()),
            Self::Record(params) => {
                let names: Vec<String> = params
                    .iter()
                    .map(|param| format!("`{}`", param.name))
                    .collect();
                format!("a map with {}", names.join(", "))
            }
        }
    }

    /// Checks a value; adds all that is wrong with it and inside it to `problems`. What is right
    /// inside a wrong value is given back all the same, so that what goes together can be checked
    /// in the same go.
    pub fn check(
        &self,
        node: &SyntaxNode,
        env: EnvLookup<'_>,
        problems: &mut Vec<Problem>,
    ) -> Option<Value> {
        let value =
            match (self, &node.value) {
                // What came in for a reference keeps its type where it can, and gives its text where
                // text is needed.
                (Self::Text, syntax::SyntaxValue::Int(number)) if node.is_referred => {
                    Some(Value::Text(number.to_string()))
                }
                (Self::Text, syntax::SyntaxValue::Float(number)) if node.is_referred => {
                    Some(Value::Text(number.to_string()))
                }
                (Self::Text, syntax::SyntaxValue::Bool(flag)) if node.is_referred => {
                    Some(Value::Text(flag.to_string()))
                }
                (Self::Bool | Self::Scalar, syntax::SyntaxValue::Bool(flag)) => {
                    Some(Value::Bool(*flag))
                }
                (Self::Int(low, high), syntax::SyntaxValue::Int(number)) => (low..=high)
                    .contains(&number)
                    .then_some(Value::Int(*number)),
                (Self::Float(low, high), syntax::SyntaxValue::Int(number)) => {
                    let number = *number as f64;
                    (number >= *low && number <= *high).then_some(Value::Float(number))
                }
                (Self::Float(low, high), syntax::SyntaxValue::Float(number)) => {
                    (number >= low && number <= high).then_some(Value::Float(*number))
                }
                (Self::Scalar, syntax::SyntaxValue::Int(number)) => Some(Value::Int(*number)),
                (Self::Scalar, syntax::SyntaxValue::Float(number)) => {
                    number.is_finite().then_some(Value::Float(*number))
                }
                (Self::Secret, syntax::SyntaxValue::Text(text)) => {
                    Some(Value::Secret(resolve(text, env)))
                }
                (Self::Text | Self::Scalar | Self::Choice(_), syntax::SyntaxValue::Text(text)) => {
                    return self
                        .check_text(text, node)
                        .map_err(|problem| problems.push(*problem))
                        .ok();
                }
                (Self::List(of), syntax::SyntaxValue::List(items)) => {
                    let item = |item| of.check(item, env, problems).unwrap_or(Value::Wrong);
                    Some(Value::List(items.iter().map(item).collect()))
                }
                (Self::Map(of), syntax::SyntaxValue::Map(entries)) => {
                    let pair = |(key, node): &(Spanned<String>, SyntaxNode)| {
                        Some((key.value.clone(), of.check(node, env, problems)?))
                    };
                    Some(Value::Map(Values(
                        entries.iter().filter_map(pair).collect(),
                    )))
                }
                (Self::Record(params), syntax::SyntaxValue::Map(_)) => Some(Value::Map(
                    check_record(params, Some(node), node.span, env, problems),
                )),
                _ => None,
            };
        if value.is_none() {
            problems.push(self.wrong(node));
        }
        value
    }

    fn check_text(&self, text: &str, node: &SyntaxNode) -> Result<Value, Box<Problem>> {
        if let Some(at) = text.find("${env.") {
            let name = text[at..].split('}').next().unwrap_or_default();
            let help = "the environment is read only where a secret or an address belongs; use `params:` and `--set`";
            let problem = Problem::new(
                "pipeline::env_not_allowed",
                format!("`{name}}}` may not stand here"),
            )
            .at(node.span, "this value is part of the cache key")
            .help(help.to_owned());
            return Err(problem.into());
        }
        match self {
            Self::Choice(words) if !words.contains(&text) => {
                let message = format!("`{text}` is not {}", self.describe());
                let problem =
                    Problem::new("pipeline::unknown_choice", message).at(node.span, "not a choice");
                Err(problem.help(suggest(text, words.iter().copied())).into())
            }
            _ => Ok(Value::Text(text.to_owned())),
        }
    }

    fn wrong(&self, node: &SyntaxNode) -> Problem {
        let found = match &node.value {
            syntax::SyntaxValue::Int(number) => format!("`{number}`"),
            syntax::SyntaxValue::Float(number) => format!("`{number}`"),
            syntax::SyntaxValue::Bool(flag) => format!("`{flag}`"),
            syntax::SyntaxValue::Text(text) if text.chars().count() <= 40 => {
                format!("the text `{text}`")
            }
            other => other.type_name().to_owned(),
        };
        let expected = self.describe();
        let out_of_range = matches!(
            (self, &node.value),
            (Self::Int(..), syntax::SyntaxValue::Int(_))
                | (
                    Self::Float(..),
                    syntax::SyntaxValue::Int(_) | syntax::SyntaxValue::Float(_)
                )
        );
        let code = if out_of_range {
            "pipeline::out_of_range"
        } else {
            "pipeline::wrong_type"
        };
        let problem = Problem::new(code, format!("expected {expected}, found {found}"));
        problem.at(node.span, format!("not {expected}"))
    }
}

fn bounds<T: PartialOrd + fmt::Display>(low: T, high: T, least: T, most: T) -> String {
    match (low > least, high < most) {
        (true, true) => format!(" from {low} to {high}"),
        (true, false) => format!(" of at least {low}"),
        (false, true) => format!(" of at most {high}"),
        (false, false) => String::new(),
    }
}

/// Checks the entries of a map against declarations and fills in the defaults; adds all that is
/// wrong to `problems` and gives back what is right.
///
/// `node` is the map, if there is one; `whole` is the place to report a missing key at.
pub fn check_record(
    params: &[Param],
    node: Option<&SyntaxNode>,
    whole: Span,
    env: EnvLookup<'_>,
    problems: &mut Vec<Problem>,
) -> Values {
    if let Some(SyntaxNode {
        value: syntax::SyntaxValue::Map(entries),
        ..
    }) = node
    {
        for (key, _) in entries {
            if !params.iter().any(|param| param.name == key.value) {
                let help = suggest(&key.value, params.iter().map(|param| param.name));
                let message = format!("there is no parameter `{}`", key.value);
                problems.push(
                    Problem::new("pipeline::unknown_key", message)
                        .at(key.span, "unknown")
                        .help(help),
                );
            }
        }
    }
    let mut values = BTreeMap::new();
    for param in params {
        let given = node
            .and_then(|node| node.get(param.name))
            .filter(|node| node.value != syntax::SyntaxValue::Null);
        let value = match (given, param.default) {
            (Some(node), _) => param.kind.check(node, env, problems),
            (None, ParamFallback::Absent) => None,
            (None, ParamFallback::Yaml(text)) => Some(default(param, text)),
            (None, ParamFallback::Required) => {
                let message = format!("the parameter `{}` is missing", param.name);
                let help = format!(
                    "`{}` is {}: {}",
                    param.name,
                    param.kind.describe(),
                    param.doc
                );
                let problem = Problem::new("pipeline::missing_key", message);
                problems.push(
                    problem
                        .at(whole, format!("needs `{}`", param.name))
                        .help(help),
                );
                None
            }
        };
        values.extend(value.map(|value| (param.name.to_owned(), value)));
    }
    Values(values)
}

fn default(param: &Param, text: &'static str) -> Value {
    // A thousand stages of a kind have the same defaults.
    thread_local!(static READ: RefCell<HashMap<&'static str, SyntaxValue>> = RefCell::default());
    let read = || syntax::parse_snippet(text).expect("a declared default is YAML");
    let value = READ.with_borrow_mut(|known| known.entry(text).or_insert_with(read).clone());
    let node = SyntaxNode::new(value, Span::default());
    param
        .kind
        .check(&node, &|_| None, &mut Vec::new())
        .expect("a declared default passes its own check")
}

/// Puts environment variables into a text.
///
/// # Errors
/// The name of one that is not set.
pub fn resolve(text: &str, env: EnvLookup<'_>) -> Result<Secret, String> {
    let (mut whole, mut parts) = (String::new(), Vec::new());
    let mut rest = text;
    while let Some(at) = rest.find("${env.") {
        whole.push_str(&rest[..at]);
        let Some(end) = rest[at..].find('}') else {
            break;
        };
        let name = &rest[at + 6..at + end];
        let value = env(name).ok_or_else(|| name.to_owned())?;
        whole.push_str(&value);
        parts.push(Secret::new(value));
        rest = &rest[at + end + 1..];
    }
    whole.push_str(rest);
    Ok(Secret::composed(whole, parts))
}

impl Value {
    /// Returns a number, whole or not.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Float(number) => Some(*number),
            Self::Int(number) => Some(*number as f64),
            _ => None,
        }
    }

    /// Returns whether it is or holds a secret.
    pub fn has_secret(&self) -> bool {
        match self {
            Self::Secret(_) => true,
            Self::List(items) => items.iter().any(Self::has_secret),
            Self::Map(values) => values.0.values().any(Self::has_secret),
            _ => false,
        }
    }

    /// Returns the value unless it is or holds a secret: what becomes part of a key.
    pub fn public(&self) -> Option<Value> {
        match self {
            Self::Secret(_) | Self::Wrong => None,
            Self::List(items) => items
                .iter()
                .map(Self::public)
                .collect::<Option<_>>()
                .map(Self::List),
            // A map of secrets is one; of others the secrets are left out.
            Self::Map(Values(map)) => {
                let public: BTreeMap<String, Value> = map
                    .iter()
                    .filter_map(|(name, value)| Some((name.clone(), value.public()?)))
                    .collect();
                (!public.is_empty() || map.is_empty()).then_some(Self::Map(Values(public)))
            }
            other => Some(other.clone()),
        }
    }

    /// Returns plain data of any type as a value, for keys: a struct is a map of its fields, nothing
    /// an empty map.
    ///
    /// # Panics
    /// It has maps whose keys are not text: a fault of the caller.
    pub fn of(data: impl Serialize) -> Self {
        of_json(serde_json::to_value(data).expect("plain data serialises"))
    }

    /// Feeds the canonical form of a public value to a hash.
    pub fn feed(&self, framed: &mut FramedHasher) {
        match self {
            Self::Bool(flag) => {
                framed.flag(*flag);
            }
            Self::Int(number) => {
                framed.signed(*number);
            }
            Self::Float(number) => {
                framed.float(*number);
            }
            Self::Text(text) => {
                framed.text(text);
            }
            Self::List(items) => {
                framed.list(items.len());
                items.iter().for_each(|item| item.feed(framed));
            }
            Self::Map(Values(map)) => {
                framed.map(map.len());
                for (name, value) in map {
                    framed.text(name);
                    value.feed(framed);
                }
            }
            Self::Secret(_) | Self::Wrong => {}
        }
    }
}

fn of_json(data: Json) -> Value {
    match data {
        Json::Null => Value::Map(Values::default()),
        Json::Bool(flag) => Value::Bool(flag),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::Int(whole),
            None if number.is_u64() => Value::Text(number.to_string()),
            None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::Text(text),
        Json::Array(items) => Value::List(items.into_iter().map(of_json).collect()),
        Json::Object(fields) => {
            let fields = fields.into_iter();
            Value::Map(Values(
                fields.map(|(name, field)| (name, of_json(field))).collect(),
            ))
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(flag) => write!(f, "{flag}"),
            Self::Int(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number:?}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::List(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i > 0 { ", " } else { "" })?;
                }
                f.write_str("]")
            }
            Self::Map(values) => write!(f, "{values}"),
            Self::Secret(_) => f.write_str("***"),
            Self::Wrong => f.write_str("?"),
        }
    }
}

impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.0.iter().enumerate() {
            write!(f, "{}{name}: {value}", if i > 0 { ", " } else { "" })?;
        }
        f.write_str("}")
    }
}

impl Values {
    /// Returns a value if it is there.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Returns a whole number if it is there.
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.get(name) {
            Some(Value::Int(number)) => Some(*number),
            _ => None,
        }
    }

    /// Returns a text if it is there.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Returns a map; `None` if it is not there.
    pub fn map(&self, name: &str) -> Option<&Values> {
        match self.get(name) {
            Some(Value::Map(values)) => Some(values),
            _ => None,
        }
    }
}
