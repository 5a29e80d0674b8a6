//! Secrets of the gateway's own: given by the operator, or made once and kept in the
//! database, where every node finds them.

use rand::TryRng;
use rand::rngs::SysRng;
use secrecy::SecretString;

use super::token::NoRandomness;
use crate::model::time::Time;
use crate::store::{Db, StoreError, secrets};

/// The secret of this name.
pub async fn settle(
    db: &Db,
    name: &'static str,
    given: Option<SecretString>,
    now: Time,
) -> anyhow::Result<SecretString> {
    if let Some(given) = given {
        return Ok(given);
    }
    let mut bytes = [0_u8; 32];
    SysRng.try_fill_bytes(&mut bytes).map_err(|_| NoRandomness)?;
    let fresh = hex::encode(bytes);
    let kept: Result<String, StoreError> =
        db.write(move |c| Box::pin(async move { secrets::find_or_insert(c, name, &fresh, now).await })).await;
    Ok(kept?.into())
}
