//! Why tasks fail, and what follows from a reason.

/// What a task fails with when its daemon came back without it.
pub const RUNTIME_RECOVERY: &str = "runtime_recovery";
/// When the runtime went away with it.
pub const RUNTIME_OFFLINE: &str = "runtime_offline";
/// When it was not started, or not finished, in time.
pub const TIMEOUT: &str = "timeout";
/// When nobody claimed it for long.
pub const QUEUED_EXPIRED: &str = "queued_expired";

/// The reasons after which a session must not be resumed: whatever broke it is in it.
pub const RESUME_UNSAFE: [&str; 4] =
    ["iteration_limit", "agent_fallback_message", "api_invalid_request", "codex_semantic_inactivity"];

/// The reasons that say nothing about the work itself, so that another try makes sense.
const RETRYABLE: [&str; 4] = [RUNTIME_OFFLINE, RUNTIME_RECOVERY, TIMEOUT, "codex_semantic_inactivity"];

pub fn is_resume_unsafe(reason: &str) -> bool {
    RESUME_UNSAFE.contains(&reason)
}

pub fn is_retryable(reason: &str) -> bool {
    RETRYABLE.contains(&reason)
}

/// Whether a retry after `reason` must start without the session.
pub fn needs_fresh_session(reason: &str) -> bool {
    reason == "codex_semantic_inactivity"
}

/// The reason an error text stands for; the first rule that matches decides.
pub fn classify(error: &str) -> &'static str {
    let text = error.trim().to_lowercase();
    if text.is_empty() {
        return "agent_error.unknown";
    }
    RULES.iter().find(|rule| rule.matches(&text)).map_or("agent_error.unknown", |rule| rule.reason)
}

struct Rule {
    reason: &'static str,
    /// Any of these alone.
    any: &'static [&'static str],
    /// Both of a pair.
    both: &'static [(&'static str, &'static str)],
    /// Something no list of substrings can say.
    also: Option<fn(&str) -> bool>,
}

impl Rule {
    fn matches(&self, text: &str) -> bool {
        self.any.iter().any(|part| text.contains(part))
            || self.both.iter().any(|(a, b)| text.contains(a) && text.contains(b))
            || self.also.is_some_and(|test| test(text))
    }
}

const RULES: &[Rule] = &[
    Rule {
        reason: "agent_error.context_overflow",
        any: &[
            "context length",
            "context_length_exceeded",
            "maximum context",
            "prompt is too long",
            "context size has been exceeded",
        ],
        both: &[("token", "limit")],
        also: None,
    },
    Rule {
        reason: "agent_error.missing_config",
        any: &["missing environment variable", "no llm provider configured", "no provider configured"],
        both: &[("missing", "api_key"), ("api key", "required")],
        also: None,
    },
    Rule {
        reason: "agent_error.provider_auth_or_access",
        any: &[
            "401",
            "403",
            "unauthorized",
            "login required",
            "not logged in",
            "please login again",
            "refresh token",
            "invalid api key",
            "access token",
            "subscription access",
            "does not have access",
            "you may not have access",
        ],
        both: &[],
        also: None,
    },
    Rule {
        reason: "agent_error.provider_quota_limit",
        any: &[
            "402",
            "insufficient_balance",
            "balance is too low",
            "monthly usage limit",
            "usage limit",
            "you've hit your limit",
            "you\u{2019}ve hit your limit",
            "credits",
            "quota",
        ],
        both: &[],
        also: None,
    },
    Rule {
        reason: "agent_error.provider_capacity_or_rate_limit",
        any: &["429", "rate limit", "overloaded", "529", "no capacity available"],
        both: &[],
        also: None,
    },
    Rule {
        reason: "agent_error.provider_server_error",
        any: &[
            "server had an error",
            "provider returned error",
            "internal error",
            "service unavailable",
            "bad gateway",
        ],
        both: &[],
        also: Some(names_a_5xx),
    },
    Rule {
        reason: "agent_error.provider_network",
        any: &[
            "stream disconnected",
            "error sending request",
            "unable to connect",
            "dial tcp",
            "connection refused",
            "connectionrefused",
            "dns",
            "i/o timeout",
        ],
        both: &[],
        also: None,
    },
    Rule {
        reason: "agent_error.model_not_found_or_unavailable",
        any: &["unknown model", "selected model", "http 404", "404 page not found"],
        both: &[("model", "not found")],
        also: None,
    },
    Rule {
        reason: "agent_error.empty_or_unparseable_output",
        any: &["returned empty output", "returned no parseable output"],
        both: &[],
        also: None,
    },
    Rule { reason: "agent_error.agent_timeout", any: &["timed out after"], both: &[], also: None },
    Rule {
        reason: "agent_error.runtime_missing_executable",
        any: &["executable not found"],
        both: &[],
        also: None,
    },
    Rule {
        reason: "agent_error.runtime_version_unsupported",
        any: &["below the minimum supported version", "requires a newer version"],
        both: &[],
        also: None,
    },
    Rule {
        reason: "agent_error.process_failure",
        any: &[
            "exit status",
            "signal",
            "panic",
            "sigsegv",
            "process exited",
            "pipe has been ended",
            "file already closed",
            "initialize failed",
        ],
        both: &[],
        also: None,
    },
];

/// A three-digit number 5xx with no digit beside it.
fn names_a_5xx(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() == 3 && digits.starts_with('5'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_wins() {
        for (text, reason) in [
            ("  ", "unknown"),
            ("Token limit reached: 401", "context_overflow"),
            ("Missing API_KEY", "missing_config"),
            ("HTTP 401 quota", "provider_auth_or_access"),
            ("You\u{2019}ve hit your limit", "provider_quota_limit"),
            ("529 overloaded", "provider_capacity_or_rate_limit"),
            ("got 503", "provider_server_error"),
            ("code 5031", "unknown"),
            ("dial tcp 10.0.0.1", "provider_network"),
            ("model gpt-9 not found", "model_not_found_or_unavailable"),
            ("agent returned empty output", "empty_or_unparseable_output"),
            ("timed out after 30m", "agent_timeout"),
            ("executable not found in PATH", "runtime_missing_executable"),
            ("CLI is below the minimum supported version", "runtime_version_unsupported"),
            ("exit status 2", "process_failure"),
            ("weird", "unknown"),
        ] {
            assert_eq!(classify(text), format!("agent_error.{reason}"), "{text}");
        }
    }
}
