//! The file that `MULTICA_FEATURE_FLAGS_FILE` names: a YAML document with a rule for each
//! switch. Switches that this gateway does not have may stand in it.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context;

use crate::model::flag::{Flag, Rule};

/// The rules of the file; none when it is empty.
#[derive(Default)]
pub struct Rules(HashMap<String, Option<Rule>>);

impl Rules {
    /// A file that is named and cannot be read, or makes no sense, keeps the gateway from
    /// starting: half its switches would stand wrong without a word.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let named = || format!("the file of feature flags {}", file.display());
        let text = std::fs::read_to_string(file).with_context(named)?;
        Self::parse(&text).with_context(named)
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let rules: Option<HashMap<String, Option<Rule>>> = serde_saphyr::from_str(text)?;
        Ok(Self(rules.unwrap_or_default()))
    }

    /// What the file says of the switch; off when it says nothing.
    pub fn flag(&self, key: &'static str) -> Flag {
        let rule = self.0.get(key).cloned().flatten().unwrap_or_default();
        Flag::Rule { key, rule }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_deployments_write_it() {
        let text = "
# Comments are fine.
runtime_brief_slim:
  default: true
  variant: slim-2
  deny: ['dm-1', 7]
  deny_by: daemon_id
composio_mcp_apps: { default: true }
somebody_elses: { default: false, percent: { percent: 25, by: user_id } }
nothing_yet:
";
        let rules = Rules::parse(text).unwrap();
        let slim = rules.flag("runtime_brief_slim");
        assert_eq!(
            [Some("dm-1"), Some("7"), Some("dm-2"), None].map(|id| slim.of(id)),
            ["off", "off", "slim-2", "slim-2"]
        );
        assert_eq!(rules.flag("composio_mcp_apps").of(None), "on");
        assert_eq!(rules.flag("nothing_yet").of(None), "off");
        assert_eq!(rules.flag("never_heard_of").of(None), "off");
    }

    #[test]
    fn an_empty_file_has_no_rules() {
        for text in ["", " \n", "# nothing yet\n"] {
            assert_eq!(Rules::parse(text).unwrap().flag("k").of(None), "off", "{text:?}");
        }
    }

    #[test]
    fn a_file_that_makes_no_sense_is_refused() {
        for text in ["just words", "- a\n- list", "k: { default: maybe }", "k: [", "k: { percent: 25 }"] {
            assert!(Rules::parse(text).is_err(), "{text}");
        }
        assert!(Rules::read(Path::new("/nowhere/at/all")).is_err());
    }
}
