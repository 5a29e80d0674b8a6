//! What a plugin finds outside of its sandbox at an author's desk: answers, values, secrets and a
//! time that a file wrote. Nobody else is asked.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{matching, read_yaml};
use crate::cli::plugin::workbench::UNNAMED;
use crate::model::time::{Clock, Time};
use crate::plugin::reach::{Kept, Outside, Refusal, Request, Response, Values, Web};

/// As a file writes it.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mocks {
    /// The first whose request fits answers, as often as it is asked.
    http: Vec<Exchange>,
    /// What is kept already. A text is kept as it is, anything else as JSON.
    kv: BTreeMap<String, Value>,
    /// In the place of what the grants of these names say.
    secrets: BTreeMap<String, String>,
    /// RFC 3339; absent: the machine's time.
    now: Option<String>,
}

impl Mocks {
    /// From a file of its own, in YAML or JSON.
    pub fn of_file(file: &Path) -> anyhow::Result<Self> {
        let shown = file.display();
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
        read_yaml(&text).with_context(|| format!("{shown} is not sound"))
    }

    /// At this time, unless one was written.
    #[must_use]
    pub fn at(mut self, now: &str) -> Self {
        self.now.get_or_insert_with(|| now.to_owned());
        self
    }
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exchange {
    /// As far as it is written: `method`, `url`, `headers`, `body` or `json`.
    request: Value,
    response: Answer,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Option<String>,
    json: Option<Value>,
    /// Instead of an answer: the request fails so.
    fails: Option<Fails>,
}

impl Default for Answer {
    fn default() -> Self {
        Self { status: 200, headers: BTreeMap::new(), body: None, json: None, fails: None }
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Fails {
    Timeout,
    Unreachable,
    TooLarge,
}

type Kv = Arc<Mutex<BTreeMap<(String, String), Kept>>>;

/// What calls are tried in; set anew for each.
pub struct Scenery {
    kv: Kv,
    exchanges: Arc<Mutex<Vec<Exchange>>>,
    /// Requests that were sent, as `expect_requests` sees them.
    sent: Arc<Mutex<Vec<Value>>>,
    clock: Clock,
    secrets: TempDir,
}

impl Scenery {
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self {
            kv: Arc::default(),
            exchanges: Arc::default(),
            sent: Arc::default(),
            clock: Clock::by_hand(Clock::system().now()),
            secrets: tempfile::tempdir()?,
        })
    }

    /// What plugins reach through it.
    pub fn outside(&self) -> Outside {
        let (exchanges, sent) = (self.exchanges.clone(), self.sent.clone());
        let answers = move |request: &Request| {
            let shown = shown(request);
            let exchanges = exchanges.lock().unwrap_or_else(PoisonError::into_inner);
            let found = exchanges.iter().find(|exchange| fits(&exchange.request, &shown));
            let answer = found.map_or_else(|| Err(nobody(request)), |exchange| answered(&exchange.response));
            sent.lock().unwrap_or_else(PoisonError::into_inner).push(shown);
            answer
        };
        Outside {
            values: Values::Memory(self.kv.clone()),
            web: Web::Script(Arc::new(answers)),
            clock: self.clock.clone(),
            secrets_dir: Some(self.secrets.path().to_owned()),
            provision: None,
        }
    }

    /// Sets it for a call, and points the entry's grants of secrets here.
    pub fn set(&self, mocks: &Mocks, entry: &mut Value) -> anyhow::Result<()> {
        let now: Time = match &mocks.now {
            Some(text) => text.parse().with_context(|| format!("now: `{text}` is no time in RFC 3339"))?,
            None => Clock::system().now(),
        };
        self.clock.set(now);
        let plugin = entry.get("name").and_then(Value::as_str).unwrap_or(UNNAMED).to_owned();
        let kept = |(key, value): (&String, &Value)| {
            ((plugin.clone(), key.clone()), Kept { value: text(value).into_bytes(), expires_at: None })
        };
        *self.kv.lock().unwrap_or_else(PoisonError::into_inner) = mocks.kv.iter().map(kept).collect();
        self.exchanges.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&mocks.http);
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let granted = entry.pointer_mut("/grants/secrets").and_then(Value::as_object_mut);
        for (index, (name, grant)) in granted.into_iter().flatten().enumerate() {
            let file = format!("secret-{index}");
            let value = mocks.secrets.get(name).map_or("a-secret-that-no-mock-names", String::as_str);
            fs::write(self.secrets.path().join(&file), value)?;
            grant["from"] = json!(format!("file:{file}"));
        }
        Ok(())
    }

    /// Where what is kept is not what was expected.
    pub fn differing_values(&self, expected: &BTreeMap<String, Value>) -> Vec<String> {
        let kv = self.kv.lock().unwrap_or_else(PoisonError::into_inner);
        let found = |key: &str| {
            let kept = kv.iter().find(|((_, known), _)| known == key);
            kept.map(|(_, kept)| String::from_utf8_lossy(&kept.value).into_owned())
        };
        let mut told = Vec::new();
        for (key, wanted) in expected {
            match (wanted, found(key)) {
                (Value::Null, None) => {}
                (Value::Null, Some(value)) => {
                    told.push(format!("kv `{key}`: expected nothing, found {value:?}"));
                }
                (wanted, Some(value)) if text(wanted) == value => {}
                (wanted, Some(value)) => {
                    told.push(format!("kv `{key}`: expected {:?}, found {value:?}", text(wanted)));
                }
                (wanted, None) => {
                    told.push(format!("kv `{key}`: expected {:?}, and it is not there", text(wanted)));
                }
            }
        }
        told
    }

    /// Where the requests are not those that were expected.
    pub fn differing_requests(&self, expected: Option<&[Value]>) -> Vec<String> {
        let Some(expected) = expected else { return Vec::new() };
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let differences = matching::differences(&json!(expected), &json!(*sent));
        differences.into_iter().map(|difference| format!("requests{difference}")).collect()
    }
}

/// A request as cases write it; names of headers in lower case.
fn shown(request: &Request) -> Value {
    let headers: BTreeMap<String, &String> =
        request.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    let body = request.body.as_ref().map(|body| String::from_utf8_lossy(body).into_owned());
    let parsed: Option<Value> = body.as_deref().and_then(|body| serde_json::from_str(body).ok());
    json!({
        "method": request.method,
        "url": request.url,
        "headers": headers,
        "body": body,
        "json": parsed,
    })
}

fn fits(wanted: &Value, shown: &Value) -> bool {
    matching::differences(wanted, shown).is_empty()
}

fn nobody(request: &Request) -> Refusal {
    let message = format!("no mock answers {} {}", request.method, request.url);
    Refusal::new("unreachable", message)
}

fn answered(answer: &Answer) -> Result<Response, Refusal> {
    let refused = |code| Err(Refusal::new(code, "the mock says so"));
    match answer.fails {
        Some(Fails::Timeout) => return refused("timeout"),
        Some(Fails::Unreachable) => return refused("unreachable"),
        Some(Fails::TooLarge) => return refused("too-large"),
        None => {}
    }
    let body = match (&answer.body, &answer.json) {
        (Some(body), _) => body.clone(),
        (None, Some(json)) => json.to_string(),
        (None, None) => String::new(),
    };
    let headers = answer.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
    Ok(Response { status: answer.status, headers: headers.collect(), body: body.into_bytes() })
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
