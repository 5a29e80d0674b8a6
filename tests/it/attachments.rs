//! Attachments: files go up, hang on something, come down and go with it.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Client, Engine, Form, Gateway, check_members, check_values, id_of};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";

fn ids(list: &Value) -> Vec<Uuid> {
    list.as_array().unwrap().iter().map(id_of).collect()
}

async fn refused(client: &Client, form: Form, status: u16, error: &str) {
    client.send_form("/api/upload-file", form).await.refused(status, error);
}

/// User items 168 and 169.
#[apply(on_both)]
async fn a_file_comes_down_as_it_went_up(gateway: &Gateway) {
    let world = gateway.world().await;
    let file = world.a.upload("notes.txt", "hello <b>", &[]).await;
    check_values(
        &file,
        &json!({
            "workspace_id": world.w1, "issue_id": null, "comment_id": null, "chat_session_id": null,
            "chat_message_id": null, "uploader_type": "member", "uploader_id": world.a.id,
            "filename": "notes.txt", "content_type": "text/plain; charset=utf-8", "size_bytes": 9,
        }),
    );
    let id = id_of(&file);
    assert_eq!(id.get_version_num(), 7);
    let path = format!("/api/attachments/{id}/download");
    let url = format!("/uploads/workspaces/{}/{id}.txt", world.w1);
    assert_eq!((&file["download_url"], &file["markdown_url"]), (&json!(path), &json!(path)));
    assert_eq!(file["url"], json!(url));
    assert_eq!(world.a.get(format!("/api/attachments/{id}")).await.expect(200), file);

    let down = world.b.in_workspace(Uuid::nil()).get(&path).await;
    assert_eq!((down.status, down.text.as_str()), (200, "hello <b>"));
    for (name, value) in [
        ("content-type", "text/plain; charset=utf-8"),
        ("content-length", "9"),
        ("content-disposition", "attachment; filename=\"notes.txt\""),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(down.header(name), value, "{name}");
    }
    let policy = down.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; img-src 'self' data:;"), "{policy}");
    assert!(policy.contains("frame-ancestors 'self' http://localhost:3000"), "{policy}");

    let public = gateway.anonymous().get(&url).await;
    assert_eq!((public.status, public.text.as_str()), (200, "hello <b>"));
    assert!(public.header("content-security-policy").starts_with("default-src 'none'"));

    for (name, bytes, kind, disposition) in [
        ("a.png", PNG, "image/png", "inline"),
        ("a.svg", b"<svg onload=\"alert(1)\"/>", "image/svg+xml", "attachment"),
        ("a.html", b"<html><script>", "text/html; charset=utf-8", "attachment"),
        ("a.json", b"{}", "application/json", "attachment"),
        ("a.pdf", b"%PDF-1.4", "application/pdf", "inline"),
        ("a", b"\0\x01", "application/octet-stream", "attachment"),
        // The name says one thing, the bytes another.
        ("a.png", b"<script>", "text/html; charset=utf-8", "attachment"),
    ] {
        let file = world.a.upload(name, bytes, &[]).await;
        assert_eq!(file["content_type"], json!(kind), "{name}");
        let down = world.a.get(file["download_url"].as_str().unwrap()).await;
        assert_eq!((down.header("content-type"), down.status), (kind, 200), "{name}");
        assert!(down.header("content-disposition").starts_with(disposition), "{name}");
    }
}

/// User items 170 and 171.
#[apply(on_both)]
async fn a_file_is_for_its_workspace_and_its_form_is_checked(gateway: &Gateway) {
    let world = gateway.world().await;
    let id = id_of(&world.a.upload("a.txt", "x", &[]).await);
    for path in ["", "/content"] {
        let path = format!("/api/attachments/{id}{path}");
        world.c.get(&path).await.refused(404, "attachment not found");
        world.c.in_workspace(world.w1).get(&path).await.refused(404, "workspace not found");
    }
    for client in [world.c.clone(), world.c.in_workspace(world.w1)] {
        let download = client.get(format!("/api/attachments/{id}/download")).await;
        download.refused(404, "attachment not found");
        assert!(download.header("content-security-policy").contains("frame-ancestors 'self'"));
    }
    world.c.delete(format!("/api/attachments/{id}")).await.refused(404, "attachment not found");
    let none = Uuid::new_v4();
    world.a.get(format!("/api/attachments/{none}/download")).await.refused(404, "attachment not found");
    for path in ["x", "x/download", "x/content"] {
        world.a.get(format!("/api/attachments/{path}")).await.refused(400, "invalid attachment id");
    }
    let nobody = gateway.anonymous();
    assert_eq!(nobody.send_form("/api/upload-file", Form::default().file("a", "x")).await.status, 401);
    assert_eq!(nobody.get(format!("/api/attachments/{id}/download")).await.status, 401);

    let missing = world.a.send_form("/api/upload-file", Form::default().text("issue_id", "x")).await;
    assert!(missing.expect(400)["error"].as_str().unwrap().starts_with("missing file field: "));
    // A text of that name is no file.
    let text = world.a.send_form("/api/upload-file", Form::default().text("file", "x")).await;
    assert!(text.expect(400)["error"].as_str().unwrap().starts_with("missing file field: "));

    let with = |name: &str, text: String| Form::default().file("a.txt", "x").text(name, text);
    for (name, text, status, error) in [
        ("issue_id", "ACM-1".to_owned(), 400, "invalid issue_id"),
        ("issue_id", world.i2.to_string(), 403, "invalid issue_id"),
        ("comment_id", "x".to_owned(), 400, "invalid comment_id"),
        ("comment_id", none.to_string(), 403, "invalid comment_id"),
        ("chat_session_id", "x".to_owned(), 400, "invalid chat session id"),
        ("chat_session_id", none.to_string(), 404, "chat session not found"),
    ] {
        refused(&world.a, with(name, text), status, error).await;
    }
    let chat = gateway.seed_chat(world.g1, json!({"creator_id": world.b.id})).await;
    refused(&world.a, with("chat_session_id", chat.to_string()), 403, "not your chat session").await;
    let stranger = world.c.in_workspace(world.w1);
    refused(&stranger, with("issue_id", "x".to_owned()), 403, "not a member of this workspace").await;
    let stranger = world.c.in_workspace(Uuid::nil());
    let path = format!("/api/upload-file?workspace_id={}", world.w1);
    let by_query = stranger.send_form(&path, Form::default().file("a", "x")).await;
    by_query.refused(403, "not a member of this workspace");
    assert_eq!(gateway.value("SELECT count(*) FROM attachment", json!([])).await, json!(1));

    // An unknown slug is passed over, and without a workspace nothing is recorded.
    let plain =
        stranger.send_form("/api/upload-file?workspace_slug=nope", Form::default().file("b.txt", "yes"));
    let plain = plain.await.expect(200);
    let id = id_of(&plain);
    let url = format!("/uploads/users/{}/{id}.txt", world.c.id);
    assert_eq!(plain, json!({"filename": "b.txt", "id": id, "url": url}));
    assert_eq!(gateway.anonymous().get(&url).await.text, "yes");
    assert_eq!(gateway.value("SELECT count(*) FROM attachment", json!([])).await, json!(1));
}

/// Forms that are too big, cut off, or no forms at all; nothing of them stays on disk.
#[apply(on_both)]
async fn a_form_that_cannot_be_read_leaves_nothing(engine: Engine) {
    let gateway = Gateway::setup(engine).env("SWITCHYARD_MAX_UPLOAD_BYTES", "100000").start().await;
    let world = gateway.world().await;
    let error = "file too large or invalid multipart form";
    let huge = Form::default().file("a.bin", vec![0; 200_000]);
    refused(&world.a, huge, 400, error).await;
    let post = |body: &str, kind: &str| world.a.post("/api/upload-file", body).header("content-type", kind);
    let form = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nx\r\n";
    for (body, kind) in [
        ("{}", "application/json"),
        (form, "multipart/form-data"),
        (form, "multipart/form-data; boundary=other"),
        (form, "multipart/form-data; boundary=b"),
        ("", "multipart/form-data; boundary=b"),
    ] {
        post(body, kind).await.refused(400, error);
    }
    world.a.post("/api/upload-file", ()).await.refused(400, error);
    refused(&world.a, Form::default().file("a", "x").text("issue_id", "y".repeat(5000)), 400, error).await;
    let many = (0..50).fold(Form::default().file("a", "x"), |form, at| form.text(&format!("f{at}"), "x"));
    refused(&world.a, many, 400, error).await;
    refused(&world.a, Form::default().file(&"n".repeat(300), "x"), 400, "file name is too long").await;
    let left = |folder: &str| std::fs::read_dir(gateway.folder().join(folder)).map_or(0, Iterator::count);
    assert_eq!((left("uploads/incoming"), left("uploads/workspaces")), (0, 0));
    world.a.upload("fits.bin", vec![0; 90_000], &[]).await;
    gateway.finish().await;
}

/// Names that mean something to disks, headers and paths mean nothing here.
#[apply(on_both)]
async fn a_hostile_name_is_only_a_name(gateway: &Gateway) {
    let world = gateway.world().await;
    for (sent, kept, shown, suffix) in [
        ("../../etc/passwd", "passwd", "passwd", ""),
        ("/etc/x.conf", "x.conf", "x.conf", ".conf"),
        ("a;b.txt", "a;b.txt", "a_b.txt", ".txt"),
        ("..\\x.txt", "..\\x.txt", ".._x.txt", ".txt"),
        ("é日.tar.gz", "é日.tar.gz", "é日.tar.gz", ".gz"),
        ("x.", "x.", "x.", "."),
        ("x.a b", "x.a b", "x.a b", ""),
        ("..", "..", "..", "."),
    ] {
        let file = world.a.upload(sent, "x", &[]).await;
        assert_eq!(file["filename"], json!(kept), "{sent}");
        let url = format!("/uploads/workspaces/{}/{}{suffix}", world.w1, id_of(&file));
        assert_eq!(file["url"], json!(url), "{sent}");
        let down = world.a.get(file["download_url"].as_str().unwrap()).await;
        let disposition = down.headers["content-disposition"].as_bytes();
        assert_eq!(String::from_utf8_lossy(disposition), format!("attachment; filename=\"{shown}\""));
    }
    // A quote in a name comes escaped.
    let file = world.a.upload("a\\\"b.txt", "x", &[]).await;
    let down = world.a.get(file["download_url"].as_str().unwrap()).await;
    let disposition = down.header("content-disposition");
    assert_eq!(disposition.matches('"').count(), 2, "{disposition}");

    // No form can carry a control character in a name, but a row could.
    let odd = Form::default().file("t\u{1}.txt", "x");
    refused(&world.a, odd, 400, "file too large or invalid multipart form").await;
    gateway.change("attachment", id_of(&file), "filename", json!("t\u{7f}\r\nX: y.txt")).await;
    let down = world.a.get(file["download_url"].as_str().unwrap()).await;
    assert_eq!(down.header("content-disposition"), "attachment; filename=\"t___X: y.txt\"");

    let secret = gateway.folder().join("secret.txt");
    std::fs::write(&secret, "secret").unwrap();
    let (w1, id) = (world.w1, Uuid::now_v7());
    let folder = gateway.folder().join(format!("uploads/workspaces/{w1}"));
    std::os::unix::fs::symlink(&secret, folder.join(format!("{id}.txt"))).unwrap();
    for path in [
        format!("workspaces/{w1}/{id}.txt"),
        format!("workspaces/{w1}/..%2f..%2f..%2fsecret.txt"),
        format!("workspaces/{w1}/%2e%2e/%2e%2e/%2e%2e/secret.txt"),
        "..%2fsecret.txt".to_owned(),
        "%2fetc%2fpasswd".to_owned(),
        format!("workspaces/{w1}"),
        format!("workspaces/{w1}/{}.txt", Uuid::new_v4()),
        format!("workspaces/{w1}/{id}.txt%00"),
        "incoming".to_owned(),
    ] {
        let reply = gateway.anonymous().get(format!("/uploads/{path}")).await;
        assert_eq!((reply.status, reply.text.as_str()), (404, "404 page not found\n"), "{path}");
    }
    // The same link behind an attachment is no object either.
    let row = json!({
        "id": id, "workspace_id": w1, "uploader_type": "member", "uploader_id": world.a.id, "filename": "x",
        "url": format!("/uploads/workspaces/{w1}/{id}.txt"), "content_type": "text/plain", "size_bytes": 6,
    });
    gateway.insert("attachment", row).await;
    world.a.get(format!("/api/attachments/{id}/download")).await.refused(404, "attachment object not found");
    gateway.change("attachment", id, "url", json!("https://elsewhere.example/x")).await;
    world.a.get(format!("/api/attachments/{id}/download")).await.refused(404, "attachment object not found");
}

/// Text is shown as text, up to a size.
#[apply(on_both)]
async fn text_can_be_previewed(gateway: &Gateway) {
    let world = gateway.world().await;
    let preview = |file: &Value| world.b.get(format!("/api/attachments/{}/content", id_of(file)));
    let page = world.a.upload("a.html", "<html>hi", &[]).await;
    let shown = preview(&page).await;
    assert_eq!((shown.status, shown.text.as_str()), (200, "<html>hi"));
    assert_eq!(shown.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(shown.header("x-original-content-type"), "text/html; charset=utf-8");
    let code = world.a.upload("main.rs", b"fn main() {}\0", &[]).await;
    assert_eq!(preview(&code).await.status, 200);
    let image = world.a.upload("a.png", PNG, &[]).await;
    preview(&image).await.refused(415, "preview not supported for this file type");
    let fits = world.a.upload("a.txt", vec![b'x'; 2 << 20], &[]).await;
    assert_eq!(preview(&fits).await.text.len(), 2 << 20);
    let large = world.a.upload("a.txt", vec![b'x'; (2 << 20) + 1], &[]).await;
    preview(&large).await.refused(413, "file too large for inline preview");
}

/// User item 146.
#[apply(on_both)]
async fn files_hang_on_issues_and_comments(gateway: &Gateway) {
    let world = gateway.world().await;
    let (a, i1) = (&world.a, world.i1);
    let on_issue = |issue: Uuid| [("issue_id", issue.to_string())];
    let free = id_of(&a.upload("free.txt", "x", &[]).await);
    let bound = id_of(&a.upload("bound.txt", "x", &on_issue(i1)).await);
    let other = gateway.seed_issue(world.w1, "Other", json!({})).await;
    let elsewhere = id_of(&a.upload("other.txt", "x", &on_issue(other)).await);
    let foreign = id_of(&world.c.upload("foreign.txt", "x", &[]).await);

    let mut socket = a.watch().await;
    let all = json!([free, bound, elsewhere, foreign]);
    let created =
        a.post("/api/issues", json!({"title": "With file", "attachment_ids": all})).await.expect(201);
    assert_eq!(ids(&created["attachments"]), [free], "only what was free");
    assert_eq!(created["attachments"][0]["issue_id"], created["id"]);
    let event = socket.wait_for("issue:created").await;
    assert_eq!(ids(&event["issue"]["attachments"]), [free]);
    let bare = a.post("/api/issues", json!({"title": "Without"})).await.expect(201);
    assert_eq!(bare.get("attachments"), None);
    assert_eq!(a.get(format!("/api/issues/{}", id_of(&bare))).await.expect(200).get("attachments"), None);

    let late = id_of(&a.upload("late.txt", "x", &[]).await);
    let update = json!({"attachment_ids": [late, foreign, elsewhere]});
    a.put(format!("/api/issues/{i1}"), update).await.expect(200);
    assert_eq!(ids(&a.get(format!("/api/issues/{i1}")).await.expect(200)["attachments"]), [bound, late]);

    let path = format!("/api/issues/{i1}/comments");
    let sent = json!({"content": "See", "attachment_ids": [bound, elsewhere, foreign, Uuid::new_v4()]});
    let comment = a.post(&path, sent).await.expect(201);
    assert_eq!(ids(&comment["attachments"]), [bound]);
    assert_eq!(comment["attachments"][0]["comment_id"], comment["id"]);
    let event = socket.wait_for("comment:created").await;
    assert_eq!(ids(&event["comment"]["attachments"]), [bound]);
    let listed = a.get(&path).await.expect(200);
    assert_eq!(ids(&listed[0]["attachments"]), [bound]);
    let timeline = a.get(format!("/api/issues/{i1}/timeline")).await.expect(200);
    let said = timeline.as_array().unwrap().iter().find(|entry| entry["type"] == "comment").unwrap();
    assert_eq!(ids(&said["attachments"]), [bound]);
    // Another comment does not take it away.
    let second = a.post(&path, json!({"content": "Mine", "attachment_ids": [bound]})).await.expect(201);
    assert_eq!(second["attachments"], json!([]));

    let edit = format!("/api/comments/{}", id_of(&comment));
    let kept = a.put(&edit, json!({"content": "Look"})).await.expect(200);
    assert_eq!(ids(&kept["attachments"]), [bound]);
    let swapped = a.put(&edit, json!({"content": "Look", "attachment_ids": [late]})).await.expect(200);
    assert_eq!(ids(&swapped["attachments"]), [late]);
    let emptied = a.put(&edit, json!({"content": "Look", "attachment_ids": []})).await.expect(200);
    assert_eq!(emptied["attachments"], json!([]));
    let of_issue = a.get(format!("/api/issues/{i1}/attachments")).await.expect(200);
    assert_eq!(ids(&of_issue), [bound, late]);
    a.get(format!("/api/issues/{}/attachments", Uuid::new_v4())).await.refused(404, "issue not found");
}

/// What goes takes its files along, from the disk too.
#[apply(on_both)]
async fn files_go_with_what_they_hang_on(gateway: &Gateway) {
    let world = gateway.world().await;
    let a = &world.a;
    let on = |name: &'static str, id: Uuid| vec![(name, id.to_string())];
    let gone = async |file: &Value| {
        let rows = gateway.rows("SELECT id FROM attachment WHERE id = $1", json!([file["id"]])).await;
        rows.is_empty() && gateway.anonymous().get(file["url"].as_str().unwrap()).await.status == 404
    };
    let of_issue = a.upload("a.txt", "x", &on("issue_id", world.i1)).await;
    let of_answer = a.upload("b.txt", "x", &on("issue_id", world.i1)).await;
    let path = format!("/api/issues/{}/comments", world.i1);
    let root = id_of(&a.post(&path, json!({"content": "Root"})).await.expect(201));
    let answer = json!({"content": "Answer", "parent_id": root, "attachment_ids": [of_answer["id"]]});
    assert_eq!(a.post(&path, answer).await.expect(201)["attachments"].as_array().unwrap().len(), 1);
    a.delete(format!("/api/comments/{root}")).await.expect(204);
    assert!(gone(&of_answer).await && !gone(&of_issue).await);
    a.delete(format!("/api/issues/{}", world.i1)).await.expect(204);
    assert!(gone(&of_issue).await);

    let chat = id_of(&a.post("/api/chat/sessions", json!({"agent_id": world.g1})).await.expect(201));
    let of_chat = a.upload("c.txt", "x", &on("chat_session_id", chat)).await;
    a.delete(format!("/api/chat/sessions/{chat}")).await.expect(204);
    assert!(gone(&of_chat).await);

    // Whoever uploaded it, owners and admins.
    let theirs = world.b.upload("d.txt", "x", &[]).await;
    let ours = a.upload("e.txt", "x", &[]).await;
    let away = |client: &Client, file: &Value| client.delete(format!("/api/attachments/{}", id_of(file)));
    away(&world.b, &ours).await.refused(403, "not authorized to delete this attachment");
    away(&world.b, &theirs).await.expect(204);
    away(&world.b, &theirs).await.refused(404, "attachment not found");
    away(a, &ours).await.expect(204);
    assert!(gone(&theirs).await && gone(&ours).await);

    let of_workspace = world.c.upload("f.txt", "x", &[]).await;
    world.c.delete(format!("/api/workspaces/{}", world.w2)).await.expect(204);
    assert!(gone(&of_workspace).await);
}

/// Daemon item 143, its attachments, and a draft that comes back with its files.
#[apply(on_both)]
async fn files_go_to_the_agent_with_what_was_said(gateway: &Gateway) {
    let world = gateway.world().await;
    let a = &world.a;
    let chat = id_of(&a.post("/api/chat/sessions", json!({"agent_id": world.g1})).await.expect(201));
    let path = format!("/api/chat/sessions/{chat}/messages");
    let one = id_of(&a.upload("one.txt", "x", &[("chat_session_id", chat.to_string())]).await);
    let two = id_of(&a.upload("two.png", PNG, &[]).await);
    let theirs = id_of(&world.b.upload("b.txt", "x", &[]).await);
    let bound = id_of(&a.upload("bound.txt", "x", &[("issue_id", world.i1.to_string())]).await);
    let first = json!({"content": "First", "attachment_ids": [two, theirs, bound]});
    let first = a.post(&path, first).await.expect(201);
    assert_eq!(first["attachment_ids"], json!([two]));
    let second = a.post(&path, json!({"content": " ", "attachment_ids": [one, two]})).await.expect(201);
    assert_eq!(second["attachment_ids"], json!([one]));
    let said = a.get(&path).await.expect(200);
    assert_eq!((ids(&said[0]["attachments"]), ids(&said[1]["attachments"])), (vec![two], vec![one]));
    let page = a.get(format!("{path}/page?limit=1")).await.expect(200);
    assert_eq!(ids(&page["messages"][0]["attachments"]), [one]);

    let task = a.claim_one(world.r1).await;
    let expected = json!([
        {"id": two, "filename": "two.png", "content_type": "image/png"},
        {"id": one, "filename": "one.txt", "content_type": "text/plain; charset=utf-8"},
    ]);
    check_members(&task, &json!({"chat_message": "First", "chat_message_attachments": expected}));
    a.start(id_of(&task)).await;
    a.complete(id_of(&task), json!({"output": "Seen"})).await;
    a.post(format!("/api/tasks/{}/cancel", second["task_id"].as_str().unwrap()), ()).await;

    let three = id_of(&a.upload("three.txt", "x", &[]).await);
    let third = a.post(&path, json!({"content": "Third", "attachment_ids": [three]})).await.expect(201);
    let cancelled = a.post(format!("/api/tasks/{}/cancel", third["task_id"].as_str().unwrap()), ()).await;
    let draft = cancelled.expect(200)["cancelled_chat_message"].clone();
    assert_eq!((&draft["restore_to_input"], ids(&draft["attachments"])), (&json!(true), vec![three]));
    let again = a.post(&path, json!({"content": "Third", "attachment_ids": [three]})).await.expect(201);
    assert_eq!(again["attachment_ids"], json!([three]));
}

/// User item 172, by what the CLI sends. A token of one workspace opens no other.
#[apply(on_both)]
async fn an_agent_at_work_reads_and_uploads_files(gateway: &Gateway) {
    let world = gateway.world().await;
    let file = world.a.upload("a.txt", "for you", &[("issue_id", world.i1.to_string())]).await;
    gateway.seed_issue_task(world.g1, json!({"issue_id": world.i1})).await;
    let task = world.a.claim_one(world.r1).await;
    let agent = gateway.bearer(task["auth_token"].as_str().unwrap());
    let known = agent.get(format!("/api/attachments/{}", id_of(&file))).await.expect(200);
    assert_eq!(known, file);
    let down = agent.get(known["download_url"].as_str().unwrap()).await;
    assert_eq!((down.status, down.text.as_str()), (200, "for you"));

    let made = agent.upload("result.txt", "done", &[("issue_id", world.i1.to_string())]).await;
    let expected = json!({"uploader_type": "agent", "uploader_id": world.g1, "workspace_id": world.w1});
    check_members(&made, &expected);
    // The header cannot lead elsewhere.
    let elsewhere = agent.in_workspace(world.w2).upload("b.txt", "x", &[]).await;
    assert_eq!(elsewhere["workspace_id"], json!(world.w1));
    world
        .b
        .delete(format!("/api/attachments/{}", id_of(&made)))
        .await
        .refused(403, "not authorized to delete this attachment");

    // The owner of the runtime is in the other workspace too.
    gateway.seed_member(world.w2, world.a.id, "member").await;
    let foreign = id_of(&world.c.upload("c.txt", "x", &[]).await);
    assert_eq!(world.a.get(format!("/api/attachments/{foreign}/download")).await.status, 200);
    agent.get(format!("/api/attachments/{foreign}/download")).await.refused(404, "attachment not found");
}
