//! Autopilots that go off by the clock.
//!
//! A schedule that was missed for a while (the gateway was down, say) runs once, for the
//! latest of the times it missed, and not at all when that is more than a day ago. Run and
//! planned time are stored in one transaction under a key of their own, so that a time runs
//! once however many nodes look.

use std::time::Duration;

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use super::autopilot_run::{self, Cause, RunError};
use crate::app::App;
use crate::model::autopilot::Trigger;
use crate::model::schedule::{Schedule, parse_zone};
use crate::model::time::Time;
use crate::store::{StoreError, autopilot_settings, triggers};

/// How often the clock is looked at. A schedule has whole minutes.
const TICK: Duration = Duration::from_secs(10);
/// How late a run may be.
const CATCH_UP: TimeDelta = TimeDelta::hours(24);
/// How many go off in one tick; the rest do in the next.
const ROWS: i64 = 200;

/// Looks at the clock until the gateway stops.
pub async fn keep(app: App, stopping: CancellationToken) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
        if let Err(error) = once(&app).await {
            tracing::error!(error = ?error, "what is due was not looked up");
        }
    }
}

/// Sets off what is due. Gives how many went off.
pub async fn once(app: &App) -> Result<usize, StoreError> {
    let now = app.clock.now();
    let due = triggers::list_due(&mut app.db.reader().await?, now, ROWS).await?;
    let mut fired = 0;
    for trigger in due {
        match fire(app, &trigger, now).await {
            Ok(ran) => fired += usize::from(ran),
            Err(error) => {
                tracing::error!(trigger.id = %trigger.id, error = ?error, "a schedule could not be run");
            }
        }
    }
    Ok(fired)
}

async fn fire(app: &App, trigger: &Trigger, now: Time) -> Result<bool, StoreError> {
    let expression = trigger.cron_expression.as_deref().unwrap_or_default();
    let schedule = Schedule::parse(expression, trigger.timezone.as_deref());
    let (next, planned) = match &schedule {
        Ok(schedule) => (schedule.next_after(now).ok(), schedule.last_until(now)),
        Err(error) => {
            tracing::warn!(trigger.id = %trigger.id, %error, "a schedule cannot be read and rests");
            (None, None)
        }
    };
    let planned = planned.filter(|planned| now - *planned <= CATCH_UP);
    let autopilot = autopilot_settings::find(&mut app.db.reader().await?, trigger.autopilot_id).await?;
    let ran = match (planned, autopilot) {
        (Some(planned), Some(autopilot)) => {
            let cause = Cause {
                source: "schedule",
                trigger: Some(trigger.id),
                planned_at: Some(planned),
                payload: None,
                zone: parse_zone(trigger.timezone.as_deref()).unwrap_or_default(),
            };
            match autopilot_run::start(app, autopilot, cause).await {
                // A failure is stored with its run; the next time is another chance.
                Ok(_) | Err(RunError::Failed { .. }) => true,
                Err(RunError::RanBefore) => false,
                // Nothing is stored, so the time stays due.
                Err(RunError::Store(error)) => return Err(error),
            }
        }
        _ => false,
    };
    // Only now: were it the other way round, a crash in between would lose the time.
    let (moved, fired_at) = (trigger.clone(), ran.then_some(now));
    let advanced: Result<bool, StoreError> = app
        .db
        .write(move |c| Box::pin(async move { triggers::advance(c, &moved, next, fired_at).await }))
        .await;
    advanced?;
    Ok(ran)
}
