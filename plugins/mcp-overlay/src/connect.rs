//! What a task is given of its agent's apps: a session at Composio that reaches just these
//! accounts, as an MCP server.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use switchyard_sdk::prepare::{ConnectedAccount, ConnectedApp, Input, Output};
use switchyard_sdk::{Call, Failure, http, secrets};

/// The server's name in a configuration, and the provider's.
const COMPOSIO: &str = "composio";
/// The header in which Composio wants the project's key.
const KEY: &str = "x-api-key";
/// The most characters of Composio's own words that are passed on.
const SAID: usize = 200;

/// Set by the gateway where apps can be connected.
pub const CONFIG_SCHEMA: &str = r#"{
    "type": "object",
    "additionalProperties": false,
    "properties": {
        "composio": {
            "type": "object",
            "additionalProperties": false,
            "required": ["base_url", "api_key"],
            "properties": {
                "base_url": {"type": "string", "description": "Where Composio is, without a slash at its end."},
                "api_key": {"type": "string", "description": "The name of the secret that is the project's key."}
            }
        }
    }
}"#;

#[derive(Deserialize)]
struct Config {
    composio: Option<Composio>,
}

#[derive(Deserialize)]
struct Composio {
    base_url: String,
    api_key: String,
}

/// By slug: the account that is reached.
type Accounts<'a> = BTreeMap<String, &'a str>;

/// The gates stand in this order: an owner, an app on the agent's list, an account of it; only
/// then is anybody asked.
pub fn connect(call: &Call, input: &Input) -> Result<Output, Failure> {
    let Some(owner) = &input.owner_id else { return Ok(Output::nothing()) };
    let accounts = choose(&input.allowlist, &input.accounts);
    if accounts.is_empty() {
        return Ok(Output::nothing());
    }
    let Some(composio) = call.config::<Config>()?.composio else { return Ok(Output::nothing()) };
    let key = secrets::reference(&composio.api_key)?;
    let Some(url) = open(&composio, &key, owner, &accounts)? else { return Ok(Output::nothing()) };
    Ok(Output {
        overlay: Some(overlay(&url, &key)?),
        apps: accounts.into_keys().map(app).collect(),
        attributes: Vec::new(),
    })
}

/// Of several accounts of one app the first, which is the newest.
fn choose<'a>(allowlist: &[String], connected: &'a [ConnectedAccount]) -> Accounts<'a> {
    let allowed: BTreeSet<String> = allowlist.iter().map(|slug| normalised(slug)).collect();
    let mut chosen = Accounts::new();
    for account in connected {
        let slug = normalised(&account.toolkit);
        if !slug.is_empty() && allowed.contains(&slug) {
            chosen.entry(slug).or_insert(&account.account_id);
        }
    }
    chosen
}

fn normalised(slug: &str) -> String {
    slug.trim_matches([' ', '\t', '\n', '\r']).to_ascii_lowercase()
}

#[derive(Serialize)]
struct Wanted<'a> {
    user_id: &'a str,
    toolkits: Enabled<'a>,
    /// One account a toolkit, so that the session can never reach another.
    connected_accounts: BTreeMap<&'a str, [&'a str; 1]>,
}

#[derive(Serialize)]
struct Enabled<'a> {
    enable: Vec<&'a str>,
}

#[derive(Deserialize)]
struct Session {
    mcp: Option<SessionServer>,
}

#[derive(Deserialize)]
struct SessionServer {
    url: Option<String>,
}

#[derive(Deserialize)]
struct Refused {
    error: Reason,
}

#[derive(Deserialize)]
struct Reason {
    message: String,
}

/// Opens a session of the owner's and gives the address of its server. `None` when it has none.
fn open(composio: &Composio, key: &str, owner: &str, accounts: &Accounts) -> Result<Option<String>, Failure> {
    let wanted = Wanted {
        user_id: owner,
        toolkits: Enabled { enable: accounts.keys().map(String::as_str).collect() },
        connected_accounts: accounts.iter().map(|(slug, account)| (slug.as_str(), [*account])).collect(),
    };
    let request = http::Request::post_json(format!("{}/tool_router/session", composio.base_url), &wanted)?;
    let answer = http::send(&request.header(KEY, key))?;
    if !answer.is_success() {
        let said = answer.json::<Refused>().map(|refused| refused.error.message);
        let said: String = said.iter().flat_map(|said| said.chars()).take(SAID).collect();
        return Err(Failure::new("refused", format!("Composio answered {} {said}", answer.status)));
    }
    let session: Session = answer.json()?;
    Ok(session.mcp.and_then(|server| server.url).filter(|url| !url.is_empty()))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Overlay<'a> {
    mcp_servers: BTreeMap<&'a str, Server<'a>>,
}

#[derive(Serialize)]
struct Server<'a> {
    r#type: &'a str,
    url: &'a str,
    headers: BTreeMap<&'a str, &'a str>,
}

/// The key is a reference here, too: the host puts the key itself into what it stores.
fn overlay(url: &str, key: &str) -> Result<String, Failure> {
    let server = Server { r#type: "http", url, headers: BTreeMap::from([(KEY, key)]) };
    let overlay = Overlay { mcp_servers: BTreeMap::from([(COMPOSIO, server)]) };
    serde_json::to_string(&overlay)
        .map_err(|error| Failure::new("not-written", format!("the overlay is not JSON: {error}")))
}

fn app(slug: String) -> ConnectedApp {
    ConnectedApp {
        provider: COMPOSIO.to_owned(),
        server_name: COMPOSIO.to_owned(),
        display_name: Some(display_name(&slug)),
        toolkit: slug,
    }
}

/// An app's name for people.
pub fn display_name(slug: &str) -> String {
    match slug {
        "github" => return "GitHub".to_owned(),
        "linkedin" => return "LinkedIn".to_owned(),
        _ => {}
    }
    let pieces = slug.split(['_', '-']).filter(|piece| !piece.is_empty()).map(|piece| {
        let mut piece = piece.to_ascii_lowercase();
        if let Some(first) = piece.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        piece
    });
    let name = pieces.collect::<Vec<_>>().join(" ");
    if name.is_empty() { slug.to_owned() } else { name }
}
