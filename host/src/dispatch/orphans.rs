//! A daemon came back without what its runtime had in flight: all of it failed.

use std::time::Duration;

use tokio::time::Instant;

use super::lifecycle;
use super::stuck::{self, Settled};
use crate::app::App;
use crate::model::ids::RuntimeId;
use crate::store::StoreError;
use crate::store::sweeps::Stuck;

/// More than any runtime has in flight; a daemon that asks again gets the rest.
const LIMIT: i64 = 10_000;
/// How long one call may take: less than what a daemon waits for an answer.
const TIME: Duration = Duration::from_secs(20);

pub async fn recover(app: &App, runtime: RuntimeId) -> Result<Settled, StoreError> {
    let app = app.clone();
    lifecycle::to_the_end(async move {
        let until = Instant::now() + TIME;
        let mut settled = stuck::fail_all(&app, Stuck::Orphaned(runtime), LIMIT, until).await?;
        match settled.error.take() {
            Some(error) => Err(error),
            None => Ok(settled),
        }
    })
    .await
}
