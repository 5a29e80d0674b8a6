//! `[recording]` of a document, and the calls that it takes samples of. They are written off
//! the claim's path, a group at a time, and bounded in number and bytes; what comes faster
//! than it can be written is lost.

use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::document::Fault;
use super::report::Times;
use super::stage::Stage;
use crate::model::time::{Time, nanos};
use crate::store::plugin_recordings::{self as rows, RecordingRow};
use crate::store::{Db, StoreError};

pub const RECORDING_KEYS: [&str; 3] = ["sample", "stages", "keep"];

/// How many samples may wait to be written, and how long they are gathered.
const WAITING: usize = 256;
const GROUP: usize = 64;
const GATHER: Duration = Duration::from_millis(100);
/// One sample at the most, and all of them together.
const ONE_BYTES: usize = 256 << 10;
const ALL_BYTES: i64 = 64 << 20;
const KEEP: u64 = 1000;
const MOST_KEPT: u64 = 10_000;

/// What the document asks for.
#[derive(Clone, PartialEq, Debug)]
pub struct Recording {
    /// The share of tasks whose calls are recorded.
    pub sample: f64,
    pub stages: Vec<Stage>,
    /// How many calls are kept.
    pub keep: u64,
}

/// A call that was recorded.
pub struct Sample {
    pub at: Time,
    pub plugin: String,
    pub version: String,
    pub sha256: String,
    pub generation: u64,
    pub stage: Stage,
    pub task_id: String,
    pub workspace_id: String,
    /// `ok`, or the code of a failure.
    pub outcome: String,
    pub message: Option<String>,
    pub times: Times,
    pub input: Value,
    pub output: Value,
    /// Takes out of a value what may not be kept.
    pub clean: fn(&mut Value),
}

/// Where samples of one set go; cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    recording: Recording,
    samples: mpsc::Sender<(Sample, u64)>,
}

impl Recording {
    pub fn read(value: &Value, faults: &mut Vec<Fault>) -> Option<Self> {
        let before = faults.len();
        let mut fault = |member: &str, message: String| {
            faults.push(Fault::new(None, format!("/recording{member}"), message));
        };
        let Value::Object(table) = value else {
            fault("", "must be a table".to_owned());
            return None;
        };
        for key in table.keys().filter(|key| !RECORDING_KEYS.contains(&key.as_str())) {
            let place = format!("/{}", key.replace('~', "~0").replace('/', "~1"));
            fault(&place, format!("unknown key; known are {}", RECORDING_KEYS.join(", ")));
        }
        let sample = table.get("sample").and_then(Value::as_f64).filter(|share| (0.0..=1.0).contains(share));
        if sample.is_none() {
            fault("/sample", "is required: a number from 0 to 1, the share of tasks to record".to_owned());
        }
        let mut stages = Vec::new();
        match table.get("stages") {
            None => stages.extend(Stage::ALL),
            Some(Value::Array(names)) => {
                for (index, name) in names.iter().enumerate() {
                    match Stage::ALL.into_iter().find(|stage| name == stage.as_str()) {
                        Some(stage) => stages.push(stage),
                        None => {
                            let known: Vec<&str> = Stage::ALL.iter().map(|stage| stage.as_str()).collect();
                            let message = format!("{name} is no stage; there are {}", known.join(", "));
                            fault(&format!("/stages/{index}"), message);
                        }
                    }
                }
            }
            Some(_) => fault("/stages", "must be a list of stages".to_owned()),
        }
        let keep = match table.get("keep") {
            None => KEEP,
            Some(value) => {
                value.as_u64().filter(|keep| (1..=MOST_KEPT).contains(keep)).unwrap_or_else(|| {
                    fault("/keep", format!("must be a whole number from 1 to {MOST_KEPT}"));
                    KEEP
                })
            }
        };
        let sample = sample.filter(|_| faults.len() == before)?;
        Some(Self { sample, stages, keep })
    }

    /// Whether this task's calls are recorded: all of them, or none.
    fn takes(&self, stage: Stage, task_id: &str) -> bool {
        if !self.stages.contains(&stage) {
            return false;
        }
        let digest: [u8; 32] = Sha256::new_with_prefix("recording").chain_update(task_id).finalize().into();
        let number = digest.iter().take(4).fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
        f64::from(number) < self.sample * f64::from(u32::MAX)
    }
}

/// Starts what writes samples; `None` where nothing is kept.
pub fn start(db: Option<Db>) -> Option<mpsc::Sender<(Sample, u64)>> {
    let db = db?;
    let (samples, inbox) = mpsc::channel(WAITING);
    tokio::spawn(keep(db, inbox));
    Some(samples)
}

impl Recorder {
    pub fn new(recording: Recording, samples: mpsc::Sender<(Sample, u64)>) -> Self {
        Self { recording, samples }
    }

    pub fn takes(&self, stage: Stage, task_id: &str) -> bool {
        self.recording.takes(stage, task_id)
    }

    /// Never waits.
    pub fn offer(&self, sample: Sample) {
        if self.samples.try_send((sample, self.recording.keep)).is_err() {
            tracing::debug!("a sample of a plugin's calls was lost: too many wait to be written");
        }
    }
}

async fn keep(db: Db, mut inbox: mpsc::Receiver<(Sample, u64)>) {
    let mut group = Vec::new();
    while inbox.recv_many(&mut group, GROUP).await > 0 {
        let count = group.last().map_or(KEEP, |(_, keep)| *keep);
        let rows: Vec<RecordingRow> = group.drain(..).filter_map(|(sample, _)| row(sample)).collect();
        if let Err(error) = write(&db, rows, count).await {
            tracing::warn!(%error, "samples of plugins' calls were not kept");
        }
        tokio::time::sleep(GATHER).await;
    }
}

async fn write(db: &Db, rows: Vec<RecordingRow>, keep: u64) -> Result<(), StoreError> {
    let keep = i64::try_from(keep).unwrap_or(i64::MAX);
    db.write_soon(move |conn| {
        Box::pin(async move {
            for row in &rows {
                rows::insert(conn, row).await?;
            }
            rows::delete_over(conn, keep, ALL_BYTES).await
        })
    })
    .await
}

/// What is kept of a sample, cleaned; `None` when it is too large.
fn row(mut sample: Sample) -> Option<RecordingRow> {
    for value in [&mut sample.input, &mut sample.output] {
        (sample.clean)(value);
    }
    let mut message = Value::from(sample.message);
    (sample.clean)(&mut message);
    let id = Uuid::now_v7();
    let recording = json!({
        "id": id,
        "at": nanos(sample.at),
        "plugin": sample.plugin,
        "version": sample.version,
        "sha256": sample.sha256,
        "generation": sample.generation,
        "stage": sample.stage,
        "task_id": sample.task_id,
        "workspace_id": sample.workspace_id,
        "outcome": sample.outcome,
        "message": message,
        "times": sample.times,
        "input": sample.input,
        "output": sample.output,
    })
    .to_string();
    if recording.len() > ONE_BYTES {
        tracing::debug!(
            bytes = recording.len(),
            plugin.name = sample.plugin,
            "a sample is too large to be kept"
        );
        return None;
    }
    Some(RecordingRow {
        id,
        at: sample.at,
        plugin: sample.plugin,
        stage: sample.stage.as_str().to_owned(),
        task_id: sample.task_id,
        generation: i64::try_from(sample.generation).unwrap_or(i64::MAX),
        outcome: sample.outcome,
        bytes: i64::try_from(recording.len()).unwrap_or(i64::MAX),
        recording,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_tasks_is_taken_and_none_or_all_at_the_ends() {
        let of = |sample| Recording { sample, stages: vec![Stage::Enrichment], keep: 1 };
        let taken = |sample: f64| {
            (0..2000).filter(|task| of(sample).takes(Stage::Enrichment, &task.to_string())).count()
        };
        assert_eq!((taken(0.0), taken(1.0)), (0, 2000));
        assert!((400..600).contains(&taken(0.25)), "{}", taken(0.25));
        assert!(!of(1.0).takes(Stage::Finished, "1"));
    }
}
