//! Skills out of archives, and from elsewhere as far as that can be told without a network.

use std::io::{Cursor, Write};

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use zip::write::SimpleFileOptions;

use crate::harness::{Client, Form, Gateway, Reply, check_members};

const SKILL: &str = "---\nname: deploy\ndescription: Ships it\n---\n# Deploy\n";

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (path, content) in files {
        zip.start_file(*path, SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

async fn import(client: &Client, filename: &str, archive: &[u8], on_conflict: &str) -> Reply {
    let form = Form::default().file(filename, archive);
    let form = if on_conflict.is_empty() { form } else { form.text("on_conflict", on_conflict) };
    client.send_form("/api/skills/import", form).await
}

fn paths(skill: &Value) -> Vec<&str> {
    skill["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect()
}

/// User item 188, by what the CLI sends.
#[apply(on_both)]
async fn an_archive_becomes_a_skill_and_again_by_choice(gateway: &Gateway) {
    let world = gateway.world().await;
    let zip = archive(&[
        ("pack/SKILL.md", SKILL.as_bytes()),
        ("pack/run.sh", b"echo"),
        ("pack/deep/skill.md", b"no"),
        ("outside.txt", b"no"),
        ("pack/logo.png", b"\x89PNG\xff"),
        ("pack/.git/config", b"no"),
    ]);
    let mut socket = world.b.watch().await;
    let made = import(&world.a, "x.skill", &zip, "").await.expect(201);
    assert_eq!(made["status"], "created");
    let expected =
        json!({"name": "deploy", "description": "Ships it", "content": SKILL, "created_by": world.a.id});
    check_members(&made["skill"], &expected);
    assert_eq!(paths(&made["skill"]), ["deep/skill.md", "run.sh"]);
    assert_eq!(socket.wait_for("skill:created").await["skill"]["name"], "deploy");

    let id = &made["skill"]["id"];
    let existing = json!({"id": id, "name": "deploy", "created_by": world.a.id, "can_overwrite": true});
    let conflict = import(&world.a, "x.zip", &zip, "").await.expect(409);
    let reason = "a skill with this name already exists; use --on-conflict overwrite to replace it or \
                  --on-conflict rename to import a copy";
    assert_eq!(conflict, json!({"status": "conflict", "reason": reason, "existing_skill": existing}));
    let skipped = import(&world.a, "x.zip", &zip, "skip").await.expect(200);
    let reason = "a skill with this name already exists";
    assert_eq!(skipped, json!({"status": "skipped", "reason": reason, "existing_skill": existing}));
    for name in ["deploy-2", "deploy-3"] {
        let renamed = import(&world.a, "x.zip", &zip, "rename").await.expect(201);
        assert_eq!(renamed["reason"], "renamed to avoid an existing skill");
        assert_eq!((&renamed["status"], &renamed["skill"]["name"]), (&json!("created"), &json!(name)));
    }
    let newer = archive(&[("SKILL.md", format!("{SKILL}More").as_bytes())]);
    let updated = import(&world.a, "x.zip", &newer, "overwrite").await.expect(200);
    assert_eq!((&updated["status"], &updated["skill"]["id"]), (&json!("updated"), id));
    assert_eq!(updated["skill"]["files"], json!([]));
    let refused = import(&world.b, "x.zip", &newer, "overwrite").await.expect(403);
    let reason = "only the skill creator can overwrite this skill";
    check_members(&refused, &json!({"status": "failed", "reason": reason, "skill": null}));
    assert_eq!(refused["existing_skill"].get("can_overwrite"), None);

    let unnamed = archive(&[("SKILL.md", b"# Body")]);
    let made = import(&world.a, "dir/my-skill.zip", &unnamed, "").await.expect(201);
    assert_eq!(made["skill"]["name"], "my-skill");
    let unnamed = archive(&[("a/b/Skill.MD", b"# Body")]);
    assert_eq!(import(&world.a, "x.zip", &unnamed, "").await.expect(201)["skill"]["name"], "b");
}

/// Archives that are none, that climb out, and that grow.
#[apply(on_both)]
async fn a_hostile_archive_is_refused_or_tamed(gateway: &Gateway) {
    let world = gateway.world().await;
    let good = archive(&[("SKILL.md", SKILL.as_bytes())]);
    let no_archive = "uploaded file is not a valid .skill/.zip archive";
    import(&world.a, "x.zip", b"hello", "").await.refused(400, no_archive);
    import(&world.a, "x.zip", &good[..good.len() / 2], "").await.refused(400, no_archive);
    import(&world.a, "x.zip", b"", "").await.refused(400, no_archive);
    for files in [&[("README.md", &b"x"[..])][..], &[("../SKILL.md", b"x")], &[("/etc/SKILL.md", b"x")]] {
        let reply = import(&world.a, "x.zip", &archive(files), "").await;
        reply.refused(400, "archive does not contain a SKILL.md");
    }
    let rule = "on_conflict must be one of: fail, overwrite, rename, skip";
    import(&world.a, "x.zip", &good, "shout").await.refused(400, rule);
    let missing = "a skill archive file is required (form field \"file\")";
    world
        .a
        .send_form("/api/skills/import", Form::default().text("on_conflict", "skip"))
        .await
        .refused(400, missing);
    let too_large = "invalid multipart upload or file exceeds the size limit";
    import(&world.a, "x.zip", &vec![0; (16 << 20) + 1], "").await.refused(400, too_large);
    let bomb = archive(&[("SKILL.md", SKILL.as_bytes()), ("zeros.txt", &vec![b'0'; 9 << 20])]);
    assert!(bomb.len() < 100_000, "it is small as long as it is packed");
    import(&world.a, "x.zip", &bomb, "").await.refused(400, too_large);
    let broken = world.a.post("/api/skills/import", "--b").header("content-type", "multipart/form-data");
    broken.await.refused(400, too_large);

    let tricky = archive(&[
        ("s/SKILL.md", SKILL.as_bytes()),
        ("s/../../evil.txt", b"x"),
        ("s/..\\evil.txt", b"x"),
        ("s//etc/passwd", b"x"),
        ("s/fine.txt", b"x\0y"),
        ("sibling/x.txt", b"x"),
    ]);
    let made = import(&world.a, "x.zip", &tricky, "").await.expect(201);
    assert_eq!(paths(&made["skill"]), ["fine.txt"]);
    assert_eq!(made["skill"]["files"][0]["content"], "xy");
}

/// Addresses are judged before anything is fetched.
#[apply(on_both)]
async fn only_known_sources_are_asked(gateway: &Gateway) {
    let world = gateway.world().await;
    let import = |body: Value| world.a.post("/api/skills/import", body);
    let supported = "(supported: clawhub.ai, skills.sh, github.com)";
    for (body, error) in [
        (json!({}), "empty URL".to_owned()),
        (json!({"url": "  "}), "empty URL".to_owned()),
        (json!({"url": "http://127.0.0.1/a/b"}), format!("unsupported source: 127.0.0.1 {supported}")),
        (
            json!({"url": "https://evil.example/github.com/x"}),
            format!("unsupported source: evil.example {supported}"),
        ),
        (
            json!({"url": "https://github.com@evil.example/a/b"}),
            format!("unsupported source: evil.example {supported}"),
        ),
        (json!({"url": "https://github.com/"}), "invalid URL".to_owned()),
        (
            json!({"url": "https://evil.example/a", "on_conflict": "x"}),
            "on_conflict must be one of: fail, overwrite, rename, skip".to_owned(),
        ),
        (json!({"url": 5}), "invalid request body".to_owned()),
    ] {
        import(body).await.refused(400, &error);
    }
    for path in ["/api/skills/search", "/api/skills/search?q=%20"] {
        world.a.get(path).await.refused(400, "query is required");
    }
}
