//! Components from OCI registries: a tag is resolved to a manifest, the manifest names one
//! layer of WebAssembly, and both are what their digests say.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, LOCATION, WWW_AUTHENTICATE};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use url::Url;

use super::oci_auth::{self, Challenge, Credentials};
use super::oci_reference::{Reference, is_digest, is_loopback};
use super::source::MAX_BYTES;
use crate::outbound;

/// What an operator says of registries.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Those that are reached without TLS, beside those of this machine.
    pub insecure: Vec<String>,
    /// In the form of Docker's `config.json`.
    pub auth_file: Option<PathBuf>,
}

/// An artifact's component, and the digest of the manifest that named it.
pub struct Pulled {
    pub bytes: Vec<u8>,
    pub digest: String,
}

const MANIFESTS: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];
/// Asked for so that they can be told from what is not there.
const INDEXES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
const LAYERS: [&str; 2] = ["application/wasm", "application/vnd.wasm.content.layer.v1+wasm"];
const MAX_MANIFEST: u64 = 4 << 20;
const MAX_REDIRECTS: usize = 5;
/// One answer's head, and all of a pull.
const HEAD: Duration = Duration::from_secs(10);
const PULL: Duration = Duration::from_mins(2);

/// The part of a manifest that counts here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    #[serde(default)]
    layers: Option<Vec<Layer>>,
    /// Of an index: what it lists.
    #[serde(default)]
    manifests: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    digest: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    media_type: String,
    digest: String,
    size: u64,
}

/// Fetches the component. The error is for the operator.
pub async fn pull(settings: &Settings, reference: &Reference) -> Result<Pulled, String> {
    let pulled = tokio::time::timeout(PULL, Pull::new(settings, reference)?.run()).await;
    pulled.map_err(|_| format!("the registry {} took longer than {PULL:?}", reference.registry))?
}

struct Pull<'a> {
    settings: &'a Settings,
    reference: &'a Reference,
    /// Follows no redirect by itself: what goes along with a request is decided here.
    http: reqwest::Client,
    base: Url,
    credentials: Option<Credentials>,
    authorization: Option<String>,
}

impl<'a> Pull<'a> {
    fn new(settings: &'a Settings, reference: &'a Reference) -> Result<Self, String> {
        let registry = &reference.registry;
        let scheme = if may_be_plain(settings, registry) { "http" } else { "https" };
        let base = Url::parse(&format!("{scheme}://{registry}/"))
            .map_err(|error| format!("`{registry}` is no registry: {error}"))?;
        let credentials = match &settings.auth_file {
            Some(file) => oci_auth::credentials(file, registry)?,
            None => None,
        };
        Ok(Self { settings, reference, http: outbound::direct(), base, credentials, authorization: None })
    }

    async fn run(mut self) -> Result<Pulled, String> {
        let reference = self.reference;
        let path = format!("v2/{}/manifests/{}", reference.repository, reference.version());
        let response = self.get(&path, &[MANIFESTS, INDEXES].concat().join(", ")).await?;
        let stated = header(&response, "docker-content-digest");
        let bytes = read(response, MAX_MANIFEST, "the manifest").await?;
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
        for expected in
            [reference.digest.clone(), stated.filter(|stated| is_digest(stated))].into_iter().flatten()
        {
            if expected != digest {
                return Err(format!("the manifest of `{reference}` has the digest {digest}, not {expected}"));
            }
        }
        let layer = layer(&bytes).map_err(|problem| format!("`{reference}` {problem}"))?;
        if layer.size > MAX_BYTES {
            return Err(format!(
                "`{reference}` has {} bytes; at most {} MiB are taken",
                layer.size,
                MAX_BYTES >> 20
            ));
        }
        let path = format!("v2/{}/blobs/{}", reference.repository, layer.digest);
        let response = self.get(&path, "*/*").await?;
        // Not a byte more than the manifest says.
        let bytes = read(response, layer.size, "the component").await?;
        let found = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
        if found != layer.digest {
            return Err(format!(
                "the component of `{reference}` has the digest {found}, not {}",
                layer.digest
            ));
        }
        Ok(Pulled { bytes, digest })
    }

    /// A good answer, after whatever the registry asks for first.
    async fn get(&mut self, path: &str, accept: &str) -> Result<Response, String> {
        let url = self.base.join(path).map_err(|error| error.to_string())?;
        let mut response = self.follow(url.clone(), accept).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            let challenges: Vec<String> = response
                .headers()
                .get_all(WWW_AUTHENTICATE)
                .into_iter()
                .filter_map(|value| value.to_str().ok().map(str::to_owned))
                .collect();
            self.authorization = Some(self.answer(&challenges).await?);
            response = self.follow(url, accept).await?;
        }
        let (status, reference) = (response.status(), self.reference);
        match status {
            StatusCode::OK => Ok(response),
            StatusCode::NOT_FOUND => {
                Err(format!("the registry has no `{reference}`; push it, or mend the reference"))
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(format!(
                "the registry refuses `{reference}` ({status}); check the credentials for `{}` in `oci_auth_file`",
                reference.registry
            )),
            _ => Err(format!("the registry answered `{reference}` with {status}")),
        }
    }

    /// Follows redirects; what the registry was told to prove who asks stays with it.
    async fn follow(&self, mut url: Url, accept: &str) -> Result<Response, String> {
        for _ in 0..=MAX_REDIRECTS {
            let mut request = self.http.get(url.clone()).header(ACCEPT, accept);
            if let Some(authorization) =
                self.authorization.as_ref().filter(|_| is_same_host(&url, &self.base))
            {
                request = request.header(AUTHORIZATION, authorization);
            }
            let response = send(request, &url).await?;
            if !response.status().is_redirection() {
                return Ok(response);
            }
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let next = location.and_then(|location| url.join(location).ok());
            url = next.ok_or("the registry redirects to nowhere")?;
            self.check(&url)?;
        }
        Err(format!("the registry redirects more than {MAX_REDIRECTS} times"))
    }

    /// What answers the registry's demand to prove who asks.
    async fn answer(&self, challenges: &[String]) -> Result<String, String> {
        let registry = &self.reference.registry;
        let basic = || self.credentials.as_ref().map(Credentials::basic);
        match challenges.iter().find_map(|challenge| Challenge::parse(challenge)) {
            Some(Challenge::Basic) => basic().ok_or_else(|| {
                format!("the registry {registry} asks for a password; put one into `oci_auth_file`")
            }),
            Some(Challenge::Bearer { realm, service, scope }) => {
                let mut url =
                    Url::parse(&realm).map_err(|_| format!("the registry {registry} names no realm"))?;
                self.check(&url)?;
                let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", self.reference.repository));
                url.query_pairs_mut()
                    .extend_pairs(service.iter().map(|service| ("service", service.as_str())))
                    .append_pair("scope", &scope);
                let mut request = self.http.get(url.clone());
                if let Some(basic) = basic() {
                    request = request.header(AUTHORIZATION, basic);
                }
                let response = send(request, &url).await?;
                if response.status() != StatusCode::OK {
                    return Err(format!(
                        "{} gives no token for `{registry}` ({}); check `oci_auth_file`",
                        url.host_str().unwrap_or_default(),
                        response.status()
                    ));
                }
                let body = read(response, MAX_MANIFEST, "the token").await?;
                let token = oci_auth::token(&body).ok_or("the registry's token cannot be read")?;
                Ok(format!("Bearer {token}"))
            }
            None => Err(format!("the registry {registry} asks for a proof that this gateway cannot give")),
        }
    }

    /// Nothing travels in the open but to this machine and to registries that may.
    fn check(&self, url: &Url) -> Result<(), String> {
        let host = match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or_default().to_owned(),
        };
        if url.scheme() == "https" || (url.scheme() == "http" && may_be_plain(self.settings, &host)) {
            return Ok(());
        }
        Err(format!("`{host}` is reached without TLS; list it in `oci_insecure_registries` if that is meant"))
    }
}

fn may_be_plain(settings: &Settings, registry: &str) -> bool {
    is_loopback(registry) || settings.insecure.iter().any(|insecure| insecure.eq_ignore_ascii_case(registry))
}

fn is_same_host(one: &Url, other: &Url) -> bool {
    let parts =
        |url: &Url| (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port_or_known_default());
    parts(one) == parts(other)
}

async fn send(request: reqwest::RequestBuilder, url: &Url) -> Result<Response, String> {
    let host = url.host_str().unwrap_or_default();
    let sent = tokio::time::timeout(HEAD, request.send()).await;
    let sent = sent.map_err(|_| format!("{host} does not answer within {HEAD:?}"))?;
    sent.map_err(|error| {
        let is_secure = url.scheme() == "https" && error.is_connect();
        let cure = if is_secure { "; if it has no TLS, list it in `oci_insecure_registries`" } else { "" };
        format!("{host} does not answer: {:#}{cure}", anyhow::Error::from(error.without_url()))
    })
}

async fn read(mut response: Response, limit: u64, what: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    loop {
        let chunk = response
            .chunk()
            .await
            .map_err(|error| format!("{what} broke off: {:#}", anyhow::Error::from(error.without_url())))?;
        let Some(chunk) = chunk else { return Ok(bytes) };
        if (bytes.len() + chunk.len()) as u64 > limit {
            return Err(format!("{what} is larger than the {limit} bytes that it may have"));
        }
        bytes.extend_from_slice(&chunk);
    }
}

fn header(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name)?.to_str().ok().map(str::to_owned)
}

fn layer(manifest: &[u8]) -> Result<Layer, String> {
    let manifest: Manifest = serde_json::from_slice(manifest)
        .map_err(|error| format!("has a manifest that cannot be read: {error}"))?;
    let Some(layers) = manifest.layers else {
        let mut listed = manifest.manifests.iter().map(|listed| &listed.digest).filter(|one| is_digest(one));
        let one = listed.next().map(|one| format!(", such as `@{one}`")).unwrap_or_default();
        return Err(format!("is no single artifact but an index of several; name the digest of one{one}"));
    };
    let mut found: Vec<Layer> = Vec::new();
    let mut others: Vec<String> = Vec::new();
    for layer in layers {
        if LAYERS.contains(&layer.media_type.as_str()) {
            found.push(layer);
        } else if others.len() < 8 {
            others.push(layer.media_type);
        }
    }
    let layer = found.pop().filter(|_| found.is_empty()).ok_or_else(|| {
        format!("must have one layer of type `{}`; its other layers are [{}]", LAYERS[0], others.join(", "))
    })?;
    if !is_digest(&layer.digest) {
        return Err("names its component by no sha256 digest".to_owned());
    }
    Ok(layer)
}
