//! Switches that are not the same for everyone.

use serde::Deserialize;

/// What a switch says to whom.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Flag {
    /// `on`, `off`, or the name of a variant, for all.
    Fixed(String),
    /// `on` for a part of those who ask, always the same part.
    Percentage { key: &'static str, percent: u32 },
    /// What a rule file says.
    Rule { key: &'static str, rule: Rule },
}

/// A switch in a rule file. Whoever is denied hears `off`; else whoever is allowed is in;
/// else the share decides, if there is one; else the default.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Rule {
    default: Option<bool>,
    /// What it says instead of `on`.
    variant: Option<String>,
    allow: Option<Vec<String>>,
    allow_by: Option<String>,
    deny: Option<Vec<String>>,
    deny_by: Option<String>,
    percent: Option<Share>,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
struct Share {
    #[serde(default)]
    percent: i64,
    by: Option<String>,
}

/// The one thing that is known of whoever asks. Rules go by the user unless they say
/// otherwise, and then nobody here has a name.
const DAEMON: &str = "daemon_id";

impl Rule {
    fn of(&self, key: &str, identifier: Option<&str>) -> &str {
        let known = |by: Option<&String>| identifier.filter(|_| by.is_some_and(|by| by == DAEMON));
        let named = |list: Option<&Vec<String>>, by: Option<&String>| {
            list.zip(known(by)).is_some_and(|(list, name)| list.iter().any(|listed| listed == name))
        };
        let on = if named(self.deny.as_ref(), self.deny_by.as_ref()) {
            false
        } else if named(self.allow.as_ref(), self.allow_by.as_ref()) {
            true
        } else if let Some(share) = &self.percent {
            // All who have no name share one bucket.
            i64::from(bucket(key, known(share.by.as_ref()).unwrap_or_default())) < share.percent
        } else {
            self.default.unwrap_or(false)
        };
        let variant = self.variant.as_deref().filter(|variant| !variant.is_empty()).unwrap_or("on");
        if on { variant } else { "off" }
    }
}

impl Flag {
    /// Reads a switch as deployments write it. A percentage that is none is off.
    pub fn parse(key: &'static str, text: &str) -> Self {
        match text.trim().to_lowercase().as_str() {
            "true" | "on" | "1" | "yes" => Self::Fixed("on".to_owned()),
            "" | "false" | "off" | "0" | "no" => Self::Fixed("off".to_owned()),
            lower => match lower.strip_suffix('%') {
                Some(number) => {
                    let percent = number.trim().parse().ok().filter(|percent| *percent <= 100);
                    Self::Percentage { key, percent: percent.unwrap_or(0) }
                }
                None => Self::Fixed(text.trim().to_owned()),
            },
        }
    }

    /// What the switch says to whoever goes by `identifier`; to one without a name a
    /// percentage says `off`, unless it is everyone.
    pub fn of(&self, identifier: Option<&str>) -> &str {
        match self {
            Self::Fixed(text) => text,
            Self::Rule { key, rule } => rule.of(key, identifier),
            Self::Percentage { percent: 100, .. } => "on",
            Self::Percentage { key, percent } => {
                let inside = identifier.is_some_and(|identifier| bucket(key, identifier) < *percent);
                if inside { "on" } else { "off" }
            }
        }
    }
}

/// FNV-1a over the key, a NUL and the identifier: the same bucket in every process.
fn bucket(key: &str, identifier: &str) -> u32 {
    let bytes = key.bytes().chain([0]).chain(identifier.bytes());
    bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)) % 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_read_as_deployments_write_them() {
        for (text, expected) in [
            ("1", "on"),
            ("Yes", "on"),
            (" ", "off"),
            ("0", "off"),
            ("100%", "on"),
            ("0%", "off"),
            ("101%", "off"),
            ("v2", "v2"),
        ] {
            assert_eq!(Flag::parse("k", text).of(Some("d")), expected, "{text}");
        }
    }

    #[test]
    fn a_rule_denies_then_allows_then_shares_out() {
        let rule = |document: serde_json::Value| Flag::Rule {
            key: "k",
            rule: serde_json::from_value(document).unwrap(),
        };
        let lists = rule(serde_json::json!({
            "deny": ["a"], "deny_by": "daemon_id", "allow": ["a", "b"], "allow_by": "daemon_id", "variant": "v",
        }));
        assert_eq!(
            [Some("a"), Some("b"), Some("c"), None].map(|id| lists.of(id)),
            ["off", "v", "off", "off"]
        );
        // A user's name is nobody's here.
        let of_users = rule(serde_json::json!({"deny": ["a"], "default": true}));
        assert_eq!(of_users.of(Some("a")), "on");
        let share = |percent: i64| {
            rule(serde_json::json!({"default": true, "percent": {"percent": percent, "by": "daemon_id"}}))
        };
        let names: Vec<String> = (0..1000).map(|n| format!("daemon-{n}")).collect();
        for (percent, least, most) in
            [(-5, 0, 0), (0, 0, 0), (30, 200, 400), (100, 1000, 1000), (400, 1000, 1000)]
        {
            let on = names.iter().filter(|name| share(percent).of(Some(name)) == "on").count();
            assert!((least..=most).contains(&on), "{percent}: {on} of 1000");
        }
    }

    #[test]
    fn a_percentage_says_the_same_to_the_same_and_reaches_its_part() {
        let half = Flag::parse("runtime_brief_slim", "50%");
        let names: Vec<String> = (0..1000).map(|n| format!("daemon-{n}")).collect();
        let on = names.iter().filter(|name| half.of(Some(name)) == "on").count();
        assert!((400..600).contains(&on), "{on} of 1000");
        assert_eq!(half.of(Some("daemon-1")), half.of(Some("daemon-1")));
        assert_eq!(half.of(None), "off");
    }
}
