//! A person proves that an address is theirs, and has an account from then on.

use chrono::TimeDelta;
use rand::TryRng;
use rand::rngs::SysRng;
use thiserror::Error;

use crate::app::App;
use crate::auth::token::NoRandomness;
use crate::model::time::Time;
use crate::model::workspace::User;
use crate::store::{Conn, StoreError, login_codes, users};

/// How long a code may be entered.
const CODE_LIFETIME: TimeDelta = TimeDelta::minutes(10);
/// How long an address waits for the next one.
const BETWEEN_CODES: TimeDelta = TimeDelta::seconds(60);
/// How often something else may be entered before a code is of no more use.
const WRONG_TRIES: i32 = 5;
/// The longest address that mail knows, which every database can index.
const ADDRESS_BYTES: usize = 320;

#[derive(Debug, Error)]
pub enum LoginError {
    #[error("email is too long")]
    AddressTooLong,
    #[error("user registration is disabled on this self-hosted instance")]
    SignupClosed,
    #[error("please wait before requesting another code")]
    TooSoon,
    #[error("invalid or expired code")]
    WrongCode,
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes a code for an address, which is trimmed and in lower case. There is no sender of
/// mail: the operator reads the code in the log.
pub async fn send_code(app: &App, email: String) -> Result<(), LoginError> {
    if email.len() > ADDRESS_BYTES {
        return Err(LoginError::AddressTooLong);
    }
    let known = users::find_by_email(&mut app.db.reader().await?, &email).await?.is_some();
    if !known && !app.access.signup.allows(&email) {
        return Err(LoginError::SignupClosed);
    }
    let (code, now) = (fresh_code()?, app.clock.now());
    let (kept, address) = (code.clone(), email.clone());
    let sent = app.db.write(move |c| {
        Box::pin(async move {
            let last = login_codes::find_last_sent(c, &address).await?;
            if last.is_some_and(|at| now - at < BETWEEN_CODES) {
                return Err(LoginError::TooSoon);
            }
            login_codes::delete_expired(c, now).await?;
            Ok(login_codes::insert(c, &address, &kept, now + CODE_LIFETIME, now).await?)
        })
    });
    sent.await?;
    tracing::info!(email, code, "a verification code was made; there is no sender of mail to deliver it");
    Ok(())
}

/// Uses a code up and gives the person it lets in.
pub async fn enter(app: &App, email: String, code: String) -> Result<User, LoginError> {
    let app = app.clone();
    let now = app.clock.now();
    let shortcut = app.access.development_code.as_deref() == Some(code.as_str());
    let address = email.clone();
    // A wrong try is an outcome, not an error: it has to stay counted.
    let right: Result<bool, LoginError> = app
        .db
        .write(move |c| Box::pin(async move { is_right(c, &address, &code, shortcut, now).await }))
        .await;
    if !right? {
        return Err(LoginError::WrongCode);
    }
    let known = users::find_by_email(&mut app.db.reader().await?, &email).await?.is_some();
    if !known && !app.access.signup.allows(&email) {
        return Err(LoginError::SignupClosed);
    }
    let entered = app.db.write(move |c| {
        Box::pin(async move {
            let name = email.split('@').next().unwrap_or_default();
            let id = users::find_or_insert(c, name, &email, now).await?;
            users::find(c, id).await
        })
    });
    entered.await?.ok_or(LoginError::WrongCode)
}

async fn is_right(
    conn: &mut Conn,
    email: &str,
    code: &str,
    shortcut: bool,
    now: Time,
) -> Result<bool, LoginError> {
    let Some(pending) = login_codes::find_pending(conn, email, now).await? else { return Ok(false) };
    if pending.attempts >= WRONG_TRIES {
        return Ok(false);
    }
    if !shortcut && !is_same(code, &pending.code) {
        login_codes::count_attempt(conn, pending.id).await?;
        return Ok(false);
    }
    Ok(login_codes::use_up(conn, pending.id).await?)
}

/// Compares without telling by the time it takes how much was right.
fn is_same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |seen, (a, b)| seen | (a ^ b)) == 0
}

/// Six digits, each value as likely as any other.
fn fresh_code() -> Result<String, NoRandomness> {
    const CODES: u32 = 1_000_000;
    loop {
        let drawn = SysRng.try_next_u32().map_err(|_| NoRandomness)?;
        if drawn < u32::MAX - u32::MAX % CODES {
            return Ok(format!("{:06}", drawn % CODES));
        }
    }
}
