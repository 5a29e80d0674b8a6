//! Requests that leave for a guest: allowed by the list, to addresses that are looked at when
//! the connection is made, with secrets put in at the last moment.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method};
use thiserror::Error;
use url::{Host, Url};

use super::address::is_open;
use super::allow::{HttpGrant, METHODS, READS, host_of};
use super::{Reach, Refusal, Used, Web};
use crate::outbound;

const URL_BYTES: usize = 8 << 10;
const HEADERS: usize = 64;
const HEADER_BYTES: usize = 16 << 10;
const BODY_BYTES: usize = 1 << 20;
/// How many addresses of a name are looked at.
const ADDRESSES: usize = 32;
/// How long a connection is kept for the next call.
const IDLE: Duration = Duration::from_secs(30);
const IDLE_CONNECTIONS: usize = 4;

/// Headers that belong to the connection, or would change what is meant by it.
const HOSTS_OWN: [&str; 15] = [
    "host",
    "content-length",
    "connection",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
    "accept-encoding",
    // Some services take a method out of them, which nobody granted.
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
];

/// What a guest asks for; in the tests of plugins, what a script is shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
    pub timeout_ms: Option<u32>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// A name led to an address that is closed.
#[derive(Debug, Error)]
#[error("`{0}` leads to {1}")]
struct Closed(String, IpAddr);

impl Reach {
    pub async fn send(&self, used: &mut Used, request: Request) -> Result<Response, Refusal> {
        let sent = self.send_checked(used, request).await;
        self.counted(sent)
    }

    async fn send_checked(&self, used: &mut Used, request: Request) -> Result<Response, Refusal> {
        used.http_calls += 1;
        let most = self.limits.http_calls;
        if used.http_calls > most {
            let message = format!("a call may send {most} requests; the operator's limit is `http_calls`");
            return Err(Refusal::new("too-many-calls", message));
        }
        let url = place(&request)?;
        let Some(grant) = self.grants.http.iter().find(|grant| grant.allows(&request.method, &url)) else {
            let place = format!("{} {}{}", request.method, url.origin().ascii_serialization(), url.path());
            let message = format!("{place} was not granted; add it to the plugin's `grants.http`");
            return Err(Refusal::new("not-granted", message));
        };
        if self.is_shadow && !READS.contains(&request.method.as_str()) {
            let message = format!("a shadow asks and changes nothing: {} is not sent", request.method);
            return Err(Refusal::new("read-only", message));
        }
        if let Some(address) = literal(&url).filter(|address| !is_open(*address, &grant.networks)) {
            return Err(closed(&Closed(host_of(&url), address)));
        }
        let headers = self.headers(used, &url, &request)?;
        let wait = self.time_for(used, request.timeout_ms);
        let mut response = match &self.outside.web {
            Web::Script(script) => {
                let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
                let headers = headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value)));
                script(&Request { headers: headers.collect(), ..request })?
            }
            Web::Network => {
                let method = Method::from_bytes(request.method.as_bytes())
                    .map_err(|_| Refusal::new("request-invalid", "the method is none"))?;
                let mut building = self.client()?.request(method, url).headers(headers).timeout(wait);
                if let Some(body) = request.body {
                    building = building.body(body);
                }
                receive(building).await?
            }
        };
        self.secrets.blot(&mut response.body);
        for (_, value) in &mut response.headers {
            let mut bytes = std::mem::take(value).into_bytes();
            self.secrets.blot(&mut bytes);
            *value = String::from_utf8_lossy(&bytes).into_owned();
        }
        Ok(response)
    }

    /// What is left of the call, of the operator's limit and of what the guest wants to wait.
    fn time_for(&self, used: &Used, wanted_ms: Option<u32>) -> Duration {
        let left = used.ends.saturating_duration_since(Instant::now());
        let wanted = wanted_ms.map_or(Duration::MAX, |ms| Duration::from_millis(ms.into()));
        left.min(Duration::from_millis(self.limits.http_ms)).min(wanted)
    }

    fn headers(&self, used: &Used, url: &Url, request: &Request) -> Result<HeaderMap, Refusal> {
        let invalid = |message: String| Refusal::new("request-invalid", message);
        if request.headers.len() > HEADERS {
            return Err(invalid(format!(
                "{} headers are over the {HEADERS} that are sent",
                request.headers.len()
            )));
        }
        let bytes: usize = request.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > HEADER_BYTES {
            return Err(invalid(format!(
                "headers of {bytes} bytes are over the {HEADER_BYTES} that are sent"
            )));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| invalid(format!("`{}` is no name of a header", name.escape_debug())))?;
            if HOSTS_OWN.contains(&name.as_str()) {
                continue;
            }
            let filled = self.filled(used, url, value)?;
            let mut filled = HeaderValue::from_str(&filled)
                .map_err(|_| invalid(format!("the value of `{name}` is not visible ASCII")))?;
            filled.set_sensitive(true);
            headers.append(name, filled);
        }
        Ok(headers)
    }

    /// There is none where the machine's certificates cannot be read.
    fn client(&self) -> Result<&Client, Refusal> {
        let made = self.client.get_or_init(|| {
            let resolver = Arc::new(Looked(self.grants.http.clone()));
            outbound::pinned(resolver, IDLE, IDLE_CONNECTIONS)
                .inspect_err(|error| tracing::error!(%error, "a client for a plugin could not be made"))
                .ok()
        });
        made.as_ref().ok_or_else(|| Refusal::new("unreachable", "the gateway cannot send requests just now"))
    }
}

/// The URL that is meant, if it may be one at all.
fn place(request: &Request) -> Result<Url, Refusal> {
    let invalid = |message: &str| Refusal::new("request-invalid", message);
    if !METHODS.contains(&request.method.as_str()) {
        return Err(invalid("the method is none of GET, HEAD, POST, PUT, PATCH and DELETE"));
    }
    if request.url.len() > URL_BYTES {
        return Err(invalid("the URL is longer than 8 KiB"));
    }
    if request.body.as_ref().is_some_and(|body| body.len() > BODY_BYTES) {
        return Err(Refusal::new("too-large", "the body is larger than 1 MiB"));
    }
    let url = Url::parse(&request.url).map_err(|error| invalid(&format!("the URL is none: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(invalid("the URL is not of http or https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("the URL names a user; send a header with a secret's reference"));
    }
    if url.fragment().is_some() {
        return Err(invalid("the URL has a fragment, which is never sent"));
    }
    Ok(url)
}

fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain(_) => None,
    }
}

async fn receive(request: reqwest::RequestBuilder) -> Result<Response, Refusal> {
    let mut response = request.send().await.map_err(|error| broken(&error))?;
    let mut headers = Vec::new();
    for (name, value) in response.headers() {
        headers.push((name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error))? {
        if body.len() + chunk.len() > BODY_BYTES {
            return Err(Refusal::new("too-large", "the answer is larger than 1 MiB"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Response { status: response.status().as_u16(), headers, body })
}

fn broken(error: &reqwest::Error) -> Refusal {
    if error.is_timeout() {
        return Refusal::new("timeout", "the other side did not answer in time");
    }
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(inner) = cause {
        if let Some(found) = inner.downcast_ref::<Closed>() {
            return closed(found);
        }
        cause = inner.source();
    }
    Refusal::new("unreachable", "the other side could not be reached, or broke off")
}

fn closed(closed: &Closed) -> Refusal {
    let cure = "which is not of the public internet; grant its network in `grants.http.networks`";
    Refusal::new("address-refused", format!("{closed}, {cure}"))
}

/// Looks at every address of a name at the moment of connecting, so that what was looked at is
/// what is connected to.
struct Looked(Vec<HttpGrant>);

impl Resolve for Looked {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().trim_end_matches('.').to_ascii_lowercase();
        let granted =
            self.0.iter().filter(|grant| grant.names(&host)).flat_map(|grant| grant.networks.clone());
        let granted: Vec<IpNet> = granted.collect();
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((host.as_str(), 0)).await?.take(ADDRESSES).collect();
            if let Some(refused) = found.iter().find(|found| !is_open(found.ip(), &granted)) {
                return Err(Box::new(Closed(host, refused.ip())) as Box<dyn Error + Send + Sync>);
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
