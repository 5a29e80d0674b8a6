//! What somebody looks for: a phrase, the words it is made of, and where a text has them.

use regex::{Regex, RegexBuilder};

/// The longest phrase that is looked for, in characters; more of it changes nothing.
const CHARS: usize = 200;
/// How many of a phrase's words are looked for one by one.
pub const WORDS: usize = 8;
/// How much of a text is shown around what was found, in characters to each side.
const AROUND: usize = 60;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Terms {
    pub phrase: String,
    /// At most [`WORDS`].
    pub words: Vec<String>,
}

impl Terms {
    /// `None` when there is nothing to look for.
    pub fn read(text: &str) -> Option<Self> {
        let phrase: String = text.trim().chars().take(CHARS).collect();
        let words: Vec<String> = phrase.split_whitespace().take(WORDS).map(str::to_owned).collect();
        if words.is_empty() { None } else { Some(Self { phrase, words }) }
    }

    /// A part of the text around the phrase, or around the first of the words in it.
    pub fn snippet(&self, text: &str) -> Option<String> {
        let terms = std::iter::once(&self.phrase).chain(&self.words);
        let found = terms.filter_map(|term| finder(term)).find_map(|finder| finder.find(text))?;
        let start = text[..found.start()].char_indices().rev().nth(AROUND - 1).map_or(0, |(at, _)| at);
        let after = &text[found.end()..];
        let end = found.end() + after.char_indices().nth(AROUND).map_or(after.len(), |(at, _)| at);
        let (left, right) = (if start > 0 { "…" } else { "" }, if end < text.len() { "…" } else { "" });
        Some(format!("{left}{}{right}", text[start..end].replace(['\n', '\r', '\t'], " ")))
    }

    /// Why a title and a description are found, the best reason first: the whole title, its
    /// beginning, the phrase in it, the words in it, then the same of the description, then
    /// the words here and there. `None` when they are not.
    pub fn tier(&self, title: &str, description: &str) -> Option<u8> {
        let is =
            |expression: String, text: &str| Regex::new(&expression).is_ok_and(|found| found.is_match(text));
        let has = |term: &str, text: &str| is(expression(term), text);
        let all = |text: &str| self.words.iter().all(|word| has(word, text));
        let reasons = [
            is(whole(&self.phrase), title),
            is(beginning(&self.phrase), title),
            has(&self.phrase, title),
            all(title),
            has(&self.phrase, description),
            all(description),
            self.words.iter().all(|word| has(word, title) || has(word, description)),
        ];
        reasons.iter().position(|holds| *holds).and_then(|tier| u8::try_from(tier).ok())
    }

    /// Whether any of the words is in the text.
    pub fn touches(&self, text: &str) -> bool {
        self.words.iter().filter_map(|word| finder(word)).any(|finder| finder.is_match(text))
    }
}

/// A regular expression for a text in any case.
pub fn expression(term: &str) -> String {
    format!("(?is){}", regex::escape(term))
}

/// The same for a text that is nothing else.
pub fn whole(term: &str) -> String {
    format!("(?is)^{}$", regex::escape(term))
}

/// The same for a text that begins so.
pub fn beginning(term: &str) -> String {
    format!("(?is)^{}", regex::escape(term))
}

/// A pattern of `LIKE` for a text, without the percent signs around it.
pub fn pattern(term: &str) -> String {
    term.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}

fn finder(term: &str) -> Option<Regex> {
    RegexBuilder::new(&expression(term)).build().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phrase_is_trimmed_and_bounded() {
        assert_eq!(Terms::read(" \n"), None);
        let terms = Terms::read("  Fix  the build ").unwrap();
        assert_eq!(terms.phrase, "Fix  the build");
        assert_eq!(terms.words, ["Fix", "the", "build"]);
        assert_eq!(Terms::read(&"x ".repeat(500)).unwrap().words.len(), WORDS);
    }

    #[test]
    fn a_snippet_shows_what_is_around() {
        let terms = Terms::read("ÄPFEL").unwrap();
        assert_eq!(terms.snippet("drei\näpfel").as_deref(), Some("drei äpfel"));
        let long = format!("{}äpfel{}", "é".repeat(100), "é".repeat(100));
        let around = "é".repeat(60);
        assert_eq!(terms.snippet(&long), Some(format!("…{around}äpfel{around}…")));
        assert_eq!(terms.snippet("birnen"), None);
        let terms = Terms::read("not here").unwrap();
        assert_eq!(terms.snippet("It is HERE.").as_deref(), Some("It is HERE."));
        assert!(terms.touches("Here!") && !terms.touches("elsewhen"));
    }

    #[test]
    fn a_title_is_a_better_reason_than_a_description() {
        let terms = Terms::read("big Plan").unwrap();
        for (title, description, tier) in [
            ("BIG plan", "", Some(0)),
            ("Big plan B", "", Some(1)),
            ("A big plan", "", Some(2)),
            ("Plan big", "", Some(3)),
            ("x", "a big plan", Some(4)),
            ("x", "plan, big", Some(5)),
            ("big", "plan", Some(6)),
            ("big", "x", None),
        ] {
            assert_eq!(terms.tier(title, description), tier, "{title} {description}");
        }
    }

    #[test]
    fn what_would_be_a_pattern_is_text() {
        assert_eq!(pattern(r"50%_\"), r"50\%\_\\");
        assert_eq!(expression("a.b"), r"(?is)a\.b");
    }
}
