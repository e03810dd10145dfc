//! Registry → JSON Schema of pipeline files, and the reference page.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::base::syntax::{self, SyntaxValue};
use crate::stage::kind::StageKind;
use crate::stage::limits;
use crate::stage::param::{Param, ParamFallback, ParamType};
use crate::stage::port::{Port, PortFormat, PortNeed, Ports};
use crate::stage::registry::Registry;
use crate::stage::remote::RemoteParams;

/// A value that stands in for another: `${params.name}` anywhere, `${matrix.name}`, `${item}` and
/// `${key}` in instances of a stage, `${env.NAME}` in secrets.
const REFERENCE: &str = r"\$\{((params|env|matrix|item)\.[^}]+|item|key)\}";

/// Returns the JSON Schema (draft 2020-12) of pipeline files.
pub fn json_schema(registry: &Registry) -> Value {
    let names: Vec<&str> = registry.kinds().iter().map(|kind| kind.name).collect();
    let branches: Vec<Value> = registry.kinds().iter().map(branch).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "netsec pipeline",
        "description": "A directed graph of stages from data to a recorded model.",
        "type": "object",
        "required": ["stages"],
        "additionalProperties": false,
        "properties": {
            "name": {"type": "string", "description": "A name for people; the file's own name if left out."},
            "seed": {"type": ["integer", "string"], "default": 42, "description": "Seed of every stage that draws random numbers."},
            "include": paths("Files whose params, templates, profiles and stages are taken in."),
            "limits": described(record(limits::FileLimitParams::PARAMS), "What there is for stages that run at once."),
            "remote": described(record(RemoteParams::PARAMS), "A cache that others share."),
            "trust": {
                "description": "Public keys whose owners are believed: what they made may decide where refs point, and of a shared cache only what one of them signed is used.",
                "type": "array",
                "items": {"type": "string", "pattern": "^ed25519:[0-9a-f]{64}$"},
            },
            "params": {"type": "object", "description": "Values to be used as ${params.name} and set with --set name=value."},
            "params_files": paths("YAML, JSON or TOML files of parameters, over those under params."),
            "profiles": {
                "type": "object",
                "description": "Parameters and a seed to be chosen with --profile.",
                "additionalProperties": {
                    "type": "object",
                    "properties": {"doc": {"type": "string"}, "params": {"type": "object"}, "seed": {"type": "integer"}},
                    "additionalProperties": false,
                },
            },
            "templates": {
                "type": "object",
                "description": "What several stages have in common, by name.",
                "additionalProperties": {"type": "object"},
            },
            "stages": {
                "type": "object",
                "description": "The stages by name.",
                "minProperties": 1,
                "propertyNames": {"pattern": "^[A-Za-z][A-Za-z0-9_-]{0,63}$"},
                "additionalProperties": {
                    "type": "object",
                    "anyOf": [{"required": ["kind"]}, {"required": ["template"]}],
                    "properties": {
                        "kind": {"enum": names, "description": "What the stage does."},
                        "doc": {"type": "string", "description": "A word on what the stage is for."},
                        "template": {"type": "string", "description": "The template whose keys stand here unless given."},
                        "matrix": {"type": ["object", "string"], "description": "Lists by name: one instance of the stage for each combination."},
                        "foreach": {"type": ["array", "object", "string"], "description": "One instance of the stage for each item."},
                        "when": {"type": ["boolean", "string"], "description": "A condition; where it does not hold, the stage is left out."},
                        "limits": described(record(limits::StageLimitParams::PARAMS), "Retries, time, what it takes of the machine: no part of the key."),
                        "inputs": {"type": "object"},
                        "with": {"type": "object"},
                    },
                    "additionalProperties": false,
                    "allOf": branches,
                },
            },
        },
    })
}

fn described(mut schema: Value, doc: &str) -> Value {
    schema["description"] = json!(doc);
    schema
}

fn paths(doc: &str) -> Value {
    json!({"type": ["array", "string"], "items": {"type": "string"}, "description": doc})
}

fn branch(kind: &StageKind) -> Value {
    let required: Vec<&str> = kind
        .params
        .iter()
        .filter(|param| param.default == ParamFallback::Required)
        .map(|param| param.name)
        .collect();
    let mut body = Map::new();
    body.insert("with".to_owned(), record(kind.params));
    body.insert("inputs".to_owned(), inputs(&kind.inputs));
    let mut needs: Vec<&str> = vec!["kind"];
    if !required.is_empty() {
        needs.push("with");
    }
    if let Ports::Fixed(ports) = kind.inputs
        && ports.iter().any(|port| port.need == PortNeed::One)
    {
        needs.push("inputs");
    }
    json!({
        "if": {"required": ["kind"], "not": {"required": ["template"]}, "properties": {"kind": {"const": kind.name}}},
        "then": {"description": kind.doc, "required": needs, "properties": body},
    })
}

fn inputs(ports: &Ports) -> Value {
    let input = |doc: &str| json!({"type": "string", "description": doc});
    match ports {
        Ports::Fixed(ports) => {
            let properties: Map<String, Value> = ports
                .iter()
                .map(|port| (port.name.to_owned(), input(port.doc)))
                .collect();
            let required: Vec<&str> = ports
                .iter()
                .filter(|port| port.need == PortNeed::One)
                .map(|port| port.name)
                .collect();
            json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
        }
        Ports::Free | Ports::Declared(..) => {
            json!({"type": "object", "additionalProperties": input("a stage's output or a file")})
        }
    }
}

fn record(params: &[Param]) -> Value {
    let properties: Map<String, Value> = params
        .iter()
        .map(|param| (param.name.to_owned(), property(param)))
        .collect();
    let required: Vec<&str> = params
        .iter()
        .filter(|param| param.default == ParamFallback::Required)
        .map(|param| param.name)
        .collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn property(param: &Param) -> Value {
    let mut schema = type_schema(&param.kind);
    if let Value::Object(map) = &mut schema {
        map.insert("description".to_owned(), json!(param.doc));
        if let ParamFallback::Yaml(text) = param.default {
            map.insert("default".to_owned(), default_json(text));
        }
    }
    schema
}

fn default_json(text: &str) -> Value {
    to_json(&syntax::parse_snippet(text).expect("a declared default is YAML"))
}

fn to_json(value: &SyntaxValue) -> Value {
    match value {
        SyntaxValue::Null => Value::Null,
        SyntaxValue::Bool(flag) => json!(flag),
        SyntaxValue::Int(number) => json!(number),
        SyntaxValue::Float(number) => json!(number),
        SyntaxValue::Text(text) => json!(text),
        SyntaxValue::List(items) => items.iter().map(|node| to_json(&node.value)).collect(),
        SyntaxValue::Map(entries) => Value::Object(
            entries
                .iter()
                .map(|(key, node)| (key.value.clone(), to_json(&node.value)))
                .collect(),
        ),
    }
}

fn type_schema(kind: &ParamType) -> Value {
    let or_reference =
        |schema: Value| json!({"anyOf": [schema, {"type": "string", "pattern": REFERENCE}]});
    match kind {
        ParamType::Bool => or_reference(json!({"type": "boolean"})),
        ParamType::Int(low, high) => or_reference(limits(
            json!({"type": "integer"}),
            json!(low),
            json!(high),
            kind,
        )),
        ParamType::Float(low, high) => or_reference(limits(
            json!({"type": "number"}),
            json!(low),
            json!(high),
            kind,
        )),
        ParamType::Text | ParamType::Secret => json!({"type": "string"}),
        ParamType::Choice(words) => or_reference(json!({"enum": words})),
        ParamType::Scalar => json!({"type": ["boolean", "number", "string"]}),
        ParamType::List(of) => or_reference(json!({"type": "array", "items": type_schema(of)})),
        ParamType::Map(of) => {
            or_reference(json!({"type": "object", "additionalProperties": type_schema(of)}))
        }
        ParamType::Record(params) => or_reference(record(params)),
    }
}

fn limits(mut schema: Value, low: Value, high: Value, kind: &ParamType) -> Value {
    let (bounded_below, bounded_above) = match kind {
        ParamType::Int(low, high) => (*low > i64::MIN, *high < i64::MAX),
        ParamType::Float(low, high) => (*low > f64::MIN, *high < f64::MAX),
        _ => (false, false),
    };
    if let Value::Object(map) = &mut schema {
        if bounded_below {
            map.insert("minimum".to_owned(), low);
        }
        if bounded_above {
            map.insert("maximum".to_owned(), high);
        }
    }
    schema
}

/// Returns the reference of pipeline files and stage kinds as Markdown.
pub fn reference(registry: &Registry) -> String {
    let mut page = String::from(HEAD);
    page.push_str(
        "\n## Limits\n\nUnder `limits` of a stage; they have no say in its result and are no part of its key.\n\n",
    );
    page.push_str(ROWS);
    parameter_rows(&mut page, "", limits::StageLimitParams::PARAMS);
    page.push_str("\nUnder `limits` of the file:\n\n");
    page.push_str(ROWS);
    parameter_rows(&mut page, "", limits::FileLimitParams::PARAMS);
    page.push_str(
        "\n## Remote\n\nUnder `remote` of the file: a cache that others share, see [team](team.md). It has no say in any key.\n\n",
    );
    page.push_str(ROWS);
    parameter_rows(&mut page, "", RemoteParams::PARAMS);
    for kind in registry.kinds() {
        let _ = write!(
            page,
            "\n## `{}`\n\n{}\n\nVersion {}",
            kind.name, kind.doc, kind.version
        );
        page.push_str(if kind.seeded {
            "; draws random numbers from the pipeline's `seed`.\n"
        } else {
            ".\n"
        });
        ports(&mut page, "Inputs", &kind.inputs);
        ports(&mut page, "Outputs", &kind.outputs);
        parameters(&mut page, kind.params);
    }
    page
}

fn ports(page: &mut String, title: &str, ports: &Ports) {
    let _ = write!(page, "\n### {title}\n\n");
    let fixed: &[Port] = match ports {
        Ports::Fixed([]) => {
            page.push_str("None.\n");
            return;
        }
        Ports::Fixed(fixed) => fixed,
        Ports::Free => {
            page.push_str("Any, under names of your own.\n");
            return;
        }
        Ports::Declared(param, fixed) => {
            let _ = write!(page, "One for each key of `{param}`, and:\n\n");
            fixed
        }
    };
    page.push_str("| name | format | needed | what it is |\n|---|---|---|---|\n");
    for port in fixed {
        let need = match port.need {
            PortNeed::One => "yes",
            PortNeed::Optional => "no",
            PortNeed::Ref(_) => "no; `ref:NAME`",
        };
        let format = if port.format == PortFormat::Any {
            "any"
        } else {
            port.format.as_str()
        };
        let _ = writeln!(
            page,
            "| `{}` | {format} | {need} | {} |",
            port.name, port.doc
        );
    }
}

fn parameters(page: &mut String, params: &[Param]) {
    if !params.is_empty() {
        page.push_str("\n### Parameters\n\n");
        page.push_str(ROWS);
        parameter_rows(page, "", params);
    }
}

const ROWS: &str = "| name | what may stand there | default | what it does |\n|---|---|---|---|\n";

/// A row a parameter; the keys of a record in a list follow as `list[].key`.
fn parameter_rows(page: &mut String, prefix: &str, params: &[Param]) {
    for param in params {
        let default = match param.default {
            ParamFallback::Required => "must be given".to_owned(),
            ParamFallback::Absent => "none".to_owned(),
            ParamFallback::Yaml(text) => format!("`{}`", text.replace('|', "\\|")),
        };
        let name = format!("{prefix}{}", param.name);
        let _ = writeln!(
            page,
            "| `{name}` | {} | {default} | {} |",
            param.kind.describe(),
            param.doc
        );
        match param.kind {
            ParamType::List(ParamType::Record(inner)) => {
                parameter_rows(page, &format!("{name}[]."), inner)
            }
            ParamType::Record(inner) => parameter_rows(page, &format!("{name}."), inner),
            _ => {}
        }
    }
}

const HEAD: &str = "\
# Pipeline files

Generated from the declarations in the source by `netsec schema --format markdown`; a test compares.

A pipeline file is YAML: `name` (for people), `seed` (42 if left out), `params`, and `stages`. A stage has a
`kind`, `inputs`, parameters under `with`, and may have a `doc`.

- An input is another stage's output (`ingest.train`), a file, a directory or a glob (`data/*.csv`) relative to
  the workspace, or a named pointer (`ref:champion/phishing`). A file whose name could be a stage's output is
  written with a path: `./ingest.train`; `flows.csv` is a file unless there is a stage `flows`.
- `${params.x}` stands for the value of `x` under `params`, in any value below `stages`; where it is the whole
  value, it keeps its type. `--set x=1` overrides it. `$${` stands for `${`.
- `${env.NAME}` stands for an environment variable, only in parameters that hold a secret or an address. It is
  no part of a key, a record or a log.

## Many stages from one

```yaml
params: { full: false }
templates:
  fit: { kind: command, inputs: { table: data.stdout }, with: { run: [fit, --rate, '${matrix.rate}'] } }
stages:
  data: { kind: command, with: { run: [cat, /etc/hostname] } }
  train:
    template: fit
    matrix: { rate: [0.1, 0.2], depth: [3, 6] }
    when: ${matrix.rate} < 0.2 or ${params.full}
  each:
    kind: command
    foreach: { north: { port: 80 }, south: { port: 443 } }
    with: { run: [echo, '${key}', '${item.port}'] }
  all: { kind: command, inputs: { model: train.stdout }, with: { run: [ls] } }
```

- `matrix` maps names to lists and makes an instance of the stage for each combination: `train[rate=0.1,depth=3]`, and so
  on. In it, `${matrix.rate}` stands for the value, also in `inputs`.
- `foreach` makes an instance for each item of a list or map: `each[north]`. `${item}` stands for the item, `${item.x}`
  for a field of it, `${key}` for its key or, of a list, its position from zero.
- An input names an instance: `train[rate=0.1,depth=3].model`. Where a kind takes inputs under names of your own, the
  stage alone names all instances: `model: train.stdout` gives `model-1`, `model-2`, … in the order of the file.
- `--only train` and the like mean all instances of `train`.
- `when` is `true`, `false`, or comparisons (`==`, `!=`, `<`, `<=`, `>`, `>=`) joined by `not`, `and`, `or`; `and`
  binds closer. Where it does not hold, the stage is left out; what needs it has to be left out too, unless the
  input is optional.
- `template` names an entry of `templates`: its keys stand for those that the stage does not have; `inputs` and `with`
  are put together key by key.

## Several files

- `include` takes in the `params`, `templates`, `profiles` and `stages` of other files, by paths relative to the file
  that names them. What the including file declares itself goes before; a stage may stand in one file only.
- `params_files` names YAML, JSON or TOML files of parameters, which go over `params`.
- `profiles` holds parameters and a seed for `--profile NAME`.
- What goes over what: `params`, `params_files`, `--profile`, `--params FILE`, `--set`. The last three may set only what
  the file declares.
";
