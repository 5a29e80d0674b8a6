//! A line for each call that took longer than it should. The message and the names of its
//! fields are a contract with the dashboards of existing deployments.

use std::time::{Duration, Instant};

use crate::model::ids::RuntimeId;
use crate::telemetry::metrics;

/// What an endpoint may take before it is worth a line.
pub const ENDPOINT: Duration = Duration::from_millis(500);
/// The same for the parts of a claim.
pub const CLAIM: Duration = Duration::from_millis(300);

/// Times the parts of a call, one after another.
pub struct Watch {
    began: Instant,
    last: Instant,
}

impl Watch {
    pub fn start() -> Self {
        let now = Instant::now();
        Self { began: now, last: now }
    }

    /// Milliseconds since the last lap, or the start.
    pub fn lap(&mut self) -> f64 {
        let lap = self.last.elapsed();
        self.last += lap;
        millis(lap)
    }

    pub fn total(&self) -> Duration {
        self.began.elapsed()
    }
}

pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Choosing a task for a runtime; see the line's fields.
pub struct ClaimForRuntime {
    watch: Watch,
    runtime_id: RuntimeId,
    pub outcome: &'static str,
    pub list_pending_ms: f64,
    pub list_pending_count: i64,
    pub agents_tried: i64,
    pub claim_loop_ms: f64,
}

impl ClaimForRuntime {
    pub fn start(runtime_id: RuntimeId) -> Self {
        Self {
            watch: Watch::start(),
            runtime_id,
            outcome: "no_task",
            list_pending_ms: 0.0,
            list_pending_count: 0,
            agents_tried: 0,
            claim_loop_ms: 0.0,
        }
    }

    pub fn lap(&mut self) -> f64 {
        self.watch.lap()
    }

    /// Counts the claim, and writes the line if it was slow.
    pub fn end(self) {
        metrics::claim(self.outcome);
        let total = self.watch.total();
        if total >= CLAIM {
            tracing::info!(
                runtime_id = %self.runtime_id,
                outcome = self.outcome,
                total_ms = millis(total),
                list_pending_ms = self.list_pending_ms,
                list_pending_count = self.list_pending_count,
                agents_tried = self.agents_tried,
                claim_loop_ms = self.claim_loop_ms,
                claimed = matches!(self.outcome, "claimed" | "reclaimed_dispatched"),
                "claim_for_runtime slow"
            );
        }
    }
}

/// A claim, from the request to the bytes of its answer; see the line's fields.
pub struct ClaimEndpoint {
    watch: Watch,
    pub runtime_id: Option<RuntimeId>,
    pub outcome: &'static str,
    pub auth_ms: f64,
    pub claim_ms: f64,
    pub build_ms: f64,
    pub payload_bytes: usize,
    pub agent_skill_count: usize,
    pub skill_payload_bytes: usize,
}

impl ClaimEndpoint {
    pub fn start() -> Self {
        Self {
            watch: Watch::start(),
            runtime_id: None,
            outcome: "unauth",
            auth_ms: 0.0,
            claim_ms: 0.0,
            build_ms: 0.0,
            payload_bytes: 0,
            agent_skill_count: 0,
            skill_payload_bytes: 0,
        }
    }

    pub fn lap(&mut self) -> f64 {
        self.watch.lap()
    }

    /// Whether the call is slow already, so that details are worth their while.
    pub fn is_slow(&self) -> bool {
        self.watch.total() >= ENDPOINT
    }

    /// Writes the line if the call was slow.
    pub fn end(self) {
        let total = self.watch.total();
        if total >= ENDPOINT {
            tracing::info!(
                runtime_id = self.runtime_id.map(|id| id.to_string()).unwrap_or_default(),
                outcome = self.outcome,
                total_ms = millis(total),
                auth_ms = self.auth_ms,
                claim_ms = self.claim_ms,
                build_ms = self.build_ms,
                payload_bytes = self.payload_bytes,
                agent_skill_count = self.agent_skill_count,
                // Skills of the agent's runtime are counted with the agent's.
                builtin_skill_count = 0,
                skill_payload_bytes = self.skill_payload_bytes,
                "claim_endpoint slow"
            );
        }
    }
}

/// What each part of a beat took, and what was not known in time; see the line's fields.
#[derive(Default)]
pub struct BeatLaps {
    pub update_ms: f64,
    pub probe_model_ms: f64,
    pub pop_model_ms: f64,
    pub probe_skills_ms: f64,
    pub pop_skills_ms: f64,
    pub probe_import_ms: f64,
    pub pop_import_ms: f64,
    pub probe_model_timed_out: bool,
    pub probe_skills_timed_out: bool,
    pub probe_import_timed_out: bool,
}

/// A beat over HTTP.
pub struct HeartbeatEndpoint {
    watch: Watch,
    pub runtime_id: String,
    pub outcome: &'static str,
    pub auth_path: &'static str,
    pub decode_ms: f64,
    pub runtime_lookup_ms: f64,
    pub workspace_check_ms: f64,
    pub laps: BeatLaps,
}

impl HeartbeatEndpoint {
    pub fn start() -> Self {
        Self {
            watch: Watch::start(),
            runtime_id: String::new(),
            outcome: "unauth",
            auth_path: "",
            decode_ms: 0.0,
            runtime_lookup_ms: 0.0,
            workspace_check_ms: 0.0,
            laps: BeatLaps::default(),
        }
    }

    pub fn lap(&mut self) -> f64 {
        self.watch.lap()
    }

    /// Writes the line if the beat was slow, or hid something that may have waited.
    pub fn end(self) {
        let (total, laps) = (self.watch.total(), &self.laps);
        let stalled =
            laps.probe_model_timed_out || laps.probe_skills_timed_out || laps.probe_import_timed_out;
        if total >= ENDPOINT || stalled {
            tracing::info!(
                runtime_id = self.runtime_id,
                outcome = self.outcome,
                auth_path = self.auth_path,
                total_ms = millis(total),
                auth_ms = self.decode_ms + self.runtime_lookup_ms + self.workspace_check_ms,
                decode_ms = self.decode_ms,
                runtime_lookup_ms = self.runtime_lookup_ms,
                workspace_check_ms = self.workspace_check_ms,
                update_ms = laps.update_ms,
                probe_model_ms = laps.probe_model_ms,
                pop_model_ms = laps.pop_model_ms,
                probe_skills_ms = laps.probe_skills_ms,
                pop_skills_ms = laps.pop_skills_ms,
                probe_import_ms = laps.probe_import_ms,
                pop_import_ms = laps.pop_import_ms,
                probe_model_timed_out = laps.probe_model_timed_out,
                probe_skills_timed_out = laps.probe_skills_timed_out,
                probe_import_timed_out = laps.probe_import_timed_out,
                "heartbeat_endpoint slow"
            );
        }
    }
}

/// The transaction that takes one task.
pub fn claim_task(agent_id: Option<String>, outcome: &'static str, took: Duration) {
    if took >= CLAIM {
        // One statement does what these parts once were.
        tracing::info!(
            agent_id = agent_id.unwrap_or_default(),
            outcome,
            total_ms = millis(took),
            get_agent_ms = 0.0,
            count_running_ms = 0.0,
            claim_agent_ms = millis(took),
            update_status_ms = 0.0,
            dispatch_ms = 0.0,
            "claim_task slow"
        );
    }
}
