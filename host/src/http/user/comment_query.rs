//! Which comments of an issue somebody asks for, and in what form.

use chrono::DateTime;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::error::Error;
use crate::model::ids::CommentId;
use crate::model::time::Time;
use crate::store::comment_threads::Before;

/// The most comments, threads or replies that one answer gives.
pub(super) const MOST: i64 = 2000;

#[derive(Deserialize, IntoParams, Default)]
#[into_params(parameter_in = Query)]
pub(super) struct CommentQuery {
    /// Only what is newer than this (RFC 3339).
    since: Option<String>,
    /// `true`: only the roots of threads, each with what is below it counted.
    roots_only: Option<String>,
    #[serde(rename = "roots-only")]
    #[param(ignore)]
    roots_only_too: Option<String>,
    /// Only the thread that this comment is in.
    thread: Option<String>,
    /// With `thread`: the root and this many of the newest replies.
    tail: Option<String>,
    /// The threads with the latest activity, this many.
    recent: Option<String>,
    /// With `recent` or `tail`: where the page before ended.
    before: Option<String>,
    before_id: Option<String>,
    #[serde(rename = "before-id")]
    #[param(ignore)]
    before_id_too: Option<String>,
    /// `true`: contents are cut.
    summary: Option<String>,
    /// `true`: of a resolved thread, only the root and what resolved it.
    fold: Option<String>,
}

/// What was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Wanted {
    pub part: Part,
    pub since: Option<Time>,
    pub summary: bool,
    pub fold: bool,
}

/// Which part of the discussion.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Part {
    All,
    Roots,
    Thread(CommentId),
    Tail { anchor: CommentId, count: i64, before: Option<Before> },
    Recent { count: i64, before: Option<Before> },
}

impl CommentQuery {
    /// The first contradiction or unreadable value decides what is said of the query.
    pub fn wanted(self) -> Result<Wanted, Error> {
        let before_id = self.before_id.or(self.before_id_too);
        let since = time("since", self.since.as_deref())?;
        let roots = flag("roots_only", self.roots_only.or(self.roots_only_too).as_deref())?;
        let summary = flag("summary", self.summary.as_deref())?;
        let fold = flag("fold", self.fold.as_deref())?;
        let (thread, tail, recent) = (self.thread.is_some(), self.tail.is_some(), self.recent.is_some());
        let (before, with_id) = (self.before.is_some(), before_id.is_some());
        let contradictions = [
            (
                fold && since.is_some(),
                "fold and since are mutually exclusive: since returns a partial thread, and a fold over a partial \
                 thread could hide a resolution that was not fetched",
            ),
            (
                fold && tail,
                "fold and tail are mutually exclusive: tail returns a partial thread, which cannot be folded safely",
            ),
            (
                fold && roots,
                "fold and roots_only are mutually exclusive: roots_only returns no replies to fold",
            ),
            (roots && thread, "roots_only and thread are mutually exclusive"),
            (roots && recent, "roots_only and recent are mutually exclusive"),
            (roots && tail, "roots_only and tail are mutually exclusive"),
            (roots && (before || with_id), "roots_only does not support before / before_id"),
            (thread && recent, "thread and recent are mutually exclusive"),
            (tail && !thread, "tail requires thread (it is a thread-scoped limit)"),
            (before != with_id, "before and before_id must be set together (composite cursor)"),
            (
                before && !recent && !(thread && tail),
                "before / before_id require recent (thread cursor) or thread + tail (reply cursor)",
            ),
        ];
        if let Some((_, message)) = contradictions.into_iter().find(|(holds, _)| *holds) {
            return Err(Error::bad_request(message));
        }
        let at = time("before", self.before.as_deref())?;
        let id = id("before_id", before_id.as_deref())?;
        let before = at.zip(id).map(|(at, id)| Before { at, id });
        let recent = count("recent", "positive", 1, self.recent.as_deref())?;
        let tail = count("tail", "non-negative", 0, self.tail.as_deref())?;
        let anchor = self::id("thread", self.thread.as_deref())?;
        let part = match (anchor, tail, recent) {
            (Some(anchor), Some(count), _) => Part::Tail { anchor, count, before },
            (Some(anchor), None, _) => Part::Thread(anchor),
            (None, _, Some(count)) => Part::Recent { count, before },
            (None, _, None) if roots => Part::Roots,
            (None, _, None) => Part::All,
        };
        Ok(Wanted { part, since, summary, fold })
    }
}

fn time(name: &str, sent: Option<&str>) -> Result<Option<Time>, Error> {
    let invalid = || Error::bad_request(format!("invalid {name} parameter; expected RFC3339 format"));
    let parsed = sent.map(|text| DateTime::parse_from_rfc3339(text).map_err(|_| invalid())).transpose()?;
    Ok(parsed.map(|time| time.to_utc()))
}

fn flag(name: &str, sent: Option<&str>) -> Result<bool, Error> {
    match sent {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Error::bad_request(format!("invalid {name} parameter; expected boolean"))),
    }
}

fn id(name: &str, sent: Option<&str>) -> Result<Option<CommentId>, Error> {
    let invalid = || Error::bad_request(format!("invalid {name} parameter; expected UUID"));
    sent.map(|text| CommentId::parse(text).ok_or_else(invalid)).transpose()
}

fn count(name: &str, kind: &str, least: i64, sent: Option<&str>) -> Result<Option<i64>, Error> {
    let invalid = || Error::bad_request(format!("invalid {name} parameter; expected {kind} integer"));
    let parsed = sent.map(|text| text.parse::<i64>().ok().filter(|count| *count >= least));
    parsed.map(|count| count.map(|count| count.min(MOST)).ok_or_else(invalid)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
    const AT: &str = "2026-01-02T03:04:05.000006Z";

    fn wanted(pairs: &[(&str, &str)]) -> Result<Wanted, String> {
        let map = pairs.iter().map(|(name, value)| ((*name).to_owned(), serde_json::Value::from(*value)));
        let query: CommentQuery = serde_json::from_value(serde_json::Value::Object(map.collect())).unwrap();
        query.wanted().map_err(|error| error.message)
    }

    #[track_caller]
    fn check_refused(pairs: &[(&str, &str)], start: &str) {
        let message = wanted(pairs).expect_err("the query makes no sense");
        assert!(message.starts_with(start), "{message}");
    }

    #[test]
    fn each_part_is_told_by_its_parameters() {
        let id = CommentId::parse(ID).unwrap();
        let before = Some(Before { at: AT.parse().unwrap(), id });
        let part = |pairs: &[(&str, &str)]| wanted(pairs).unwrap().part;
        assert_eq!(part(&[]), Part::All);
        assert_eq!(part(&[("roots-only", "true"), ("since", AT)]), Part::Roots);
        assert_eq!(part(&[("roots_only", "false"), ("fold", "true")]), Part::All);
        assert_eq!(part(&[("thread", ID)]), Part::Thread(id));
        assert_eq!(part(&[("thread", ID), ("tail", "0")]), Part::Tail { anchor: id, count: 0, before: None });
        assert_eq!(
            part(&[("thread", ID), ("tail", "9999"), ("before", AT), ("before-id", ID)]),
            Part::Tail { anchor: id, count: MOST, before }
        );
        assert_eq!(
            part(&[("recent", "3"), ("before", AT), ("before_id", ID)]),
            Part::Recent { count: 3, before }
        );
    }

    #[test]
    fn contradictions_come_in_the_order_of_the_wire() {
        check_refused(&[("since", "yesterday"), ("fold", "x")], "invalid since parameter");
        check_refused(&[("roots_only", "1"), ("summary", "x")], "invalid roots_only parameter");
        check_refused(&[("summary", "TRUE")], "invalid summary parameter; expected boolean");
        check_refused(&[("fold", "yes")], "invalid fold parameter; expected boolean");
        let fold = ("fold", "true");
        check_refused(&[fold, ("since", AT), ("tail", "1")], "fold and since are mutually exclusive");
        check_refused(&[fold, ("tail", "1")], "fold and tail are mutually exclusive");
        check_refused(&[fold, ("roots_only", "true")], "fold and roots_only are mutually exclusive");
        let roots = ("roots_only", "true");
        check_refused(&[roots, ("thread", "x")], "roots_only and thread are mutually exclusive");
        check_refused(&[roots, ("recent", "x")], "roots_only and recent are mutually exclusive");
        check_refused(&[roots, ("tail", "x")], "roots_only and tail are mutually exclusive");
        check_refused(&[roots, ("before", "x")], "roots_only does not support before / before_id");
        check_refused(&[("thread", ID), ("recent", "1")], "thread and recent are mutually exclusive");
        check_refused(&[("tail", "1")], "tail requires thread");
        check_refused(&[("recent", "1"), ("before", AT)], "before and before_id must be set together");
        check_refused(&[("before", AT), ("before_id", ID)], "before / before_id require recent");
        let cursor = ("before_id", ID);
        check_refused(&[("recent", "1"), ("before", "x"), cursor], "invalid before parameter");
        check_refused(&[("recent", "x"), ("before", AT), ("before_id", "x")], "invalid before_id parameter");
        check_refused(&[("recent", "0")], "invalid recent parameter; expected positive integer");
        check_refused(&[("thread", "x"), ("tail", "-1")], "invalid tail parameter; expected non-negative");
        check_refused(&[("thread", "x")], "invalid thread parameter; expected UUID");
    }
}
