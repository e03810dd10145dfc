//! Problem: what is wrong with a user's file, as data (code, message, places, help).

use std::collections::BTreeSet;

use crate::base::source::{SourceText, Span};

/// One thing that is wrong with a file a user wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A stable name, such as `pipeline::unknown_kind`.
    pub code: &'static str,
    /// What is so.
    pub message: String,
    /// Where, the most important place first; empty when the file as a whole is meant.
    pub places: Vec<ProblemPlace>,
    /// What to do.
    pub help: Option<String>,
}

/// A place in the file, with a few words on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProblemPlace {
    /// Where.
    pub span: Span,
    /// What stands there.
    pub label: String,
}

/// All that is wrong with one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProblemReport {
    /// The file.
    pub source: SourceText,
    /// What is wrong with it, in the order of the places: at most the first `SHOWN`.
    pub problems: Vec<Problem>,
    /// How many problems there are.
    pub count: usize,
}

/// More problems of a file are counted, not told.
const SHOWN: usize = 100;

impl Problem {
    /// Makes a problem with no place and no help.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            places: Vec::new(),
            help: None,
        }
    }

    /// Adds a place.
    #[must_use]
    pub fn at(mut self, span: Span, label: impl Into<String>) -> Self {
        self.places.push(ProblemPlace {
            span,
            label: label.into(),
        });
        self
    }

    /// Sets what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<Option<String>>) -> Self {
        self.help = help.into();
        self
    }
}

impl ProblemReport {
    /// Makes a report with its problems in the order of their places.
    pub fn new(source: SourceText, mut problems: Vec<Problem>) -> Self {
        let place = |problem: &Problem| problem.places.first().map(|place| place.span);
        problems.sort_by_key(place);
        let count = problems.len();
        if count > SHOWN {
            // What was not said before comes first, so that one mistake made often hides no other.
            let mut said = BTreeSet::new();
            let is_said: Vec<bool> = problems
                .iter()
                .map(|problem| !said.insert((problem.code, problem.message.clone())))
                .collect();
            let mut marked: Vec<(bool, Problem)> = is_said.into_iter().zip(problems).collect();
            marked.sort_by_key(|(is_said, _)| *is_said);
            marked.truncate(SHOWN);
            problems = marked.into_iter().map(|(_, problem)| problem).collect();
            problems.sort_by_key(place);
        }
        Self {
            source,
            problems,
            count,
        }
    }

    /// Adds problems that were counted elsewhere and are not told.
    #[must_use]
    pub fn and_more(mut self, count: usize) -> Self {
        self.count += count;
        self
    }

    /// Returns the report as plain text, one `file:line:column: message` a problem.
    pub fn plain(&self) -> String {
        let lines: Vec<String> = self
            .problems
            .iter()
            .map(|problem| self.plain_line(problem))
            .collect();
        lines.join("\n")
    }

    fn plain_line(&self, problem: &Problem) -> String {
        let name = &self.source.name;
        let place = problem.places.first().map_or_else(
            || format!("{name}: "),
            |place| {
                let (name, line, column) = self.source.position(place.span.start);
                format!("{name}:{line}:{column}: ")
            },
        );
        let help = problem
            .help
            .as_ref()
            .map_or_else(String::new, |help| format!(" ({help})"));
        format!("{place}{}{help}", problem.message)
    }
}
