//! A webhook calls: what it sent is kept, and its autopilot goes off, unless there is a
//! reason not to.

use serde::Serialize;
use serde_json::{Value, json};
use thiserror::Error;

use super::autopilot_run::{self, Cause, RunError};
use super::lifecycle::to_the_end;
use crate::app::App;
use crate::model::autopilot::{Autopilot, Delivery, Run, Trigger};
use crate::model::ids::{AutopilotId, AutopilotRunId, DeliveryId, TriggerId};
use crate::model::time::{Time, seconds};
use crate::model::webhook::{Event, EventHeaders, Signature};
use crate::store::deliveries::{self, Settled};
use crate::store::{Conn, StoreError, triggers};

/// What was sent, as far as it matters.
#[derive(Clone, Debug)]
pub struct Call {
    pub body: String,
    pub json: Value,
    /// Without parameters.
    pub content_type: Option<String>,
    pub github_event: Option<String>,
    pub gitlab_event: Option<String>,
    pub event_type: Option<String>,
    pub user_agent: Option<String>,
    /// What makes a repeated call one, and the header it came in.
    pub dedupe: Option<(String, &'static str)>,
    pub signature: Signature,
}

impl Call {
    fn event(&self) -> Event {
        Event::read(
            self.json.clone(),
            EventHeaders {
                github: self.github_event.as_deref(),
                gitlab: self.gitlab_event.as_deref(),
                event_type: self.event_type.as_deref(),
            },
        )
    }

    /// Those headers that a person who looks at a delivery wants to see.
    fn headers(&self) -> Value {
        let mut shown = json!({});
        for (name, value) in [
            ("user-agent", self.user_agent.as_deref()),
            ("x-github-event", self.github_event.as_deref()),
            ("x-gitlab-event", self.gitlab_event.as_deref()),
            ("x-event-type", self.event_type.as_deref()),
        ] {
            if let Some(value) = value {
                shown[name] = value.into();
            }
        }
        if let Some((key, source)) = &self.dedupe {
            shown[source.to_lowercase()] = key.as_str().into();
        }
        shown
    }
}

/// What the caller is told.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autopilot_id: Option<AutopilotId>,
    pub delivery_id: DeliveryId,
    /// Of a delivery that was sent through again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replayed_from_delivery_id: Option<DeliveryId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<AutopilotRunId>,
    /// `accepted`, `skipped`, `ignored`, `rejected` or `duplicate`.
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger_id: Option<TriggerId>,
}

impl Answer {
    fn new(delivery_id: DeliveryId, status: &'static str) -> Self {
        Self {
            autopilot_id: None,
            delivery_id,
            replayed_from_delivery_id: None,
            event: None,
            reason: None,
            run_id: None,
            status,
            trigger_id: None,
        }
    }

    /// The HTTP status that goes with it.
    pub fn code(&self) -> u16 {
        match self.status {
            "rejected" => 401,
            _ if self.replayed_from_delivery_id.is_some() => 201,
            _ => 200,
        }
    }
}

#[derive(Debug, Error)]
pub enum WebhookError {
    #[error("failed to dispatch autopilot")]
    Dispatch,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Keeps the call and does what follows from it.
pub async fn receive(
    app: &App,
    autopilot: Autopilot,
    trigger: Trigger,
    call: Call,
) -> Result<Answer, WebhookError> {
    let app = app.clone();
    to_the_end(async move {
        let now = app.clock.now();
        let event = call.event();
        let delivery = delivery_of(&autopilot, &trigger, &call, &event, now);
        let id = delivery.id;
        let kept = delivery.clone();
        let repeated: Option<Delivery> =
            app.db.write(move |c| Box::pin(async move { keep(c, kept, now).await })).await?;
        if let Some(original) = repeated {
            return Ok(Answer { run_id: original.autopilot_run_id, ..Answer::new(original.id, "duplicate") });
        }
        let decided = decide(&autopilot, &trigger, &call, &event);
        let answer = match decided {
            Some((status, reason)) => Answer {
                reason: Some(reason.to_owned()),
                event: (reason == "event_filtered").then(|| event.name.clone()),
                ..Answer::new(id, status)
            },
            None => {
                let envelope = event.envelope(&seconds(now), call.content_type.as_deref());
                dispatch(&app, autopilot, &trigger, id, envelope).await?
            }
        };
        settle(&app, id, &answer).await?;
        Ok(answer)
    })
    .await
}

/// Sends what a delivery brought through again, as a delivery of its own.
pub async fn replay(
    app: &App,
    autopilot: Autopilot,
    trigger: Trigger,
    original: &Delivery,
    json: Value,
) -> Result<Delivery, WebhookError> {
    let app = app.clone();
    let (name, content_type) = (original.event.clone(), original.content_type.clone());
    let again = Delivery {
        id: DeliveryId::new(),
        dedupe_key: None,
        dedupe_source: None,
        status: "queued".to_owned(),
        attempt_count: 1,
        response_status: None,
        response_body: None,
        autopilot_run_id: None,
        replayed_from_delivery_id: Some(original.id),
        error: None,
        ..original.clone()
    };
    to_the_end(async move {
        let now = app.clock.now();
        let again = Delivery { received_at: now, last_attempt_at: now, created_at: now, ..again };
        let id = again.id;
        let kept = again.clone();
        let stored: Result<bool, StoreError> =
            app.db.write(move |c| Box::pin(async move { deliveries::insert(c, &kept).await })).await;
        stored?;
        let payload = match json.get("eventPayload") {
            Some(payload) if json.get("event").and_then(Value::as_str) == Some(name.as_str()) => {
                payload.clone()
            }
            _ => json,
        };
        let envelope = Event { name, payload }.envelope(&seconds(now), content_type.as_deref());
        let autopilot_id = autopilot.id;
        let answer = dispatch(&app, autopilot, &trigger, id, envelope).await?;
        let answer = Answer { replayed_from_delivery_id: again.replayed_from_delivery_id, ..answer };
        settle(&app, id, &answer).await?;
        let found = deliveries::find(&mut app.db.reader().await?, autopilot_id, id).await?;
        Ok(found.unwrap_or(again))
    })
    .await
}

/// Stores the delivery, or gives the one that used its key before.
async fn keep(conn: &mut Conn, delivery: Delivery, now: Time) -> Result<Option<Delivery>, StoreError> {
    if let Some(key) = &delivery.dedupe_key
        && let Some(original) = deliveries::count_repeat(conn, delivery.trigger_id, key, now).await?
    {
        return Ok(Some(original));
    }
    if !deliveries::insert(conn, &delivery).await?
        && let Some(key) = &delivery.dedupe_key
    {
        // The same call came in twice at once, and the other was stored meanwhile.
        return deliveries::count_repeat(conn, delivery.trigger_id, key, now).await;
    }
    triggers::touch(conn, delivery.trigger_id, now).await?;
    Ok(None)
}

/// Why nothing is started, if that is so: a status and a reason.
fn decide(
    autopilot: &Autopilot,
    trigger: &Trigger,
    call: &Call,
    event: &Event,
) -> Option<(&'static str, &'static str)> {
    if let Some(refusal) = call.signature.refusal() {
        return Some(("rejected", refusal));
    }
    if !trigger.enabled {
        return Some(("ignored", "trigger_disabled"));
    }
    match autopilot.status.as_str() {
        "active" => {}
        "archived" => return Some(("ignored", "autopilot_archived")),
        _ => return Some(("ignored", "autopilot_paused")),
    }
    (!event.passes(&trigger.filters())).then_some(("ignored", "event_filtered"))
}

async fn dispatch(
    app: &App,
    autopilot: Autopilot,
    trigger: &Trigger,
    id: DeliveryId,
    envelope: Value,
) -> Result<Answer, WebhookError> {
    let autopilot_id = autopilot.id;
    let cause = Cause {
        source: "webhook",
        trigger: Some(trigger.id),
        planned_at: None,
        payload: Some(envelope),
        zone: chrono_tz::Tz::UTC,
    };
    let failed = |error: RunError| (error.to_string(), run_of(&error));
    match autopilot_run::start(app, autopilot, cause).await.map_err(failed) {
        Ok(run) if run.status == "skipped" => Ok(Answer {
            reason: run.failure_reason.clone(),
            run_id: Some(run.id),
            ..Answer::new(id, "skipped")
        }),
        Ok(run) => Ok(Answer {
            autopilot_id: Some(autopilot_id),
            run_id: Some(run.id),
            trigger_id: Some(trigger.id),
            ..Answer::new(id, "accepted")
        }),
        Err((reason, run)) => {
            tracing::error!(delivery.id = %id, error = reason, "a webhook's autopilot could not be dispatched");
            let settled: Result<(), StoreError> = app
                .db
                .write(move |c| {
                    Box::pin(async move {
                        let body = r#"{"error":"failed to dispatch autopilot"}"#;
                        let settled = Settled {
                            status: "failed",
                            run,
                            error: Some(&reason),
                            response_status: 500,
                            response_body: body,
                        };
                        deliveries::settle(c, id, settled).await
                    })
                })
                .await;
            settled?;
            Err(WebhookError::Dispatch)
        }
    }
}

fn run_of(error: &RunError) -> Option<AutopilotRunId> {
    match error {
        RunError::Failed { run, .. } => Some(Run::clone(run).id),
        RunError::RanBefore | RunError::Store(_) => None,
    }
}

async fn settle(app: &App, id: DeliveryId, answer: &Answer) -> Result<(), StoreError> {
    let status = match answer.status {
        "rejected" => "rejected",
        "ignored" => "ignored",
        _ => "dispatched",
    };
    let body = serde_json::to_string(answer).unwrap_or_default();
    let (run, code, reason) = (answer.run_id, i32::from(answer.code()), answer.reason.clone());
    app.db
        .write(move |c| {
            Box::pin(async move {
                let settled = Settled {
                    status,
                    run,
                    error: reason.as_deref(),
                    response_status: code,
                    response_body: &body,
                };
                deliveries::settle(c, id, settled).await
            })
        })
        .await
}

fn delivery_of(autopilot: &Autopilot, trigger: &Trigger, call: &Call, event: &Event, now: Time) -> Delivery {
    let (dedupe_key, dedupe_source) = match &call.dedupe {
        Some((key, source)) => (Some(key.clone()), Some(source.to_lowercase())),
        None => (None, None),
    };
    Delivery {
        id: DeliveryId::new(),
        workspace_id: autopilot.workspace_id,
        autopilot_id: autopilot.id,
        trigger_id: trigger.id,
        provider: trigger.provider.clone().unwrap_or_else(|| "generic".to_owned()),
        event: event.name.clone(),
        dedupe_key,
        dedupe_source,
        signature_status: call.signature.as_str().to_owned(),
        status: "queued".to_owned(),
        attempt_count: 1,
        content_type: call.content_type.clone(),
        selected_headers: call.headers(),
        raw_body: Some(call.body.clone()),
        response_status: None,
        response_body: None,
        autopilot_run_id: None,
        replayed_from_delivery_id: None,
        error: None,
        received_at: now,
        last_attempt_at: now,
        created_at: now,
    }
}
