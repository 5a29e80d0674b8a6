//! Whatever is sent, to whichever route: an answer comes, it is no failure of the gateway's,
//! and work goes on as before. The test prints what every route answered.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use macro_rules_attribute::apply;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::composio_service::Service;
use crate::harness::{Client, Engine, Gateway, World, id_of};
use crate::hostile_routes::{Route, UNIQUE, routes};

/// How many calls are under way at once: with all of them, what they do to each other shows too.
const AT_ONCE: usize = 6;

/// What one member may hold instead of what it should; raw, because some is no JSON that a
/// serialiser would write.
const VALUES: [&str; 22] = [
    "\"\"",
    "\"a\\u0000b\"",
    "\"\\ud800\"",
    "\"\\u202e \\ufeff'\\\"--;\"",
    "\"00000000-0000-0000-0000-000000000000\"",
    "\"9999-99-99T99:99:99Z\"",
    "null",
    "true",
    "0",
    "-1",
    "1.5",
    "1e400",
    "-1e308",
    "2147483648",
    "-9223372036854775808",
    "18446744073709551616",
    "[]",
    "[null,5,\"\\u0000\",{},[]]",
    "[\"00000000-0000-0000-0000-000000000000\",\"x\"]",
    "{}",
    "{\"\\u0000\":{\"a\":null},\"b\":[\"\\ud800\"],\"type\":5,\"url\":5}",
    "[{\"\":\"\\u0000\",\"id\":5,\"type\":[],\"path\":\"../\\u0000\",\"content\":null,\"url\":{}}]",
];

/// What the body may be as a whole.
const BODIES: [&[u8]; 12] = [
    b"",
    b"null",
    b"[]",
    b"5",
    b"\"x\"",
    b"{",
    b"{\"a\":",
    b"{}{}",
    b"\x00",
    b"\xff\xfe{\x00}\x00",
    b"\xef\xbb\xbf{}",
    b"{\"\\ud800\":\"\xff\"}",
];

/// What may stand in a path where an id belongs.
const SEGMENTS: [&str; 14] = [
    "xyz",
    "%00",
    "%ff",
    "a%00b",
    "%2e%2e",
    "%2F",
    "%F0%9F%92%A5",
    "-1",
    "99999999999999999999",
    "TST-0",
    "TST-99999999999999999999",
    "TST-2147483648",
    "00000000-0000-0000-0000-000000000000",
    "'%20OR%201=1--",
];

const QUERIES: [&str; 8] = ["", "x", "-1", "1.5", "99999999999999999999", "%00", "%ff", "%ED%A0%80"];
/// Parameters that every route gets besides those it declares.
const NAMES: [&str; 6] = ["limit", "offset", "since", "days", "workspace_id", "workspace_slug"];

/// More than a column, an index or the body of most of a daemon's calls may hold.
const HUGE: usize = 2 << 20;

/// Routes that ask services elsewhere, which need not answer.
const ELSEWHERE: [&str; 2] = ["/api/skills/import", "/api/skills/search"];

/// One call, ready to be made.
struct Attack {
    method: Method,
    path: String,
    body: Option<Vec<u8>>,
    headers: Vec<(&'static str, String)>,
}

#[apply(on_both)]
async fn no_input_is_a_failure_of_the_gateway(engine: Engine) {
    // With apps to connect, so that those routes have something to get wrong.
    let service = Service::start().await;
    service.says("GET /toolkits", 200, json!({"items": []}));
    service.says("POST /connected_accounts/link", 200, json!({"redirect_url": "http://x"}));
    let gateway = service.setup(engine).start().await;
    let world = gateway.world().await;
    let routes = routes(&gateway, &world).await;
    let mut table = String::new();
    let mut failures = Vec::new();
    for route in &routes {
        let counts = attack(&world.a, route, &mut failures).await;
        let counts: Vec<String> = counts.iter().map(|(status, count)| format!("{status}×{count}")).collect();
        writeln!(table, "{:7}{:75}{}", route.method, route.template, counts.join(" ")).unwrap();
    }
    println!("{} routes\n{table}", routes.len());
    truncated(&world, &routes, &mut failures).await;
    assert!(failures.is_empty(), "{} calls failed:\n{}", failures.len(), failures.join("\n"));
    work_goes_on(&gateway, &world).await;
    gateway.finish().await;
}

/// Makes every attack on a route and counts the answers by status.
async fn attack(client: &Client, route: &Route, failures: &mut Vec<String>) -> BTreeMap<u16, usize> {
    let mut counts = BTreeMap::new();
    let mut answers =
        stream::iter(attacks(route)).map(|attack| make(client, attack)).buffer_unordered(AT_ONCE);
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(status) => *counts.entry(status).or_default() += 1,
            Err(failure) => failures.push(failure),
        }
    }
    counts
}

async fn make(client: &Client, attack: Attack) -> Result<u16, String> {
    let shown =
        attack.body.as_deref().map(|body| String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned());
    let what = format!("{} {} {:?} {:?}", attack.method, attack.path, attack.headers, shown);
    let mut call = match attack.body {
        Some(body) => client.call(attack.method, &attack.path, body),
        None => client.call(attack.method, &attack.path, ()),
    };
    for (name, value) in &attack.headers {
        call = call.header(name, value);
    }
    match call.attempt().await {
        Ok(reply) if reply.status < 500 => Ok(reply.status),
        // The failure of a service elsewhere.
        Ok(reply) if reply.status == 502 && ELSEWHERE.iter().any(|route| attack.path.starts_with(route)) => {
            Ok(502)
        }
        Ok(reply) => Err(format!("{what} was answered {}: {}", reply.status, reply.text)),
        Err(error) => Err(format!("{what} was not answered: {error:?}")),
    }
}

/// The body with a number of its own wherever it has to be unlike the others.
fn unlike_any(body: String) -> Vec<u8> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    if !body.contains(UNIQUE) {
        return body.into_bytes();
    }
    body.replace(UNIQUE, &COUNT.fetch_add(1, Ordering::Relaxed).to_string()).into_bytes()
}

fn attacks(route: &Route) -> Vec<Attack> {
    let with = |path: String, body: Option<Vec<u8>>| Attack {
        method: route.method.clone(),
        path,
        body,
        headers: Vec::new(),
    };
    let mut attacks = Vec::new();
    for segments in route.hostile_paths(&SEGMENTS) {
        attacks.push(with(segments, Some(b"{}".to_vec())));
    }
    for long in route.hostile_paths(&[&"x".repeat(7000)]) {
        attacks.push(with(long, None));
    }
    for name in NAMES.into_iter().chain(route.queries.iter().map(String::as_str)) {
        for value in QUERIES {
            attacks.push(with(format!("{}?{name}={value}", route.path), None));
        }
        attacks.push(with(format!("{}?{name}={}", route.path, "9".repeat(6000)), None));
    }
    for (name, value) in [
        ("x-workspace-id", "x".to_owned()),
        ("x-workspace-slug", "\u{fffd}é".to_owned()),
        ("x-workspace-slug", "x".repeat(5000)),
        ("x-agent-id", "x".to_owned()),
        ("x-task-id", Uuid::new_v4().to_string()),
        ("x-client-capabilities", "\u{fffd},,,".repeat(500)),
        ("content-type", "multipart/form-data".to_owned()),
    ] {
        attacks
            .push(Attack { headers: vec![(name, value)], ..with(route.path.clone(), Some(b"{}".to_vec())) });
    }
    if route.has_body {
        for body in BODIES {
            attacks.push(with(route.path.clone(), Some(body.to_vec())));
        }
        attacks.push(with(route.path.clone(), Some(unlike_any(route.plain_body()))));
        let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
        attacks.push(with(route.path.clone(), Some(deep.into_bytes())));
        let nested = format!("{}1{}", "{\"a\":".repeat(120), "}".repeat(120));
        for (place, member) in route.members.iter().enumerate() {
            for value in VALUES.into_iter().chain([nested.as_str()]) {
                attacks.push(with(route.path.clone(), Some(unlike_any(route.body_with(member, value)))));
            }
            if place == 0 {
                let huge = format!("\"{}\"", "a".repeat(HUGE));
                attacks.push(with(route.path.clone(), Some(unlike_any(route.body_with(member, &huge)))));
            }
        }
    }
    attacks
}

/// A body that ends before it is whole: the caller hangs up, or says no more. Either way the
/// gateway goes on.
async fn truncated(world: &World, routes: &[Route], failures: &mut Vec<String>) {
    let address = world.a.base().strip_prefix("http://").unwrap().to_owned();
    for route in routes.iter().filter(|route| route.has_body) {
        let head = format!(
            "{} {} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\nx-workspace-id: {}\r\n\
             content-length: 1000\r\nconnection: close\r\n\r\n{{\"a\":",
            route.method, route.path, world.a.token, world.w1
        );
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await;
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split(' ').nth(1).unwrap_or_default();
        // Who hung up in the middle may be left without an answer, and is never kept waiting.
        if read.is_err() || status.starts_with('5') {
            failures.push(format!("{} {} cut short: {read:?} {answer}", route.method, route.template));
        }
    }
}

/// A caller who is refused before the body was read has its answer, and the connection is
/// good for the next call.
#[apply(on_both)]
async fn an_early_answer_leaves_the_connection_as_it_was(gateway: &Gateway) {
    let base = gateway.user().base();
    let mut stream = TcpStream::connect(base.strip_prefix("http://").unwrap()).await.unwrap();
    for length in [2, 100_000, 10 << 20] {
        let head =
            format!("POST /api/daemon/heartbeat HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{length}: {answer}");
        // Only now is the body sent.
        stream.write_all(&vec![b'x'; length]).await.unwrap();
    }
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let answer = answer(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

/// Reads one answer with a short body of known length.
async fn answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let complete = |answer: &[u8]| {
        let text = String::from_utf8_lossy(answer).to_lowercase();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let length = head.split_once("content-length: ")?.1.lines().next()?.parse::<usize>().ok()?;
        (body.len() >= length).then_some(())
    };
    while complete(&answer).is_none() {
        let read = tokio::time::timeout(Duration::from_mins(1), stream.read_buf(&mut answer)).await;
        assert!(matches!(read, Ok(Ok(1..))), "{read:?} after {}", String::from_utf8_lossy(&answer));
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// An ordinary task, given by an ordinary call, goes its ordinary way.
async fn work_goes_on(gateway: &Gateway, world: &World) {
    let runtime = world.c.register("dm-after", "claude").await;
    let agent = gateway.seed_agent(runtime, "After", json!({})).await;
    let issue = json!({"title": "After", "assignee_type": "agent", "assignee_id": agent});
    let issue = id_of(&world.c.post("/api/issues", issue).await.expect(201));
    world.c.beat(runtime).await;
    let claimed = world.c.claim_one(runtime).await;
    assert_eq!(claimed["issue_id"], issue.to_string());
    world.c.start(id_of(&claimed)).await;
    let done = world.c.complete(id_of(&claimed), json!({"output": "All green"})).await;
    assert_eq!(done["status"], "completed");
    let comments = "SELECT content FROM comment WHERE issue_id = $1";
    assert_eq!(gateway.value(comments, json!([issue])).await, Value::from("All green"));
}
