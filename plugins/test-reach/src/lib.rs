//! A guest that takes the steps that its configuration lists, and appends what came of each to
//! the workspace's context, as a JSON list.

use serde::Deserialize;
use serde_json::{Value, json};
use switchyard_sdk::enrichment::{Decision, Enrichment, Input, Operation};
use switchyard_sdk::{Call, Description, Failure, Plugin, clock, export, http, kv, random, secrets};

struct Reach;

#[derive(Deserialize)]
struct Config {
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
enum Step {
    Get { key: String },
    Set { key: String, value: Option<String>, bytes: Option<usize>, ttl: Option<u32> },
    Delete { key: String },
    Increment { key: String, by: i64, ttl: Option<u32> },
    Keys { prefix: String, after: Option<String> },
    Send(Send),
    Reference { name: String },
    Clock,
    Random { count: u32 },
}

#[derive(Deserialize)]
struct Send {
    method: String,
    url: String,
    /// `{NAME}` stands for the reference of the secret `NAME`.
    #[serde(default)]
    headers: Vec<(String, String)>,
    body: Option<String>,
    timeout_ms: Option<u32>,
}

impl Plugin for Reach {
    fn describe() -> Description {
        Description::new("test-reach", "1.0.0", "Takes the steps of its configuration.")
            .config_schema(r#"{"type": "object"}"#)
    }
}

impl Enrichment for Reach {
    fn enrich(call: &Call, _: Input) -> Result<Decision, Failure> {
        let config: Config = call.config()?;
        let results: Vec<Value> = config.steps.into_iter().map(|step| told(take(step))).collect();
        Ok(Decision::Patch(vec![Operation::append_context(Value::Array(results).to_string())]))
    }
}

fn told(result: Result<Value, Failure>) -> Value {
    match result {
        Ok(value) => json!({ "ok": value }),
        Err(failure) => json!({ "code": failure.code, "message": failure.message }),
    }
}

fn take(step: Step) -> Result<Value, Failure> {
    Ok(match step {
        Step::Get { key } => json!(kv::get(&key)?.map(|value| String::from_utf8_lossy(&value).into_owned())),
        Step::Set { key, value, bytes, ttl } => {
            let value = value.unwrap_or_else(|| "x".repeat(bytes.unwrap_or_default()));
            kv::set(&key, value.as_bytes(), ttl)?;
            Value::Null
        }
        Step::Delete { key } => json!(kv::delete(&key)?),
        Step::Increment { key, by, ttl } => json!(kv::increment(&key, by, ttl)?),
        Step::Keys { prefix, after } => json!(kv::keys(&prefix, after.as_deref())?),
        Step::Send(send) => answer(&ask(send)?),
        Step::Reference { name } => json!(secrets::reference(&name)?.len()),
        Step::Clock => json!(clock::now_ms()),
        Step::Random { count } => json!(random::bytes(count).len()),
    })
}

fn ask(send: Send) -> Result<http::Response, Failure> {
    let mut request = http::Request::new(send.method, send.url);
    for (name, value) in send.headers {
        let value =
            match value.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?))) {
                Some((before, (secret, after))) => format!("{before}{}{after}", secrets::reference(secret)?),
                None => value,
            };
        request = request.header(name, value);
    }
    request.body = send.body.map(String::into_bytes);
    request.timeout_ms = send.timeout_ms;
    http::send(&request)
}

fn answer(response: &http::Response) -> Value {
    let headers: Vec<(&str, &str)> =
        response.headers.iter().map(|header| (header.name.as_str(), header.value.as_str())).collect();
    json!({
        "status": response.status,
        "headers": headers,
        "body": String::from_utf8_lossy(&response.body),
    })
}

export!(Reach: enrichment);
