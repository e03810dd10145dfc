//! A body to a page of HTML that needs nothing else; text to what stands for itself in HTML, SVG and
//! XML.

/// Puts a body into a page; `style` is what it needs beyond the common style.
pub fn page(title: &str, style: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{title}</title>\n<style>{STYLE}{style}</style></head>\n\
         <body>\n{body}</body>\n</html>\n"
    )
}

/// The look of pages.
const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em;color:#1b1f24}\
h1{font-size:1.4em}h2{font-size:1.1em;margin-top:1.6em}dl{display:grid;grid-template-columns:max-content auto;gap:.1em 1em}\
dt{color:#57606a}dd{margin:0}table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.25em .7em .25em 0;\
border-bottom:1px solid #d8dee4;vertical-align:top}th{color:#57606a;font-weight:600}.n{text-align:right}\
code{font:13px ui-monospace,monospace;overflow-wrap:anywhere}.valid,.passed td:first-child{color:#1a7f37}\
.refused,.failed td:first-child{color:#cf222e;font-weight:600}.warned td:first-child,.quarantined td:first-child{color:#9a6700}";

/// Escapes text for HTML and XML; characters that XML cannot hold become a mark.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(' '),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_is_escaped() {
        assert_eq!(
            escape("<a & \"b\">\u{1}\n"),
            "&lt;a &amp; &quot;b&quot;&gt;\u{fffd} "
        );
    }
}
