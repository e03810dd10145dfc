//! Everything that can be wrong with a pipeline file: code, message, help.

use crate::base::disk::DiskError;
use crate::base::name::in_backticks;
use crate::base::nearest::suggest;
use crate::base::problem::Problem;
use crate::base::source::{Span, Spanned};
use crate::base::syntax::SyntaxNode;

/// A key that means nothing where it stands.
pub fn unknown_key(key: &Spanned<String>, known: &[&'static str]) -> Problem {
    Problem::new(
        "pipeline::unknown_key",
        format!("there is no key `{}` here", key.value),
    )
    .at(key.span, "unknown")
    .help(suggest(&key.value, known.iter().copied()))
}

/// A key that must stand somewhere and does not.
pub fn missing_key(name: &str, whole: Span, help: &str) -> Problem {
    Problem::new(
        "pipeline::missing_key",
        format!("the key `{name}` is missing"),
    )
    .at(whole, format!("needs `{name}`"))
    .help(help.to_owned())
}

/// A value of another type than is needed.
pub fn wrong_type(found: &str, needed: &str, span: Span) -> Problem {
    Problem::new(
        "pipeline::wrong_type",
        format!("expected {needed}, found {found}"),
    )
    .at(span, format!("not {needed}"))
}

/// A name that breaks the rules of names.
pub fn bad_name(why: String, span: Span) -> Problem {
    Problem::new("pipeline::bad_name", why).at(span, "not a name")
}

/// A kind nobody knows.
pub fn unknown_kind<'a>(
    kind: &Spanned<String>,
    kinds: impl IntoIterator<Item = &'a str> + Clone,
) -> Problem {
    Problem::new(
        "pipeline::unknown_kind",
        format!("there is no kind `{}`", kind.value),
    )
    .at(kind.span, "unknown kind")
    .help(suggest(&kind.value, kinds))
}

/// An input port the kind does not have.
pub fn unknown_input<'a>(
    port: &Spanned<String>,
    kind: &str,
    ports: impl IntoIterator<Item = &'a str> + Clone,
) -> Problem {
    Problem::new(
        "pipeline::unknown_input",
        format!("the kind `{kind}` has no input `{}`", port.value),
    )
    .at(port.span, "unknown input")
    .help(suggest(&port.value, ports))
}

/// An input port that must be given and is not.
pub fn missing_input(port: &str, doc: &str, whole: Span) -> Problem {
    Problem::new(
        "pipeline::missing_input",
        format!("the input `{port}` is missing"),
    )
    .at(whole, format!("needs `{port}` under `inputs`"))
    .help(format!("`{port}` is {doc}"))
}

/// A reference to a stage that does not exist.
pub fn unknown_stage<'a>(
    stage: &str,
    text: &str,
    span: Span,
    stages: impl IntoIterator<Item = &'a str> + Clone,
) -> Problem {
    let mut help = suggest(stage, stages).unwrap_or_default();
    if !help.is_empty() {
        help.push_str("; ");
    }
    Problem::new(
        "pipeline::unknown_stage",
        format!("there is no stage `{stage}`"),
    )
    .at(span, "unknown stage")
    .help(format!("{help}a file of that name is written `./{text}`"))
}

/// A reference to an output that its stage does not have.
pub fn unknown_output<'a>(
    stage: &str,
    port: &str,
    span: Span,
    ports: impl IntoIterator<Item = &'a str> + Clone,
) -> Problem {
    Problem::new(
        "pipeline::unknown_output",
        format!("the stage `{stage}` has no output `{port}`"),
    )
    .at(span, "unknown output")
    .help(suggest(port, ports))
}

/// An edge between formats that do not fit.
pub fn wrong_format(found: &str, needed: &str, span: Span) -> Problem {
    Problem::new(
        "pipeline::wrong_format",
        format!("this output is of format `{found}`, the input takes `{needed}`"),
    )
    .at(span, "does not fit")
}

/// A reference of a sort that this input does not take.
pub fn wrong_reference(message: &str, span: Span, help: &str) -> Problem {
    Problem::new("pipeline::wrong_reference", message)
        .at(span, "not this")
        .help(help.to_owned())
}

/// A parameter that is used and not declared.
pub fn unknown_param<'a>(
    name: &str,
    span: Span,
    params: impl IntoIterator<Item = &'a str> + Clone,
) -> Problem {
    Problem::new(
        "pipeline::unknown_param",
        format!("there is no parameter `{name}` under `params`"),
    )
    .at(span, "used here")
    .help(suggest(name, params).or_else(|| Some(format!("declare it: `params: {{ {name}: … }}`"))))
}

/// A value under `params` that refers to something else.
pub fn reference_in_params(node: &SyntaxNode) -> Option<Problem> {
    node.as_text().filter(|text| text.contains("${")).map(|_| {
        Problem::new(
            "pipeline::bad_interpolation",
            "a value under `params` cannot refer to another",
        )
        .at(node.span, "taken as it stands")
        .help("put the text together where it is used: `${params.a}/${params.b}`".to_owned())
    })
}

/// A reference that is not finished or of an unknown sort.
pub fn bad_interpolation(text: &str, span: Span) -> Problem {
    Problem::new(
        "pipeline::bad_interpolation",
        format!("`{text}` is not a reference"),
    )
    .at(span, "in this value")
    .help("write `${params.name}` or `${env.NAME}`; `$${` stands for `${` itself".to_owned())
}

/// A reference to what only an instance of a stage has.
pub fn unknown_local<'a>(
    name: &str,
    span: Span,
    names: impl IntoIterator<Item = &'a str> + Clone,
) -> Problem {
    let help = suggest(name, names).unwrap_or_else(|| {
        "`${matrix.x}` stands in a stage with `matrix`, `${item}` and `${key}` in one with `foreach`".to_owned()
    });
    Problem::new(
        "pipeline::unknown_local",
        format!("`${{{name}}}` stands for nothing here"),
    )
    .at(span, "used here")
    .help(help)
}

/// A template nobody knows.
pub fn unknown_template<'a>(
    node: &SyntaxNode,
    names: impl IntoIterator<Item = &'a str> + Clone,
) -> Problem {
    let name = node.as_text().unwrap_or_default();
    Problem::new(
        "pipeline::unknown_template",
        format!("there is no template `{name}`, or it is not a map"),
    )
    .at(node.span, "unknown template")
    .help(suggest(name, names))
}

/// A profile nobody knows.
pub fn unknown_profile<'a>(
    name: &str,
    names: impl IntoIterator<Item = &'a str> + Clone,
) -> Problem {
    Problem::new(
        "pipeline::unknown_profile",
        format!("`--profile {name}`: the file has no such profile"),
    )
    .help(suggest(name, names).or_else(|| Some("declare it under `profiles:`".to_owned())))
}

/// A stage that stands in two files.
pub fn duplicate_stage(id: &Spanned<String>, first: Span) -> Problem {
    Problem::new(
        "pipeline::duplicate_stage",
        format!("the stage `{}` stands twice", id.value),
    )
    .at(id.span, "again")
    .at(first, "first")
    .help("remove or rename one of them".to_owned())
}

/// A file that is included more than once.
pub fn include_again(path: &str, span: Span) -> Problem {
    Problem::new(
        "pipeline::include_again",
        format!("`{path}` is included already"),
    )
    .at(span, "again")
    .help("a file is included once; remove this".to_owned())
}

/// Files that include files that include files.
pub fn include_deep(most: usize, span: Span) -> Problem {
    Problem::new(
        "pipeline::include_deep",
        format!("files include each other more than {most} deep"),
    )
    .at(span, "here")
}

/// Too many files altogether.
pub fn include_many(most: usize, span: Span) -> Problem {
    Problem::new(
        "pipeline::include_many",
        format!("more than {most} files are taken in"),
    )
    .at(span, "here")
}

/// A file that cannot be read.
pub fn unreadable(path: &str, error: &DiskError, span: Span) -> Problem {
    let what = if error.is_missing() {
        format!("there is no file `{path}`")
    } else {
        error.to_string()
    };
    Problem::new("pipeline::unreadable", what)
        .at(span, "this file")
        .help("paths are relative to the file that names them".to_owned())
}

/// A `when` that cannot be understood.
pub fn bad_condition(why: String, span: Span) -> Problem {
    Problem::new("pipeline::bad_condition", why)
        .at(span, "not a condition")
        .help("write `true`, `false` or comparisons such as `${params.size} > 10 and ${params.env} == ci`".to_owned())
}

/// A stage takes of what the file does not speak of.
pub fn unknown_slot<'a>(
    name: &str,
    span: Span,
    names: impl IntoIterator<Item = &'a str> + Clone,
) -> Problem {
    Problem::new(
        "pipeline::unknown_slot",
        format!("the file's `limits.slots` has no `{name}`"),
    )
    .at(span, "taken here")
    .help(suggest(name, names).or_else(|| {
        Some(format!(
            "say how much there is: `limits: {{ slots: {{ {name}: 1 }} }}`"
        ))
    }))
}

/// A stage that is needed and was left out.
pub fn left_out(stage: &str, span: Span) -> Problem {
    Problem::new(
        "pipeline::left_out",
        format!("the stage `{stage}` is left out: its `when` does not hold"),
    )
    .at(span, "needed here")
    .help("give this stage the same `when`".to_owned())
}

/// A reference to a stage of which there are several instances.
pub fn several_instances(stage: &str, span: Span, instances: &[&str]) -> Problem {
    let more = if instances.len() > 3 { ", …" } else { "" };
    Problem::new(
        "pipeline::several_instances",
        format!("there are {} instances of `{stage}`", instances.len()),
    )
    .at(span, "which one?")
    .help(format!(
        "name one of {}{more}",
        in_backticks(instances.iter().take(3))
    ))
}

/// A `--set` of a parameter the file does not declare.
pub fn unknown_set<'a>(name: &str, params: impl IntoIterator<Item = &'a str> + Clone) -> Problem {
    Problem::new(
        "pipeline::unknown_set",
        format!("`--set {name}=…`: the file has no parameter `{name}` under `params`"),
    )
    .help(suggest(name, params))
}

/// What a kind says of parameters that do not go together.
pub fn bad_value(message: String, help: Option<String>, span: Span) -> Problem {
    Problem::new("pipeline::bad_value", message)
        .at(span, "here")
        .help(help)
}
