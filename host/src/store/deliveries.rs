//! What webhooks were sent.

use super::{Conn, StoreError};
use crate::model::autopilot::Delivery;
use crate::model::ids::{AutopilotId, AutopilotRunId, DeliveryId, TriggerId};
use crate::model::time::Time;

from_row!(Delivery {
    id,
    workspace_id,
    autopilot_id,
    trigger_id,
    provider,
    event,
    dedupe_key,
    dedupe_source,
    signature_status,
    status,
    attempt_count,
    content_type,
    selected_headers,
    raw_body,
    response_status,
    response_body,
    autopilot_run_id,
    replayed_from_delivery_id,
    error,
    received_at,
    last_attempt_at,
    created_at,
});

macro_rules! delivery_columns {
    () => {
        "id, workspace_id, autopilot_id, trigger_id, provider, event, dedupe_key, dedupe_source, signature_status, \
         status, attempt_count, content_type, selected_headers, raw_body, response_status, response_body, \
         autopilot_run_id, replayed_from_delivery_id, error, received_at, last_attempt_at, created_at"
    };
}

/// Adds a delivery. `false` when its key was used by one that was not turned away.
pub async fn insert(conn: &mut Conn, delivery: &Delivery) -> Result<bool, StoreError> {
    const SQL: &str = "INSERT INTO webhook_delivery (id, workspace_id, autopilot_id, trigger_id, provider, event,
            dedupe_key, dedupe_source, signature_status, status, attempt_count, content_type, selected_headers,
            raw_body, response_status, response_body, autopilot_run_id, replayed_from_delivery_id, error,
            received_at, last_attempt_at, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)
        ON CONFLICT (trigger_id, dedupe_key) WHERE dedupe_key IS NOT NULL AND status NOT IN ('rejected', 'failed')
            DO NOTHING
        RETURNING id";
    let row: Option<DeliveryId> = on_conn!(conn, |c| sqlx::query_scalar(SQL)
        .bind(delivery.id)
        .bind(delivery.workspace_id)
        .bind(delivery.autopilot_id)
        .bind(delivery.trigger_id)
        .bind(&delivery.provider)
        .bind(&delivery.event)
        .bind(&delivery.dedupe_key)
        .bind(&delivery.dedupe_source)
        .bind(&delivery.signature_status)
        .bind(&delivery.status)
        .bind(delivery.attempt_count)
        .bind(&delivery.content_type)
        .bind(&delivery.selected_headers)
        .bind(&delivery.raw_body)
        .bind(delivery.response_status)
        .bind(&delivery.response_body)
        .bind(delivery.autopilot_run_id)
        .bind(delivery.replayed_from_delivery_id)
        .bind(&delivery.error)
        .bind(delivery.received_at)
        .bind(delivery.last_attempt_at)
        .bind(delivery.created_at)
        .fetch_optional(c)
        .await)?;
    Ok(row.is_some())
}

/// The delivery that used the key before, which was sent once more.
pub async fn count_repeat(
    conn: &mut Conn,
    trigger: TriggerId,
    key: &str,
    now: Time,
) -> Result<Option<Delivery>, StoreError> {
    const SQL: &str = concat!(
        "UPDATE webhook_delivery SET attempt_count = attempt_count + 1, last_attempt_at = $3
        WHERE trigger_id = $1 AND dedupe_key = $2 AND status NOT IN ('rejected', 'failed') RETURNING ",
        delivery_columns!()
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(trigger).bind(key).bind(now).fetch_optional(c).await)?)
}

/// What became of a delivery, and what its sender was told.
#[derive(Clone, Copy, Debug)]
pub struct Settled<'a> {
    pub status: &'a str,
    pub run: Option<AutopilotRunId>,
    pub error: Option<&'a str>,
    pub response_status: i32,
    pub response_body: &'a str,
}

pub async fn settle(conn: &mut Conn, id: DeliveryId, settled: Settled<'_>) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE webhook_delivery SET status = $2, autopilot_run_id = $3, error = $4,
            response_status = $5, response_body = $6
        WHERE id = $1";
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(id)
        .bind(settled.status)
        .bind(settled.run)
        .bind(settled.error)
        .bind(settled.response_status)
        .bind(settled.response_body)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

pub async fn find(
    conn: &mut Conn,
    autopilot: AutopilotId,
    id: DeliveryId,
) -> Result<Option<Delivery>, StoreError> {
    const SQL: &str =
        concat!("SELECT ", delivery_columns!(), " FROM webhook_delivery WHERE id = $1 AND autopilot_id = $2");
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).bind(autopilot).fetch_optional(c).await)?)
}

/// A page, newest first.
pub async fn list(
    conn: &mut Conn,
    autopilot: AutopilotId,
    limit: i64,
    offset: i64,
) -> Result<Vec<Delivery>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        delivery_columns!(),
        " FROM webhook_delivery WHERE autopilot_id = $1
        ORDER BY received_at DESC, id DESC LIMIT $2 OFFSET $3"
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(autopilot).bind(limit).bind(offset).fetch_all(c).await)?)
}
