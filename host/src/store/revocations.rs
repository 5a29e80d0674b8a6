//! What is taken back, told to every node by the very transaction that takes it back, and
//! looked up again by whoever may have missed that.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::batch::Ids;
use super::bus::LONGEST;
use super::{Conn, StoreError};
use crate::model::ids::{UserId, WorkspaceId};
use crate::model::revoked::{Openers, Revoked, TokenHash};

/// Where revocations are told.
pub const CHANNEL: &str = "switchyard_revoked";
/// One is shorter than 150 bytes.
const MOST_IN_A_WORD: usize = 50;
/// How many one look asks for.
const LOOK: usize = 1000;

/// What is said of revocations.
#[derive(Serialize, Deserialize)]
pub struct Told {
    pub revoked: Vec<Revoked>,
}

/// Tells every node, this one included, when the transaction commits: it cannot be lost in
/// between. Commits that say something wait for each other, which what is as rare as this may.
pub async fn tell(conn: &mut Conn, revoked: &[Revoked]) -> Result<(), StoreError> {
    const SQL: &str = "SELECT pg_notify($1, word) FROM unnest($2::text[]) AS word";
    let Conn::Postgres(c) = conn else { return Ok(()) };
    if revoked.is_empty() {
        return Ok(());
    }
    let words: Vec<String> = revoked.chunks(MOST_IN_A_WORD).map(word).collect();
    crate::telemetry::metrics::db_statement();
    sqlx::query(SQL).bind(CHANNEL).bind(words).execute(&mut **c).await?;
    Ok(())
}

fn word(revoked: &[Revoked]) -> String {
    let word = serde_json::to_string(&Told { revoked: revoked.to_vec() }).unwrap_or_default();
    debug_assert!(word.len() <= LONGEST, "{word}");
    word
}

/// What of this is not there any more, or revoked.
pub async fn list_gone(conn: &mut Conn, openers: &Openers) -> Result<Vec<Revoked>, StoreError> {
    let tokens = list_gone_tokens(conn, &openers.tokens).await?.into_iter().map(Revoked::Token);
    let members = list_gone_members(conn, &openers.members).await?.into_iter();
    Ok(tokens.chain(members.map(|(user, workspace)| Revoked::Member { user, workspace })).collect())
}

async fn list_gone_tokens(
    conn: &mut Conn,
    tokens: &HashSet<TokenHash>,
) -> Result<Vec<TokenHash>, StoreError> {
    const SQL: &str =
        "SELECT token_hash FROM personal_access_token WHERE token_hash = ANY ($1) AND NOT revoked
        UNION ALL SELECT token_hash FROM daemon_token WHERE token_hash = ANY ($1)";
    // SQLite has one node, which misses nothing.
    let Conn::Postgres(c) = conn else { return Ok(Vec::new()) };
    let asked: Vec<String> = tokens.iter().map(TokenHash::to_string).collect();
    let mut gone = tokens.clone();
    for some in asked.chunks(LOOK) {
        let found: Vec<String> = sqlx::query_scalar(SQL).bind(some).fetch_all(&mut **c).await?;
        for hash in found.iter().filter_map(|hash| TokenHash::parse(hash)) {
            gone.remove(&hash);
        }
    }
    Ok(gone.into_iter().collect())
}

async fn list_gone_members(
    conn: &mut Conn,
    members: &HashSet<(UserId, WorkspaceId)>,
) -> Result<Vec<(UserId, WorkspaceId)>, StoreError> {
    const SQL: &str = "SELECT user_id, workspace_id FROM member WHERE user_id = ANY ($1)";
    let Conn::Postgres(c) = conn else { return Ok(Vec::new()) };
    let users: HashSet<UserId> = members.iter().map(|(user, _)| *user).collect();
    let users: Vec<UserId> = users.into_iter().collect();
    let mut gone = members.clone();
    for some in users.chunks(LOOK) {
        let some = Ids::of(some.iter().map(|user| user.0));
        let found: Vec<(UserId, WorkspaceId)> = sqlx::query_as(SQL).bind(some).fetch_all(&mut **c).await?;
        for member in &found {
            gone.remove(member);
        }
    }
    Ok(gone.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_word_is_not_too_long() {
        let (user, workspace) = (UserId::new(), WorkspaceId::new());
        for revoked in [Revoked::Token(TokenHash([255; 32])), Revoked::Member { user, workspace }] {
            let word = word(&vec![revoked; MOST_IN_A_WORD]);
            assert!(word.len() <= LONGEST, "{}", word.len());
            let told: Told = serde_json::from_str(&word).unwrap();
            assert_eq!(told.revoked[0], revoked);
        }
    }
}
