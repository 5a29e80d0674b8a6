//! One HTTP/1.1 connection, and what a request on it came to.

use anyhow::{Context, ensure};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// The server under load, and as whom to speak to it.
#[derive(Clone, Debug)]
pub struct Target {
    pub authority: String,
    pub authorization: HeaderValue,
}

/// A token as a header, hidden in whatever prints it.
pub fn bearer(token: &str) -> anyhow::Result<HeaderValue> {
    let mut value =
        HeaderValue::from_str(&format!("Bearer {token}")).context("a token has odd characters")?;
    value.set_sensitive(true);
    Ok(value)
}

impl Target {
    pub fn new(base_url: &str, token: &str) -> anyhow::Result<Self> {
        let url = url::Url::parse(base_url).context("--base-url is not a URL")?;
        ensure!(url.scheme() == "http", "--base-url must begin with http://");
        let host = url.host_str().context("--base-url has no host")?;
        let port = url.port_or_known_default().context("--base-url has no port")?;
        Ok(Self { authority: format!("{host}:{port}"), authorization: bearer(token)? })
    }
}

/// An answer; the body is whole.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.body).context("the answer is not JSON")
    }
}

/// A client's own connection; opened again when the server closed it.
pub struct Connection {
    target: Target,
    workspace: Option<HeaderValue>,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    pub fn new(target: &Target) -> Self {
        Self { target: target.clone(), workspace: None, sender: None }
    }

    /// Names the workspace on every request from here on.
    pub fn within(mut self, workspace: &str) -> Self {
        self.workspace = HeaderValue::from_str(workspace).ok();
        self
    }

    pub async fn send(&mut self, method: Method, path: &str, body: &[u8]) -> anyhow::Result<Answer> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.target.authority.as_str())
            .header(AUTHORIZATION, self.target.authorization.clone())
            .header(CONTENT_TYPE, "application/json");
        if let Some(workspace) = &self.workspace {
            request = request.header("x-workspace-id", workspace.clone());
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body)))?;
        let sender = self.ready().await?;
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }

    /// As [`Connection::send`]; anything but a 2xx is an error that quotes the answer.
    pub async fn expect(&mut self, method: Method, path: &str, body: &Value) -> anyhow::Result<Value> {
        let bytes = if body.is_null() { Vec::new() } else { serde_json::to_vec(body)? };
        let answer = self.send(method.clone(), path, &bytes).await?;
        ensure!(
            (200..300).contains(&answer.status),
            "{method} {path} was answered {}: {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        );
        if answer.body.is_empty() { Ok(Value::Null) } else { answer.json() }
    }

    /// Connects now rather than with the first request.
    pub async fn open(&mut self) -> anyhow::Result<()> {
        self.ready().await.map(drop)
    }

    async fn ready(&mut self) -> anyhow::Result<&mut SendRequest<Full<Bytes>>> {
        let usable = match &mut self.sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !usable {
            let stream = TcpStream::connect(&self.target.authority)
                .await
                .with_context(|| format!("cannot connect to {}", self.target.authority))?;
            stream.set_nodelay(true)?;
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(async move {
                // Ends with the connection; the next request notices and opens another.
                let _ = connection.await;
            });
            self.sender = Some(sender);
        }
        self.sender.as_mut().context("there is no connection")
    }
}
