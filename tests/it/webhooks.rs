//! What sets an autopilot off from outside. Checklist: autopilots, items 161 to 167.

use hmac::{Hmac, KeyInit, Mac};
use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::autopilots::make;
use crate::harness::{Client, Engine, Gateway, Reply, World, check_values, id_of};

struct Hook {
    autopilot: Uuid,
    trigger: Uuid,
    /// Where the world calls it.
    path: String,
    nobody: Client,
}

async fn hook(gateway: &Gateway, world: &World, more: Value) -> Hook {
    let autopilot = make(&world.a, world.g1, json!({"execution_mode": "run_only"})).await;
    let body = crate::harness::over(json!({"kind": "webhook"}), more);
    let trigger = world.a.post(format!("/api/autopilots/{autopilot}/triggers"), body).await.expect(201);
    let path = trigger["webhook_path"].as_str().unwrap().to_owned();
    Hook { autopilot, trigger: id_of(&trigger), path, nobody: gateway.anonymous() }
}

impl Hook {
    async fn call(&self, body: impl Into<crate::harness::Payload>) -> Reply {
        self.nobody.post(&self.path, body).await
    }

    async fn deliveries(&self, world: &World) -> Vec<Value> {
        let found = world.a.get(format!("/api/autopilots/{}/deliveries", self.autopilot)).await.expect(200);
        found["deliveries"].as_array().unwrap().clone()
    }

    fn at(&self, rest: &str) -> String {
        format!("/api/autopilots/{}/triggers/{}{rest}", self.autopilot, self.trigger)
    }
}

/// User item 161.
#[apply(on_both)]
async fn a_call_sets_the_autopilot_off(gateway: &Gateway) {
    let world = gateway.world().await;
    let hook = hook(gateway, &world, json!({})).await;
    let token = hook.path.strip_prefix("/api/webhooks/autopilots/awt_").unwrap();
    assert_eq!(token.len(), 43);
    assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
    let answer = hook.call(json!({"answer": 42})).await.expect(200);
    let expected = json!({"status": "accepted", "autopilot_id": hook.autopilot, "trigger_id": hook.trigger});
    check_values(&answer, &expected);
    let run = answer["run_id"].as_str().unwrap();
    let run = world.a.get(format!("/api/autopilots/{}/runs/{run}", hook.autopilot)).await.expect(200);
    check_values(&run, &json!({"source": "webhook", "status": "running", "trigger_id": hook.trigger}));
    let payload = &run["trigger_payload"];
    check_values(payload, &json!({"event": "webhook.received", "eventPayload": {"answer": 42}}));
    check_values(&payload["request"], &json!({"contentType": "application/json"}));
    // The agent gets it as it is, and a list leaves it out.
    assert_eq!(&world.a.claim_one(world.r1).await["autopilot_trigger_payload"], payload);
    let listed = world.a.get(format!("/api/autopilots/{}/runs", hook.autopilot)).await.expect(200);
    assert_eq!(listed["runs"][0]["trigger_payload"], Value::Null);

    let kept = hook.deliveries(&world).await;
    let expected = json!({
        "provider": "generic", "event": "webhook.received", "signature_status": "not_required",
        "status": "dispatched", "attempt_count": 1, "response_status": 200, "autopilot_run_id": answer["run_id"],
        "dedupe_key": null, "error": null,
    });
    check_values(&kept[0], &expected);
    let detail = format!("/api/autopilots/{}/deliveries/{}", hook.autopilot, id_of(&kept[0]));
    let detail = world.a.get(detail).await.expect(200);
    check_values(&detail, &json!({"raw_body": r#"{"answer":42}"#}));
    let trigger = world.a.get(format!("/api/autopilots/{}", hook.autopilot)).await.expect(200);
    assert_ne!(trigger["triggers"][0]["last_fired_at"], Value::Null);
}

/// User item 162.
#[apply(on_both)]
async fn filters_say_which_events_count(gateway: &Gateway) {
    let world = gateway.world().await;
    let filters = json!([{"event": "push"}, {"event": "issues", "actions": ["opened"]}]);
    let hook = hook(gateway, &world, json!({"provider": "github", "event_filters": filters})).await;
    let call = |event: &str, body: Value| hook.nobody.post(&hook.path, body).header("x-github-event", event);
    assert_eq!(call("push", json!({})).await.expect(200)["status"], "accepted");
    let opened = json!({"action": "opened"});
    assert_eq!(call("issues", opened).await.expect(200)["status"], "accepted");
    for (event, body, name) in [
        ("issues", json!({"action": "closed"}), "github.issues.closed"),
        ("release", json!({}), "github.release"),
    ] {
        let ignored = call(event, body).await.expect(200);
        check_values(&ignored, &json!({"status": "ignored", "reason": "event_filtered", "event": name}));
    }
    let events: Vec<Value> =
        hook.deliveries(&world).await.iter().map(|delivery| delivery["status"].clone()).collect();
    assert_eq!(events, ["ignored", "ignored", "dispatched", "dispatched"]);
}

/// User item 163.
#[apply(on_both)]
async fn a_repeated_call_is_one(gateway: &Gateway) {
    let world = gateway.world().await;
    let hook = hook(gateway, &world, json!({})).await;
    let call = || hook.nobody.post(&hook.path, json!({})).header("idempotency-key", "k-1");
    let first = call().await.expect(200);
    let again = call().await.expect(200);
    let expected =
        json!({"status": "duplicate", "delivery_id": first["delivery_id"], "run_id": first["run_id"]});
    assert_eq!(again, expected);
    // Many at once: still one.
    let many = || hook.nobody.post(&hook.path, json!({})).header("idempotency-key", "k-2");
    let many = futures_util::future::join_all((0..6).map(|_| many().into_future())).await;
    let accepted = many.into_iter().filter(|reply| reply.body["status"] == "accepted");
    assert_eq!(accepted.count(), 1);
    let kept = hook.deliveries(&world).await;
    let counts: Vec<&Value> = kept.iter().map(|delivery| &delivery["attempt_count"]).collect();
    assert_eq!(counts, [6, 2]);
    check_values(&kept[1], &json!({"dedupe_key": "k-1", "dedupe_source": "idempotency-key"}));
    const RUNS: &str = "SELECT count(*) FROM autopilot_run";
    assert_eq!(gateway.value(RUNS, json!([])).await, 2);
}

fn signature(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// User item 164.
#[apply(on_both)]
async fn a_secret_asks_for_a_signature(gateway: &Gateway) {
    let world = gateway.world().await;
    let hook = hook(gateway, &world, json!({})).await;
    let set = |secret: &str| world.a.put(hook.at("/signing-secret"), json!({"signing_secret": secret}));
    set("too short").await.refused(400, "signing_secret must be at least 16 characters");
    let secret = "0123456789abcdef";
    let trigger = set(&format!(" {secret} ")).await.expect(200);
    check_values(&trigger, &json!({"has_signing_secret": true, "signing_secret_hint": "cdef"}));
    assert!(!trigger.to_string().contains(secret));

    let body = r#"{"a":1}"#;
    let call = |header: Option<String>| {
        let call = hook.nobody.post(&hook.path, body);
        match header {
            Some(header) => call.header("x-hub-signature-256", &header),
            None => call,
        }
    };
    let missing = call(None).await.expect(401);
    check_values(&missing, &json!({"status": "rejected", "reason": "missing_signature"}));
    for wrong in [signature(secret, "other"), signature("another secret 1", body), "sha256=".to_owned()] {
        let invalid = call(Some(wrong)).await.expect(401);
        check_values(&invalid, &json!({"status": "rejected", "reason": "invalid_signature"}));
    }
    assert_eq!(call(Some(signature(secret, body))).await.expect(200)["status"], "accepted");
    let kept = hook.deliveries(&world).await;
    let statuses: Vec<&Value> = kept.iter().map(|delivery| &delivery["signature_status"]).collect();
    assert_eq!(statuses, ["valid", "invalid", "invalid", "invalid", "missing"]);
    // A delivery that was not signed is not sent through again; one that was is.
    let replay = |delivery: &Value| {
        let path = format!("/api/autopilots/{}/deliveries/{}/replay", hook.autopilot, id_of(delivery));
        world.a.post(path, ())
    };
    let refused = replay(&kept[4]).await;
    refused.refused(400, "cannot replay a delivery that failed signature verification");
    let again = replay(&kept[0]).await.expect(201);
    check_values(&again, &json!({"status": "dispatched", "replayed_from_delivery_id": kept[0]["id"]}));
    let cleared = set("").await.expect(200);
    check_values(&cleared, &json!({"has_signing_secret": false, "signing_secret_hint": null}));
}

/// User item 165.
#[apply(on_both)]
async fn only_objects_and_lists_are_taken(gateway: &Gateway) {
    let world = gateway.world().await;
    let hook = hook(gateway, &world, json!({})).await;
    hook.call("").await.refused(400, "empty body");
    for body in [r#""x""#, "5", "null", "true"] {
        hook.call(body).await.refused(400, "body must be a JSON object or array");
    }
    let broken = hook.call("{").await;
    assert!(broken["error"].as_str().unwrap().starts_with("invalid json: "), "{broken}");
    assert_eq!(broken.status, 400);
    let large = format!("[\"{}\"]", "x".repeat(262_144));
    hook.call(large).await.refused(413, "payload too large");
    assert_eq!(hook.call("\u{feff}[1]").await.expect(200)["status"], "accepted");
    assert_eq!(hook.call(r#"{"a\u0000":"\u0000\ud800"}"#).await.expect(200)["status"], "accepted");
    assert_eq!(hook.deliveries(&world).await.len(), 2, "what could not be read is not kept");
}

/// User item 166, and the rest of a trigger's life.
#[apply(on_both)]
async fn a_trigger_is_made_changed_and_taken_away(gateway: &Gateway) {
    let world = gateway.world().await;
    let autopilot = make(&world.a, world.g1, json!({})).await;
    let path = format!("/api/autopilots/{autopilot}/triggers");
    for (body, error) in [
        (json!({}), "kind is required"),
        (json!({"kind": "api"}), "kind must be schedule or webhook"),
        (json!({"kind": "schedule"}), "cron_expression is required for schedule triggers"),
        (json!({"kind": "webhook", "timezone": "UTC"}), "timezone is not valid for webhook triggers"),
        (
            json!({"kind": "schedule", "cron_expression": "* * * * *", "event_filters": [{"event": "x"}]}),
            "event_filters is only valid for webhook triggers",
        ),
        (json!({"kind": "webhook", "event_filters": [{}]}), "event_filters[0].event must not be empty"),
        (
            json!({"kind": "webhook", "event_filters": [{"event": "a", "actions": ["b", ""]}]}),
            "event_filters[0].actions[1] must not be empty",
        ),
        (
            json!({"kind": "schedule", "cron_expression": "* * * * *", "provider": "github"}),
            "provider is only valid for webhook triggers",
        ),
        (json!({"kind": "webhook", "provider": "gitlab"}), "provider must be generic or github"),
    ] {
        world.a.post(&path, body).await.refused(400, error);
    }
    for (expression, zone) in [("nonsense", "UTC"), ("* * * * *", "Mars/Olympus"), ("0 0 30 2 *", "UTC")] {
        let body = json!({"kind": "schedule", "cron_expression": expression, "timezone": zone});
        assert_eq!(world.a.post(&path, body).await.status, 400);
    }
    let hook = hook(gateway, &world, json!({"label": "From outside"})).await;
    let rotated = world.a.post(hook.at("/rotate-webhook-token"), ()).await.expect(200);
    hook.call(json!({})).await.refused(404, "webhook not found");
    let renewed = Hook { path: rotated["webhook_path"].as_str().unwrap().to_owned(), ..hook };
    assert_eq!(renewed.call(json!({})).await.expect(200)["status"], "accepted");

    let patch = |body: Value| world.a.patch(renewed.at(""), body);
    let only = "cron_expression is only valid for schedule triggers";
    patch(json!({"cron_expression": "* * * * *"})).await.refused(400, only);
    patch(json!({"timezone": "UTC"})).await.refused(400, "timezone is only valid for schedule triggers");
    let off = patch(json!({"enabled": false, "label": ""})).await.expect(200);
    check_values(&off, &json!({"enabled": false, "label": ""}));
    let ignored = renewed.call(json!({})).await.expect(200);
    check_values(&ignored, &json!({"status": "ignored", "reason": "trigger_disabled"}));
    patch(json!({"enabled": true})).await.expect(200);
    for (status, reason) in [("paused", "autopilot_paused"), ("archived", "autopilot_archived")] {
        let path = format!("/api/autopilots/{}", renewed.autopilot);
        world.a.patch(path, json!({"status": status})).await.expect(200);
        assert_eq!(renewed.call(json!({})).await.expect(200)["reason"], reason);
    }
    assert_eq!(world.a.delete(renewed.at("")).await.status, 204);
    renewed.call(json!({})).await.refused(404, "webhook not found");
    world.a.delete(renewed.at("")).await.refused(404, "trigger not found");

    let schedule = json!({"kind": "schedule", "cron_expression": "0 0 1 1 *"});
    let schedule = world.a.post(&path, schedule).await.expect(201);
    check_values(&schedule, &json!({"webhook_token": null, "provider": null, "timezone": "UTC"}));
    let at = format!("{path}/{}", id_of(&schedule));
    world
        .a
        .post(format!("{at}/rotate-webhook-token"), ())
        .await
        .refused(400, "trigger is not a webhook trigger");
    let later = world.a.patch(&at, json!({"cron_expression": "0 0 1 2 *"})).await.expect(200);
    assert_ne!(later["next_run_at"], schedule["next_run_at"]);
    world.a.patch(format!("{path}/x"), json!({})).await.refused(400, "invalid trigger id");
}

/// User item 167.
#[apply(on_both)]
async fn who_may_not_write_does_not_see_the_address(gateway: &Gateway) {
    let world = gateway.world().await;
    let hook = hook(gateway, &world, json!({})).await;
    let seen = world.b.get(format!("/api/autopilots/{}", hook.autopilot)).await.expect(200);
    let expected = json!({"webhook_token": null, "webhook_path": null, "webhook_url": null});
    check_values(&seen["triggers"][0], &expected);
    for _ in 0..30 {
        hook.call("5").await.refused(400, "body must be a JSON object or array");
    }
    hook.call("5").await.refused(429, "rate limit exceeded");
}

/// A proxy that is trusted speaks for many; each of those has a share of its own.
#[apply(on_both)]
async fn a_trusted_proxy_says_who_calls(engine: Engine) {
    let setup = Gateway::setup(engine).env("MULTICA_TRUSTED_PROXIES", "127.0.0.0/8");
    let gateway = setup.env("MULTICA_PUBLIC_URL", "https://sw.example/").start().await;
    let world = gateway.world().await;
    let hook = hook(&gateway, &world, json!({})).await;
    let detail = world.a.get(format!("/api/autopilots/{}", hook.autopilot)).await.expect(200);
    let url = format!("https://sw.example{}", hook.path);
    assert_eq!(detail["triggers"][0]["webhook_url"], json!(url));
    let call = |from: &str| hook.nobody.post(&hook.path, "5").header("x-forwarded-for", from);
    for _ in 0..30 {
        assert_eq!(call("1.2.3.4").await.status, 400);
    }
    assert_eq!(call("1.2.3.4, 9.9.9.9").await.status, 429);
    assert_eq!(call("1.2.3.5").await.status, 400);
    gateway.finish().await;
}

/// What was sent is kept for a month; a run that it set off stays.
#[apply(on_both)]
async fn deliveries_are_kept_for_a_month(gateway: &Gateway) {
    let world = gateway.world().await;
    let hook = hook(gateway, &world, json!({})).await;
    for days in [31, 29, 0] {
        let sent = hook.call(json!({"n": days})).await.expect(200);
        let id = sent["delivery_id"].as_str().unwrap().parse().unwrap();
        let at = crate::harness::ahead(-days * 86_400);
        gateway.change("webhook_delivery", id, "received_at", json!(at)).await;
    }
    let report = gateway.admin().post("/admin/sweep", ()).await.expect(200);
    assert_eq!((&report["deliveries_purged"], &report["failed_steps"]), (&json!(1), &json!([])));
    assert_eq!(hook.deliveries(&world).await.len(), 2);
    assert_eq!(gateway.value("SELECT count(*) FROM autopilot_run", json!([])).await, 3);
}
