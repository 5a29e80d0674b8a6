//! What sets autopilots off.

use super::{Conn, StoreError};
use crate::model::autopilot::Trigger;
use crate::model::ids::{AutopilotId, TriggerId};
use crate::model::time::Time;

from_row!(Trigger {
    id,
    autopilot_id,
    kind,
    enabled,
    cron_expression,
    timezone,
    next_run_at,
    webhook_token,
    provider,
    signing_secret,
    event_filters,
    label,
    last_fired_at,
    created_at,
    updated_at,
});

macro_rules! trigger_columns {
    () => {
        "id, autopilot_id, kind, enabled, cron_expression, timezone, next_run_at, webhook_token, provider, \
         signing_secret, event_filters, label, last_fired_at, created_at, updated_at"
    };
}

/// Those of an autopilot, oldest first.
pub async fn list(conn: &mut Conn, autopilot: AutopilotId) -> Result<Vec<Trigger>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        trigger_columns!(),
        " FROM autopilot_trigger WHERE autopilot_id = $1 ORDER BY created_at, id"
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(autopilot).fetch_all(c).await)?)
}

pub async fn find(
    conn: &mut Conn,
    autopilot: AutopilotId,
    id: TriggerId,
) -> Result<Option<Trigger>, StoreError> {
    const SQL: &str =
        concat!("SELECT ", trigger_columns!(), " FROM autopilot_trigger WHERE id = $1 AND autopilot_id = $2");
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).bind(autopilot).fetch_optional(c).await)?)
}

pub async fn find_by_token(conn: &mut Conn, token: &str) -> Result<Option<Trigger>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        trigger_columns!(),
        " FROM autopilot_trigger WHERE webhook_token = $1 AND kind = 'webhook'"
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(token).fetch_optional(c).await)?)
}

pub async fn insert(conn: &mut Conn, trigger: &Trigger) -> Result<(), StoreError> {
    const SQL: &str =
        "INSERT INTO autopilot_trigger (id, autopilot_id, kind, enabled, cron_expression, timezone,
            next_run_at, webhook_token, provider, event_filters, label, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(trigger.id)
        .bind(trigger.autopilot_id)
        .bind(&trigger.kind)
        .bind(trigger.enabled)
        .bind(&trigger.cron_expression)
        .bind(&trigger.timezone)
        .bind(trigger.next_run_at)
        .bind(&trigger.webhook_token)
        .bind(&trigger.provider)
        .bind(&trigger.event_filters)
        .bind(&trigger.label)
        .bind(trigger.created_at)
        .bind(trigger.updated_at)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Stores what may be changed of a trigger. `false` when it is gone.
pub async fn update(conn: &mut Conn, trigger: &Trigger) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE autopilot_trigger SET enabled = $2, cron_expression = $3, timezone = $4,
            next_run_at = $5, webhook_token = $6, signing_secret = $7, event_filters = $8, label = $9,
            updated_at = $10
        WHERE id = $1 RETURNING id";
    let row: Option<TriggerId> = on_conn!(conn, |c| sqlx::query_scalar(SQL)
        .bind(trigger.id)
        .bind(trigger.enabled)
        .bind(&trigger.cron_expression)
        .bind(&trigger.timezone)
        .bind(trigger.next_run_at)
        .bind(&trigger.webhook_token)
        .bind(&trigger.signing_secret)
        .bind(&trigger.event_filters)
        .bind(&trigger.label)
        .bind(trigger.updated_at)
        .fetch_optional(c)
        .await)?;
    Ok(row.is_some())
}

pub async fn delete(conn: &mut Conn, id: TriggerId) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM autopilot_trigger WHERE id = $1";
    on_conn!(conn, |c| sqlx::query(SQL).bind(id).execute(c).await.map(drop))?;
    Ok(())
}

/// A webhook called.
pub async fn touch(conn: &mut Conn, id: TriggerId, now: Time) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE autopilot_trigger SET last_fired_at = $2 WHERE id = $1";
    on_conn!(conn, |c| sqlx::query(SQL).bind(id).bind(now).execute(c).await.map(drop))?;
    Ok(())
}

/// Schedules of active autopilots whose time has come, the longest due first.
pub async fn list_due(conn: &mut Conn, now: Time, limit: i64) -> Result<Vec<Trigger>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        trigger_columns!(),
        " FROM autopilot_trigger WHERE enabled AND kind = 'schedule' AND next_run_at <= $1
            AND EXISTS (SELECT 1 FROM autopilot a WHERE a.id = autopilot_id AND a.status = 'active')
        ORDER BY next_run_at, id LIMIT $2"
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(now).bind(limit).fetch_all(c).await)?)
}

/// Moves a schedule on, if nobody did meanwhile. `fired` is when it ran, if it did.
pub async fn advance(
    conn: &mut Conn,
    trigger: &Trigger,
    next: Option<Time>,
    fired: Option<Time>,
) -> Result<bool, StoreError> {
    const SQL: &str =
        "UPDATE autopilot_trigger SET next_run_at = $3, last_fired_at = COALESCE($4, last_fired_at)
        WHERE id = $1 AND next_run_at = $2 RETURNING id";
    let row: Option<TriggerId> = on_conn!(conn, |c| sqlx::query_scalar(SQL)
        .bind(trigger.id)
        .bind(trigger.next_run_at)
        .bind(next)
        .bind(fired)
        .fetch_optional(c)
        .await)?;
    Ok(row.is_some())
}
