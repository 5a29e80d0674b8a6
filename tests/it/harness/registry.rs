//! Debian's `docker-registry` on a free port, with artifacts that a test pushes.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// Far above what it takes to start.
const START: Duration = Duration::from_mins(1);
/// `ada` with the password `open-sesame`.
const HTPASSWD: &str = "ada:$2b$05$abcdefghijklmnopqrstuutXu9KzOt.1yBoZUeFWoT/914/JfszCO\n";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const USER: (&str, &str) = ("ada", "open-sesame");

pub struct Registry {
    /// Host and port.
    pub address: String,
    process: Child,
    http: Client,
    asks: bool,
    _folder: TempDir,
}

impl Registry {
    /// One that lets everybody in.
    pub fn start() -> Self {
        Self::launch(false)
    }

    /// One that asks for [`USER`].
    pub fn with_password() -> Self {
        Self::launch(true)
    }

    fn launch(asks: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mut config = json!({
            "version": 0.1,
            "log": {"level": "info"},
            "storage": {"filesystem": {"rootdirectory": path("data")}},
            "http": {"addr": "127.0.0.1:0"},
        });
        if asks {
            std::fs::write(path("htpasswd"), HTPASSWD).unwrap();
            config["auth"] = json!({"htpasswd": {"realm": "test", "path": path("htpasswd")}});
        }
        // JSON is YAML.
        std::fs::write(path("config.yml"), config.to_string()).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(path("config.yml")).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("docker-registry; `.ci/registry` installs it");
        let (sender, listening) = channel();
        // It says where it listens on one of the two.
        let outputs: [Box<dyn std::io::Read + Send>; 2] =
            [Box::new(process.stdout.take().unwrap()), Box::new(process.stderr.take().unwrap())];
        for output in outputs {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if let Some((_, rest)) = line.split_once("listening on 127.0.0.1:") {
                        let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
                        let _ = sender.send(port);
                    }
                }
            });
        }
        let port = listening.recv_timeout(START).expect("the registry listens");
        let http = Client::builder().no_proxy().build().unwrap();
        Self { address: format!("127.0.0.1:{port}"), process, http, asks, _folder: folder }
    }

    /// Stores a component under a tag and gives the manifest's digest.
    pub async fn push(&self, repository: &str, tag: &str, component: &[u8]) -> String {
        self.push_as(repository, tag, "application/wasm", component).await
    }

    /// As [`Registry::push`], with the layer's media type.
    pub async fn push_as(&self, repository: &str, tag: &str, media_type: &str, bytes: &[u8]) -> String {
        let layer = self.upload(repository, bytes).await;
        let config = self.upload(repository, b"{}").await;
        let manifest = json!({
            "config": {"mediaType": "application/vnd.wasm.config.v0+json", "digest": config, "size": 2},
            "layers": [{"mediaType": media_type, "digest": layer, "size": bytes.len()}],
        });
        self.put_manifest(repository, tag, MANIFEST, &manifest).await
    }

    /// Stores an index of these manifests under a tag, as for artifacts of many architectures.
    pub async fn push_index(&self, repository: &str, tag: &str, digests: &[&str]) -> String {
        let mut manifests = Vec::new();
        for (digest, architecture) in digests.iter().zip(["amd64", "arm64"]) {
            let manifest = self.request(Method::HEAD, &format!("/v2/{repository}/manifests/{digest}"));
            let manifest = manifest.header("accept", MANIFEST).send().await.unwrap();
            let size: u64 = manifest.headers()["content-length"].to_str().unwrap().parse().unwrap();
            let platform = json!({"os": "linux", "architecture": architecture});
            manifests
                .push(json!({"mediaType": MANIFEST, "digest": digest, "size": size, "platform": platform}));
        }
        self.put_manifest(repository, tag, INDEX, &json!({"manifests": manifests})).await
    }

    async fn put_manifest(&self, repository: &str, tag: &str, media_type: &str, body: &Value) -> String {
        let mut manifest = json!({"schemaVersion": 2, "mediaType": media_type});
        manifest.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        let request = self.request(Method::PUT, &format!("/v2/{repository}/manifests/{tag}"));
        let request = request.header("content-type", media_type);
        let answer = request.body(manifest.to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 201, "{manifest}");
        answer.headers()["docker-content-digest"].to_str().unwrap().to_owned()
    }

    async fn upload(&self, repository: &str, bytes: &[u8]) -> String {
        let digest = format!("sha256:{}", sha256(bytes));
        let begun =
            self.request(Method::POST, &format!("/v2/{repository}/blobs/uploads/")).send().await.unwrap();
        assert_eq!(begun.status(), 202);
        let place = begun.headers()["location"].to_str().unwrap().to_owned();
        let place = place.split_once(&self.address).map_or(place.as_str(), |(_, path)| path).to_owned();
        let mark = if place.contains('?') { '&' } else { '?' };
        let request = self.request(Method::PUT, &format!("{place}{mark}digest={digest}"));
        let stored = request.header("content-type", "application/octet-stream").body(bytes.to_vec());
        assert_eq!(stored.send().await.unwrap().status(), 201);
        digest
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("http://{}{path}", self.address));
        if self.asks { request.basic_auth(USER.0, Some(USER.1)) } else { request }
    }

    /// What Docker keeps for whoever logged in.
    pub fn auth_file(&self) -> Value {
        json!({"auths": {self.address.clone(): {"username": USER.0, "password": USER.1}}})
    }

    /// Ends it, as when its machine goes down.
    pub fn stop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
    }
}

/// In hex, as digests are shown.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
