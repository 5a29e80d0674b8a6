//! Switches that are not the same for everyone.

/// What a switch says to whom.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Flag {
    /// `on`, `off`, or the name of a variant, for all.
    Fixed(String),
    /// `on` for a part of those who ask, always the same part.
    Percentage { key: &'static str, percent: u32 },
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
    fn a_percentage_says_the_same_to_the_same_and_reaches_its_part() {
        let half = Flag::parse("runtime_brief_slim", "50%");
        let names: Vec<String> = (0..1000).map(|n| format!("daemon-{n}")).collect();
        let on = names.iter().filter(|name| half.of(Some(name)) == "on").count();
        assert!((400..600).contains(&on), "{on} of 1000");
        assert_eq!(half.of(Some("daemon-1")), half.of(Some("daemon-1")));
        assert_eq!(half.of(None), "off");
    }
}
