//! An operator who changes a plugin's settings again and again while daemons claim. What he
//! applies needs no compiling: only a limit moves.

use std::time::{Duration, Instant};

use anyhow::Context;
use hyper::Method;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::connection::{Connection, Target};
use crate::report::Seen;

/// How long he waits between two changes.
const PAUSE: Duration = Duration::from_millis(50);

/// Applies until he is told to stop, then puts back what ran before.
pub async fn operate(admin: &Target, mut stop: watch::Receiver<bool>) -> anyhow::Result<Seen> {
    let (mut connection, mut seen) = (Connection::new(admin), Seen::default());
    let running = connection.expect(Method::GET, "/admin/plugins", &Value::Null).await?;
    let path = format!("/admin/plugins/generations/{}", running["generation"]);
    let before = connection.expect(Method::GET, &path, &Value::Null).await?["document"].clone();
    let mut limit = 500_u64;
    while !*stop.borrow() {
        let mut document = before.clone();
        let plugin = document.pointer_mut("/plugin/0").context("the server runs no plugins")?;
        limit = if limit == 500 { 501 } else { 500 };
        plugin["limits"] = json!({"wall_ms": limit});
        let began = Instant::now();
        connection.expect(Method::PUT, "/admin/plugins", &document).await?;
        seen.ok("apply", began.elapsed());
        tokio::select! {
            _ = stop.changed() => {}
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
    connection.expect(Method::PUT, "/admin/plugins", &before).await?;
    Ok(seen)
}
