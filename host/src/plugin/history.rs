//! The sets that were applied, in the database: what a restart goes on with, what other
//! nodes follow, and what can be gone back to.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use super::generation::{Generation, Origin};
use crate::model::time::Time;
use crate::store::generations::{self as rows, GenerationRow, MemberRow};
use crate::store::{Db, StoreError};

/// How many sets are kept to go back to.
pub const KEPT: u64 = 32;

/// Without a database nothing is kept: a tool that runs plugins for a moment has none.
#[derive(Clone)]
pub struct History(Option<Db>);

/// A set that is kept.
#[derive(Clone, Debug)]
pub struct Kept {
    pub number: u64,
    pub digest: String,
    /// JSON text.
    pub document: String,
    pub origin: Origin,
    pub applied_at: Time,
    /// Why it ran, when nobody asked for it.
    pub reason: Option<String>,
    /// The canary that was given up for it.
    pub gave_up: Option<String>,
    pub members: Vec<Member>,
}

/// A plugin of a set that is kept.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Member {
    pub name: String,
    pub version: String,
    pub sha256: String,
}

impl History {
    pub fn new(db: Option<Db>) -> Self {
        Self(db)
    }

    /// The database, where other nodes apply sets, too.
    pub fn shared(&self) -> Option<&Db> {
        self.0.as_ref().filter(|db| db.is_shared())
    }

    pub async fn latest_number(&self) -> Result<Option<u64>, StoreError> {
        let Some(db) = &self.0 else { return Ok(None) };
        Ok(rows::find_latest_number(&mut db.reader().await?).await?.and_then(|number| number.try_into().ok()))
    }

    pub async fn latest(&self) -> Result<Option<Kept>, StoreError> {
        let Some(db) = &self.0 else { return Ok(None) };
        let mut conn = db.reader().await?;
        let Some(row) = rows::find_latest(&mut conn).await? else { return Ok(None) };
        let members = rows::list_members(&mut conn, Some(row.number)).await?;
        Ok(Some(kept(row, members)))
    }

    pub async fn find(&self, number: u64) -> Result<Option<Kept>, StoreError> {
        let (Some(db), Ok(number)) = (&self.0, i64::try_from(number)) else { return Ok(None) };
        let mut conn = db.reader().await?;
        let Some(row) = rows::find(&mut conn, number).await? else { return Ok(None) };
        let members = rows::list_members(&mut conn, Some(number)).await?;
        Ok(Some(kept(row, members)))
    }

    /// Newest first.
    pub async fn list(&self) -> Result<Vec<Kept>, StoreError> {
        let Some(db) = &self.0 else { return Ok(Vec::new()) };
        let mut conn = db.reader().await?;
        let mut members: HashMap<i64, Vec<MemberRow>> = HashMap::new();
        for member in rows::list_members(&mut conn, None).await? {
            members.entry(member.generation).or_default().push(member);
        }
        let list = rows::list(&mut conn).await?.into_iter();
        Ok(list
            .map(|row| (members.remove(&row.number).unwrap_or_default(), row))
            .map(|(m, row)| kept(row, m))
            .collect())
    }

    /// The digest of the last document that came from a file.
    pub async fn file_digest(&self) -> Result<Option<String>, StoreError> {
        let Some(db) = &self.0 else { return Ok(None) };
        rows::find_file_digest(&mut db.reader().await?).await
    }

    pub async fn component(&self, sha256: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(db) = &self.0 else { return Ok(None) };
        rows::find_component(&mut db.reader().await?, sha256).await
    }

    /// Keeps a set under its number, with the components that came from files. `false` when
    /// another node took the number meanwhile; nothing is kept then.
    pub async fn keep(
        &self,
        generation: &Generation,
        components: HashMap<String, Arc<[u8]>>,
    ) -> Result<bool, StoreError> {
        let Some(db) = &self.0 else { return Ok(true) };
        let number = i64::try_from(generation.number).unwrap_or(i64::MAX);
        let row = GenerationRow {
            number,
            digest: generation.digest.clone(),
            document: generation.document.clone(),
            origin: generation.origin.as_str().to_owned(),
            applied_at: generation.applied_at,
            reason: generation.reason.clone(),
            gave_up: generation.gave_up.clone(),
        };
        let members = generation.members().into_iter().zip(0..).map(|(member, position)| MemberRow {
            generation: number,
            position,
            name: member.name,
            version: member.version,
            sha256: member.sha256,
        });
        let members: Vec<MemberRow> = members.collect();
        let forget = number - i64::try_from(KEPT).unwrap_or(i64::MAX);
        db.write(move |conn| {
            Box::pin(async move {
                if !rows::insert(conn, &row).await? {
                    return Ok(false);
                }
                for (sha256, bytes) in &components {
                    rows::insert_component(conn, sha256, bytes).await?;
                }
                for member in &members {
                    rows::insert_member(conn, member).await?;
                }
                rows::delete_up_to(conn, forget).await?;
                rows::delete_unused_components(conn).await?;
                Ok(true)
            })
        })
        .await
    }
}

fn kept(row: GenerationRow, members: Vec<MemberRow>) -> Kept {
    let member = |row: MemberRow| Member { name: row.name, version: row.version, sha256: row.sha256 };
    Kept {
        number: row.number.try_into().unwrap_or_default(),
        digest: row.digest,
        document: row.document,
        origin: Origin::parse(&row.origin),
        applied_at: row.applied_at,
        reason: row.reason,
        gave_up: row.gave_up,
        members: members.into_iter().map(member).collect(),
    }
}
