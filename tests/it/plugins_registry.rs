//! Components from an OCI registry.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use macro_rules_attribute::apply;
use serde_json::json;

use crate::harness::{Engine, Gateway, Registry, sha256};
use crate::plugins_scene::{BUILT_IN, Scene, component, instructions};

const ECHO: &str = "config = { text = \"from afar\" }";

fn from(reference: &str) -> String {
    format!("{BUILT_IN}\n[[plugin]]\nname = \"extra\"\nsource = \"oci:{reference}\"\n{ECHO}\n")
}

fn echo() -> Vec<u8> {
    std::fs::read(component("test-echo")).unwrap()
}

async fn refused(gateway: &Gateway, document: &str, part: &str) {
    let before = gateway.admin().plugins().await;
    let answer = gateway.admin().apply(document).await.expect(422);
    let fault = &answer["faults"][0];
    assert_eq!(fault["pointer"], "/plugin/3/source", "{answer}");
    assert!(fault["message"].as_str().unwrap().contains(part), "no `{part}` in {answer}");
    assert_eq!(gateway.admin().plugins().await["generation"], before["generation"]);
}

#[apply(on_both)]
async fn a_component_is_pulled_by_tag_and_by_digest_and_goes_on_without_its_registry(gateway: &Gateway) {
    let mut registry = Registry::start();
    let digest = registry.push("acme/echo", "1.0", &echo()).await;
    let name = format!("{}/acme/echo", registry.address);
    let scene = Scene::new(gateway).await;

    let by_tag = scene.apply(&from(&format!("{name}:1.0"))).await;
    let resolved = format!("oci:{name}:1.0@{digest}");
    assert_eq!(by_tag["plugins"][3]["source"], resolved.as_str());
    assert_eq!(by_tag["plugins"][3]["sha256"], sha256(&echo()));
    let task = scene.claimed().await;
    assert_eq!(instructions(&task), "from afar");
    scene.end(&task).await;
    scene.apply(&from(&format!("{name}@{digest}"))).await;

    // The tag moves on; what was applied does not, until it is applied again.
    let moved = registry.push("acme/echo", "1.0", &std::fs::read(component("test-trap")).unwrap()).await;
    assert_ne!(moved, digest);
    let generation = by_tag["generation"].clone();
    let back =
        gateway.admin().post("/admin/plugins/rollback", json!({"generation": generation})).await.expect(200);
    assert_eq!(back["plugins"][3]["source"], resolved.as_str());
    let kept = gateway.admin().get(format!("/admin/plugins/generations/{generation}")).await.expect(200);
    assert_eq!(kept["document"]["plugin"][3]["source"], resolved.as_str());

    registry.stop();
    refused(gateway, &from(&format!("{name}:1.0")), "does not answer").await;
    gateway.restart();
    let shown = gateway.admin().plugins().await;
    assert_eq!((&shown["plugins"][3]["source"], &shown["broken"]), (&json!(resolved), &json!([])));
    let task = scene.claimed().await;
    assert_eq!(instructions(&task), "from afar");
    scene.end(&task).await;
}

#[apply(on_both)]
async fn what_a_registry_does_not_have_or_has_wrong_is_refused(gateway: &Gateway) {
    let registry = Registry::start();
    registry.push("acme/echo", "1.0", &echo()).await;
    registry.push_as("acme/echo", "text", "text/plain", b"hello").await;
    registry.push_as("acme/echo", "garbage", "application/wasm", b"hello").await;
    registry.push_as("acme/echo", "spin", "application/vnd.wasm.content.layer.v1+wasm", &echo()).await;
    let name = format!("{}/acme/echo", registry.address);
    refused(gateway, &from(&format!("{name}:2.0")), "push it, or mend the reference").await;
    refused(gateway, &from(&format!("{name}@sha256:{}", "0".repeat(64))), "push it, or mend").await;
    refused(gateway, &from(&format!("{}/acme/other:1.0", registry.address)), "push it, or mend").await;
    refused(gateway, &from(&format!("{name}:text")), "one layer of type `application/wasm`").await;
    refused(gateway, &from(&format!("{name}:garbage")), "not a WebAssembly component").await;
    refused(gateway, &from("acme/echo:1.0"), "names no registry").await;
    gateway.admin().apply(&from(&format!("{name}:spin"))).await.expect(200);
}

#[apply(on_both)]
async fn a_registry_that_asks_who_is_there_is_told(engine: Engine) {
    let registry = Registry::with_password();
    registry.push("acme/echo", "1.0", &echo()).await;
    let reference = format!("{}/acme/echo:1.0", registry.address);
    let nobody = Gateway::start(engine).await;
    refused(&nobody, &from(&reference), "asks for a password").await;
    nobody.finish().await;

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("auth.json");
    let setup = Gateway::setup(engine).env("SWITCHYARD_OCI_AUTH_FILE", file.to_str().unwrap());
    let gateway = setup.start().await;
    refused(&gateway, &from(&reference), "oci_auth_file").await;
    std::fs::write(&file, "{").unwrap();
    refused(&gateway, &from(&reference), "not of the form").await;
    let mut wrong = registry.auth_file();
    wrong["auths"][&registry.address]["password"] = "open-barley".into();
    std::fs::write(&file, wrong.to_string()).unwrap();
    refused(&gateway, &from(&reference), "check the credentials").await;
    std::fs::write(&file, registry.auth_file().to_string()).unwrap();
    gateway.admin().apply(&from(&reference)).await.expect(200);
    gateway.finish().await;
}

/// A registry as clouds have them: tokens come from one place, components from another.
async fn cloud(component: Vec<u8>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let layer = json!({
        "mediaType": "application/wasm",
        "digest": format!("sha256:{}", sha256(&component)),
        "size": component.len(),
    });
    let manifest = json!({"schemaVersion": 2, "layers": [layer]}).to_string();
    let sent = |headers: &HeaderMap| {
        headers.get(header::AUTHORIZATION).map_or(String::new(), |value| value.to_str().unwrap().to_owned())
    };
    let manifests = move |headers: HeaderMap| async move {
        if sent(&headers) == "Bearer t0ken" {
            return manifest.into_response();
        }
        let realm = format!("http://127.0.0.1:{port}/token");
        let challenge = format!("Bearer realm=\"{realm}\",service=\"cloud\",scope=\"repository:a/b:pull\"");
        (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)]).into_response()
    };
    let token = move |headers: HeaderMap| async move {
        // `ada:open-sesame`, and nobody else.
        let known = sent(&headers) == "Basic YWRhOm9wZW4tc2VzYW1l";
        if known {
            json!({"token": "t0ken"}).to_string().into_response()
        } else {
            StatusCode::FORBIDDEN.into_response()
        }
    };
    let blobs = move |headers: HeaderMap| async move {
        assert_eq!(sent(&headers), "Bearer t0ken");
        (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, format!("http://localhost:{port}/storage"))])
    };
    let storage = move |headers: HeaderMap| async move {
        if sent(&headers).is_empty() {
            component.into_response()
        } else {
            StatusCode::BAD_REQUEST.into_response()
        }
    };
    let router = Router::new()
        .route("/v2/a/b/manifests/{tag}", get(manifests))
        .route("/v2/a/b/blobs/{digest}", get(blobs))
        .route("/token", get(token))
        .route("/storage", get(storage));
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("127.0.0.1:{port}")
}

#[apply(on_both)]
async fn a_token_is_fetched_and_stays_with_the_registry(engine: Engine) {
    let address = cloud(echo()).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("auth.json");
    let gateway =
        Gateway::setup(engine).env("SWITCHYARD_OCI_AUTH_FILE", file.to_str().unwrap()).start().await;
    std::fs::write(&file, "{}").unwrap();
    refused(&gateway, &from(&format!("{address}/a/b:1")), "gives no token").await;
    let auths = json!({"auths": {address.clone(): {"auth": "YWRhOm9wZW4tc2VzYW1l"}}});
    std::fs::write(&file, auths.to_string()).unwrap();
    let shown = gateway.admin().apply(&from(&format!("{address}/a/b:1"))).await.expect(200);
    assert_eq!(shown["plugins"][3]["sha256"], sha256(&echo()));
    gateway.finish().await;
}

#[apply(on_both)]
async fn of_an_index_one_artifact_is_to_be_named(gateway: &Gateway) {
    let registry = Registry::start();
    let one = registry.push("acme/echo", "amd64", &echo()).await;
    let other = registry.push("acme/echo", "arm64", &std::fs::read(component("test-trap")).unwrap()).await;
    let index = registry.push_index("acme/echo", "1.0", &[&one, &other]).await;
    let name = format!("{}/acme/echo", registry.address);
    for reference in [format!("{name}:1.0"), format!("{name}@{index}")] {
        let part = format!(
            "is no single artifact but an index of several; name the digest of one, such as `@{one}`"
        );
        refused(gateway, &from(&reference), &part).await;
    }
    let shown = gateway.admin().apply(&from(&format!("{name}@{one}"))).await.expect(200);
    assert_eq!(shown["plugins"][3]["sha256"], sha256(&echo()));
}

/// Whoever says too little or too much, and goes on sending for ever.
struct Endless {
    address: String,
    /// Bytes that left so far.
    sent: Arc<AtomicUsize>,
}

impl Endless {
    /// Without a size it is the manifest that never ends, otherwise the component.
    async fn start(size: Option<u64>) -> Self {
        const CHUNK: usize = 64 << 10;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let sent = Arc::<AtomicUsize>::default();
        let counter = sent.clone();
        let endless = move || {
            let counter = counter.clone();
            let chunks = futures_util::stream::repeat_with(move || {
                counter.fetch_add(CHUNK, Ordering::Relaxed);
                Ok::<_, std::convert::Infallible>(vec![b' '; CHUNK])
            });
            Body::from_stream(chunks)
        };
        let digest = format!("sha256:{}", "0".repeat(64));
        let manifest = size.map(|size| {
            json!({"layers": [{"mediaType": "application/wasm", "digest": digest, "size": size}]}).to_string()
        });
        let of_manifest = endless.clone();
        let router = Router::new()
            .route(
                "/v2/a/b/manifests/{tag}",
                get(move || async move { manifest.map_or_else(of_manifest, Body::from) }),
            )
            .route("/v2/a/b/blobs/{digest}", get(move || async move { endless() }));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, sent }
    }
}

/// What is read ends with what may be; the rest is what the connection holds.
#[apply(on_both)]
async fn no_more_is_taken_from_a_registry_than_may_be(gateway: &Gateway) {
    const MIB: usize = 1 << 20;
    let all = 32 * MIB;
    for (size, part, most) in [
        (Some(all as u64 + 1), "at most 32 MiB are taken", 0),
        (Some(u64::MAX), "at most 32 MiB are taken", 0),
        (
            Some(all as u64),
            "the component is larger than the 33554432 bytes that it may have",
            all + 24 * MIB,
        ),
        (Some(1000), "the component is larger than the 1000 bytes that it may have", 24 * MIB),
        (None, "the manifest is larger than the 4194304 bytes that it may have", 28 * MIB),
    ] {
        let endless = Endless::start(size).await;
        refused(gateway, &from(&format!("{}/a/b:1", endless.address)), part).await;
        let sent = endless.sent.load(Ordering::Relaxed);
        assert!(sent <= most, "{size:?}: {sent} bytes left the registry");
    }
}

/// `0.0.0.0` leads to this machine, and does not say so.
#[apply(on_both)]
async fn nothing_is_asked_in_the_open_unless_the_operator_said_so(engine: Engine) {
    let registry = Registry::start();
    registry.push("acme/echo", "1.0", &echo()).await;
    let port = registry.address.rsplit_once(':').unwrap().1;
    let nobodys = format!("0.0.0.0:{port}");

    let gateway = Gateway::start(engine).await;
    // Spoken to as if it had TLS, which it does not: no word of HTTP is sent.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = format!("0.0.0.0:{}", listener.local_addr().unwrap().port());
    let first = std::thread::spawn(move || {
        let mut first = [0];
        listener.accept().unwrap().0.read_exact(&mut first).unwrap();
        first[0]
    });
    refused(&gateway, &from(&format!("{place}/a/b:1")), "list it in `oci_insecure_registries`").await;
    assert_eq!(first.join().unwrap(), 22, "a handshake of TLS");

    // A registry that may be asked sends elsewhere, for the artifact or for a token.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    closed.set_nonblocking(true).unwrap();
    let elsewhere = format!("http://0.0.0.0:{}/x", closed.local_addr().unwrap().port());
    let realm = format!("Bearer realm=\"{elsewhere}\"");
    for (status, name, value) in [
        (StatusCode::TEMPORARY_REDIRECT, header::LOCATION, elsewhere),
        (StatusCode::UNAUTHORIZED, header::WWW_AUTHENTICATE, realm),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(move || async move { (status, [(name, value)]) });
        tokio::spawn(async move { axum::serve(listener, router).await });
        refused(&gateway, &from(&format!("{address}/a/b:1")), "is reached without TLS; list it").await;
        assert_eq!(closed.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "{status}");
    }
    gateway.finish().await;

    let setup = Gateway::setup(engine).env("SWITCHYARD_OCI_INSECURE_REGISTRIES", &nobodys);
    let gateway = setup.start().await;
    let shown = gateway.admin().apply(&from(&format!("{nobodys}/acme/echo:1.0"))).await.expect(200);
    assert_eq!(shown["plugins"][3]["sha256"], sha256(&echo()));
    gateway.finish().await;
}
