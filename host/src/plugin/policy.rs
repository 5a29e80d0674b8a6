//! For which tasks a plugin is asked, and what its failures cost.

use std::collections::{BTreeMap, HashSet};

use serde::{Serialize, Serializer};

use super::error::PluginError;
use super::stage::{Kind, Subject};

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Policy {
    pub matching: Match,
    pub on_error: OnErrors,
    /// Without it the gateway is not ready.
    pub required: bool,
}

/// What a claim does when a plugin fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// It goes on without the plugin's part.
    #[default]
    Skip,
    /// The task goes back to the queue.
    Fail,
}

/// [`OnError`], cause by cause.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OnErrors {
    pub default: OnError,
    /// By [`PluginError::code`].
    pub causes: BTreeMap<&'static str, OnError>,
}

/// The causes that a document may name, as [`PluginError::code`] gives them.
pub const CAUSES: [&str; 9] =
    ["deadline", "timeout", "trap", "memory", "size", "failed", "overload", "breaker_open", "invalid_output"];

impl OnErrors {
    pub fn of(&self, error: &PluginError) -> OnError {
        self.causes.get(error.code()).copied().unwrap_or(self.default)
    }
}

/// One word where one holds for every cause, as it is written.
impl Serialize for OnErrors {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.causes.is_empty() {
            return self.default.serialize(serializer);
        }
        let causes = self.causes.iter().map(|(cause, on_error)| (*cause, *on_error));
        serializer.collect_map(std::iter::once(("default", self.default)).chain(causes))
    }
}

/// The tasks a plugin is asked for: those that every list here fits. An absent list fits all.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Match {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspaces: Option<HashSet<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agents: Option<HashSet<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kinds: Option<Vec<Kind>>,
}

/// Stands for every id that no list names.
const OTHER: &str = "";

impl Match {
    pub fn fits(&self, subject: &Subject) -> bool {
        self.takes(&subject.workspace_id, &subject.agent_id, subject.kind)
    }

    fn takes(&self, workspace: &str, agent: &str, kind: Kind) -> bool {
        let named = |list: &Option<HashSet<String>>, id| list.as_ref().is_none_or(|list| list.contains(id));
        named(&self.workspaces, workspace)
            && named(&self.agents, agent)
            && self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind))
    }

    /// Whether no task is left for this one when those before it have taken theirs.
    ///
    /// Where a list is absent it is enough to look at an id that nobody names: whoever takes
    /// that takes every other, too.
    pub fn is_behind(&self, earlier: &[&Match]) -> bool {
        let ids = |list: &Option<HashSet<String>>| -> Vec<String> {
            list.as_ref().map_or_else(|| vec![OTHER.to_owned()], |list| list.iter().cloned().collect())
        };
        let (workspaces, agents) = (ids(&self.workspaces), ids(&self.agents));
        let kinds = self.kinds.as_deref().unwrap_or(&Kind::ALL);
        let is_taken = |workspace: &str, agent: &str, kind: Kind| {
            earlier.iter().any(|earlier| earlier.takes(workspace, agent, kind))
        };
        workspaces.iter().all(|workspace| {
            agents.iter().all(|agent| kinds.iter().all(|kind| is_taken(workspace, agent, *kind)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ids: &[&str]) -> HashSet<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    #[test]
    fn a_plugin_is_behind_when_those_before_it_take_all_of_its_tasks() {
        let all = Match::default();
        let kinds = |kinds: &[Kind]| Match { kinds: Some(kinds.to_vec()), ..Match::default() };
        let (talk, rest) = (
            kinds(&[Kind::Chat, Kind::Comment]),
            kinds(&[Kind::Direct, Kind::Autopilot, Kind::QuickCreate, Kind::Chat]),
        );
        let here = Match { workspaces: Some(set(&["w"])), ..Match::default() };
        let here_talk = Match { workspaces: Some(set(&["w"])), ..talk.clone() };
        let agent = Match { agents: Some(set(&["a", "b"])), ..Match::default() };
        assert!(!all.is_behind(&[]));
        assert!(all.is_behind(&[&all]) && talk.is_behind(&[&all]));
        assert!(!all.is_behind(&[&talk]), "other kinds are left");
        assert!(all.is_behind(&[&talk, &rest]), "together they take every kind");
        assert!(here_talk.is_behind(&[&here]) && here_talk.is_behind(&[&talk]));
        assert!(!talk.is_behind(&[&here]), "other workspaces are left");
        assert!(!here.is_behind(&[&agent]) && !agent.is_behind(&[&here]));
        let both = [
            Match { agents: Some(set(&["a"])), ..all.clone() },
            Match { agents: Some(set(&["b"])), ..here.clone() },
        ];
        let narrow =
            Match { workspaces: Some(set(&["w"])), agents: Some(set(&["a", "b"])), ..Match::default() };
        assert!(narrow.is_behind(&[&both[0], &both[1]]), "each takes a part");
        assert!(!narrow.is_behind(&[&both[1]]));
    }
}
