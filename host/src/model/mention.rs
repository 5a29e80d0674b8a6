//! Mentions in comments: `[@Name](mention://agent/<id>)`. Plain `@name` is never one.

use std::collections::HashSet;
use std::sync::LazyLock;

use regex::Regex;
use uuid::Uuid;

use super::ids::parse_uuid;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MentionKind {
    Member,
    Agent,
    Squad,
    Issue,
    All,
}

/// One mention. The id is absent for `all` and when it is not a UUID; such a mention of an
/// agent or squad refers to nobody.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Mention {
    pub kind: MentionKind,
    pub id: Option<Uuid>,
}

impl Mention {
    /// Whether it asks somebody to work: an agent, or a squad through its leader.
    pub fn is_call(&self) -> bool {
        matches!(self.kind, MentionKind::Agent | MentionKind::Squad)
    }
}

/// The label is matched shortest first and may hold brackets; a line break ends it.
static MENTION: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"\[@?(.+?)\]\(mention://(member|agent|squad|issue|all)/([0-9a-fA-F-]+|all)\)").ok()
});

/// Every mention in order of first appearance, each once.
pub fn mentions(text: &str) -> Vec<Mention> {
    let mut seen = HashSet::new();
    all(text).filter(|mention| seen.insert(*mention)).collect()
}

/// The first mention that asks somebody to work.
pub fn first_call(text: &str) -> Option<Mention> {
    all(text).find(Mention::is_call)
}

/// Whether the author wants nobody to react: the first word is `/note`, in any case.
pub fn is_note(text: &str) -> bool {
    text.split_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case("/note"))
}

fn all(text: &str) -> impl Iterator<Item = Mention> + '_ {
    MENTION.iter().flat_map(|regex| regex.captures_iter(text)).map(|captures| {
        let kind = match &captures[2] {
            "member" => MentionKind::Member,
            "agent" => MentionKind::Agent,
            "squad" => MentionKind::Squad,
            "issue" => MentionKind::Issue,
            _ => MentionKind::All,
        };
        Mention { kind, id: parse_uuid(&captures[3]) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "7c9e6679-7425-40de-944b-e07fc1f90ae7";

    #[test]
    fn labels_may_hold_brackets_and_repeats_count_once() {
        let text = format!(
            "[@A [x]](mention://agent/{ID}) [B](mention://agent/{ID}) [@all](mention://all/all) @ann"
        );
        let found = mentions(&text);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], Mention { kind: MentionKind::Agent, id: parse_uuid(ID) });
        assert_eq!(found[1].kind, MentionKind::All);
    }

    #[test]
    fn an_id_that_is_none_refers_to_nobody() {
        assert_eq!(mentions("[x](mention://agent/abc)"), [Mention { kind: MentionKind::Agent, id: None }]);
        assert!(mentions("[](mention://agent/abc) (mention://agent/abc)").is_empty());
    }

    #[test]
    fn code_is_no_refuge_and_a_line_break_is_the_end() {
        assert_eq!(mentions(&format!("```\n[@a](mention://member/{ID})\n```")).len(), 1);
        assert!(mentions(&format!("[@a\n](mention://member/{ID})")).is_empty());
    }

    #[test]
    fn the_first_call_is_of_an_agent_or_a_squad() {
        let text = format!("[i](mention://issue/{ID}) [m](mention://member/{ID}) [s](mention://squad/{ID})");
        assert_eq!(first_call(&text).map(|mention| mention.kind), Some(MentionKind::Squad));
        assert_eq!(first_call("@ann"), None);
    }

    #[test]
    fn a_note_is_told_by_its_first_word() {
        for note in ["/note", " \n/NOTE x", "/Note\tx"] {
            assert!(is_note(note), "{note:?}");
        }
        for other in ["", "/notes x", "x /note", "/ note", "//note"] {
            assert!(!is_note(other), "{other:?}");
        }
    }

    mod grammar {
        use std::fmt::Write;

        use proptest::prelude::*;

        use super::super::*;

        const KINDS: [(&str, MentionKind); 5] = [
            ("member", MentionKind::Member),
            ("agent", MentionKind::Agent),
            ("squad", MentionKind::Squad),
            ("issue", MentionKind::Issue),
            ("all", MentionKind::All),
        ];

        /// A label: anything in one line that does not hold the start of a target.
        fn label() -> impl Strategy<Value = String> {
            "[^\\n]{1,12}".prop_filter("a label ends where a target begins", |label| {
                !label.contains("](mention://") && label != "@"
            })
        }

        /// Text between mentions: no bracket that could open one early.
        fn prose() -> impl Strategy<Value = String> {
            r"[a-z @()/:.\n]{0,12}"
        }

        proptest! {
            /// What is written as a mention is read as that mention, each once, in order.
            #[test]
            fn mentions_are_read_as_written(
                parts in prop::collection::vec((prose(), label(), 0..5_usize, 0..4_u128, any::<bool>()), 0..6),
                end in prose(),
            ) {
                let mut text = String::new();
                let mut expected: Vec<Mention> = Vec::new();
                for (before, label, kind, id, upper) in &parts {
                    let (name, kind) = KINDS[*kind];
                    let id = Uuid::from_u128(*id << 64 | 0xABCD);
                    let spelled = if *upper { id.to_string().to_uppercase() } else { id.to_string() };
                    // Line breaks keep one mention's label from reaching into another.
                    write!(text, "{before}\n[{label}](mention://{name}/{spelled})").unwrap();
                    let mention = Mention { kind, id: Some(id) };
                    if !expected.contains(&mention) {
                        expected.push(mention);
                    }
                }
                text += &end;
                prop_assert_eq!(first_call(&text), expected.iter().copied().find(Mention::is_call));
                prop_assert_eq!(mentions(&text), expected);
            }

            /// Any text is read without a panic, and nothing is found that is not there.
            #[test]
            fn any_text_is_read(text in r"([\[\]()@/a-f0-9-]|mention://|agent|all|\PC){0,60}") {
                let found = mentions(&text);
                prop_assert!(found.is_empty() || text.contains("](mention://"));
                prop_assert_eq!(found.iter().any(Mention::is_call), first_call(&text).is_some());
                let shown: HashSet<Mention> = found.iter().copied().collect();
                prop_assert_eq!(shown.len(), found.len());
            }
        }
    }
}
