//! Values that a plugin keeps between its calls. The host names the plugin, never the guest.

use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::TimeDelta;
use thiserror::Error;

use super::{Memory, Reach, Refusal, Used, Values};
use crate::model::time::Time;
use crate::store::plugin_values::{self as rows, ValueRow};
use crate::store::{Db, StoreError};

const KEY_BYTES: usize = 256;
const VALUE_BYTES: usize = 64 << 10;
/// Values of one plugin.
const KEYS: i64 = 10_000;
const CALLS: usize = 64;
const LISTED: usize = 1000;

/// A value in memory, with its end.
#[derive(Clone, Debug)]
pub struct Kept {
    pub value: Vec<u8>,
    pub expires_at: Option<Time>,
}

/// Why a transaction came to nothing.
#[derive(Debug, Error)]
enum Failed {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{}", .0.message)]
    Refused(Refusal),
}

impl From<Failed> for Refusal {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Refused(refusal) => refusal,
            Failed::Store(error) => unavailable(&error),
        }
    }
}

fn unavailable(error: &StoreError) -> Refusal {
    tracing::warn!(%error, "a plugin's value was not read or written");
    Refusal::new("unavailable", "the store does not answer; try again at the next call")
}

impl Reach {
    pub async fn get_value(&self, used: &mut Used, key: &str) -> Result<Option<Vec<u8>>, Refusal> {
        let work = async {
            one_more(used)?;
            checked(key)?;
            self.find_value(used, key, self.outside.clock.now()).await
        };
        self.counted(work.await)
    }

    async fn find_value(&self, used: &Used, key: &str, now: Time) -> Result<Option<Vec<u8>>, Refusal> {
        if used.draft.holds(key) {
            return Ok(used.draft.find(key, now).map(|row| row.value.clone()));
        }
        match &self.outside.values {
            Values::Memory(memory) => {
                Ok(living(memory, now).get(&self.place(key)).map(|kept| kept.value.clone()))
            }
            Values::Database(db) => {
                let found = async { rows::find(&mut db.reader().await?, &self.plugin, key, now).await };
                found.await.map_err(|error| unavailable(&error))
            }
        }
    }

    pub async fn set_value(
        &self,
        used: &mut Used,
        key: &str,
        value: Vec<u8>,
        ttl_seconds: Option<u32>,
    ) -> Result<(), Refusal> {
        let work = async {
            one_more(used)?;
            checked(key)?;
            if value.len() > VALUE_BYTES {
                let message = format!("the value has {} bytes; {VALUE_BYTES} are kept", value.len());
                return Err(Refusal::new("value-too-large", message));
            }
            let now = self.outside.clock.now();
            let row = ValueRow { value, expires_at: end(now, ttl_seconds) };
            if self.is_shadow {
                used.draft.put(key, Some(row));
                return Ok(());
            }
            match &self.outside.values {
                Values::Memory(memory) => self.set_in_memory(memory, now, key, row),
                Values::Database(db) => Ok(self.set_in_database(db, now, key, row).await?),
            }
        };
        self.counted(work.await)
    }

    pub async fn delete_value(&self, used: &mut Used, key: &str) -> Result<bool, Refusal> {
        let work = async {
            one_more(used)?;
            checked(key)?;
            let now = self.outside.clock.now();
            if self.is_shadow {
                let was_there = self.find_value(used, key, now).await?.is_some();
                used.draft.put(key, None);
                return Ok(was_there);
            }
            match &self.outside.values {
                Values::Memory(memory) => Ok(living(memory, now).remove(&self.place(key)).is_some()),
                Values::Database(db) => {
                    let (plugin, key) = self.place(key);
                    let deleted = db.write(move |conn| {
                        Box::pin(async move { rows::delete(conn, &plugin, &key, now).await })
                    });
                    deleted.await.map_err(|error: StoreError| unavailable(&error))
                }
            }
        };
        self.counted(work.await)
    }

    pub async fn increment_value(
        &self,
        used: &mut Used,
        key: &str,
        by: i64,
        ttl_seconds: Option<u32>,
    ) -> Result<i64, Refusal> {
        let work = async {
            one_more(used)?;
            checked(key)?;
            let now = self.outside.clock.now();
            let begun = ValueRow { value: b"0".to_vec(), expires_at: end(now, ttl_seconds) };
            if self.is_shadow {
                let before = self.find_value(used, key, now).await?;
                // The end of one that was there is of no account: the call's comes first.
                let expires_at = begun.expires_at.filter(|_| before.is_none());
                let sum = sum(&before.unwrap_or(begun.value), by)?;
                used.draft.put(key, Some(ValueRow { value: sum.to_string().into(), expires_at }));
                return Ok(sum);
            }
            match &self.outside.values {
                Values::Memory(memory) => {
                    let kept = living(memory, now).get(&self.place(key)).cloned();
                    let before = kept
                        .map_or(begun, |kept| ValueRow { value: kept.value, expires_at: kept.expires_at });
                    let sum = sum(&before.value, by)?;
                    self.set_in_memory(
                        memory,
                        now,
                        key,
                        ValueRow { value: sum.to_string().into(), ..before },
                    )?;
                    Ok(sum)
                }
                Values::Database(db) => Ok(self.increment_in_database(db, now, key, by, begun).await?),
            }
        };
        self.counted(work.await)
    }

    pub async fn list_keys(
        &self,
        used: &mut Used,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Vec<String>, Refusal> {
        let work = async {
            one_more(used)?;
            let (now, after) = (self.outside.clock.now(), after.unwrap_or_default());
            for text in [prefix, after].into_iter().filter(|text| !text.is_empty()) {
                checked(text)?;
            }
            // Those that the call deleted leave room for as many more.
            let most = LISTED + used.draft.len();
            let kept = match &self.outside.values {
                Values::Memory(memory) => {
                    let own = |(plugin, key): &&(String, String)| {
                        *plugin == self.plugin && key.starts_with(prefix) && key.as_str() > after
                    };
                    living(memory, now).keys().filter(own).take(most).map(|(_, key)| key.clone()).collect()
                }
                Values::Database(db) => {
                    let found = async {
                        let mut conn = db.reader().await?;
                        let most = i64::try_from(most).unwrap_or(i64::MAX);
                        rows::list_keys(&mut conn, &self.plugin, (prefix, after), now, most).await
                    };
                    found.await.map_err(|error| unavailable(&error))?
                }
            };
            let mut keys = used.draft.over(kept, (prefix, after), now);
            keys.truncate(LISTED);
            Ok(keys)
        };
        self.counted(work.await)
    }

    fn place(&self, key: &str) -> (String, String) {
        (self.plugin.clone(), key.to_owned())
    }

    fn bytes_kept(&self) -> i64 {
        i64::try_from(self.limits.kv_mib << 20).unwrap_or(i64::MAX)
    }

    async fn set_in_database(&self, db: &Db, now: Time, key: &str, row: ValueRow) -> Result<(), Failed> {
        let ((plugin, key), most) = (self.place(key), self.bytes_kept());
        db.write(move |conn| {
            Box::pin(async move {
                rows::delete_expired(conn, &plugin, now).await?;
                let (keys, bytes) = rows::measure(conn, &plugin, &key).await?;
                room(keys, bytes, &key, &row.value, most).map_err(Failed::Refused)?;
                Ok(rows::upsert(conn, &plugin, &key, &row).await?)
            })
        })
        .await
    }

    async fn increment_in_database(
        &self,
        db: &Db,
        now: Time,
        key: &str,
        by: i64,
        begun: ValueRow,
    ) -> Result<i64, Failed> {
        let ((plugin, key), most) = (self.place(key), self.bytes_kept());
        db.write(move |conn| {
            Box::pin(async move {
                rows::delete_expired(conn, &plugin, now).await?;
                let before = rows::find_or_insert_locked(conn, &plugin, &key, &begun).await?;
                let sum = sum(&before.value, by).map_err(Failed::Refused)?;
                let row = ValueRow { value: sum.to_string().into(), ..before };
                let (keys, bytes) = rows::measure(conn, &plugin, &key).await?;
                room(keys, bytes, &key, &row.value, most).map_err(Failed::Refused)?;
                rows::upsert(conn, &plugin, &key, &row).await?;
                Ok(sum)
            })
        })
        .await
    }

    fn set_in_memory(
        &self,
        memory: &Mutex<Memory>,
        now: Time,
        key: &str,
        row: ValueRow,
    ) -> Result<(), Refusal> {
        let mut values = living(memory, now);
        let own = values.iter().filter(|((plugin, other), _)| *plugin == self.plugin && other != key);
        let (keys, bytes) = own.fold((0, 0), |(keys, bytes), ((_, key), kept)| {
            (keys + 1, bytes + i64::try_from(key.len() + kept.value.len()).unwrap_or(i64::MAX))
        });
        room(keys, bytes, key, &row.value, self.bytes_kept())?;
        values.insert(self.place(key), Kept { value: row.value, expires_at: row.expires_at });
        Ok(())
    }
}

/// What has not come to its end.
fn living(memory: &Mutex<Memory>, now: Time) -> MutexGuard<'_, Memory> {
    let mut values = memory.lock().unwrap_or_else(PoisonError::into_inner);
    values.retain(|_, kept| kept.expires_at.is_none_or(|end| end > now));
    values
}

fn one_more(used: &mut Used) -> Result<(), Refusal> {
    used.kv_calls += 1;
    if used.kv_calls > CALLS {
        return Err(Refusal::new("too-many-calls", format!("a call may ask for values {CALLS} times")));
    }
    Ok(())
}

fn checked(key: &str) -> Result<(), Refusal> {
    if key.is_empty() || key.len() > KEY_BYTES || key.chars().any(char::is_control) {
        let message = format!("a key has 1 to {KEY_BYTES} bytes and no control characters");
        return Err(Refusal::new("key-invalid", message));
    }
    Ok(())
}

fn end(now: Time, ttl_seconds: Option<u32>) -> Option<Time> {
    ttl_seconds.map(|seconds| now + TimeDelta::seconds(seconds.into()))
}

fn sum(value: &[u8], by: i64) -> Result<i64, Refusal> {
    let number: Option<i64> = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    let sum = number.and_then(|number| number.checked_add(by));
    sum.ok_or_else(|| Refusal::new("not-a-number", "the value is no whole number, or the sum is too large"))
}

fn room(keys: i64, bytes: i64, key: &str, value: &[u8], most: i64) -> Result<(), Refusal> {
    let wanted = i64::try_from(key.len() + value.len()).unwrap_or(i64::MAX);
    if keys >= KEYS {
        return Err(Refusal::new(
            "store-full",
            format!("{keys} values are kept; that is all a plugin may have"),
        ));
    }
    if bytes.saturating_add(wanted) > most {
        let message = format!("{bytes} bytes are kept of {most}; the operator's limit is `kv_mib`");
        return Err(Refusal::new("store-full", message));
    }
    Ok(())
}
