//! Problem + Source → the rendered report with the place marked.

use std::borrow::Cow;
use std::fmt;

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode,
};

use crate::base::problem::{Problem, ProblemPlace, ProblemReport};
use crate::base::source::SourceText;

struct ShownProblem<'a> {
    problem: &'a Problem,
    source: NamedSource<String>,
    /// Where the text begins among all texts of the report.
    base: usize,
}

impl fmt::Debug for ShownProblem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.message)
    }
}

impl fmt::Display for ShownProblem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.message)
    }
}

impl std::error::Error for ShownProblem<'_> {}

impl Diagnostic for ShownProblem<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.problem.code))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.problem
            .help
            .as_ref()
            .map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        (!self.problem.places.is_empty()).then_some(&self.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = |place: &crate::base::problem::ProblemPlace| {
            LabeledSpan::new(
                Some(place.label.clone()),
                place.span.start - self.base,
                place.span.length.max(1),
            )
        };
        Some(Box::new(self.problem.places.iter().map(label)))
    }
}

/// Lines longer than this are not printed.
const LONG: usize = 4000;

/// A file with an endless line would make an endless report: its problems are told without the
/// line.
fn within<'a>(
    problem: &'a Problem,
    text: &'a str,
    base: usize,
) -> (Cow<'a, Problem>, Cow<'a, str>) {
    let line = |offset: usize| {
        let offset = (offset - base).min(text.len());
        let start = text.as_bytes()[..offset]
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let end = text.as_bytes()[offset..]
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(text.len(), |at| offset + at);
        end - start
    };
    if problem
        .places
        .iter()
        .all(|place| line(place.span.start) <= LONG)
    {
        return (Cow::Borrowed(problem), Cow::Borrowed(text));
    }
    let byte = problem.places.first().map_or(0, |place| place.span.start);
    let message = format!(
        "{} (at byte {byte}, in a line too long to show)",
        problem.message
    );
    (
        Cow::Owned(Problem {
            message,
            places: Vec::new(),
            ..problem.clone()
        }),
        Cow::Borrowed(""),
    )
}

/// Places in other texts than the first are told in words.
fn in_one_text<'a>(
    problem: &'a Problem,
    report: &ProblemReport,
    part: &SourceText,
    base: usize,
) -> Cow<'a, Problem> {
    let is_here =
        |place: &&ProblemPlace| (base..=base + part.text.len()).contains(&place.span.start);
    if problem.places.iter().all(|place| is_here(&place)) {
        return Cow::Borrowed(problem);
    }
    let mut message = problem.message.clone();
    for place in problem.places.iter().filter(|place| !is_here(place)) {
        let (name, line, column) = report.source.position(place.span.start);
        message.push_str(&format!("; {name}:{line}:{column}: {}", place.label));
    }
    let places = problem.places.iter().filter(is_here).cloned().collect();
    Cow::Owned(Problem {
        message,
        places,
        ..problem.clone()
    })
}

/// Renders a report for people: every problem with its place, then how many there are.
pub fn render(report: &ProblemReport, colour: bool) -> String {
    let theme = if colour {
        GraphicalTheme::unicode()
    } else {
        GraphicalTheme::unicode_nocolor()
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(110)
        .with_links(false);
    let mut text = String::new();
    for problem in &report.problems {
        let (part, base) = report
            .source
            .part(problem.places.first().map_or(0, |place| place.span.start));
        let problem = in_one_text(problem, report, part, base);
        let (problem, shown_text) = within(&problem, &part.text, base);
        let source = NamedSource::new(&part.name, shown_text.into_owned());
        let shown = ShownProblem {
            problem: &problem,
            source,
            base,
        };
        if handler.render_report(&mut text, &shown).is_err() {
            text.push_str(&problem.message);
        }
        text.push('\n');
    }
    let (count, shown) = (report.count, report.problems.len());
    let plural = if count == 1 { "problem" } else { "problems" };
    let first = if shown < count {
        format!("; the first {shown} are shown")
    } else {
        String::new()
    };
    text.push_str(&format!(
        "`{}` has {count} {plural}{first}\n",
        report.source.name
    ));
    text
}
