//! The programs themselves, with small counts: that they run, and that what they write adds up.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

fn load() -> Command {
    Command::new(env!("CARGO_BIN_EXE_switchyard-load"))
}

fn read(file: &Path) -> Vec<Value> {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// A server of the protocol that is not the gateway.
struct Floor {
    child: Child,
    url: String,
}

impl Floor {
    fn start() -> Self {
        let mut child = load().args(["floor", "http"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.strip_prefix("listening http=").unwrap().split_whitespace().next().unwrap().to_owned();
        Self { child, url }
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn any_server_of_the_protocol_is_put_under_load() {
    let floor = Floor::start();
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("load.json");
    let pid = floor.child.id().to_string();
    let mut run = load();
    run.args(["run", "--base-url", &floor.url, "--token", "t", "--workspace", "bench", "--pid", &pid]);
    run.args(["--scenario", "heartbeat,beat,poll,sockets", "--daemons", "2", "--runtimes", "2"]);
    run.args([
        "--clients",
        "3",
        "--requests",
        "50",
        "--seconds",
        "1",
        "--sockets",
        "20",
        "--beat-every",
        "1",
    ]);
    let output = run.arg("--json").arg(&json).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let reports = read(&json);
    let done: Vec<(&str, u64)> = reports
        .iter()
        .map(|report| (report["scenario"].as_str().unwrap(), report["done"].as_u64().unwrap()))
        .collect();
    assert_eq!(done, [("heartbeat", 50), ("beat", 50), ("poll", 50), ("sockets", 20)]);
    for report in &reports {
        for route in report["routes"].as_array().unwrap() {
            assert_eq!(route["errors"], serde_json::json!({}), "{report}");
            assert!(route["count"].as_u64() > Some(0), "{report}");
        }
        assert!(report["server"]["resident_mib"].as_f64() > Some(0.0), "{report}");
        // It counts no statements, and that is no fault.
        assert_eq!(report["statements_per_done"], Value::Null);
    }
}

#[test]
fn what_cannot_work_says_why() {
    let refused = |arguments: &[&str], why: &str| {
        let output = load().args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(why), "{arguments:?} said {said}");
    };
    let run = ["run", "--token", "t", "--workspace", "w"];
    refused(&[&run[..], &["--base-url", "ftp://x"]].concat(), "must begin with http://");
    refused(&[&run[..], &["--base-url", "http://127.0.0.1:1"]].concat(), "cannot connect to 127.0.0.1:1");
    refused(&[&run[..], &["--base-url", "http://x", "--sockets", "0"]].concat(), "--sockets");
    refused(&["bench", "--gateway", "/nonsense"], "there is no gateway at /nonsense");
    let floor = Floor::start();
    let elsewhere = ["--base-url", &floor.url, "--workspace", "other"];
    refused(&[&["run", "--token", "t"][..], &elsewhere].concat(), "opens no workspace `other`");
}

/// Every part but the instructions, which take long to count.
#[test]
fn a_quick_bench_measures_both_databases_beside_their_floors() {
    // Where the workspace's other binary is put.
    let gateway: PathBuf = Path::new(env!("CARGO_BIN_EXE_switchyard-load")).with_file_name("switchyard");
    assert!(gateway.is_file(), "build the gateway first: cargo build -p switchyard");
    let dir = tempfile::tempdir().unwrap();
    let (summary, page) = (dir.path().join("summary.json"), dir.path().join("performance.md"));
    std::fs::write(&page, include_str!("../../../docs/performance.md")).unwrap();
    let mut bench = load();
    bench.args(["bench", "--quick", "--only", "disk,beats,claims,lives,wakeups,sockets,growth", "--gateway"]);
    bench.arg(gateway).arg("--summary").arg(&summary).arg("--page").arg(&page);
    let output = bench.output().unwrap();
    let (said, why) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{why}");
    let figures = read(&summary);
    let find = |name: &str, engine: &str| {
        let found = figures.iter().find(|figure| figure["name"] == name && figure["engine"] == engine);
        found.unwrap_or_else(|| panic!("no {name} on {engine} in {figures:#?}"))
    };
    for engine in ["sqlite", "postgres"] {
        for name in ["heartbeats over HTTP", "heartbeats over WebSocket", "empty polls", "claims"] {
            let figure = find(name, engine);
            assert!(figure["value"].as_f64() > Some(0.0) && figure["ratio"].as_f64() > Some(0.0), "{figure}");
            assert!(figure["goal"].is_string(), "{figure}");
        }
        for name in
            ["whole lives", "enqueue to hold, p50", "memory at rest", "claims at half of that rate: p99"]
        {
            assert!(find(name, engine)["value"].as_f64() > Some(0.0));
        }
        assert_eq!(find("connected daemons", engine)["value"], 40.0);
    }
    let page = std::fs::read_to_string(&page).unwrap();
    assert!(page.contains("| claims | PostgreSQL |") && !page.contains("Not measured yet"), "{page}");
    for plot in ["beats", "claims", "lives", "latency", "growth"] {
        let svg = std::fs::read_to_string(dir.path().join(format!("performance-{plot}.svg"))).unwrap();
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
    }
}
