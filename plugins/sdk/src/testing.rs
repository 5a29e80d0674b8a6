//! What stands for the host in a plugin's native tests. Everything is the running thread's own,
//! and so each test's.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::Failure;
use crate::http::{Request, Response};

type Answers = Box<dyn Fn(&Request) -> Result<Response, Failure>>;

thread_local! {
    static ANSWERS: RefCell<Option<Answers>> = const { RefCell::new(None) };
    static SECRETS: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
    static VALUES: RefCell<BTreeMap<String, Vec<u8>>> = const { RefCell::new(BTreeMap::new()) };
    static NOW: RefCell<Option<u64>> = const { RefCell::new(None) };
}

/// Who answers requests from here on.
///
/// ```
/// # use switchyard_sdk::{http, testing};
/// testing::answer(|request| Ok(testing::response(200, if request.url.ends_with("/1") { "{}" } else { "[]" })));
/// assert_eq!(http::send(&http::Request::get("https://h.example/1")).unwrap().body, b"{}");
/// ```
pub fn answer(answers: impl Fn(&Request) -> Result<Response, Failure> + 'static) {
    ANSWERS.set(Some(Box::new(answers)));
}

/// An answer without headers.
pub fn response(status: u16, body: impl Into<Vec<u8>>) -> Response {
    Response { status, headers: Vec::new(), body: body.into(), attributes: Vec::new() }
}

/// A secret of this name is there from here on; its reference is `secret:NAME`.
pub fn grant_secret(name: impl Into<String>) {
    SECRETS.with_borrow_mut(|secrets| secrets.insert(name.into()));
}

/// The time from here on.
pub fn set_now_ms(ms: u64) {
    NOW.set(Some(ms));
}

pub(crate) fn now_ms() -> u64 {
    let since = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    NOW.with_borrow(|now| now.unwrap_or_else(|| u64::try_from(since().as_millis()).unwrap_or(u64::MAX)))
}

pub(crate) fn random_bytes(count: u32) -> Vec<u8> {
    (0..count.min(4096)).map(|index| (index % 251) as u8).collect()
}

pub(crate) fn reference(name: &str) -> Result<String, Failure> {
    if SECRETS.with_borrow(|secrets| secrets.contains(name)) {
        return Ok(format!("secret:{name}"));
    }
    Err(Failure::new("not-granted", format!("no secret `{name}` was granted")))
}

pub(crate) fn send(request: &Request) -> Result<Response, Failure> {
    ANSWERS.with_borrow(|answers| match answers {
        Some(answers) => answers(request),
        None => Err(Failure::new("unreachable", "nobody answers: call `testing::answer` first")),
    })
}

/// Values in memory, without bounds and without an end.
#[expect(clippy::unnecessary_wraps, reason = "as the host's, which may fail")]
pub(crate) mod kv {
    use super::VALUES;
    use crate::Failure;

    pub(crate) fn get(key: &str) -> Result<Option<Vec<u8>>, Failure> {
        Ok(VALUES.with_borrow(|values| values.get(key).cloned()))
    }

    pub(crate) fn set(key: &str, value: &[u8], _: Option<u32>) -> Result<(), Failure> {
        VALUES.with_borrow_mut(|values| values.insert(key.to_owned(), value.to_vec()));
        Ok(())
    }

    pub(crate) fn delete(key: &str) -> Result<bool, Failure> {
        Ok(VALUES.with_borrow_mut(|values| values.remove(key).is_some()))
    }

    pub(crate) fn increment(key: &str, by: i64, ttl_seconds: Option<u32>) -> Result<i64, Failure> {
        let text = get(key)?.unwrap_or_else(|| b"0".to_vec());
        let number: Option<i64> = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
        let sum = number.and_then(|number| number.checked_add(by));
        let sum = sum.ok_or_else(|| Failure::new("not-a-number", "the value is no whole number"))?;
        set(key, sum.to_string().as_bytes(), ttl_seconds)?;
        Ok(sum)
    }

    pub(crate) fn keys(prefix: &str, after: Option<&str>) -> Result<Vec<String>, Failure> {
        let after = after.unwrap_or_default();
        Ok(VALUES.with_borrow(|values| {
            let own = values.keys().filter(|key| key.starts_with(prefix) && key.as_str() > after);
            own.take(1000).cloned().collect()
        }))
    }
}
