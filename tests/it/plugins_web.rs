//! A server on loopback for plugins to reach: it writes down what it was asked and answers by
//! the path.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

/// Stops answering when it is dropped.
pub struct Web {
    pub port: u16,
    told: Arc<Told>,
    serving: tokio::task::JoinHandle<std::io::Result<()>>,
}

struct Told {
    asked: Mutex<Vec<Value>>,
    /// One permit a request to `/stall` that may be answered.
    gate: Semaphore,
}

impl Web {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let told = Arc::new(Told { asked: Mutex::default(), gate: Semaphore::new(0) });
        let router = Router::new().fallback(answer).with_state(told.clone());
        Self { port, told, serving: tokio::spawn(axum::serve(listener, router).into_future()) }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.port)
    }

    /// The lines of a document that let a plugin reach it.
    pub fn grant(&self, path: &str, methods: &str, networks: &str) -> String {
        format!(
            "[[plugin.grants.http]]\nurl = \"{}\"\nmethods = {methods}\nnetworks = {networks}\n",
            self.url(path)
        )
    }

    /// Every request so far.
    pub fn asked(&self) -> Vec<Value> {
        self.told.asked.lock().unwrap().clone()
    }

    pub fn let_one_go(&self) {
        self.told.gate.add_permits(1);
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(
    State(told): State<Arc<Told>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let heads: Vec<(String, String)> = headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()))
        .collect();
    let asked = json!({
        "call": format!("{method} {uri}"), "headers": heads, "body": String::from_utf8_lossy(&body),
    });
    told.asked.lock().unwrap().push(asked.clone());
    match uri.path() {
        "/api/redirect" => (StatusCode::FOUND, [(header::LOCATION, "/secret/place")]).into_response(),
        "/api/large" => "x".repeat((1 << 20) + 1).into_response(),
        "/api/stall" => {
            told.gate.acquire().await.unwrap().forget();
            "at last".into_response()
        }
        "/tickets/PAY-12" => {
            json!({"title": "Round half to even", "url": "https://t.example/12"}).to_string().into_response()
        }
        "/api/missing" => (StatusCode::NOT_FOUND, "nothing here").into_response(),
        // Everything it was sent, the way careless services answer.
        _ => asked.to_string().into_response(),
    }
}
