//! Mentions in comments: `[@Name](mention://agent/<id>)`. Plain `@name` is never one.

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

/// The label is matched shortest first and may hold brackets; a line break ends it.
static MENTION: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"\[@?(.+?)\]\(mention://(member|agent|squad|issue|all)/([0-9a-fA-F-]+|all)\)").ok()
});

/// Every mention in order of first appearance, each once.
pub fn mentions(text: &str) -> Vec<Mention> {
    let mut found = Vec::new();
    for captures in MENTION.iter().flat_map(|regex| regex.captures_iter(text)) {
        let kind = match &captures[2] {
            "member" => MentionKind::Member,
            "agent" => MentionKind::Agent,
            "squad" => MentionKind::Squad,
            "issue" => MentionKind::Issue,
            _ => MentionKind::All,
        };
        let mention = Mention { kind, id: parse_uuid(&captures[3]) };
        if !found.contains(&mention) {
            found.push(mention);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_may_hold_brackets_and_repeats_count_once() {
        let id = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
        let text = format!(
            "[@A [x]](mention://agent/{id}) [B](mention://agent/{id}) [@all](mention://all/all) @ann"
        );
        let found = mentions(&text);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], Mention { kind: MentionKind::Agent, id: parse_uuid(id) });
        assert_eq!(found[1].kind, MentionKind::All);
    }

    #[test]
    fn an_id_that_is_none_refers_to_nobody() {
        assert_eq!(mentions("[x](mention://agent/abc)"), [Mention { kind: MentionKind::Agent, id: None }]);
        assert!(mentions("[](mention://agent/abc) (mention://agent/abc)").is_empty());
    }
}
