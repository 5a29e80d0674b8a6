//! What Prometheus scrapes.

use axum::http::header;
use axum::response::IntoResponse;

use crate::app::App;
use crate::store::sweeps::{self, Depth};
use crate::telemetry::metrics;

/// What a source's tasks are counted under even when there are none.
const SOURCES: [&str; 4] = ["issue", "chat", "autopilot", "quick_create"];
const UNFINISHED: [&str; 5] = ["deferred", "queued", "dispatched", "waiting_local_directory", "running"];

/// `GET /metrics`. A database that does not answer costs the gauges that come from it, not
/// the rest.
pub async fn metrics(app: App) -> impl IntoResponse {
    match depths(&app).await {
        Ok(depths) => show(&depths),
        Err(error) => tracing::warn!(%error, "the depth of the queue was not read"),
    }
    let (counts, (wakeup_hits, wakeup_misses)) = (app.hub.counts(), app.hub.wakeups());
    metrics::daemon_sockets(&metrics::DaemonSockets {
        active: counts.active,
        connects: counts.connects_total,
        disconnects: counts.disconnects_total,
        slow_evictions: counts.slow_evictions_total,
        wakeup_hits,
        wakeup_misses,
    });
    metrics::watchers(app.events.watchers().counts().active);
    for (plugin, counters) in app.plugins.totals() {
        #[expect(clippy::cast_precision_loss, reason = "nobody reads microseconds off years")]
        let seconds = counters.total_us as f64 / 1e6;
        metrics::plugin(&plugin, counters.calls, seconds);
        for (code, count) in &counters.failed {
            metrics::plugin_failures(&plugin, code, *count);
        }
    }
    let generation = app.plugins.snapshot();
    let required = generation.broken.iter().filter(|broken| broken.required).count();
    metrics::plugins_broken(generation.broken.len(), required);
    let text = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (text, metrics::render())
}

async fn depths(app: &App) -> Result<Vec<Depth>, crate::store::StoreError> {
    sweeps::list_depths(&mut app.db.reader().await?).await
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and no queue is that long")]
fn show(depths: &[Depth]) {
    for source in SOURCES {
        let count = |status: &str| {
            let found = depths.iter().find(|depth| depth.source == source && depth.status == status);
            found.map_or(0, |depth| depth.count) as f64
        };
        for status in UNFINISHED {
            metrics::tasks(source, status, count(status));
        }
        let in_flight = count("dispatched") + count("waiting_local_directory") + count("running");
        metrics::tasks_in_progress(source, in_flight);
    }
}
