//! How what is revoked on another node dies here.
//!
//! The transaction that revokes something tells every node, see [`crate::store::revocations`].
//! Whoever may have missed it looks for itself: what is remembered is asked for again, see
//! [`pulse`], and each open socket is held against the database here.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Auth;
use crate::live::pulse;
use crate::model::revoked::{Openers, Revoked};
use crate::store::{Db, StoreError, revocations};
use crate::telemetry::metrics;

/// The shortest time between two looks at all sockets. With the time after which a silence is
/// noticed it must stay below the bound of a revocation.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a socket stays open, so that it can still tell why it ends.
const GOODBYE: Duration = Duration::from_millis(250);

/// Hears what is revoked elsewhere until the gateway stops. Does nothing where there can be no
/// other node.
pub async fn connect(auth: &Auth, db: &Db, stopping: &CancellationToken) -> Result<(), StoreError> {
    let heard = auth.clone();
    let tell = move |revoked: Vec<Revoked>| {
        metrics::revoked("heard", revoked.len());
        let auth = heard.clone();
        // A look-up that is under way may hold one up for a while; the next word must not wait.
        tokio::spawn(async move {
            for revoked in &revoked {
                auth.forget(revoked).await;
            }
            sleep(GOODBYE).await;
            for revoked in &revoked {
                auth.shut_out(revoked).await;
            }
        });
    };
    pulse::connect(db, &auth.pulse, tell, stopping).await?;
    if !db.is_shared() {
        return Ok(());
    }
    let look = look(auth.clone(), db.clone());
    tokio::spawn(stopping.clone().run_until_cancelled_owned(look));
    Ok(())
}

/// Looks at all sockets whenever something may have been missed, until that went well.
async fn look(auth: Auth, db: Db) {
    loop {
        auth.pulse.missed().await;
        while let Err(error) = look_once(&auth, &db).await {
            tracing::debug!(%error, "whether sockets may stay open could not be looked up");
            sleep(LOOK_EVERY).await;
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn look_once(auth: &Auth, db: &Db) -> Result<(), StoreError> {
    let mut openers = Openers::default();
    auth.hub.openers(&mut openers);
    auth.watchers.openers(&mut openers);
    if openers.tokens.is_empty() && openers.members.is_empty() {
        return Ok(());
    }
    let gone = revocations::list_gone(&mut db.reader().await?, &openers).await?;
    metrics::revoked("found", gone.len());
    for revoked in &gone {
        auth.shut_out(revoked).await;
    }
    Ok(())
}
