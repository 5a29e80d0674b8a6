//! Where the world calls an autopilot's webhook, and what it has sent.

use axum::body::{Body, Bytes};
use axum::extract::{Path, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::net::IpAddr;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::autopilots::{Access, page};
use crate::app::App;
use crate::dispatch::webhook::{self, Answer, Call, WebhookError};
use crate::http::client_ip::ClientIp;
use crate::http::error::{Error, ErrorBody};
use crate::http::query::Query;
use crate::http::rate_limit::RateLimit;
use crate::model::autopilot::{Delivery, DeliveryBody, Trigger};
use crate::model::clean;
use crate::model::ids::DeliveryId;
use crate::model::webhook::Signature;
use crate::store::{autopilot_settings, deliveries, triggers};

const BODY_BYTES: usize = 262_144;
/// The longest key or header that is kept.
const HEADER_CHARS: usize = 255;

#[derive(Clone)]
struct Limits {
    addresses: RateLimit<IpAddr>,
    tokens: RateLimit<String>,
}

/// The route that the world calls.
pub fn routes() -> OpenApiRouter<App> {
    let limits = Limits { addresses: RateLimit::per_minute(30), tokens: RateLimit::per_minute(60) };
    OpenApiRouter::new().routes(routes!(receive)).layer(Extension(limits))
}

/// What goes under `/api/autopilots`.
pub(super) fn on_autopilots() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(find)).routes(routes!(replay))
}

/// Calls an autopilot's webhook with a JSON object or array.
#[utoipa::path(post, path = "/api/webhooks/autopilots/{token}", tag = "autopilots",
    params(("token" = String, Path)), request_body = Object,
    responses((status = 200, body = Answer),
        (status = 401, body = Answer, description = "The signature is missing or wrong"),
        (status = 429, body = ErrorBody, description = "Too many calls from an address or to a webhook")))]
async fn receive(
    app: App,
    ClientIp(address): ClientIp,
    Extension(limits): Extension<Limits>,
    Path(token): Path<String>,
    request: Request,
) -> Result<Response, Error> {
    let too_many = || Error::new(StatusCode::TOO_MANY_REQUESTS, "rate limit exceeded");
    if !limits.addresses.allows(address) {
        return Err(too_many());
    }
    let mut conn = app.db.reader().await?;
    let trigger = triggers::find_by_token(&mut conn, &token.replace('\0', "")).await?;
    let trigger = trigger.ok_or_else(|| Error::not_found("webhook not found"))?;
    if !limits.tokens.allows(token) {
        return Err(too_many());
    }
    let autopilot = autopilot_settings::find(&mut conn, trigger.autopilot_id).await?;
    drop(conn);
    let autopilot = autopilot.ok_or_else(|| Error::not_found("webhook not found"))?;
    let (parts, body) = request.into_parts();
    let bytes = read(body).await?;
    let call = call_of(&trigger, &parts.headers, &bytes)?;
    let answer = webhook::receive(&app, autopilot, trigger, call).await?;
    let status = StatusCode::from_u16(answer.code()).unwrap_or(StatusCode::OK);
    Ok((status, Json(answer)).into_response())
}

async fn read(body: Body) -> Result<Bytes, Error> {
    match Limited::new(body, BODY_BYTES).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Error::new(StatusCode::PAYLOAD_TOO_LARGE, "payload too large"))
        }
        Err(_) => Err(Error::bad_request("invalid request body")),
    }
}

fn call_of(trigger: &Trigger, headers: &HeaderMap, bytes: &[u8]) -> Result<Call, Error> {
    let text = clean::json_text(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes));
    let json = parse(&text)?;
    let of = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        value.filter(|value| !value.is_empty()).map(|value| value.chars().take(HEADER_CHARS).collect())
    };
    let (github_key, key): (Option<String>, Option<String>) =
        (of("x-github-delivery"), of("idempotency-key"));
    let (github_key, key) =
        (github_key.map(|key| (key, "X-GitHub-Delivery")), key.map(|key| (key, "Idempotency-Key")));
    let dedupe =
        if trigger.provider.as_deref() == Some("github") { github_key.or(key) } else { key.or(github_key) };
    let content_type: Option<String> = of(header::CONTENT_TYPE.as_str());
    let signature: Option<String> = of("x-hub-signature-256");
    let mut body = text.into_owned();
    clean::string(&mut body);
    Ok(Call {
        signature: Signature::check(trigger.signing_secret.as_deref(), signature.as_deref(), bytes),
        body,
        json,
        content_type: content_type.map(|text| text.split(';').next().unwrap_or_default().trim().to_owned()),
        github_event: of("x-github-event"),
        gitlab_event: of("x-gitlab-event"),
        event_type: of("x-event-type"),
        user_agent: of(header::USER_AGENT.as_str()),
        dedupe,
    })
}

fn parse(text: &str) -> Result<Value, Error> {
    if text.is_empty() {
        return Err(Error::bad_request("empty body"));
    }
    let mut json: Value =
        serde_json::from_str(text).map_err(|error| Error::bad_request(format!("invalid json: {error}")))?;
    if !json.is_object() && !json.is_array() {
        return Err(Error::bad_request("body must be a JSON object or array"));
    }
    clean::value(&mut json);
    Ok(json)
}

#[derive(Deserialize)]
struct PageQuery {
    limit: Option<String>,
    offset: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct Deliveries {
    deliveries: Vec<DeliveryBody>,
    /// How many this page has.
    total: usize,
}

/// What an autopilot's webhooks were sent, newest first.
#[utoipa::path(get, path = "/{id}/deliveries", tag = "autopilots",
    params(("id" = String, Path), ("limit" = Option<i64>, Query), ("offset" = Option<i64>, Query)),
    responses((status = 200, body = Deliveries)))]
async fn list(app: App, access: Access, Query(query): Query<PageQuery>) -> Result<Json<Deliveries>, Error> {
    let (limit, offset) = page(query.limit.as_deref(), query.offset.as_deref());
    let found = deliveries::list(&mut app.db.reader().await?, access.autopilot.id, limit, offset).await?;
    let deliveries: Vec<DeliveryBody> = found.into_iter().map(DeliveryBody::row).collect();
    Ok(Json(Deliveries { total: deliveries.len(), deliveries }))
}

/// One delivery, with what was sent and answered.
#[utoipa::path(get, path = "/{id}/deliveries/{deliveryId}", tag = "autopilots",
    params(("id" = String, Path), ("deliveryId" = String, Path)), responses((status = 200, body = DeliveryBody)))]
async fn find(
    app: App,
    access: Access,
    Path(ids): Path<(String, String)>,
) -> Result<Json<DeliveryBody>, Error> {
    Ok(Json(DeliveryBody::detail(load(&app, &access, &ids.1).await?)))
}

/// Sends what a delivery brought through the autopilot again.
#[utoipa::path(post, path = "/{id}/deliveries/{deliveryId}/replay", tag = "autopilots",
    params(("id" = String, Path), ("deliveryId" = String, Path)), responses((status = 201, body = DeliveryBody)))]
async fn replay(
    app: App,
    access: Access,
    Path(ids): Path<(String, String)>,
) -> Result<(StatusCode, Json<DeliveryBody>), Error> {
    access.require_write()?;
    let original = load(&app, &access, &ids.1).await?;
    if matches!(original.signature_status.as_str(), "invalid" | "missing") {
        return Err(Error::bad_request("cannot replay a delivery that failed signature verification"));
    }
    let json = original.raw_body.as_deref().filter(|body| !body.is_empty()).map(parse).transpose()?;
    let json = json.ok_or_else(|| Error::bad_request("original delivery has no raw body to replay"))?;
    if !access.autopilot.is_active() {
        return Err(Error::bad_request("autopilot is not active"));
    }
    let trigger =
        triggers::find(&mut app.db.reader().await?, access.autopilot.id, original.trigger_id).await?;
    let trigger = trigger.ok_or_else(|| Error::not_found("trigger not found"))?;
    if !trigger.enabled {
        return Err(Error::bad_request("trigger is disabled"));
    }
    let again = webhook::replay(&app, access.autopilot, trigger, &original, json).await?;
    Ok((StatusCode::CREATED, Json(DeliveryBody::detail(again))))
}

async fn load(app: &App, access: &Access, id: &str) -> Result<Delivery, Error> {
    let id = DeliveryId::parse(id).ok_or_else(|| Error::bad_request("invalid delivery id"))?;
    let found = deliveries::find(&mut app.db.reader().await?, access.autopilot.id, id).await?;
    found.ok_or_else(|| Error::not_found("delivery not found"))
}

impl From<WebhookError> for Error {
    fn from(error: WebhookError) -> Self {
        match error {
            WebhookError::Dispatch => Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
            WebhookError::Store(cause) => cause.into(),
        }
    }
}
