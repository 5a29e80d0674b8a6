//! The connection to Redis: made, watched, and made again when it is lost.

use std::time::Duration;

use futures_util::StreamExt;
use redis::AsyncConnectionConfig;
use redis::aio::{MultiplexedConnection, PubSubSink, PubSubStream};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{ALIVE, ANSWER, Away, LIFE, Redis};
use crate::telemetry::metrics;

/// How long it may take to be connected.
const CONNECT: Duration = Duration::from_secs(3);
/// The first pause before another attempt; each is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest pause: beats of that long are missed at the most once Redis is back.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// A connection that held so long was a good one, and the next pause is a short one.
const GOOD: Duration = Duration::from_secs(30);
/// How long beats are gathered, so that heartbeats by the thousand are one write.
const GATHER: Duration = Duration::from_secs(1);
/// How often a silent connection is asked whether it is one still.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// What comes from Redis by itself.
pub enum Heard {
    Word(String),
    /// The connection was lost, and words with it perhaps.
    Nothing,
}

impl Redis {
    /// Stays connected until the gateway stops; `hears` is told what comes.
    pub async fn keep(self, hears: impl Fn(Heard), stopping: CancellationToken) {
        metrics::redis_up(false);
        stopping.run_until_cancelled(self.connect_for_ever(&hears)).await;
    }

    async fn connect_for_ever(&self, hears: &impl Fn(Heard)) {
        let (mut pause, mut said) = (PAUSE, false);
        loop {
            let began = Instant::now();
            match timeout(CONNECT, self.connect()).await {
                Ok(Ok((link, sink, words))) => {
                    tracing::info!("Redis carries words between nodes and knows which runtimes live");
                    self.beats().clear();
                    *self.link() = Some(link.clone());
                    metrics::redis_up(true);
                    let why = self.use_it(link, sink, words, hears).await;
                    *self.link() = None;
                    metrics::redis_up(false);
                    hears(Heard::Nothing);
                    tracing::warn!(why, "Redis is lost; PostgreSQL does its part until it is back");
                    said = true;
                }
                failed if said => tracing::debug!(why = why(failed), "Redis is still away"),
                failed => {
                    tracing::warn!(
                        why = why(failed),
                        "Redis is away; the gateway does without and tries again"
                    );
                    said = true;
                }
            }
            if began.elapsed() >= GOOD {
                pause = PAUSE;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Two connections, since one that hears words can ask nothing. A write proves that this is a
    /// Redis that can be used: neither full, nor loading, nor a replica.
    async fn connect(&self) -> Result<(MultiplexedConnection, PubSubSink, PubSubStream), Away> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(ANSWER));
        let client = &self.0.client;
        let mut link = client.get_multiplexed_async_connection_with_config(&config).await?;
        let probe = format!("{}:probe", self.0.prefix);
        redis::cmd("SET").arg(probe).arg(ALIVE).arg("EX").arg(LIFE).exec_async(&mut link).await?;
        let mut hearing = client.get_async_pubsub().await?;
        hearing.subscribe(self.channel()).await?;
        let (sink, words) = hearing.split();
        Ok((link, sink, words))
    }

    /// Ends when either connection is lost, and says how that came to light.
    async fn use_it(
        &self,
        link: MultiplexedConnection,
        sink: PubSubSink,
        words: PubSubStream,
        hears: &impl Fn(Heard),
    ) -> String {
        tokio::select! {
            () = hear(words, hears) => "words do not come any more".to_owned(),
            error = self.keep_writing(link.clone()) => error.to_string(),
            error = keep_asking(link, sink) => error.to_string(),
            () = self.0.broken.notified() => "a question was not answered".to_owned(),
        }
    }

    async fn keep_writing(&self, mut link: MultiplexedConnection) -> Away {
        let mut every = interval(GATHER);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = every.tick() => {}
                () = self.0.hurry.notified() => {}
            }
            if let Err(error) = self.write_beats(&mut link).await {
                return error.into();
            }
        }
    }
}

async fn hear(mut words: PubSubStream, hears: &impl Fn(Heard)) {
    while let Some(message) = words.next().await {
        // What is no text is not ours.
        if let Ok(word) = message.get_payload() {
            hears(Heard::Word(word));
        }
    }
}

async fn keep_asking(mut link: MultiplexedConnection, mut sink: PubSubSink) -> Away {
    loop {
        sleep(ASK_EVERY).await;
        let asked = async {
            redis::cmd("PING").exec_async(&mut link).await?;
            sink.ping::<redis::Value>().await
        };
        match timeout(2 * ANSWER, asked).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return error.into(),
            Err(_) => return Away::NotConnected,
        }
    }
}

fn why<T>(failed: Result<Result<T, Away>, tokio::time::error::Elapsed>) -> String {
    match failed {
        Ok(Err(error)) => error.to_string(),
        Ok(Ok(_)) | Err(_) => "it does not answer".to_owned(),
    }
}
