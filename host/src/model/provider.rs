//! What is known of the agent CLIs: how hard they can be told to think, and which models
//! they run.

use std::sync::LazyLock;

use regex::Regex;

const CLAUDE_MODELS: [&str; 8] = [
    "claude-sonnet-5",
    "claude-sonnet-4-6",
    "claude-fable-5",
    "claude-opus-4-8",
    "claude-opus-4-7",
    "claude-haiku-4-5-20251001",
    "claude-opus-4-6",
    "claude-sonnet-4-5",
];
const CODEX_MODELS: [&str; 8] =
    ["gpt-5.5", "gpt-5.5-mini", "gpt-5.4", "gpt-5.4-mini", "gpt-5.3-codex", "gpt-5", "o3", "o3-mini"];

/// Whether the provider's CLI takes this thinking level. No level is always fine.
pub fn accepts_thinking_level(provider: &str, level: &str) -> bool {
    if level.is_empty() {
        return true;
    }
    match provider {
        "claude" => matches!(level, "low" | "medium" | "high" | "xhigh" | "max"),
        "codex" => matches!(level, "none" | "minimal" | "low" | "medium" | "high" | "xhigh"),
        "codebuddy" => matches!(level, "low" | "medium" | "high" | "xhigh"),
        "opencode" => is_free_level(level),
        _ => false,
    }
}

/// `[A-Za-z0-9][A-Za-z0-9_.-]{0,63}`: whatever variant the model's own provider has.
fn is_free_level(level: &str) -> bool {
    level.len() <= 64
        && level.starts_with(|first: char| first.is_ascii_alphanumeric())
        && level.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

/// Whether a model belongs to some other provider's CLI, so that an agent that moves to
/// `provider` must not take it along. Only two providers have a closed list; a name that
/// says nothing about where it comes from is left to the CLI.
pub fn rejects_model(provider: &str, model: &str) -> bool {
    let model = model.trim();
    let known: &[&str] = match provider {
        "claude" => &CLAUDE_MODELS,
        "codex" => &CODEX_MODELS,
        _ => return false,
    };
    !model.is_empty() && !known.contains(&model) && names_a_maker(model)
}

fn names_a_maker(model: &str) -> bool {
    // OpenAI's o-series: `o3`, `o4-mini`.
    static O_SERIES: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new("^o[0-9]+(-.*)?$").ok());
    model.contains('/')
        || ["claude-", "gpt-", "gemini-", "auto-gemini-"].iter().any(|prefix| model.starts_with(prefix))
        || O_SERIES.as_ref().is_some_and(|series| series.is_match(model))
        || CLAUDE_MODELS.contains(&model)
        || CODEX_MODELS.contains(&model)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_provider_has_its_own_levels() {
        for (provider, level, expected) in [
            ("claude", "max", true),
            ("claude", "none", false),
            ("codex", "minimal", true),
            ("codex", "max", false),
            ("codebuddy", "xhigh", true),
            ("codebuddy", "none", false),
            ("opencode", "very-high.2_x", true),
            ("opencode", "-high", false),
            ("opencode", "a b", false),
            ("kimi", "low", false),
            ("kimi", "", true),
        ] {
            assert_eq!(accepts_thinking_level(provider, level), expected, "{provider} {level}");
        }
        assert!(accepts_thinking_level("opencode", &"a".repeat(64)));
        assert!(!accepts_thinking_level("opencode", &"a".repeat(65)));
    }

    #[test]
    fn only_what_names_another_maker_is_rejected() {
        for (provider, model, expected) in [
            ("claude", "claude-opus-4-8", false),
            ("claude", " claude-opus-4-8 ", false),
            ("claude", "claude-opus-9", true),
            ("claude", "gpt-5", true),
            ("claude", "o3", true),
            ("claude", "o4-mini", true),
            ("claude", "o", false),
            ("claude", "ox", false),
            ("claude", "anthropic/claude", true),
            ("claude", "sonnet", false),
            ("claude", "", false),
            ("codex", "gpt-5.5", false),
            ("codex", "gemini-3", true),
            ("codex", "auto-gemini-3", true),
            ("codex", "my-own", false),
            ("opencode", "gpt-5", false),
        ] {
            assert_eq!(rejects_model(provider, model), expected, "{provider} {model}");
        }
    }
}
