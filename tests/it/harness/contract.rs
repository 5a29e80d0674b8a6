//! Holds every answer of every test against the document of the API: the route's method,
//! the status, the content type, and the body's schema. What the document does not say, the
//! gateway must not do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::Validator;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::Reply;

/// The same for all gateways of a run, since they are one binary.
static CONTRACT: OnceCell<Contract> = OnceCell::const_new();

/// What the gateway says of itself.
pub struct Contract {
    document: Value,
    /// The schemas of answers, by their place in the document.
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

impl Contract {
    /// Asked of the first gateway that answers; `None` while none does.
    pub async fn of(http: &reqwest::Client, base: &str) -> Option<&'static Self> {
        let asked = CONTRACT.get_or_try_init(async || {
            let document = http.get(format!("{base}/api/openapi.json")).send().await?.json().await?;
            Ok::<_, reqwest::Error>(Self { document, validators: Mutex::default() })
        });
        asked.await.ok()
    }

    /// Fails when the document does not know such an answer.
    pub fn check(&self, method: &Method, path: &str, reply: &Reply) {
        // As it was sent: a client resolves dots, however they are written.
        let Ok(sent) = Url::parse(&format!("http://host{path}")) else { return };
        let Some(route) = self.route(sent.path()) else { return };
        let method = method.as_str().to_ascii_lowercase();
        // A method that is not served is no business of the document.
        let Some(operation) = self.document["paths"][&route].get(&method) else { return };
        // Nor is a path that a parameter cannot stand for.
        if reply.status == 404 && reply.text.starts_with("404 page not found") {
            return;
        }
        let status = reply.status.to_string();
        let Some(response) = operation["responses"].get(&status) else {
            panic!("the document does not know this answer of `{method} {route}`: {reply}");
        };
        let kind = reply.header("content-type").split(';').next().unwrap_or_default().trim();
        let Some(content) = response.get("content") else {
            assert!(reply.text.is_empty(), "`{method} {route}` has no body for {status}: {reply}");
            return;
        };
        if content.get("*/*").is_some() {
            return;
        }
        let Some(content) = content.get(kind) else {
            panic!("the document does not know `{kind}` for `{method} {route}`: {reply}");
        };
        if kind != "application/json" {
            return;
        }
        let validator = self.validator(&format!("{method} {route} {status}"), &content["schema"]);
        let faults: Vec<String> = validator
            .iter_errors(&reply.body)
            .map(|fault| format!("{} at `{}`", fault, fault.instance_path()))
            .collect();
        assert!(faults.is_empty(), "`{method} {route}` is not as documented: {}\n{reply}", faults.join("\n"));
    }

    /// The path of the document that a request's path is one of; words win over parameters.
    /// A slash at the end means nothing where the document has the path without it.
    fn route(&self, path: &str) -> Option<String> {
        self.fitting(path).or_else(|| self.fitting(path.strip_suffix('/')?))
    }

    fn fitting(&self, path: &str) -> Option<String> {
        let asked: Vec<&str> = path.split('/').collect();
        let mut fitting: Vec<&String> = self.document["paths"].as_object()?.keys().collect();
        fitting.retain(|route| {
            let parts: Vec<&str> = route.split('/').collect();
            parts.len() == asked.len()
                && parts
                    .iter()
                    .zip(&asked)
                    .all(|(part, asked)| part == asked || (part.starts_with('{') && !asked.is_empty()))
        });
        fitting.into_iter().min_by_key(|route| route.matches('{').count()).cloned()
    }

    fn validator(&self, place: &str, schema: &Value) -> Arc<Validator> {
        let mut validators = self.validators.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = validators.get(place) {
            return known.clone();
        }
        let whole = json!({"allOf": [schema], "components": self.document["components"]});
        let built = jsonschema::draft202012::options().should_validate_formats(true).build(&whole);
        let built = Arc::new(built.unwrap_or_else(|error| panic!("the schema of `{place}`: {error}")));
        validators.insert(place.to_owned(), built.clone());
        built
    }
}
