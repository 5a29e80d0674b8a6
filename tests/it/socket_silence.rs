//! How long the other side of a socket may stay silent, here a twelfth of what it is by default.

use macro_rules_attribute::apply;

use crate::harness::{Engine, Gateway, beat, command};

/// Daemon items 104 and 105: whoever answers pings stays, idle as it is; whoever does not is
/// dropped, however much it says.
#[apply(on_both)]
async fn only_the_answer_to_a_ping_shows_that_a_daemon_listens(engine: Engine) {
    let gateway = Gateway::setup(engine).env("SWITCHYARD_SOCKET_TIMEOUT", "5").start().await;
    let user = gateway.user();
    let (runtime, other) = (user.register("dm-1", "claude").await, user.register("dm-2", "claude").await);
    let mut idle = user.daemon_socket(&[runtime]).await;
    let mut deaf = user.daemon_socket(&[other]).await;
    let mut watcher = user.watch().await;
    let pinged_thrice = async {
        for _ in 0..3 {
            idle.pinged().await;
        }
    };
    let watched = async {
        for _ in 0..3 {
            watcher.pinged().await;
        }
    };
    tokio::join!(deaf.talk_without_listening(beat(other)), pinged_thrice, watched);
    assert_eq!(idle.beat(runtime).await["status"], "ok");
    assert!(watcher.heard().await.is_empty());
    gateway.finish().await;
}

/// A length that nobody could mean is refused before anything is opened.
#[test]
fn a_socket_timeout_has_bounds() {
    let folder = tempfile::tempdir().unwrap();
    for (given, said) in [
        ("0", "socket_timeout is 0; give 1 to 3600 seconds"),
        ("3601", "socket_timeout is 3601; give 1 to 3600 seconds"),
        ("x", "SOCKET_TIMEOUT"),
    ] {
        let mut serve = command();
        serve.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"]);
        let ended = serve.arg(folder.path()).env("SWITCHYARD_SOCKET_TIMEOUT", given).output().unwrap();
        let error = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success() && error.contains(said), "{given}: {error}");
    }
    assert!(!folder.path().join("switchyard.db").exists());
}
