//! What sets an autopilot off: schedules and webhooks.

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use rand::TryRng;
use rand::rngs::SysRng;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::autopilots::Access;
use crate::app::App;
use crate::auth::token::NoRandomness;
use crate::http::body::Body;
use crate::http::error::Error;
use crate::model::autopilot::{EventFilter, Trigger, TriggerBody};
use crate::model::ids::TriggerId;
use crate::model::schedule::{Schedule, ScheduleError};
use crate::model::time::Time;
use crate::store::{StoreError, triggers};

const WEBHOOK_PREFIX: &str = "awt_";
/// Shorter ones can be guessed.
const SECRET_CHARS: usize = 16;
const TEXT_CHARS: usize = 255;
const FILTERS: usize = 100;

/// What goes under `/api/autopilots`.
pub(super) fn on_autopilots() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .routes(routes!(change, delete))
        .routes(routes!(rotate))
        .routes(routes!(set_secret))
}

#[derive(Deserialize, ToSchema)]
struct NewTrigger {
    kind: Option<String>,
    cron_expression: Option<String>,
    timezone: Option<String>,
    label: Option<String>,
    provider: Option<String>,
    event_filters: Option<Vec<Filter>>,
}

#[derive(Deserialize, ToSchema)]
struct Filter {
    event: Option<String>,
    actions: Option<Vec<Option<String>>>,
}

/// Adds a trigger, enabled.
#[utoipa::path(post, path = "/{id}/triggers", tag = "autopilots", params(("id" = String, Path)),
    request_body = NewTrigger, responses((status = 201, body = TriggerBody)))]
async fn create(
    app: App,
    access: Access,
    Body(sent): Body<NewTrigger>,
) -> Result<(StatusCode, Json<TriggerBody>), Error> {
    access.require_write()?;
    let now = app.clock.now();
    let trigger = sent.read(&access, now)?;
    let stored = trigger.clone();
    let added: Result<(), StoreError> =
        app.db.write(move |c| Box::pin(async move { triggers::insert(c, &stored).await })).await;
    added?;
    Ok((StatusCode::CREATED, Json(tell(&app, &access, &trigger))))
}

impl NewTrigger {
    fn read(self, access: &Access, now: Time) -> Result<Trigger, Error> {
        let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let kind = given(self.kind).ok_or_else(|| Error::bad_request("kind is required"))?;
        let expression = given(self.cron_expression);
        let is_webhook = match kind.as_str() {
            "schedule" if expression.is_none() => {
                return Err(Error::bad_request("cron_expression is required for schedule triggers"));
            }
            "schedule" => false,
            "webhook" => true,
            _ => return Err(Error::bad_request("kind must be schedule or webhook")),
        };
        let timezone = given(self.timezone);
        if is_webhook && timezone.is_some() {
            return Err(Error::bad_request("timezone is not valid for webhook triggers"));
        }
        let filters = self.event_filters.filter(|filters| !filters.is_empty());
        if !is_webhook && filters.is_some() {
            return Err(Error::bad_request("event_filters is only valid for webhook triggers"));
        }
        let event_filters = filters.map(read_filters).transpose()?;
        let provider = given(self.provider);
        match provider.as_deref() {
            Some(_) if !is_webhook => {
                return Err(Error::bad_request("provider is only valid for webhook triggers"));
            }
            None | Some("generic" | "github") => {}
            Some(_) => return Err(Error::bad_request("provider must be generic or github")),
        }
        let expression = expression.filter(|_| !is_webhook);
        let next_run_at = match &expression {
            Some(expression) => {
                let schedule = Schedule::parse(expression, timezone.as_deref())?;
                Some(schedule.next_after(now)?)
            }
            None => None,
        };
        let webhook_token = if is_webhook {
            Some(mint().map_err(|error| Error::internal("failed to mint a token", error))?)
        } else {
            None
        };
        Ok(Trigger {
            id: TriggerId::new(),
            autopilot_id: access.autopilot.id,
            kind,
            enabled: true,
            timezone: expression.as_ref().map(|_| timezone.unwrap_or_else(|| "UTC".to_owned())),
            cron_expression: expression,
            next_run_at,
            webhook_token,
            provider: is_webhook.then(|| provider.unwrap_or_else(|| "generic".to_owned())),
            signing_secret: None,
            event_filters,
            label: label(self.label)?,
            last_fired_at: None,
            created_at: now,
            updated_at: now,
        })
    }
}

fn label(text: Option<String>) -> Result<Option<String>, Error> {
    if text.as_ref().is_some_and(|label| label.chars().count() > TEXT_CHARS) {
        return Err(Error::bad_request("label is too long"));
    }
    Ok(text)
}

fn read_filters(filters: Vec<Filter>) -> Result<Value, Error> {
    if filters.len() > FILTERS {
        return Err(Error::bad_request(format!("event_filters: at most {FILTERS} are taken")));
    }
    let mut read = Vec::with_capacity(filters.len());
    for (i, filter) in filters.into_iter().enumerate() {
        let event = filter.event.map(|event| event.trim().to_owned()).filter(|event| !event.is_empty());
        let event =
            event.ok_or_else(|| Error::bad_request(format!("event_filters[{i}].event must not be empty")))?;
        let mut actions = Vec::new();
        for (j, action) in filter.actions.unwrap_or_default().into_iter().enumerate() {
            let action = action.map(|action| action.trim().to_owned()).filter(|action| !action.is_empty());
            actions.push(action.ok_or_else(|| {
                Error::bad_request(format!("event_filters[{i}].actions[{j}] must not be empty"))
            })?);
        }
        read.push(EventFilter { event, actions });
    }
    Ok(json!(read))
}

/// 43 characters of 64, as many bits as 32 bytes and two more.
fn mint() -> Result<String, NoRandomness> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = [0_u8; 43];
    SysRng.try_fill_bytes(&mut bytes).map_err(|_| NoRandomness)?;
    let random = bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 64)]));
    Ok(WEBHOOK_PREFIX.chars().chain(random).collect())
}

#[derive(Deserialize, ToSchema)]
#[schema(as = TriggerChanges)]
struct Changes {
    enabled: Option<bool>,
    cron_expression: Option<String>,
    timezone: Option<String>,
    label: Option<String>,
    /// An empty list lets every event through.
    event_filters: Option<Vec<Filter>>,
}

/// Changes a trigger. A schedule's next time is worked out anew.
#[utoipa::path(patch, path = "/{id}/triggers/{triggerId}", tag = "autopilots",
    params(("id" = String, Path), ("triggerId" = String, Path)), request_body = Changes,
    responses((status = 200, body = TriggerBody)))]
async fn change(
    app: App,
    access: Access,
    Path(ids): Path<(String, String)>,
    Body(sent): Body<Changes>,
) -> Result<Json<TriggerBody>, Error> {
    access.require_write()?;
    let mut trigger = load(&app, &access, &ids.1).await?;
    let is_schedule = trigger.kind == "schedule";
    if let Some(enabled) = sent.enabled {
        trigger.enabled = enabled;
    }
    if let Some(expression) = sent.cron_expression.filter(|text| !text.trim().is_empty()) {
        if !is_schedule {
            return Err(Error::bad_request("cron_expression is only valid for schedule triggers"));
        }
        trigger.cron_expression = Some(expression);
    }
    if let Some(zone) = sent.timezone.filter(|text| !text.trim().is_empty()) {
        if !is_schedule {
            return Err(Error::bad_request("timezone is only valid for schedule triggers"));
        }
        trigger.timezone = Some(zone);
    }
    if let Some(filters) = sent.event_filters {
        if is_schedule {
            return Err(Error::bad_request("event_filters is only valid for webhook triggers"));
        }
        trigger.event_filters = if filters.is_empty() { None } else { Some(read_filters(filters)?) };
    }
    if sent.label.is_some() {
        trigger.label = label(sent.label)?;
    }
    let now = app.clock.now();
    if is_schedule {
        let expression = trigger.cron_expression.as_deref().unwrap_or_default();
        let schedule = Schedule::parse(expression, trigger.timezone.as_deref())?;
        trigger.next_run_at = Some(schedule.next_after(now)?);
    }
    store(&app, &access, trigger, now).await
}

/// Takes a trigger away.
#[utoipa::path(delete, path = "/{id}/triggers/{triggerId}", tag = "autopilots",
    params(("id" = String, Path), ("triggerId" = String, Path)), responses((status = 204)))]
async fn delete(app: App, access: Access, Path(ids): Path<(String, String)>) -> Result<StatusCode, Error> {
    access.require_write()?;
    let id = load(&app, &access, &ids.1).await?.id;
    let deleted: Result<(), StoreError> =
        app.db.write(move |c| Box::pin(async move { triggers::delete(c, id).await })).await;
    deleted?;
    access.tell(&app, json!({"autopilot_id": access.autopilot.id, "trigger_id": id}));
    Ok(StatusCode::NO_CONTENT)
}

/// Gives a webhook another address; the old one is dead at once.
#[utoipa::path(post, path = "/{id}/triggers/{triggerId}/rotate-webhook-token", tag = "autopilots",
    params(("id" = String, Path), ("triggerId" = String, Path)), responses((status = 200, body = TriggerBody)))]
async fn rotate(
    app: App,
    access: Access,
    Path(ids): Path<(String, String)>,
) -> Result<Json<TriggerBody>, Error> {
    access.require_write()?;
    let mut trigger = load(&app, &access, &ids.1).await?;
    require_webhook(&trigger)?;
    let token = mint().map_err(|error| Error::internal("failed to mint a token", error))?;
    trigger.webhook_token = Some(token);
    let now = app.clock.now();
    store(&app, &access, trigger, now).await
}

#[derive(Deserialize, ToSchema)]
struct Secret {
    signing_secret: Option<String>,
}

/// Sets what a webhook's callers sign with; an empty text asks for no signature.
#[utoipa::path(put, path = "/{id}/triggers/{triggerId}/signing-secret", tag = "autopilots",
    params(("id" = String, Path), ("triggerId" = String, Path)), request_body = Secret,
    responses((status = 200, body = TriggerBody)))]
async fn set_secret(
    app: App,
    access: Access,
    Path(ids): Path<(String, String)>,
    Body(sent): Body<Secret>,
) -> Result<Json<TriggerBody>, Error> {
    access.require_write()?;
    let mut trigger = load(&app, &access, &ids.1).await?;
    require_webhook(&trigger)?;
    let secret =
        sent.signing_secret.map(|secret| secret.trim().to_owned()).filter(|secret| !secret.is_empty());
    if secret.as_ref().is_some_and(|secret| secret.chars().count() < SECRET_CHARS) {
        return Err(Error::bad_request("signing_secret must be at least 16 characters"));
    }
    if secret.as_ref().is_some_and(|secret| secret.chars().count() > TEXT_CHARS) {
        return Err(Error::bad_request("signing_secret is too long"));
    }
    trigger.signing_secret = secret;
    let now = app.clock.now();
    store(&app, &access, trigger, now).await
}

fn require_webhook(trigger: &Trigger) -> Result<(), Error> {
    if trigger.kind == "webhook" {
        Ok(())
    } else {
        Err(Error::bad_request("trigger is not a webhook trigger"))
    }
}

async fn load(app: &App, access: &Access, id: &str) -> Result<Trigger, Error> {
    let id = TriggerId::parse(id).ok_or_else(|| Error::bad_request("invalid trigger id"))?;
    let found = triggers::find(&mut app.db.reader().await?, access.autopilot.id, id).await?;
    found.ok_or_else(|| Error::not_found("trigger not found"))
}

async fn store(app: &App, access: &Access, trigger: Trigger, now: Time) -> Result<Json<TriggerBody>, Error> {
    let trigger = Trigger { updated_at: now, ..trigger };
    let stored = trigger.clone();
    let updated: Result<bool, StoreError> =
        app.db.write(move |c| Box::pin(async move { triggers::update(c, &stored).await })).await;
    if !updated? {
        return Err(Error::not_found("trigger not found"));
    }
    Ok(Json(tell(app, access, &trigger)))
}

/// Tells clients, without what only writers may see, and gives the caller all of it.
fn tell(app: &App, access: &Access, trigger: &Trigger) -> TriggerBody {
    let public_url = app.flags.public_url.as_deref();
    access.tell(
        app,
        json!({
            "autopilot_id": access.autopilot.id,
            "trigger": TriggerBody::new(trigger, false, public_url),
        }),
    );
    TriggerBody::new(trigger, true, public_url)
}

impl From<ScheduleError> for Error {
    fn from(error: ScheduleError) -> Self {
        Self::bad_request(error.to_string())
    }
}
