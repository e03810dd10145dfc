//! `when:` – a truth value, or comparisons joined by `and`, `or` and `not`.

/// Reads a condition whose references have been replaced: words, `==`, `!=`, `<`, `<=`, `>`, `>=`,
/// `not`, `and`, `or`; `and` binds closer than `or`. Two sides that both are numbers are compared
/// as numbers, others as text.
///
/// # Errors
/// What cannot be understood.
pub fn holds(text: &str) -> Result<bool, String> {
    let words = words(text)?;
    let mut any = false;
    for part in words.split(|word| word == "or") {
        let mut all = true;
        for term in part.split(|word| word == "and") {
            all &= single(term)?;
        }
        any |= all;
    }
    Ok(any)
}

fn single(words: &[String]) -> Result<bool, String> {
    let nots = words.iter().take_while(|word| *word == "not").count();
    let holds = match &words[nots..] {
        [one] if one == "true" => true,
        [one] if one == "false" => false,
        [left, operator, right] => compare(left, operator, right)?,
        _ => return Err(format!("`{}` is no condition", shortened(&words.join(" ")))),
    };
    Ok(holds ^ (nots % 2 == 1))
}

/// A text that may be very long, as far as people want to read it.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 200;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text.to_owned(),
    }
}

fn compare(left: &str, operator: &str, right: &str) -> Result<bool, String> {
    let order = match (left.parse::<f64>(), right.parse::<f64>()) {
        (Ok(left), Ok(right)) => left.partial_cmp(&right),
        _ => Some(unquoted(left).cmp(unquoted(right))),
    };
    let Some(order) = order else {
        return Ok(operator == "!=");
    };
    match operator {
        "==" => Ok(order.is_eq()),
        "!=" => Ok(order.is_ne()),
        "<" => Ok(order.is_lt()),
        "<=" => Ok(order.is_le()),
        ">" => Ok(order.is_gt()),
        ">=" => Ok(order.is_ge()),
        other => Err(format!("`{other}` is not a comparison")),
    }
}

fn unquoted(word: &str) -> &str {
    let inner = word
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''));
    inner
        .or_else(|| {
            word.strip_prefix('"')
                .and_then(|rest| rest.strip_suffix('"'))
        })
        .unwrap_or(word)
}

/// Splits at blanks outside of quotes.
fn words(text: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in text.chars() {
        match quote {
            None if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ => {}
        }
        word.push(c);
    }
    if quote.is_some() {
        return Err("a quote is not closed".to_owned());
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_as_they_look() {
        let cases = [
            ("true", true),
            ("not true", false),
            ("1e1 == 10", true),
            ("9 < 10", true),
            ("'9' < '10'", false),
            ("ci == 'ci' and 2 > 1", true),
            ("false and false or true", true),
            ("a b == 'a b'", false),
            ("'a b' == \"a b\"", true),
            ("nan == nan", false),
        ];
        for (text, expected) in cases {
            let found = holds(text);
            if text == "a b == 'a b'" {
                assert!(found.is_err());
            } else {
                assert_eq!(found, Ok(expected), "{text}");
            }
        }
        assert!(holds("").is_err());
        assert!(holds("a ~ b").unwrap_err().contains("not a comparison"));
        assert!(holds("'a == b").is_err());
    }
}
