//! Components from an OCI registry.

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
    use axum::Router;
    use axum::http::{HeaderMap, StatusCode, header};
    use axum::response::IntoResponse;
    use axum::routing::get;

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
