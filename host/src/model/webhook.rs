//! What a webhook's request means: its event, whether it is signed, whether it counts.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::autopilot::EventFilter;

/// The longest event name that is kept.
const EVENT_CHARS: usize = 200;

/// What names an event, in the order of trust.
#[derive(Clone, Copy, Default, Debug)]
pub struct EventHeaders<'a> {
    pub github: Option<&'a str>,
    pub gitlab: Option<&'a str>,
    pub event_type: Option<&'a str>,
}

/// An event and what came with it.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    pub name: String,
    pub payload: Value,
}

impl Event {
    /// A body that names its event itself is an envelope; else the headers say, else the
    /// body's own words.
    pub fn read(body: Value, headers: EventHeaders<'_>) -> Self {
        let text = |name: &str| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        if let Some(name) = text("event") {
            let name = cut(name);
            let payload = match body.get("eventPayload") {
                Some(payload) => payload.clone(),
                None => body,
            };
            return Self { name, payload };
        }
        let name = if let Some(event) = headers.github {
            match text("action") {
                Some(action) => format!("github.{event}.{action}"),
                None => format!("github.{event}"),
            }
        } else if let Some(event) = headers.gitlab {
            format!("gitlab.{event}")
        } else {
            let named = headers.event_type.or_else(|| text("type")).or_else(|| text("action"));
            named.unwrap_or("webhook.received").to_owned()
        };
        Self { name: cut(&name), payload: body }
    }

    /// What the run keeps of it.
    pub fn envelope(&self, received_at: &str, content_type: Option<&str>) -> Value {
        let mut request = json!({"receivedAt": received_at});
        if let Some(content_type) = content_type {
            request["contentType"] = content_type.into();
        }
        json!({"event": self.name, "eventPayload": self.payload, "request": request})
    }

    /// Whether any filter lets it through; no filters let everything.
    pub fn passes(&self, filters: &[EventFilter]) -> bool {
        filters.is_empty() || filters.iter().any(|filter| self.matches(filter))
    }

    fn matches(&self, filter: &EventFilter) -> bool {
        let (name, action) = self.split();
        if name != filter.event {
            return false;
        }
        let said = ["action", "state", "conclusion", "status"]
            .into_iter()
            .filter_map(|key| self.payload.get(key).and_then(Value::as_str));
        filter.actions.is_empty()
            || action.into_iter().chain(said).any(|word| filter.actions.iter().any(|known| known == word))
    }

    /// Name and action, without the provider.
    fn split(&self) -> (&str, Option<&str>) {
        let rest = match self.name.split_once('.') {
            Some(("github" | "gitlab" | "bitbucket" | "gitea", rest)) => rest,
            _ => &self.name,
        };
        match rest.split_once('.') {
            Some((name, action)) => (name, Some(action)),
            None => (rest, None),
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(EVENT_CHARS).collect()
}

/// How a request is signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signature {
    NotRequired,
    Valid,
    Invalid,
    Missing,
}

impl Signature {
    /// Compares `sha256=<hex>` with the body's HMAC, in a time that says nothing.
    pub fn check(secret: Option<&str>, header: Option<&str>, body: &[u8]) -> Self {
        let Some(secret) = secret.filter(|secret| !secret.is_empty()) else { return Self::NotRequired };
        let Some(header) = header.map(str::trim).filter(|header| !header.is_empty()) else {
            return Self::Missing;
        };
        let given = header.strip_prefix("sha256=").and_then(|digits| hex::decode(digits).ok());
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return Self::Invalid };
        mac.update(body);
        match given {
            Some(given) if mac.verify_slice(&given).is_ok() => Self::Valid,
            _ => Self::Invalid,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotRequired => "not_required",
            Self::Valid => "valid",
            Self::Invalid => "invalid",
            Self::Missing => "missing",
        }
    }

    /// Why a request is turned away, if it is.
    pub fn refusal(self) -> Option<&'static str> {
        match self {
            Self::Missing => Some("missing_signature"),
            Self::Invalid => Some("invalid_signature"),
            Self::NotRequired | Self::Valid => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_names_an_event_wins() {
        let github = EventHeaders { github: Some("push"), ..EventHeaders::default() };
        let gitlab = EventHeaders { gitlab: Some("Push Hook"), ..EventHeaders::default() };
        let typed = EventHeaders { event_type: Some("deploy"), ..EventHeaders::default() };
        for (body, headers, name) in [
            (json!({"event": "a.b", "eventPayload": {"x": 1}}), github, "a.b"),
            (json!({"action": "opened"}), github, "github.push.opened"),
            (json!({}), github, "github.push"),
            (json!({}), gitlab, "gitlab.Push Hook"),
            (json!({"type": "t"}), typed, "deploy"),
            (json!({"type": "t", "action": "a"}), EventHeaders::default(), "t"),
            (json!({"action": "a"}), EventHeaders::default(), "a"),
            (json!([1]), EventHeaders::default(), "webhook.received"),
        ] {
            assert_eq!(Event::read(body.clone(), headers).name, name, "{body}");
        }
        let envelope = Event::read(json!({"event": "a", "eventPayload": {"x": 1}}), github);
        assert_eq!(envelope.payload, json!({"x": 1}));
        assert_eq!(Event::read(json!({"event": "a"}), github).payload, json!({"event": "a"}));
    }

    #[test]
    fn filters_compare_name_and_action() {
        let event = |name: &str, payload: Value| Event { name: name.to_owned(), payload };
        let filter = |event: &str, actions: &[&str]| EventFilter {
            event: event.to_owned(),
            actions: actions.iter().map(ToString::to_string).collect(),
        };
        assert!(event("github.push", json!({})).passes(&[]));
        assert!(event("github.push", json!({})).passes(&[filter("push", &[])]));
        assert!(!event("github.push", json!({})).passes(&[filter("issues", &[])]));
        assert!(event("github.issues.opened", json!({})).passes(&[filter("issues", &["opened"])]));
        assert!(!event("github.issues.closed", json!({})).passes(&[filter("issues", &["opened"])]));
        assert!(event("run", json!({"conclusion": "failure"})).passes(&[filter("run", &["failure"])]));
    }

    #[test]
    fn a_signature_is_of_the_body_and_the_secret() {
        // From RFC 4231, case 2.
        let right = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let body = b"what do ya want for nothing?";
        assert_eq!(Signature::check(Some("Jefe"), Some(right), body), Signature::Valid);
        assert_eq!(Signature::check(Some("Jefe"), Some(right), b"other"), Signature::Invalid);
        assert_eq!(Signature::check(Some("Jefe"), Some("sha256=zz"), body), Signature::Invalid);
        assert_eq!(Signature::check(Some("Jefe"), None, body), Signature::Missing);
        assert_eq!(Signature::check(None, Some("x"), body), Signature::NotRequired);
    }
}
