//! A pipeline file with all it takes in: other files of stages, files of parameters, a profile.

use std::collections::HashMap;

use crate::base::disk::DiskError;
use crate::base::problem::Problem;
use crate::base::source::{SourceText, Span, Spanned};
use crate::base::syntax::{self, SyntaxNode, SyntaxValue};
use crate::pipeline::interpolate::{FileParams, SetParam, apply_sets};
use crate::pipeline::{problem, toml};

/// How other files are read: the path, relative to the workspace.
pub type ReadFile<'a> = &'a dyn Fn(&str) -> Result<Vec<u8>, DiskError>;

/// What is chosen from outside.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// The profile.
    pub profile: Option<String>,
    /// Files of parameters.
    pub files: Vec<String>,
    /// Single parameters.
    pub sets: Vec<SetParam>,
}

/// The entries of a map, with the places of their keys.
type MapEntries = Vec<(Spanned<String>, SyntaxNode)>;

/// A pipeline file and all it takes in.
#[derive(Debug, Default)]
pub struct ComposedPipeline {
    /// All texts.
    pub source: SourceText,
    /// The keys of the file itself other than those below.
    pub head: MapEntries,
    /// The parameters, with what was chosen from outside.
    pub params: FileParams,
    /// The seed, if a profile sets one.
    pub seed: Option<SyntaxNode>,
    /// The templates.
    pub templates: MapEntries,
    /// The stages, those of files taken in first.
    pub stages: MapEntries,
    /// Whether there is a key `stages` anywhere.
    pub has_stages: bool,
    /// Where the file begins.
    pub whole: Span,
    /// What is wrong so far.
    pub problems: Vec<Problem>,
    profiles: MapEntries,
    /// Files that were taken.
    seen: Vec<String>,
    /// Whether there were too many.
    is_full: bool,
    /// Stages that were taken, and where they stand.
    ids: HashMap<String, Span>,
}

/// The deepest nesting of files.
const DEPTH: usize = 16;
/// The most files that are taken in: with links, a folder may hold more names of files than can be
/// read.
const FILES: usize = 1000;

/// Reads a pipeline file and all it takes in.
pub fn gather(source: SourceText, read: ReadFile<'_>, choice: &Choice) -> ComposedPipeline {
    let mut gathered = ComposedPipeline {
        source,
        ..ComposedPipeline::default()
    };
    let (name, text) = (gathered.source.name.clone(), gathered.source.text.clone());
    match syntax::parse(&text, 0) {
        Ok(root) => {
            gathered.whole = root.span;
            gathered.take(&name, root, read, 0);
        }
        Err(problems) => gathered.problems.extend(problems),
    }
    if gathered.problems.is_empty() {
        gathered.choose(read, choice);
    }
    gathered
}

impl ComposedPipeline {
    /// Takes the keys of a file, of those it includes first.
    fn take(&mut self, name: &str, root: SyntaxNode, read: ReadFile<'_>, depth: usize) {
        let span = root.span;
        let SyntaxValue::Map(entries) = root.value else {
            self.problems.push(problem::wrong_type(
                root.value.type_name(),
                "a map with `stages`",
                span,
            ));
            return;
        };
        self.seen.push(name.to_owned());
        if let Some((_, node)) = entries.iter().find(|(key, _)| key.value == "include") {
            self.include(name, node, read, depth);
        }
        let mut files = None;
        for (key, node) in entries {
            match key.value.as_str() {
                "include" => {}
                "params" => {
                    let params = self.map(node, "a map from names to values");
                    self.problems.extend(
                        params
                            .iter()
                            .filter_map(|(_, node)| problem::reference_in_params(node)),
                    );
                    overlay(&mut self.params, params);
                }
                "params_files" => files = Some(node),
                "profiles" => {
                    let profiles = self.map(node, "a map from names to profiles");
                    overlay(&mut self.profiles, profiles);
                }
                "templates" => {
                    let templates = self.map(node, "a map from names to templates");
                    overlay(&mut self.templates, templates);
                }
                "stages" => {
                    self.has_stages = true;
                    for (id, node) in self.map(node, "a map from names to stages") {
                        match self.ids.get(&id.value) {
                            Some(first) => {
                                self.problems.push(problem::duplicate_stage(&id, *first))
                            }
                            None => {
                                self.ids.insert(id.value.clone(), id.span);
                                self.stages.push((id, node));
                            }
                        }
                    }
                }
                _ if depth > 0 => self.problems.push(problem::unknown_key(&key, &INCLUDED)),
                _ => self.head.push((key, node)),
            }
        }
        for (path, span) in files.map(|node| self.texts(&node)).unwrap_or_default() {
            let params = self.params_file(&beside(name, &path), span, read);
            overlay(&mut self.params, params);
        }
    }

    fn include(&mut self, name: &str, node: &SyntaxNode, read: ReadFile<'_>, depth: usize) {
        for (path, span) in self.texts(node) {
            let path = beside(name, &path);
            if self.source.others.len() >= FILES {
                if !std::mem::replace(&mut self.is_full, true) {
                    self.problems.push(problem::include_many(FILES, span));
                }
                return;
            }
            if self.seen.contains(&path) {
                self.problems.push(problem::include_again(&path, span));
            } else if depth >= DEPTH {
                self.problems.push(problem::include_deep(DEPTH, span));
            } else if let Some((text, base)) = self.read(&path, span, read) {
                match syntax::parse(&text, base) {
                    Ok(root) => self.take(&path, root, read, depth + 1),
                    Err(problems) => self.problems.extend(problems),
                }
            }
        }
    }

    /// Reads a file that is taken in; returns its text and where it begins among all texts.
    fn read(&mut self, path: &str, span: Span, read: ReadFile<'_>) -> Option<(String, usize)> {
        let bytes = match read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.problems.push(problem::unreadable(path, &error, span));
                return None;
            }
        };
        match syntax::source(path, bytes) {
            Ok(source) => {
                let text = source.text.clone();
                Some((text, self.source.take_in(source)))
            }
            Err(report) => {
                self.problems
                    .extend(report.problems.into_iter().map(|mut problem| {
                        problem.places.clear();
                        problem.message = format!("`{path}`: {}", problem.message);
                        problem.at(span, "this file")
                    }));
                None
            }
        }
    }

    /// Reads a file of parameters: YAML, JSON or TOML, by its ending.
    fn params_file(&mut self, path: &str, span: Span, read: ReadFile<'_>) -> FileParams {
        let Some((text, base)) = self.read(path, span, read) else {
            return FileParams::new();
        };
        let parsed = match path.ends_with(".toml") {
            true => toml::parse(&text, base),
            false => syntax::parse(&text, base),
        };
        match parsed {
            Ok(root) => self.map(root, "a map from names to values"),
            Err(problems) => {
                self.problems.extend(problems);
                FileParams::new()
            }
        }
    }

    /// Applies what is chosen from outside: the profile, then files, then single parameters.
    fn choose(&mut self, read: ReadFile<'_>, choice: &Choice) {
        if let Some(name) = &choice.profile {
            match self.profiles.iter().position(|(key, _)| key.value == *name) {
                Some(at) => {
                    let (_, node) = self.profiles.swap_remove(at);
                    self.profile(node);
                }
                None => {
                    let names: Vec<String> = self
                        .profiles
                        .iter()
                        .map(|(key, _)| key.value.clone())
                        .collect();
                    self.problems.push(problem::unknown_profile(
                        name,
                        names.iter().map(String::as_str),
                    ));
                }
            }
        }
        for path in &choice.files {
            let params = self.params_file(path, Span::default(), read);
            self.override_with(params);
        }
        let problems = apply_sets(&mut self.params, &choice.sets);
        self.problems.extend(problems);
    }

    fn profile(&mut self, node: SyntaxNode) {
        let mut params = FileParams::new();
        for (inner, node) in self.map(node, "a map with `params` or `seed`") {
            match inner.value.as_str() {
                "params" => params = self.map(node, "a map from names to values"),
                "seed" => self.seed = Some(node),
                "doc" => {}
                _ => self
                    .problems
                    .push(problem::unknown_key(&inner, &["doc", "params", "seed"])),
            }
        }
        self.override_with(params);
    }

    /// Replaces parameters that are declared.
    fn override_with(&mut self, params: FileParams) {
        for (key, node) in params {
            match self
                .params
                .iter_mut()
                .find(|(name, _)| name.value == key.value)
            {
                Some((_, value)) => *value = node,
                None => {
                    let names = self.params.iter().map(|(name, _)| name.value.as_str());
                    let problem = problem::unknown_param(&key.value, key.span, names);
                    self.problems.push(problem);
                }
            }
        }
    }

    fn map(&mut self, node: SyntaxNode, needed: &str) -> MapEntries {
        match node.value {
            SyntaxValue::Map(entries) => entries,
            SyntaxValue::Null => MapEntries::new(),
            other => {
                self.problems
                    .push(problem::wrong_type(other.type_name(), needed, node.span));
                MapEntries::new()
            }
        }
    }

    /// A text or a list of texts, each with its place.
    fn texts(&mut self, node: &SyntaxNode) -> Vec<(String, Span)> {
        let items = match &node.value {
            SyntaxValue::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        let mut texts = Vec::new();
        for item in items {
            match item.as_text() {
                Some(text) => texts.push((text.to_owned(), item.span)),
                None => {
                    let problem = problem::wrong_type(
                        item.value.type_name(),
                        "the path of a file",
                        item.span,
                    );
                    self.problems.push(problem);
                }
            }
        }
        texts
    }
}

/// What may stand in a file that is taken in.
const INCLUDED: [&str; 6] = [
    "include",
    "params",
    "params_files",
    "profiles",
    "templates",
    "stages",
];

/// Puts entries over others: what has the same name is replaced in its place.
fn overlay(under: &mut MapEntries, over: MapEntries) {
    for (key, node) in over {
        match under.iter().position(|(name, _)| name.value == key.value) {
            Some(at) => under[at] = (key, node),
            None => under.push((key, node)),
        }
    }
}

/// Returns a path that is written relative to a file.
fn beside(file: &str, path: &str) -> String {
    match file.rsplit_once('/') {
        Some((folder, _)) if !path.starts_with('/') => format!("{folder}/{path}"),
        _ => path.to_owned(),
    }
}
