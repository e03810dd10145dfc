//! Problem + Source → the rendered report with the place marked.

use std::fmt;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};

use crate::base::problem::{Problem, Report};

struct Shown<'a> {
    problem: &'a Problem,
    source: NamedSource<String>,
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.message)
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.message)
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.problem.code))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.problem.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        (!self.problem.places.is_empty()).then_some(&self.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = |place: &crate::base::problem::Place| {
            LabeledSpan::new(Some(place.label.clone()), place.span.start, place.span.length.max(1))
        };
        Some(Box::new(self.problem.places.iter().map(label)))
    }
}

/// Renders a report for people: every problem with its place, then how many there are.
pub fn render(report: &Report, colour: bool) -> String {
    let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(110).with_links(false);
    let mut text = String::new();
    for problem in &report.problems {
        let source = NamedSource::new(&report.source.name, report.source.text.clone());
        let shown = Shown { problem, source };
        if handler.render_report(&mut text, &shown).is_err() {
            text.push_str(&problem.message);
        }
        text.push('\n');
    }
    let count = report.problems.len();
    let plural = if count == 1 { "problem" } else { "problems" };
    text.push_str(&format!("`{}` has {count} {plural}\n", report.source.name));
    text
}
