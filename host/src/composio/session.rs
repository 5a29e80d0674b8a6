//! What a task is given of its agent's apps: a session at the service that reaches just
//! these accounts, as an MCP server.

use std::collections::BTreeMap;

use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::Composio;
use super::client::UpstreamError;
use crate::model::ids::UserId;

/// The server's name in a configuration, and the provider's.
const COMPOSIO: &str = "composio";

/// By slug: the account that is reached.
pub type Accounts = BTreeMap<String, String>;

/// The accounts that the agent may be given: those of apps on its list; of several accounts
/// of one app the first, which is the newest.
pub fn choose<'a>(allowed: &[String], connected: impl Iterator<Item = (&'a str, &'a str)>) -> Accounts {
    let allowed = self::allowed(allowed);
    let mut chosen = Accounts::new();
    for (slug, account) in connected {
        let slug = normalised(slug);
        if !slug.is_empty() && allowed.contains(&slug) {
            chosen.entry(slug).or_insert_with(|| account.to_owned());
        }
    }
    chosen
}

/// The list of apps in the form in which they are compared.
pub fn allowed(toolkits: &[String]) -> Vec<String> {
    toolkits.iter().map(|slug| normalised(slug)).filter(|slug| !slug.is_empty()).collect()
}

fn normalised(slug: &str) -> String {
    slug.trim_matches([' ', '\t', '\n', '\r']).to_ascii_lowercase()
}

impl Composio {
    /// Opens a session of the owner's. `None` when the service gives no server.
    pub async fn overlay(&self, owner: UserId, accounts: &Accounts) -> Result<Option<Value>, UpstreamError> {
        let slugs: Vec<&String> = accounts.keys().collect();
        let pinned: BTreeMap<&String, [&String; 1]> =
            accounts.iter().map(|(slug, account)| (slug, [account])).collect();
        let body = json!({
            "user_id": owner, "toolkits": {"enable": slugs}, "connected_accounts": pinned,
        });
        let client = &self.0.client;
        let url = client.session(body).await?;
        if url.is_empty() {
            return Ok(None);
        }
        let headers = json!({"x-api-key": client.key().expose_secret()});
        Ok(Some(json!({"mcpServers": {COMPOSIO: {"type": "http", "url": url, "headers": headers}}})))
    }
}

/// The apps behind an overlay, as an agent is told of them.
pub fn apps(accounts: &Accounts) -> Value {
    let app = |slug: &String| {
        json!({
            "provider": COMPOSIO, "server_name": COMPOSIO, "toolkit_slug": slug,
            "toolkit_name": display_name(slug),
        })
    };
    accounts.keys().map(app).collect()
}

fn display_name(slug: &str) -> String {
    match slug {
        "github" => return "GitHub".to_owned(),
        "linkedin" => return "LinkedIn".to_owned(),
        _ => {}
    }
    let pieces = slug.split(['_', '-']).filter(|piece| !piece.is_empty()).map(|piece| {
        let mut piece = piece.to_lowercase();
        if let Some(first) = piece.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        piece
    });
    let name = pieces.collect::<Vec<_>>().join(" ");
    if name.is_empty() { slug.to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apps_have_names_for_people() {
        for (slug, name) in [
            ("github", "GitHub"),
            ("gmail", "Gmail"),
            ("linkedin", "LinkedIn"),
            ("google_drive", "Google Drive"),
            ("SLACK-bot", "Slack Bot"),
            ("__", "__"),
            ("", ""),
            ("é_x", "é X"),
        ] {
            assert_eq!(display_name(slug), name, "{slug}");
        }
    }

    #[test]
    fn the_newest_account_of_an_app_on_the_list_is_chosen() {
        let allowed = [" Notion\n", "", "gmail"].map(str::to_owned);
        let connected = [("notion", "new"), ("NOTION ", "old"), ("slack", "s"), ("gmail", "g"), (" ", "x")];
        let chosen = choose(&allowed, connected.into_iter());
        let expected =
            Accounts::from([("gmail", "g"), ("notion", "new")].map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert_eq!(chosen, expected);
    }
}
