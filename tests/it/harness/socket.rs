//! The other end of a WebSocket.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use uuid::Uuid;

use super::Client;

/// Far above what any frame takes: it only keeps a hung test from hanging the suite.
const PATIENCE: Duration = Duration::from_mins(1);

/// What an upgrade needs beside `Authorization`.
const UPGRADE: [(&str, &str); 4] = [
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

pub struct Socket {
    stream: WebSocketStream<TcpStream>,
}

impl Client {
    /// Opens a socket; the upgrade must succeed. The client's token goes along.
    pub async fn socket(&self, path: impl AsRef<str>) -> Socket {
        self.socket_with(path, &[]).await
    }

    /// As [`Client::socket`], with more headers.
    pub async fn socket_with(&self, path: impl AsRef<str>, headers: &[(&'static str, &str)]) -> Socket {
        self.socket_over(path, headers, TcpSocket::new_v4().unwrap()).await
    }

    /// As [`Client::socket`], with hardly any room for what is not read.
    pub async fn narrow_socket(&self, path: impl AsRef<str>) -> Socket {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(2048).unwrap();
        self.socket_over(path, &[], socket).await
    }

    async fn socket_over(
        &self,
        path: impl AsRef<str>,
        headers: &[(&'static str, &str)],
        socket: TcpSocket,
    ) -> Socket {
        let base = self.base();
        let address = base.strip_prefix("http://").unwrap();
        let mut request = format!("ws://{address}{}", path.as_ref()).into_client_request().unwrap();
        if !self.token.is_empty() {
            let value = format!("Bearer {}", self.token).parse().unwrap();
            request.headers_mut().insert("authorization", value);
        }
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let tcp = socket.connect(address.parse().unwrap()).await.unwrap();
        let (stream, _) = tokio_tungstenite::client_async(request, tcp).await.unwrap_or_else(|error| {
            panic!("{} was not upgraded: {error}", path.as_ref());
        });
        Socket { stream }
    }

    /// The daemon's socket for these runtimes.
    pub async fn daemon_socket(&self, runtimes: &[Uuid]) -> Socket {
        let ids: Vec<String> = runtimes.iter().map(Uuid::to_string).collect();
        self.socket(format!("/api/daemon/ws?runtime_ids={}", ids.join(","))).await
    }

    /// Watches the client's workspace, as the client.
    pub async fn watch(&self) -> Socket {
        let path = format!("/ws?workspace_id={}", self.workspace);
        let mut socket = self.with_token("").socket(path).await;
        socket.send(json!({"type": "auth", "payload": {"token": self.token}})).await;
        assert_eq!(socket.next().await, json!({"type": "auth_ack"}));
        socket
    }

    /// Asks for an upgrade that will be refused, to see the answer.
    pub async fn upgrade(&self, path: impl AsRef<str>) -> super::Reply {
        let call = self.get(path);
        UPGRADE.into_iter().fold(call, |call, (name, value)| call.header(name, value)).await
    }
}

impl Socket {
    pub async fn send(&mut self, frame: Value) {
        self.send_text(frame.to_string()).await;
    }

    pub async fn send_text(&mut self, text: impl Into<String>) {
        self.stream.send(Message::text(text.into())).await.unwrap();
    }

    pub async fn send_bytes(&mut self, bytes: Vec<u8>) {
        self.stream.send(Message::binary(bytes)).await.unwrap();
    }

    /// The next frame, which must come.
    pub async fn next(&mut self) -> Value {
        match self.receive().await {
            Some(Message::Text(text)) => serde_json::from_str(&text).unwrap(),
            other => panic!("expected a frame, got {other:?}"),
        }
    }

    /// The next frame, which must be of this type; gives its payload.
    pub async fn expect(&mut self, kind: &str) -> Value {
        let frame = self.next().await;
        assert_eq!(frame["type"], kind, "{frame}");
        frame["payload"].clone()
    }

    /// Reads on until a frame of this type comes; gives its payload.
    pub async fn wait_for(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next().await;
            if frame["type"] == kind {
                return frame["payload"].clone();
            }
        }
    }

    /// Everything up to the answer to a ping, which comes last: what a watcher was told so far.
    pub async fn heard(&mut self) -> Vec<Value> {
        self.send(json!({"type": "ping"})).await;
        let mut events = Vec::new();
        loop {
            let event = self.next().await;
            if event["type"] == "pong" {
                return events;
            }
            events.push(event);
        }
    }

    /// Waits for a ping, with nothing else before it; answering it is up to the library, which
    /// does so when the next thing is read or sent.
    pub async fn pinged(&mut self) {
        let received = tokio::time::timeout(PATIENCE, self.stream.next()).await;
        let received = received.expect("no ping for a minute");
        assert!(matches!(received, Some(Ok(Message::Ping(_)))), "expected a ping, got {received:?}");
    }

    /// Sends this again and again and reads nothing, so that no ping is ever answered; ends when
    /// the other side has gone.
    pub async fn talk_without_listening(&mut self, frame: Value) {
        let text = frame.to_string();
        let mut every = tokio::time::interval(Duration::from_millis(100));
        let talk = async {
            loop {
                every.tick().await;
                if self.stream.send(Message::text(text.clone())).await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, talk).await.expect("it still listened after a minute");
    }

    /// Reads until the other side closes; gives the code it closed with, if it said one.
    pub async fn closed(&mut self) -> Option<u16> {
        let mut code = None;
        while let Some(message) = self.receive().await {
            if let Message::Close(frame) = message {
                code = frame.map(|frame| frame.code.into());
            }
        }
        code
    }

    /// A beat whose answer must come next; gives its payload.
    pub async fn beat(&mut self, runtime: impl ToString) -> Value {
        self.send(beat(runtime)).await;
        self.expect("daemon:heartbeat_ack").await
    }

    /// A beat, and its answer among whatever else comes.
    pub async fn answer(&mut self, runtime: impl ToString) -> Value {
        self.send(beat(runtime)).await;
        self.wait_for("daemon:heartbeat_ack").await
    }

    /// `None` once the connection is closed, one way or another.
    async fn receive(&mut self) -> Option<Message> {
        // One for all that is passed over: pings come all the time.
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let received = tokio::time::timeout_at(deadline, self.stream.next()).await;
            match received.expect("nothing came for a minute") {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(message)) => return Some(message),
                Some(Err(_)) | None => return None,
            }
        }
    }
}

/// A daemon's beat over its socket.
#[expect(clippy::needless_pass_by_value, reason = "ids and texts read alike at a call")]
pub fn beat(runtime: impl ToString) -> Value {
    json!({"type": "daemon:heartbeat", "payload": {
        "runtime_id": runtime.to_string(), "supports_batch_import": true,
    }})
}
