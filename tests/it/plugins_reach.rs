//! What a plugin reaches beyond its input: values of its own, the web, secrets that it never
//! sees. Whatever was not granted is a value to the guest and a number to the operator.

use macro_rules_attribute::apply;
use serde_json::{Value, json};

use crate::harness::{Engine, Gateway};
use crate::plugins_scene::{Scene, beside_built_in, eventually, step};
use crate::plugins_web::Web;

pub const LOOPBACK: &str = r#"["127.0.0.0/8", "::1/128"]"#;
const GET: &str = r#"["GET"]"#;
const ALL: &str = "[plugin.grants]\nkv = true\nclock = true\nrandom = true\n";
/// What the guest imports and these tests do not use.
const UNUSED: &str = r#"
[[plugin.grants.http]]
url = "https://example.com/"
[plugin.grants.secrets.tracker]
from = "file:tracker"
hosts = ["example.com"]
"#;

/// A document whose last plugin takes these steps; `more` are further lines of it.
pub fn document(steps: &Value, more: &str) -> String {
    beside_built_in("test-reach", &format!("config = {{ steps = {} }}\n{more}", inline(steps)))
}

/// JSON as an inline value of TOML.
pub fn inline(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let members: Vec<String> =
                map.iter().map(|(name, value)| format!("{name} = {}", inline(value))).collect();
            format!("{{ {} }}", members.join(", "))
        }
        Value::Array(list) => format!("[{}]", list.iter().map(inline).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

/// What came of each step, in the next claim.
async fn taken(scene: &Scene<'_>) -> Vec<Value> {
    let task = scene.claimed().await;
    let results = task["workspace_context"].as_str().unwrap_or_else(|| panic!("no results in {task}"));
    let results = serde_json::from_str(results).unwrap();
    scene.end(&task).await;
    results
}

async fn steps(scene: &Scene<'_>, steps: Value, more: &str) -> Vec<Value> {
    scene.apply(&document(&steps, more)).await;
    taken(scene).await
}

pub fn code(result: &Value) -> &str {
    result["code"].as_str().unwrap_or_else(|| panic!("taken: {result}"))
}

fn keeps() -> String {
    format!("{ALL}{UNUSED}")
}

#[apply(on_both)]
async fn what_a_plugin_keeps_outlives_its_calls_and_the_gateway(engine: Engine) {
    let (gateway, _folder) = with_secret(engine).await;
    let scene = Scene::new(&gateway).await;
    let first = json!([
        {"do": "get", "key": "note"},
        {"do": "set", "key": "note", "value": "kept"},
        {"do": "set", "key": "brief", "value": "gone", "ttl": 0},
        {"do": "increment", "key": "count", "by": 5},
        {"do": "increment", "key": "count", "by": -2},
        {"do": "increment", "key": "note", "by": 1},
        {"do": "delete", "key": "nothing"},
    ]);
    let results = steps(&scene, first, &keeps()).await;
    assert_eq!(results[0], json!({"ok": null}));
    assert_eq!((&results[3], &results[4]), (&json!({"ok": 5}), &json!({"ok": 3})));
    assert_eq!(code(&results[5]), "not-a-number");
    assert_eq!(results[6], json!({"ok": false}));

    let second = json!([
        {"do": "get", "key": "note"},
        {"do": "get", "key": "brief"},
        {"do": "get", "key": "count"},
        {"do": "keys", "prefix": ""},
        {"do": "keys", "prefix": "", "after": "count"},
        {"do": "keys", "prefix": "co"},
    ]);
    scene.apply(&document(&second, &keeps())).await;
    gateway.restart();
    let results = taken(&scene).await;
    let kept: Vec<&Value> = results.iter().map(|result| &result["ok"]).collect();
    assert_eq!(
        kept,
        [
            &json!("kept"),
            &json!(null),
            &json!("3"),
            &json!(["count", "note"]),
            &json!(["note"]),
            &json!(["count"])
        ]
    );

    // Another plugin of the same component has values of its own.
    let renamed =
        document(&json!([{"do": "get", "key": "note"}]), &keeps()).replace("\"extra\"", "\"other\"");
    scene.apply(&renamed).await;
    assert_eq!(taken(&scene).await, [json!({"ok": null})]);
    gateway.finish().await;
}

#[apply(on_both)]
async fn calls_at_once_are_all_counted(engine: Engine) {
    let (gateway, _folder) = with_secret(engine).await;
    let scene = Scene::new(&gateway).await;
    gateway.change("agent", scene.world.g1, "max_concurrent_tasks", json!(12)).await;
    scene.apply(&document(&json!([{"do": "increment", "key": "claims", "by": 1}]), &keeps())).await;
    for _ in 0..12 {
        gateway.seed_issue_task(scene.world.g1, json!({})).await;
    }
    let claims = (0..12).map(|_| scene.daemon().claim(scene.world.r1));
    let claimed = futures_util::future::join_all(claims).await;
    assert!(claimed.iter().all(Option::is_some), "{claimed:?}");
    let mut sums: Vec<i64> = claimed
        .iter()
        .flatten()
        .map(|task| {
            let results: Value = serde_json::from_str(task["workspace_context"].as_str().unwrap()).unwrap();
            results[0]["ok"].as_i64().unwrap_or_else(|| panic!("{results}"))
        })
        .collect();
    sums.sort_unstable();
    assert_eq!(sums, (1..=12).collect::<Vec<i64>>());
    gateway.finish().await;
}

#[apply(on_both)]
async fn what_a_guest_can_fill_is_bounded(engine: Engine) {
    let (gateway, _folder) = with_secret(engine).await;
    let scene = Scene::new(&gateway).await;
    let large = |key: usize| json!({"do": "set", "key": format!("k{key}"), "bytes": 65_536});
    let mut wanted: Vec<Value> = (0..17).map(large).collect();
    wanted.extend([
        json!({"do": "set", "key": "k", "bytes": 65_537}),
        json!({"do": "set", "key": "", "bytes": 1}),
        json!({"do": "set", "key": "k".repeat(257), "bytes": 1}),
        json!({"do": "set", "key": "a\nb", "bytes": 1}),
        json!({"do": "random", "count": 1_000_000}),
    ]);
    wanted.extend((0..50).map(|_| json!({"do": "get", "key": "nothing"})));
    let more = format!("limits = {{ kv_mib = 1, wall_ms = 20000, memory_mib = 128 }}\n{}", keeps());
    let results = steps(&scene, json!(wanted), &more).await;
    assert!(results[..15].iter().all(|result| result["ok"].is_null()), "{:?}", &results[..15]);
    // Sixteen values of 64 KiB and their keys are a little over one MiB.
    assert_eq!((code(&results[15]), code(&results[16])), ("store-full", "store-full"));
    let refused: Vec<&str> = results[17..21].iter().map(code).collect();
    assert_eq!(refused, ["value-too-large", "key-invalid", "key-invalid", "key-invalid"]);
    assert_eq!(results[21], json!({"ok": 4096}));
    assert_eq!(code(results.last().unwrap()), "too-many-calls");
    let counters = &gateway.admin().plugins().await["plugins"][3]["counters"]["denied"];
    assert_eq!(counters["store-full"], 2, "{counters}");
    assert_eq!(counters["key-invalid"], 3, "{counters}");
    assert!(counters["too-many-calls"].as_u64().unwrap() > 0, "{counters}");
    gateway.finish().await;
}

#[apply(on_both)]
async fn an_import_that_was_not_granted_is_refused_with_the_cure(gateway: &Gateway) {
    let admin = gateway.admin();
    let refused = admin.apply(&document(&json!([]), "[plugin.grants]\nkv = true")).await.expect(422);
    let faults = refused["faults"].as_array().unwrap();
    let told: Vec<(&str, bool)> = faults
        .iter()
        .map(|fault| {
            let pointer = fault["pointer"].as_str().unwrap();
            let import = pointer.strip_prefix("/plugin/3/grants/").unwrap();
            let named = format!("switchyard:plugin/{import}@1.0.0");
            (import, fault["message"].as_str().unwrap().contains(&named))
        })
        .collect();
    let mut imports: Vec<&str> = told.iter().map(|(import, _)| *import).collect();
    imports.sort_unstable();
    assert_eq!(imports, ["clock", "http", "random", "secrets"], "{refused}");
    assert!(told.iter().all(|(_, named)| *named), "{refused}");
}

/// Everything granted, with one secret in a file of the gateway's folder.
pub fn granted(web: &Web, path: &str, methods: &str, networks: &str) -> String {
    format!(
        "limits = {{ wall_ms = 10000 }}\n{ALL}{}[plugin.grants.secrets.tracker]\nfrom = \"file:tracker\"\nhosts = [\"localhost\"]\n",
        web.grant(path, methods, networks)
    )
}

/// A gateway whose plugins may have a secret, and the folder that it lies in.
pub async fn with_secret(engine: Engine) -> (Gateway, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tracker"), "t0p-s3cret\n").unwrap();
    let setup = Gateway::setup(engine).env("SWITCHYARD_PLUGIN_SECRETS_DIR", folder.path().to_str().unwrap());
    (setup.start().await, folder)
}

#[apply(on_both)]
async fn a_request_goes_where_it_was_granted_with_a_secret_nobody_sees(engine: Engine) {
    let ((gateway, _folder), web) = (with_secret(engine).await, Web::start().await);
    let scene = Scene::new(&gateway).await;
    let send = json!({
        "do": "send", "method": "GET", "url": web.url("/api/tickets/1?full=1"),
        "headers": [["Authorization", "Bearer {tracker}"], ["Host", "evil.example"], ["X-Own", "a"]],
    });
    let results = steps(&scene, json!([send]), &granted(&web, "/api/", GET, LOOPBACK)).await;
    assert_eq!(results[0]["ok"]["status"], 200, "{results:?}");
    let asked = web.asked();
    assert_eq!(asked[0]["call"], "GET /api/tickets/1?full=1");
    let heads = asked[0]["headers"].to_string();
    assert!(heads.contains("Bearer t0p-s3cret") && heads.contains("x-own"), "{heads}");
    assert!(!heads.contains("evil.example"), "{heads}");
    // The service sent it back; the guest got it blotted out, and nobody else was told.
    let body = results[0]["ok"]["body"].as_str().unwrap();
    assert!(body.contains("Bearer [secret]") && !body.contains("s3cret"), "{body}");
    for path in ["/admin/plugins", "/admin/plugins/generations/2"] {
        let shown = gateway.admin().get(path).await.expect(200).to_string();
        assert!(!shown.contains("t0p-s3cret"), "{path}: {shown}");
    }
    assert!(!gateway.log().iter().any(|line| line.contains("t0p-s3cret")));
    gateway.finish().await;
}

#[apply(on_both)]
async fn what_was_not_granted_is_not_asked(engine: Engine) {
    let ((gateway, _folder), web) = (with_secret(engine).await, Web::start().await);
    let scene = Scene::new(&gateway).await;
    let send = |method: &str, url: &str| json!({"do": "send", "method": method, "url": url});
    let port = web.port;
    let refused = [
        ("POST", web.url("/api/x"), "not-granted"),
        ("GET", web.url("/other"), "not-granted"),
        ("GET", web.url("/api/../other"), "not-granted"),
        ("GET", web.url("/api/..%2fother"), "not-granted"),
        ("GET", format!("http://127.0.0.1:{port}/api/x"), "not-granted"),
        ("GET", format!("http://[::ffff:127.0.0.1]:{port}/api/x"), "not-granted"),
        ("GET", format!("http://0x7f000001:{port}/api/x"), "not-granted"),
        ("GET", format!("http://localhost.evil.example:{port}/api/x"), "not-granted"),
        ("GET", format!("https://localhost:{port}/api/x"), "not-granted"),
        ("GET", format!("http://user@localhost:{port}/api/x"), "request-invalid"),
        ("GET", format!("http://localhost:{port}/api/x#part"), "request-invalid"),
        ("GET", "file:///etc/passwd".to_owned(), "request-invalid"),
        ("GET", "localhost/api".to_owned(), "request-invalid"),
        ("TRACE", web.url("/api/x"), "request-invalid"),
    ];
    let wanted: Vec<Value> = refused.iter().map(|(method, url, _)| send(method, url)).collect();
    let more = granted(&web, "/api", GET, LOOPBACK).replace("wall_ms", "http_calls = 64, wall_ms");
    let results = steps(&scene, json!(wanted), &more).await;
    for ((method, url, expected), result) in refused.iter().zip(&results) {
        assert_eq!(code(result), *expected, "{method} {url}: {result}");
    }
    assert_eq!(web.asked(), Vec::<Value>::new(), "nothing left the gateway");
    let counters = &gateway.admin().plugins().await["plugins"][3]["counters"]["denied"];
    assert_eq!((&counters["not-granted"], &counters["request-invalid"]), (&json!(9), &json!(5)));
    gateway.finish().await;
}

#[apply(on_both)]
async fn addresses_that_are_not_public_need_a_grant_of_their_own(engine: Engine) {
    let ((gateway, _folder), web) = (with_secret(engine).await, Web::start().await);
    let scene = Scene::new(&gateway).await;
    let port = web.port;
    // A name that leads home, and addresses in every form that names them.
    let places = [
        format!("http://localhost:{port}/"),
        format!("http://127.0.0.1:{port}/"),
        format!("http://[::1]:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://[64:ff9b::7f00:1]:{port}/"),
        format!("http://0.0.0.0:{port}/"),
        "http://169.254.169.254/".to_owned(),
        "http://[fd00:ec2::254]/".to_owned(),
    ];
    let grant = |place| format!("[[plugin.grants.http]]\nurl = \"{place}\"\nnetworks = [\"10.0.0.0/8\"]\n");
    let grants = places.iter().map(grant).collect::<Vec<String>>().concat();
    let wanted: Vec<Value> =
        places.iter().map(|place| json!({"do": "send", "method": "GET", "url": place})).collect();
    let secret = "[plugin.grants.secrets.tracker]\nfrom = \"file:tracker\"\nhosts = [\"localhost\"]\n";
    let more = format!("limits = {{ http_calls = 64, wall_ms = 10000 }}\n{ALL}{grants}{secret}");
    let results = steps(&scene, json!(wanted), &more).await;
    for (place, result) in places.iter().zip(&results) {
        assert_eq!(code(result), "address-refused", "{place}: {result}");
    }
    assert_eq!(web.asked(), Vec::<Value>::new());
    gateway.finish().await;
}

#[apply(on_both)]
async fn answers_are_taken_as_they_come_within_bounds(engine: Engine) {
    let ((gateway, _folder), web) = (with_secret(engine).await, Web::start().await);
    let scene = Scene::new(&gateway).await;
    let get = |path: &str| json!({"do": "send", "method": "GET", "url": web.url(path)});
    let wanted = json!([
        get("/api/redirect"),
        get("/api/missing"),
        get("/api/large"),
        {"do": "send", "method": "POST", "url": web.url("/api/echo"), "body": "hello"},
        {"do": "send", "method": "GET", "url": web.url("/api/stall"), "timeout_ms": 50},
        get("/api/x"),
    ]);
    let more =
        granted(&web, "/api", r#"["GET", "POST"]"#, LOOPBACK).replace("wall_ms", "http_calls = 5, wall_ms");
    let results = steps(&scene, wanted, &more).await;
    assert_eq!(results[0]["ok"]["status"], 302, "{:?}", results[0]);
    assert!(results[0]["ok"]["headers"].to_string().contains("/secret/place"));
    assert_eq!(results[1]["ok"]["status"], 404);
    assert_eq!(code(&results[2]), "too-large");
    assert!(results[3]["ok"]["body"].as_str().unwrap().contains("hello"), "{:?}", results[3]);
    assert_eq!((code(&results[4]), code(&results[5])), ("timeout", "too-many-calls"));
    let calls: Vec<Value> = web.asked().iter().map(|asked| asked["call"].clone()).collect();
    assert!(!calls.iter().any(|call| call == "GET /secret/place"), "a redirect was followed: {calls:?}");
    gateway.finish().await;
}

/// A guest that waits in the host is stopped by the clock on the wall, and is not billed for
/// the time of others.
#[apply(on_both)]
async fn a_wait_in_the_host_costs_no_guest_time_and_ends_with_the_call(engine: Engine) {
    let ((gateway, _folder), web) = (with_secret(engine).await, Web::start().await);
    let scene = Scene::new(&gateway).await;
    let stall = json!([{"do": "send", "method": "GET", "url": web.url("/api/stall")}]);
    let lines = granted(&web, "/api", GET, LOOPBACK);
    let patient = lines.replace("wall_ms = 10000", "cpu_ms = 50, wall_ms = 30000, http_ms = 30000");
    scene.apply(&document(&stall, &patient)).await;
    let task = gateway.seed_issue_task(scene.world.g1, json!({})).await;
    let (claimed, ()) = tokio::join!(scene.daemon().claim_one(scene.world.r1), async {
        eventually("the request arrives", async || web.asked().len() == 1).await;
        // Nothing else waits for it.
        assert_eq!(gateway.anonymous().get("/health").await.status, 200);
        web.let_one_go();
    });
    assert!(claimed["workspace_context"].as_str().unwrap().contains("at last"), "{claimed}");
    let extra = step(&gateway.admin().trace(task).await, "extra");
    assert_eq!(extra["outcome"], "changed", "{extra}");
    assert!(extra["host_us"].as_u64().unwrap() > 0, "{extra}");
    scene.end(&claimed).await;

    let short = lines.replace("wall_ms = 10000", "cpu_ms = 10000, wall_ms = 100, http_ms = 30000");
    scene.apply(&document(&stall, &short)).await;
    let task = scene.claimed().await;
    let extra = scene.step(crate::harness::id_of(&task)).await;
    // Whichever of the two ends it: the wait that is cut to the call's, or the call's own.
    let ended = (extra["outcome"].as_str().unwrap(), extra["code"].as_str());
    assert!(
        ended == ("skipped", Some("timeout"))
            || task["workspace_context"].as_str().is_some_and(|text| text.contains("timeout")),
        "{extra} {task}"
    );
    gateway.finish().await;
}

#[apply(on_both)]
async fn a_secret_goes_to_its_hosts_alone_and_must_be_there(engine: Engine) {
    let ((gateway, _folder), web) = (with_secret(engine).await, Web::start().await);
    let scene = Scene::new(&gateway).await;
    let send = json!([
        {"do": "send", "method": "GET", "url": web.url("/api/x"), "headers": [["X-Key", "{tracker}"]]},
        {"do": "reference", "name": "another"},
    ]);
    let elsewhere = granted(&web, "/api", GET, LOOPBACK)
        .replace("hosts = [\"localhost\"]", "hosts = [\"tracker.example.com\", \"*.localhost\"]");
    let results = steps(&scene, send, &elsewhere).await;
    assert_eq!((code(&results[0]), code(&results[1])), ("not-granted", "not-granted"));
    assert!(results[0]["message"].as_str().unwrap().contains("hosts"), "{:?}", results[0]);
    assert_eq!(web.asked(), Vec::<Value>::new());

    let lines = granted(&web, "/api", GET, LOOPBACK);
    for (from, told) in [
        ("file:nothing", "cannot read"),
        ("file:../tracker", "plain name"),
        ("env:JWT_SECRET", "SWITCHYARD_PLUGIN_SECRET_"),
        ("env:SWITCHYARD_PLUGIN_SECRET_NOT_SET", "not set"),
        ("vault:x", "file:NAME"),
    ] {
        let document = document(&json!([]), &lines.replace("file:tracker", from));
        let refused = gateway.admin().apply(&document).await.expect(422);
        let fault = &refused["faults"][0];
        assert_eq!(fault["pointer"], "/plugin/3/grants/secrets/tracker/from", "{refused}");
        assert!(fault["message"].as_str().unwrap().contains(told), "{from}: {refused}");
    }
    let odd = lines.replace("from = \"file:tracker\"", "from = \"file:tracker\"\noverlay = 1");
    let refused = gateway.admin().apply(&document(&json!([]), &odd)).await.expect(422);
    assert_eq!(refused["faults"][0]["pointer"], "/plugin/3/grants/secrets/tracker/overlay", "{refused}");
    gateway.finish().await;
}
