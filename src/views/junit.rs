//! A validation report as JUnit XML, for test runners: a test case a rule.

use std::fmt::Write as _;

use crate::render::html::escape;
use crate::schema::report::{RuleVerdict, ValidationReport};

/// A rule as a test.
struct TestCase {
    class: String,
    name: String,
    verdict: RuleVerdict,
    line: String,
}

/// Returns the XML of a validation.
pub fn xml(report: &ValidationReport) -> String {
    let cases = test_cases(report);
    let failures = cases
        .iter()
        .filter(|case| case.verdict == RuleVerdict::Failed)
        .count();
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites><testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\">\n",
        escape(&report.schema),
        cases.len()
    );
    for case in cases {
        let (class, name, line) = (escape(&case.class), escape(&case.name), escape(&case.line));
        let head = format!("  <testcase classname=\"{class}\" name=\"{name}\"");
        let _ = match case.verdict {
            RuleVerdict::Passed => writeln!(xml, "{head}/>"),
            RuleVerdict::Failed => {
                writeln!(xml, "{head}><failure message=\"{line}\"/></testcase>")
            }
            RuleVerdict::Warned | RuleVerdict::Quarantined => {
                writeln!(xml, "{head}><system-out>{line}</system-out></testcase>")
            }
        };
    }
    xml.push_str("</testsuite></testsuites>\n");
    xml
}

fn test_cases(report: &ValidationReport) -> Vec<TestCase> {
    let columns = report.columns.iter().map(|misfit| TestCase {
        class: misfit.column.clone(),
        name: misfit.rule.clone(),
        verdict: RuleVerdict::Failed,
        line: misfit.message.clone(),
    });
    let rows = report.rules.iter().map(|rule| TestCase {
        class: rule.column.clone().unwrap_or_else(|| "rows".to_owned()),
        name: rule.rule.clone(),
        verdict: rule.verdict,
        line: rule.line(),
    });
    let table = report.table.iter().map(|rule| TestCase {
        class: "table".to_owned(),
        name: rule.rule.clone(),
        verdict: rule.verdict,
        line: rule.line(),
    });
    let mut cases: Vec<TestCase> = columns.chain(rows).chain(table).collect();
    cases.push(quarantine(report));
    cases
}

/// Whether more rows are set aside than may be.
fn quarantine(report: &ValidationReport) -> TestCase {
    let verdict = match report.quarantined_share() > report.quarantine_at_most {
        true => RuleVerdict::Failed,
        false => RuleVerdict::Passed,
    };
    TestCase {
        class: "table".to_owned(),
        name: "quarantine_at_most".to_owned(),
        verdict,
        line: format!(
            "{} of {} rows are set aside",
            report.quarantined, report.rows
        ),
    }
}
