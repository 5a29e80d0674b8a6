//! What is taken out of what agents say: each rule by one sample, and by one that comes near.

use macro_rules_attribute::apply;
use serde_json::{Value, json};

use crate::harness::Gateway;

/// Domain items 258, 259 and 260.
#[apply(on_both)]
async fn each_rule_takes_out_what_it_names_and_nothing_near(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_issue_task(world.g1, json!({})).await;
    let (twenty, forty) = ("aB3dE".repeat(4), "aB3dE/+=".repeat(5));
    let same = None;
    let samples: Vec<(String, Option<&str>)> = vec![
        ("id AKIA0123456789ABCDEF end".into(), Some("id [REDACTED AWS KEY] end")),
        ("id AKIA0123456789ABCDE end".into(), same),
        ("id xAKIA0123456789ABCDEF end".into(), same),
        (format!("AWS_Secret_Access_Key = {forty} end"), Some("[REDACTED AWS SECRET] end")),
        (format!("secretaccesskey:{forty} end"), Some("[REDACTED AWS SECRET] end")),
        (format!("secretaccesskey {forty} end"), same),
        (
            "a -----BEGIN EC PRIVATE KEY-----\nx\ny\n-----END EC PRIVATE KEY----- b".into(),
            Some("a [REDACTED PRIVATE KEY] b"),
        ),
        ("a -----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY----- b".into(), same),
        (format!("ghu_{twenty}{twenty} end"), Some("[REDACTED GITHUB TOKEN] end")),
        (format!("ghx_{twenty}{twenty} end"), same),
        (format!("ghp_{twenty} end"), same),
        (format!("sk-{twenty} end"), Some("[REDACTED API KEY] end")),
        (format!("sk-{} end", &twenty[1..]), same),
        ("xoxb-0123456789 end".into(), Some("[REDACTED SLACK TOKEN] end")),
        ("xoxz-0123456789 end".into(), same),
        (format!("glpat-{twenty} end"), Some("[REDACTED GITLAB TOKEN] end")),
        (format!("glpat-{} end", &twenty[1..]), same),
        (format!("eyJ{twenty}.{twenty}.{twenty} end"), Some("[REDACTED JWT] end")),
        (format!("eyJ{twenty}.{twenty} end"), same),
        ("bearer abc.def end".into(), Some("Bearer [REDACTED] end")),
        ("bearers abc end".into(), same),
        ("PostgreSQL://ann:pw@host/db".into(), Some("[REDACTED CONNECTION STRING]@host/db")),
        ("postgres://ann@host/db".into(), same),
        ("my_PASSWORD = hunter2 end".into(), Some("my_[REDACTED CREDENTIAL] end")),
        ("api_key:x end".into(), Some("[REDACTED CREDENTIAL] end")),
        ("the password is hunter2".into(), same),
        ("Nothing to hide: né à Zürich\n\t{\"a\": [1]}  ".into(), same),
    ];
    for (given, expected) in samples {
        let shown = expected.unwrap_or(&given);
        let input = json!({"text": given, "deep": {"text": given}, "list": [given]});
        let batch = json!({"messages": [{"seq": 1, "type": "text", "content": given, "output": given, "input": input}]});
        world.a.post(format!("/api/daemon/tasks/{task}/messages"), batch).await.expect(200);
        let row = gateway.row("SELECT content, output, input FROM task_message", Value::Null).await;
        assert_eq!((&row["content"], &row["output"]), (&json!(shown), &json!(shown)), "{given}");
        // Only what is at the top.
        assert_eq!(row["input"], json!({"text": shown, "deep": {"text": given}, "list": [given]}));
        gateway.execute("DELETE FROM task_message", Value::Null).await;
    }
}
