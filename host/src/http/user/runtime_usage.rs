//! `/api/runtimes/{runtimeId}/usage` and `/activity`: what a runtime's tasks used, and at
//! which hours they began.

use std::collections::BTreeMap;

use axum::Json;
use chrono::{DateTime, Days, NaiveDate, NaiveTime, Offset, TimeZone};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::RuntimeInPath;
use crate::http::query::{self, Query};
use crate::model::ids::RuntimeId;
use crate::model::time::Time;
use crate::store::runtime_usage::{self, QUARTER_SECONDS, UsageRow};

/// How many days are shown unless somebody asks, and at the most.
const DAYS: i64 = 90;
const MOST_DAYS: i64 = 365;

/// What goes under `/api/runtimes`.
pub fn on_runtimes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(usage)).routes(routes!(activity))
}

#[derive(Deserialize)]
struct Window {
    days: Option<String>,
    tz: Option<String>,
}

impl Window {
    /// The zone that days and hours are of; UTC unless one is named.
    fn zone(&self) -> Tz {
        self.tz.as_deref().and_then(|name| name.parse().ok()).unwrap_or(Tz::UTC)
    }
}

#[derive(Serialize, ToSchema)]
#[schema(title = "RuntimeUsage")]
struct DayUsage {
    runtime_id: RuntimeId,
    #[schema(format = Date)]
    date: String,
    provider: String,
    model: String,
    input_tokens: i64,
    output_tokens: i64,
    cache_read_tokens: i64,
    cache_write_tokens: i64,
}

/// Tokens used, by day and model, the latest day first.
#[utoipa::path(get, path = "/{runtimeId}/usage", tag = "runtimes", params(
    ("runtimeId" = RuntimeId, Path),
    ("days" = Option<i64>, Query, description = "how many; 90 unless given"),
    ("tz" = Option<String>, Query, description = "the time zone of the days, as an IANA name"),
), responses(
    (status = 200, body = [DayUsage]),
    (status = 400, body = ErrorBody),
    (status = 404, body = ErrorBody),
))]
async fn usage(
    app: App,
    access: RuntimeInPath,
    Query(window): Query<Window>,
) -> Result<Json<Vec<DayUsage>>, Error> {
    let (zone, days) = (window.zone(), query::limit(window.days.as_deref(), DAYS, MOST_DAYS));
    let since = first_instant(app.clock.now(), zone, days);
    let failed = |error| Error::internal("failed to load runtime usage", error);
    let id = access.runtime.id;
    let rows = runtime_usage::list(&mut app.db.reader().await.map_err(failed)?, id, since).await;
    Ok(Json(by_day(id, zone, rows.map_err(failed)?)))
}

/// Midnight of the first of the days that end with today.
fn first_instant(now: Time, zone: Tz, days: i64) -> Time {
    let today = now.with_timezone(&zone).date_naive();
    let back = Days::new(u64::try_from(days - 1).unwrap_or_default());
    let midnight = today.checked_sub_days(back).unwrap_or(today).and_time(NaiveTime::MIN);
    // Where a clock change leaves no midnight, the day begins when the clock goes on.
    zone.from_local_datetime(&midnight).earliest().map_or_else(|| midnight.and_utc(), |at| at.to_utc())
}

fn by_day(runtime_id: RuntimeId, zone: Tz, rows: Vec<UsageRow>) -> Vec<DayUsage> {
    let mut days: BTreeMap<(std::cmp::Reverse<NaiveDate>, String, String), [i64; 4]> = BTreeMap::new();
    for row in rows {
        let at = DateTime::from_timestamp(row.quarter.saturating_mul(QUARTER_SECONDS), 0).unwrap_or_default();
        let day = std::cmp::Reverse(at.with_timezone(&zone).date_naive());
        let sums = days.entry((day, row.provider, row.model)).or_default();
        let used = [row.input_tokens, row.output_tokens, row.cache_read_tokens, row.cache_write_tokens];
        for (sum, more) in sums.iter_mut().zip(used) {
            *sum = sum.saturating_add(more);
        }
    }
    let shown = days.into_iter().map(|((day, provider, model), [input, output, read, write])| DayUsage {
        runtime_id,
        date: day.0.to_string(),
        provider,
        model,
        input_tokens: input,
        output_tokens: output,
        cache_read_tokens: read,
        cache_write_tokens: write,
    });
    shown.collect()
}

#[derive(Serialize, ToSchema)]
struct HourActivity {
    /// Of the day, 0 to 23.
    hour: i64,
    count: i64,
}

/// How many tasks began in each hour of the day; hours without any are left out.
#[utoipa::path(get, path = "/{runtimeId}/activity", tag = "runtimes", params(
    ("runtimeId" = RuntimeId, Path),
    ("tz" = Option<String>, Query, description = "the time zone of the hours, as an IANA name"),
), responses(
    (status = 200, body = [HourActivity]),
    (status = 400, body = ErrorBody),
    (status = 404, body = ErrorBody),
))]
async fn activity(
    app: App,
    access: RuntimeInPath,
    Query(window): Query<Window>,
) -> Result<Json<Vec<HourActivity>>, Error> {
    let failed = |error| Error::internal("failed to load runtime activity", error);
    let found =
        runtime_usage::count_starts(&mut app.db.reader().await.map_err(failed)?, access.runtime.id).await;
    let offset = app.clock.now().with_timezone(&window.zone()).offset().fix().local_minus_utc();
    let mut hours: BTreeMap<i64, i64> = BTreeMap::new();
    for (quarter, count) in found.map_err(failed)? {
        let second = (quarter * QUARTER_SECONDS + i64::from(offset)).rem_euclid(86_400);
        *hours.entry(second / 3600).or_default() += count;
    }
    Ok(Json(hours.into_iter().map(|(hour, count)| HourActivity { hour, count }).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(quarter: i64, input_tokens: i64) -> UsageRow {
        UsageRow {
            quarter,
            provider: "claude".to_owned(),
            model: "m".to_owned(),
            input_tokens,
            output_tokens: 0,
            cache_read_tokens: 0,
            cache_write_tokens: 0,
        }
    }

    #[test]
    fn a_day_is_one_of_the_zone() {
        // 18:00 and 18:15 UTC are 23:45 and midnight in Nepal.
        let quarters = |zone: Tz| {
            let day = 20_000 * 96;
            let rows = vec![row(day + 72, 1), row(day + 73, 2)];
            let days = by_day(RuntimeId::new(), zone, rows);
            days.into_iter().map(|day| day.input_tokens).collect::<Vec<_>>()
        };
        assert_eq!(quarters(Tz::UTC), [3]);
        assert_eq!(quarters(Tz::Asia__Kathmandu), [2, 1]);
    }

    #[test]
    fn the_window_begins_at_the_zones_midnight() {
        let now = "2026-11-25T02:00:00Z".parse().unwrap_or_default();
        let check = |zone: Tz, days: i64, expected: &str| {
            assert_eq!(first_instant(now, zone, days).to_rfc3339(), expected);
        };
        check(Tz::UTC, 1, "2026-11-25T00:00:00+00:00");
        check(Tz::UTC, 90, "2026-08-28T00:00:00+00:00");
        check(Tz::America__New_York, 1, "2026-11-24T05:00:00+00:00");
    }
}
