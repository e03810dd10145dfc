//! Source (a text and its name), Span (byte offset, length), `Spanned<T>`.

/// A text a user wrote, and the name it goes by in reports; with the texts it takes in, if any.
///
/// Places in all of them are told apart by one count of bytes: each text begins where the one
/// before it ends, and one byte later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceText {
    /// The path as the user gave it.
    pub name: String,
    /// The whole text.
    pub text: String,
    /// Texts that are taken in, each with its own name, in the order in which they were met.
    pub others: Vec<SourceText>,
}

/// A stretch of a source, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Number of bytes.
    pub length: usize,
}

/// A value and the place where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub span: Span,
}

impl SourceText {
    /// Makes a source that takes in no other.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
            others: Vec::new(),
        }
    }

    /// Adds a text; returns where its first byte stands.
    pub fn take_in(&mut self, other: SourceText) -> usize {
        let base = self.end();
        self.others.push(other);
        base
    }

    fn end(&self) -> usize {
        self.text.len()
            + 1
            + self
                .others
                .iter()
                .map(|other| other.text.len() + 1)
                .sum::<usize>()
    }

    /// Returns the text a byte stands in, and where that text begins.
    pub fn part(&self, offset: usize) -> (&SourceText, usize) {
        let mut base = 0;
        for part in std::iter::once(self).chain(&self.others) {
            if offset <= base + part.text.len() {
                return (part, base);
            }
            base += part.text.len() + 1;
        }
        (self, 0)
    }

    /// Returns the name of the text a byte stands in, and its line and column there, both counted
    /// from one, the column in characters.
    pub fn position(&self, offset: usize) -> (&str, usize, usize) {
        let (part, base) = self.part(offset);
        let mut end = (offset - base).min(part.text.len());
        while !part.text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &part.text[..end];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (
            &part.name,
            before.matches('\n').count() + 1,
            before[line_start..].chars().count() + 1,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_tell_the_text_they_stand_in() {
        let mut source = SourceText::new("a", "one\ntwo");
        let (b, c) = (
            source.take_in(SourceText::new("b", "x\nyz")),
            source.take_in(SourceText::new("c", "")),
        );
        assert_eq!(source.position(4), ("a", 2, 1));
        assert_eq!(
            source.position(7),
            ("a", 2, 4),
            "the end of a text belongs to it"
        );
        assert_eq!(source.position(b), ("b", 1, 1));
        assert_eq!(source.position(b + 3), ("b", 2, 2));
        assert_eq!(source.position(c), ("c", 1, 1));
    }
}
