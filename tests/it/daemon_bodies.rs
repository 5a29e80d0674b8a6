//! How request bodies are read. Checklist 10.3.

use macro_rules_attribute::apply;
use serde_json::json;

use crate::harness::Gateway;

const BEAT: &str = "/api/daemon/heartbeat";

/// Daemon items 39, 40 and 41.
#[apply(on_both)]
async fn what_is_no_object_or_has_a_wrong_type_is_invalid(gateway: &Gateway) {
    let user = gateway.user();
    for body in
        ["", "[]", "5", "\"x\"", "true", "{", "{\"runtime_id\":5}", "{\"runtime_id\":[]}", "}{", "nul"]
    {
        user.post(BEAT, body).await.refused(400, "invalid request body");
    }
    for body in ["null", "{}", "{\"runtime_id\":null}", "{\"runtime_id\":\"\"}"] {
        user.post(BEAT, body).await.refused(400, "runtime_id is required");
    }
    user.post(BEAT, "{\"runtime_id\":\"zzz\"}").await.refused(400, "invalid runtime_id");
    user.post(BEAT, "{\"runtime_id\":\" \"}").await.refused(400, "invalid runtime_id");
}

/// Daemon items 42, 43 and 46.
#[apply(on_both)]
async fn what_is_not_asked_for_is_passed_over(gateway: &Gateway) {
    let user = gateway.user();
    let runtime = user.register("dm-1", "claude").await;
    let id = runtime.to_string();
    user.post(BEAT, json!({"runtime_id": id, "future": {"x": 1}})).await.expect(200);
    user.post(BEAT, format!("{{\"runtime_id\":\"{id}\"}} trailing")).await.expect(200);
    user.post(BEAT, format!(" \n{{\"runtime_id\":\"zzz\",\"runtime_id\":\"{id}\"}}")).await.expect(200);
    // No content type, and a wrong one.
    let bare = user.post(BEAT, format!("{{\"runtime_id\":\"{id}\"}}")).await;
    let wrong =
        user.post(BEAT, format!("{{\"runtime_id\":\"{id}\"}}")).header("content-type", "text/csv").await;
    assert_eq!(bare.expect(200), wrong.expect(200));
}

/// Daemon items 44 and 45.
#[apply(on_both)]
async fn a_null_list_is_an_empty_one(gateway: &Gateway) {
    let user = gateway.user();
    let nothing = json!({"daemon_id": "dm-1", "runtimes": null, "failed_profiles": null});
    user.register_with(nothing).await.refused(400, "at least one runtime or failed profile is required");
    let one = json!({"daemon_id": "dm-1", "legacy_daemon_ids": null, "runtimes": [{"type": "claude"}]});
    user.register_with(one).await.expect(200);
}
