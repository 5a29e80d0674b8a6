//! Comments read in every mode. User plane items 135 to 140.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::comment_cast::Cast;
use crate::harness::{Gateway, Reply};

/// A discussion in which the minute is the order: two threads and a lone comment.
struct Talk<'g> {
    cast: Cast<'g>,
    issue: Uuid,
    /// Root at minute 1, replies at 2, 5 and (below the second) 6.
    first: [Uuid; 4],
    /// Root at minute 3, reply at 4.
    second: [Uuid; 2],
    /// At minute 7.
    lone: Uuid,
}

fn minute(minute: u32) -> String {
    format!("2026-01-02T03:{minute:02}:00.000001Z")
}

impl<'g> Talk<'g> {
    async fn new(gateway: &'g Gateway) -> Self {
        let cast = Cast::new(gateway).await;
        let issue = cast.unassigned().await;
        let said = async |at: u32, parent: Option<Uuid>| {
            let more = json!({"parent_id": parent, "created_at": minute(at), "updated_at": minute(at)});
            gateway.seed_comment(issue, "member", cast.owner.id, &format!("minute {at}"), more).await
        };
        let root = said(1, None).await;
        let reply = said(2, Some(root)).await;
        let other = said(3, None).await;
        let second = [other, said(4, Some(other)).await];
        let last = said(5, Some(root)).await;
        let first = [root, reply, last, said(6, Some(reply)).await];
        let lone = said(7, None).await;
        Self { cast, issue, first, second, lone }
    }

    async fn read(&self, query: &str) -> Reply {
        self.cast.owner.get(format!("/api/issues/{}/comments{query}", self.issue)).await
    }

    /// The minutes of what is listed, in its order.
    async fn minutes(&self, query: &str) -> Vec<u32> {
        minutes(&self.read(query).await.expect(200))
    }
}

fn minutes(list: &Value) -> Vec<u32> {
    let contents = list.as_array().unwrap().iter().map(|comment| comment["content"].as_str().unwrap());
    contents.map(|content| content.strip_prefix("minute ").unwrap().parse().unwrap()).collect()
}

/// The query of the next page, if the answer names one.
fn next(reply: &Reply) -> Option<String> {
    let (before, id) = (reply.header("x-multica-next-before"), reply.header("x-multica-next-before-id"));
    assert_eq!(before.is_empty(), id.is_empty());
    (!before.is_empty()).then(|| format!("&before={before}&before_id={id}"))
}

/// User items 135 and 140.
#[apply(on_both)]
async fn a_plain_list_is_in_order_and_may_begin_later(gateway: &Gateway) {
    let talk = Talk::new(gateway).await;
    assert_eq!(talk.minutes("").await, [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(talk.minutes(&format!("?since={}", minute(4))).await, [5, 6, 7], "strictly newer");
    assert_eq!(talk.minutes("?since=2026-01-02T04:04:00%2B01:00").await, [4, 5, 6, 7]);
    assert_eq!(talk.minutes("?since=2027-01-01T00:00:00Z").await, [0; 0]);

    let roots = talk.read("?roots_only=true").await.expect(200);
    assert_eq!(minutes(&roots), [1, 3, 7]);
    assert_eq!(
        (&roots[0]["reply_count"], &roots[0]["last_activity_at"]),
        (&json!(3), &json!("2026-01-02T03:06:00Z"))
    );
    assert_eq!(
        (&roots[2]["reply_count"], &roots[2]["last_activity_at"]),
        (&json!(0), &json!("2026-01-02T03:07:00Z"))
    );
    assert_eq!(talk.minutes(&format!("?roots-only=true&since={}", minute(1))).await, [3, 7]);
    let both = talk.read(&format!("?roots_only=true&thread={}", talk.lone)).await;
    both.refused(400, "roots_only and thread are mutually exclusive");
    assert_eq!(talk.read("").await.expect(200)[0].get("reply_count"), None);
}

/// User item 136.
#[apply(on_both)]
async fn a_thread_is_read_whole_or_from_its_end(gateway: &Gateway) {
    let talk = Talk::new(gateway).await;
    for anchor in talk.first {
        assert_eq!(talk.minutes(&format!("?thread={anchor}")).await, [1, 2, 5, 6]);
    }
    let thread = format!("?thread={}", talk.first[3]);
    assert_eq!(talk.minutes(&format!("{thread}&since={}", minute(2))).await, [5, 6]);

    let mut pages = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = talk.read(&format!("{thread}&tail=1{cursor}")).await;
        pages.push(minutes(&page.body));
        match next(&page) {
            Some(next) => cursor = next,
            None => break,
        }
    }
    assert_eq!(pages, [[1, 6], [1, 5], [1, 2]]);
    let page = talk.read(&format!("{thread}&tail=2")).await;
    assert_eq!((minutes(&page.body), next(&page).is_some()), (vec![1, 5, 6], true));
    let page = talk.read(&format!("{thread}&tail=3")).await;
    assert_eq!((minutes(&page.body), next(&page)), (vec![1, 2, 5, 6], None));
    assert_eq!(talk.minutes(&format!("{thread}&tail=0")).await, [1]);
    let page = talk.read(&format!("{thread}&tail=2&since={}", minute(5))).await;
    assert_eq!((minutes(&page.body), next(&page)), (vec![1, 6], None), "the next page is too old");

    let absent = "thread anchor not found in this issue";
    talk.read(&format!("?thread={}", Uuid::new_v4())).await.refused(404, absent);
    let elsewhere = talk.cast.unassigned().await;
    let foreign = crate::comment_cast::say(&talk.cast.owner, elsewhere, "x").await;
    talk.read(&format!("?thread={foreign}")).await.refused(404, absent);
    talk.read("?thread=x").await.refused(400, "invalid thread parameter; expected UUID");
}

/// User item 137.
#[apply(on_both)]
async fn threads_come_by_their_latest_word(gateway: &Gateway) {
    let talk = Talk::new(gateway).await;
    assert_eq!(talk.minutes("?recent=2").await, [1, 2, 5, 6, 7]);
    let mut pages = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = talk.read(&format!("?recent=1{cursor}")).await;
        pages.push(minutes(&page.body));
        match next(&page) {
            Some(next) => cursor = next.replace("before_id", "before-id"),
            None => break,
        }
    }
    assert_eq!(pages, [vec![7], vec![1, 2, 5, 6], vec![3, 4], vec![]]);
    let page = talk.read("?recent=1").await;
    assert_eq!(page.header("x-multica-next-before"), minute(7), "to the microsecond");
    assert_eq!(page.header("x-multica-next-before-id"), talk.lone.to_string());
    assert_eq!(talk.minutes("?recent=50").await, [3, 4, 1, 2, 5, 6, 7]);
    let page = talk.read(&format!("?recent=2&since={}", minute(4))).await;
    assert_eq!((minutes(&page.body), next(&page).is_some()), (vec![5, 6, 7], true));
    let page = talk.read(&format!("?recent=2&since={}", minute(6))).await;
    assert_eq!((minutes(&page.body), next(&page)), (vec![7], None), "the next page is too old");
    talk.read("?recent=0").await.refused(400, "invalid recent parameter; expected positive integer");
}

/// User item 138.
#[apply(on_both)]
async fn a_settled_thread_is_folded(gateway: &Gateway) {
    let talk = Talk::new(gateway).await;
    let resolve = async |id: Uuid| {
        talk.cast.owner.post(format!("/api/comments/{id}/resolve"), ()).await.expect(200);
    };
    assert_eq!(talk.minutes("?fold=true").await, [1, 2, 3, 4, 5, 6, 7]);
    resolve(talk.first[2]).await;
    resolve(talk.second[0]).await;
    let folded = talk.read("?fold=true").await.expect(200);
    assert_eq!(minutes(&folded), [1, 3, 5, 7]);
    let marks =
        |comment: &Value| (comment.get("thread_resolved").cloned(), comment.get("folded_count").cloned());
    assert_eq!(marks(&folded[0]), (Some(json!(true)), Some(json!(2))));
    assert_eq!(marks(&folded[1]), (Some(json!(true)), Some(json!(1))));
    assert_eq!(marks(&folded[2]), (None, None));
    assert_eq!(marks(&folded[3]), (None, None));
    assert_eq!(talk.minutes(&format!("?fold=true&thread={}", talk.first[1])).await, [1, 5]);
    assert_eq!(talk.minutes("?fold=true&recent=3").await, [3, 1, 5, 7]);
    resolve(talk.first[0]).await;
    assert_eq!(talk.minutes("?fold=true").await, [1, 3, 7], "a settled root says it all");
    assert_eq!(talk.minutes("").await, [1, 2, 3, 4, 5, 6, 7]);
    let since = talk.read(&format!("?fold=true&since={}", minute(1))).await;
    assert_eq!(since.status, 400);
    assert!(since["error"].as_str().unwrap().starts_with("fold and since are mutually exclusive: "));
}

/// User item 139.
#[apply(on_both)]
async fn a_summary_is_cut_between_characters(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let issue = cast.unassigned().await;
    let said = async |content: String| {
        gateway.seed_comment(issue, "member", cast.owner.id, &content, json!({})).await;
    };
    said("é".repeat(200)).await;
    said("🦀".repeat(201)).await;
    let list = cast.owner.get(format!("/api/issues/{issue}/comments?summary=true")).await.expect(200);
    let short =
        list.as_array().unwrap().iter().find(|comment| comment["content_truncated"] == false).unwrap();
    let long = list.as_array().unwrap().iter().find(|comment| comment["content_truncated"] == true).unwrap();
    assert_eq!(short["content"], "é".repeat(200));
    assert_eq!(long["content"], format!("{}…", "🦀".repeat(200)));
}

/// The task behind a comment shows in plain lists alone; reactions show everywhere.
#[apply(on_both)]
async fn each_mode_shows_what_it_is_to_show(gateway: &Gateway) {
    let talk = Talk::new(gateway).await;
    let task = gateway.seed_task(
        talk.cast.a,
        json!({"issue_id": talk.issue, "status": "completed",
        "completed_at": minute(8)}),
    );
    let task = task.await;
    let sql = "UPDATE comment SET source_task_id = $1 WHERE id = $2";
    gateway.execute(sql, json!([task, talk.first[0]])).await;
    let path = format!("/api/comments/{}/reactions", talk.first[0]);
    let reaction = talk.cast.owner.post(path, json!({"emoji": "👀"})).await.expect(201);
    let expected = json!({"id": reaction["id"], "comment_id": talk.first[0], "actor_type": "member",
        "actor_id": talk.cast.owner.id, "emoji": "👀", "created_at": reaction["created_at"]});
    assert_eq!(reaction, expected);
    for (query, shown) in [
        (String::new(), true),
        (format!("?since={}", minute(0)), true),
        ("?fold=true&summary=true".to_owned(), true),
        ("?roots_only=true".to_owned(), false),
        (format!("?thread={}", talk.first[0]), false),
        (format!("?thread={}&tail=1", talk.first[0]), false),
        ("?recent=9".to_owned(), false),
    ] {
        let list = talk.read(&query).await.expect(200);
        let find = |comment: &&Value| comment["id"] == talk.first[0].to_string();
        let comment = list.as_array().unwrap().iter().find(find).unwrap();
        assert_eq!(comment.get("source_task_id").is_some(), shown, "{query}");
        assert_eq!(comment["reactions"], json!([expected]), "{query}");
        assert_eq!(comment["attachments"], json!([]), "{query}");
    }
}

/// Whatever the query says, the answer is a list or a 400.
#[apply(on_both)]
async fn hostile_queries_are_refused(gateway: &Gateway) {
    let talk = Talk::new(gateway).await;
    let id = talk.lone;
    for (query, error) in [
        ("?since=%FF".to_owned(), "invalid since parameter; expected RFC3339 format"),
        ("?roots_only=%FF".to_owned(), "invalid roots_only parameter; expected boolean"),
        (format!("?recent=99999999999999999999&thread={id}"), "thread and recent are mutually exclusive"),
        ("?recent=99999999999999999999".to_owned(), "invalid recent parameter; expected positive integer"),
        (format!("?thread={id}&tail=1.0"), "invalid tail parameter; expected non-negative integer"),
        (format!("?recent=1&before=x&before_id={id}"), "invalid before parameter; expected RFC3339 format"),
        (format!("?recent=1&before={}&before_id=x", minute(1)), "invalid before_id parameter; expected UUID"),
    ] {
        talk.read(&query).await.refused(400, error);
    }
    for query in [
        "?since=0000-01-01T00:00:00%2B23:59".to_owned(),
        "?since=9999-12-31T23:59:59.999999999-23:59".to_owned(),
        "?since=2016-12-31T23:59:60Z".to_owned(),
        format!("?recent=9223372036854775807&before=9999-12-31T23:59:59-23:59&before_id={id}"),
        format!("?thread={id}&tail=9223372036854775807&before=0000-01-01T00:00:00Z&before_id={id}"),
        "?unknown=1&since=".to_owned(),
    ] {
        talk.read(&query).await.expect(200);
    }
}
