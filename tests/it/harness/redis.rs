//! Debian's `redis-server` for one test, started, frozen, killed and started again.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use redis::{Client, FromRedisValue, ToRedisArgs};
use tempfile::TempDir;

/// Serves until standard input closes: that happens however the tests end, even when they are killed.
const SCRIPT: &str = r#"
redis-server --save "" --appendonly no --daemonize no "$@" </dev/null &
echo "pid $!"
cat >/dev/null
kill -9 $!
"#;

pub struct Redis {
    /// For the gateway.
    pub url: String,
    arguments: Vec<String>,
    running: Option<Running>,
    folder: TempDir,
}

struct Running {
    /// Its standard input closes with this process.
    leash: Child,
    server: Pid,
}

impl Redis {
    /// One that runs, on a socket of its own.
    pub fn start() -> Self {
        let mut redis = Self::absent();
        assert!(redis.run(), "redis-server did not start; `.ci/redis` installs it");
        redis
    }

    /// One that does not run yet.
    pub fn absent() -> Self {
        // A socket's path must be short.
        let folder = tempfile::Builder::new().prefix("switchyard-redis-").tempdir_in("/tmp").unwrap();
        let socket = folder.path().join("socket").display().to_string();
        let arguments = ["--port", "0", "--unixsocket", &socket].map(str::to_owned).to_vec();
        Self { url: format!("unix://{socket}"), arguments, running: None, folder }
    }

    /// One that speaks TLS on a port and asks for this password.
    pub fn with_tls(password: &str) -> Self {
        for _ in 0..20 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut redis = Self::absent();
            redis.make_certificates();
            let file = |name: &str| redis.folder.path().join(name).display().to_string();
            redis.arguments = [
                "--port",
                "0",
                "--bind",
                "127.0.0.1",
                "--requirepass",
                password,
                "--tls-auth-clients",
                "no",
                "--tls-port",
                &port.to_string(),
                "--tls-cert-file",
                &file("server.pem"),
                "--tls-key-file",
                &file("server.key"),
                "--tls-ca-cert-file",
                &file("ca.pem"),
            ]
            .map(str::to_owned)
            .to_vec();
            redis.url = format!("rediss://:{password}@localhost:{port}");
            // Somebody else may have been faster to take the port.
            if redis.run() {
                return redis;
            }
        }
        panic!("redis-server found no port");
    }

    /// Who vouches for a server made by [`Redis::with_tls`].
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Starts it again, empty.
    pub fn restart(&mut self) {
        assert!(self.run(), "redis-server did not start again");
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        drop(running.leash.stdin.take());
        running.leash.wait().unwrap();
    }

    /// It holds its connections and answers nobody until it is [thawed](Redis::thaw).
    pub fn freeze(&self) {
        kill(self.running.as_ref().unwrap().server, Signal::SIGSTOP).unwrap();
    }

    pub fn thaw(&self) {
        kill(self.running.as_ref().unwrap().server, Signal::SIGCONT).unwrap();
    }

    /// What it answers to a command.
    pub async fn ask<T: FromRedisValue>(&self, name: &str, arguments: impl ToRedisArgs) -> T {
        let client = Client::open(self.url.as_str()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        redis::cmd(name).arg(arguments).query_async(&mut connection).await.unwrap()
    }

    fn run(&mut self) -> bool {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "redis"]).args(&self.arguments).arg("--dir").arg(self.folder.path());
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut leash = command.spawn().unwrap();
        let mut lines = BufReader::new(leash.stdout.take().unwrap()).lines().map_while(Result::ok);
        let first = lines.next().unwrap();
        let server = Pid::from_raw(first.strip_prefix("pid ").unwrap().parse().unwrap());
        for line in lines.by_ref() {
            if line.contains("eady to accept connections") {
                self.running = Some(Running { leash, server });
                std::thread::spawn(move || lines.for_each(drop));
                return true;
            }
            if line.contains("Failed listening") || line.contains("FATAL") || line.contains("not found") {
                break;
            }
        }
        drop(leash.stdin.take());
        leash.wait().unwrap();
        false
    }

    fn make_certificates(&self) {
        const MAKE: &str = r#"
set -e
new="openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
$new -subj "/CN=Test" -keyout ca.key -out ca.pem -addext "keyUsage=critical,keyCertSign"
$new -subj "/CN=localhost" -keyout server.key -out server.pem -CA ca.pem -CAkey ca.key \
    -addext "subjectAltName=DNS:localhost" -addext "basicConstraints=critical,CA:FALSE"
"#;
        let made = Command::new("sh").args(["-c", MAKE]).current_dir(self.folder.path()).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
