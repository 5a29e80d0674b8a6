//! A running gateway: listeners bound, everything it needs built, until it is told to stop.

use std::convert::Infallible;
use std::future::ready;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use axum::serve::IncomingStream;
use secrecy::ExposeSecret;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::util::{MapRequestLayer, MapResponseLayer};
use tower::{Layer, Service, service_fn};

use crate::app::{App, Flags, Handles};
use crate::auth::cloud::Verifier;
use crate::auth::jwt::Keys;
use crate::auth::{Auth, Doors, revocation, secret, token};
use crate::claim::elsewhere;
use crate::composio::{Composio, provision};
use crate::config::{self, Config};
use crate::dispatch::at_rest::AtRest;
use crate::dispatch::claims::Claims;
use crate::dispatch::places::Places;
use crate::dispatch::sweep::{self, Sweeper};
use crate::dispatch::{autopilot_monitor, autopilot_schedule};
use crate::enrich::log::TraceLog;
use crate::http::express::Express;
use crate::http::{methods, paths, router};
use crate::live::bus::{self, Outbox};
use crate::live::events::Events;
use crate::live::hub::Hub;
use crate::live::liveness::Liveness;
use crate::live::pending::Pending;
use crate::live::pulse::Pulse;
use crate::live::redis::{Address, Redis};
use crate::live::relay::{self, Relay};
use crate::live::wakeups::Wakeups;
use crate::model::time::{Clock, Time};
use crate::plugin;
use crate::plugin::plugins::{Plugins, Settings};
use crate::plugin::reach::{Outside, Values, Web};
use crate::store::{Db, StoreError};
use crate::telemetry;
use crate::uploads::Uploads;

/// How long requests under way may take when the gateway stops.
const DRAIN: Duration = Duration::from_secs(10);

pub struct Gateway {
    pub listen: SocketAddr,
    pub admin_listen: SocketAddr,
    app: App,
    stopping: CancellationToken,
    servers: Vec<JoinHandle<std::io::Result<()>>>,
    /// Says to other nodes what runs here.
    node: JoinHandle<()>,
}

impl Gateway {
    /// Binds, migrates, loads the plugins and answers requests when it returns.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        Self::start_with(config, config::flags()?).await
    }

    /// As [`Gateway::start`], with the switches given instead of read.
    pub async fn start_with(config: Config, flags: Flags) -> anyhow::Result<Self> {
        config.make_data_dir()?;
        telemetry::metrics::install()?;
        let bind = |address: SocketAddr| async move {
            TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
        };
        let (public, admin) = (bind(config.listen).await?, bind(config.admin_listen).await?);
        let (listen, admin_listen) = (public.local_addr()?, admin.local_addr()?);
        let app = build(&config, flags, Clock::system()).await?;
        let stopping = CancellationToken::new();
        listen_to_others(&app, &stopping).await.context("cannot listen to other nodes")?;
        let wakeups = app.wakeups.clone();
        let tell = move |generation| wakeups.set_applied(generation);
        let node = plugin::nodes::join(app.plugins.clone(), node_name(listen), tell, stopping.clone());
        tokio::spawn(elsewhere::answer(app.clone(), stopping.clone()));
        tokio::spawn(app.liveness.clone().keep(stopping.clone()));
        tokio::spawn(telemetry::metrics::keep(stopping.clone()));
        if let Some(every) = config.sweep_every() {
            tokio::spawn(sweep::keep(app.clone(), every, stopping.clone()));
        }
        tokio::spawn(autopilot_schedule::keep(app.clone(), stopping.clone()));
        tokio::spawn(autopilot_monitor::keep(app.clone(), stopping.clone()));
        app.pending.refresh().await.context("cannot read the requests that wait for daemons")?;
        tokio::spawn(app.pending.clone().keep(stopping.clone()));
        let (of_all, of_operators) = (router::public(app.clone()), router::admin(app.clone()));
        let express_app = app.clone();
        let servers = vec![
            serve(
                public,
                move |peer| Express::new(express_app.clone(), tree(of_all.clone(), peer)),
                stopping.clone(),
            ),
            serve(admin, move |peer| tree(of_operators.clone(), peer), stopping.clone()),
        ];
        Ok(Self { listen, admin_listen, app, stopping, servers, node })
    }

    /// What is kept, for tools that run beside the gateway in one process.
    pub fn db(&self) -> &Db {
        &self.app.db
    }

    /// Lets requests under way end, then closes the database.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stopping.cancel();
        tokio::join!(self.app.hub.drain(), self.app.events.watchers().drain());
        for server in self.servers {
            match tokio::time::timeout(DRAIN, server).await {
                Ok(ended) => ended??,
                Err(_) => tracing::warn!("requests were still under way when the drain ended"),
            }
        }
        self.app.liveness.flush().await;
        if let Err(error) = self.node.await {
            tracing::warn!(%error, "this node did not take its leave");
        }
        self.app.db.close().await;
        Ok(())
    }
}

/// Hints, what is revoked, and what people watch.
async fn listen_to_others(app: &App, stopping: &CancellationToken) -> Result<(), StoreError> {
    bus::connect(&app.db, &app.clock, &app.wakeups, &app.liveness, stopping).await?;
    revocation::connect(&app.auth, &app.db, stopping).await?;
    if let Some(relay) = app.events.relay() {
        relay::connect(&app.db, relay, app.events.watchers(), stopping).await?;
    }
    Ok(())
}

/// Everything but the listeners, on a clock that the caller gives.
pub async fn build(config: &Config, flags: Flags, clock: Clock) -> anyhow::Result<App> {
    let socket_timeout = config.socket_timeout()?;
    let redis = config.redis_url().map(Address::read).transpose()?;
    let db = Db::open(&config.database()).await.context("cannot open the database")?;
    db.set_exclusive(config.exclusive_database);
    let hub = Hub::default();
    let outbox = db.is_shared().then(Outbox::default);
    let pulse = Pulse::new(db.is_shared());
    let events = Events::new(db.is_shared().then(|| Relay::new(pulse.clone())));
    let doors = Doors { pulse, hub: hub.clone(), watchers: events.watchers().clone() };
    let access = config::access()?;
    let composio = config::composio(&flags, &access);
    let outside = Outside {
        values: Values::Database(db.clone()),
        web: Web::Network,
        clock: clock.clone(),
        secrets_dir: Some(config.plugin_secrets()),
        provision: composio.as_ref().map(provision).transpose()?,
    };
    let settings = Settings {
        cache_dir: config.code_cache(),
        document: config.plugins.clone(),
        db: Some(db.clone()),
        outside,
        rules: config.plugin_rules()?,
    };
    let plugins = Plugins::start(settings, clock.clone()).await?;
    plugin::watch(plugins.clone());
    plugin::follow(plugins.clone());
    plugin::retreat(plugins.clone());
    plugin::mend(plugins.clone());
    let jwt_secret = secret::settle(&db, "jwt", access.jwt_secret.clone(), clock.now()).await?;
    let keys = Keys::new(&jwt_secret, access.token_ttl);
    let redis = match redis {
        Some(address) => Some(Redis::new(address, &deployment(&db, clock.now()).await?)),
        None => None,
    };
    let cloud = Verifier::new(db.clone(), access.cloud_url.as_deref());
    let at_rest = AtRest::new(db.clone());
    Ok(App::new(Handles {
        auth: Auth::new(db.clone(), clock.clone(), keys, cloud, doors),
        access,
        claims: Claims::new(db.for_claims(), clock.clone(), at_rest.clone()),
        at_rest,
        places: Places::default(),
        sweeper: Sweeper::default(),
        liveness: Liveness::new(db.clone(), clock.clone(), redis),
        pending: Pending::new(db.clone(), clock.clone()),
        db,
        clock,
        traces: TraceLog::default(),
        uploads: Uploads::new(config.uploads(), config.max_upload_bytes, &config::upload_base_url()),
        socket_timeout,
        events,
        wakeups: Wakeups::new(hub.clone(), outbox, plugins.hurry()),
        plugins,
        hub,
        flags,
        composio: composio.map(Composio::new),
    }))
}

/// What tells this database from others, alike on all of its nodes and no secret.
async fn deployment(db: &Db, now: Time) -> anyhow::Result<String> {
    let kept = secret::settle(db, "deployment", None, now).await?;
    let mut name = token::hash(kept.expose_secret());
    name.truncate(16);
    Ok(name)
}

/// The machine and the address, which tell nodes apart for people.
fn node_name(listen: SocketAddr) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = host.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    let host: String = host.trim().chars().filter(|c| !c.is_control()).take(100).collect();
    if host.is_empty() { listen.to_string() } else { format!("{host} {listen}") }
}

/// The routes with what comes before any of them is matched, and after all of them, for whoever
/// is on the other side of a connection.
fn tree(
    router: axum::Router,
    peer: SocketAddr,
) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send {
    let service = MapRequestLayer::new(move |mut request: Request| {
        request.extensions_mut().insert(ConnectInfo(peer));
        methods::unserved(paths::normalise(request))
    });
    MapResponseLayer::new(methods::allowed).layer(service.layer(router))
}

/// Serves each connection by what `to` makes for the address on its other side.
fn serve<S>(
    listener: TcpListener,
    to: impl Fn(SocketAddr) -> S + Send + 'static,
    stopping: CancellationToken,
) -> JoinHandle<std::io::Result<()>>
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static,
{
    let service = service_fn(move |connection: IncomingStream<'_, TcpListener>| {
        ready(Ok::<_, Infallible>(to(*connection.remote_addr())))
    });
    tokio::spawn(async move {
        axum::serve(listener, service).with_graceful_shutdown(stopping.cancelled_owned()).await
    })
}
