//! References in what a guest made for later: the host puts the secrets in their places where
//! it keeps the thing, so that the guest never holds one.

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

/// A reference that a call was given.
pub struct Standing {
    pub reference: String,
    /// The secret's name.
    pub name: String,
    /// What may take its place in an overlay; absent when nothing may.
    pub secret: Option<SecretString>,
}

/// Puts secrets into the headers of an overlay's servers. A reference that stands anywhere else,
/// or for a secret that may not go there, would reach an agent as a riddle, so it is refused.
pub fn fill(overlay: &mut Value, standing: &[Standing]) -> Result<(), String> {
    if standing.is_empty() {
        return Ok(());
    }
    let servers = overlay.get_mut("mcpServers").and_then(Value::as_object_mut);
    for server in servers.into_iter().flat_map(|servers| servers.values_mut()) {
        let headers = server.get_mut("headers").and_then(Value::as_object_mut);
        for value in headers.into_iter().flat_map(|headers| headers.values_mut()) {
            let Value::String(text) = value else { continue };
            for Standing { reference, name, secret } in standing {
                if !text.contains(reference.as_str()) {
                    continue;
                }
                let Some(secret) = secret else {
                    return Err(format!(
                        "the secret `{name}` may not stand in an overlay; say `overlay = true` in \
                         `grants.secrets.{name}`"
                    ));
                };
                *text = text.replace(reference.as_str(), secret.expose_secret());
            }
        }
    }
    match standing.iter().find(|standing| holds(overlay, &standing.reference)) {
        None => Ok(()),
        Some(Standing { name, .. }) => Err(format!(
            "the reference of the secret `{name}` stands in the overlay where no secret may; put it into a \
             server's `headers`"
        )),
    }
}

fn holds(value: &Value, reference: &str) -> bool {
    match value {
        Value::String(text) => text.contains(reference),
        Value::Array(list) => list.iter().any(|item| holds(item, reference)),
        Value::Object(map) => {
            map.iter().any(|(name, member)| name.contains(reference) || holds(member, reference))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn standing(name: &str, secret: Option<&str>) -> Standing {
        Standing { reference: format!("ref-{name}"), name: name.to_owned(), secret: secret.map(Into::into) }
    }

    fn filled(mut overlay: Value) -> Result<Value, String> {
        fill(&mut overlay, &[standing("a", Some("s\"1")), standing("b", None)]).map(|()| overlay)
    }

    #[test]
    fn secrets_stand_in_headers_alone() {
        let server = |server: Value| json!({"mcpServers": {"x": server}});
        let given = server(json!({"url": "u", "headers": {"k": "Bearer ref-a", "n": 1, "o": "ref-c"}}));
        let expected = server(json!({"url": "u", "headers": {"k": "Bearer s\"1", "n": 1, "o": "ref-c"}}));
        assert_eq!(filled(given), Ok(expected));
        for refused in [
            server(json!({"url": "https://h/ref-a"})),
            server(json!({"headers": {"k": "ref-b"}})),
            server(json!({"headers": {"ref-a": "k"}})),
            server(json!({"args": ["ref-b"]})),
            json!({"mcpServers": {}, "x": "ref-a"}),
        ] {
            assert!(filled(refused.clone()).is_err(), "{refused}");
        }
    }
}
