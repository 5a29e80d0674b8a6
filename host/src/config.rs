//! Every setting with its default and its check. The sole reader of the environment and of
//! `switchyard.toml`. A flag beats a variable, a variable beats the file.

pub mod access;
pub mod composio;
mod feature_flags;
pub mod plugin_rules;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use self::feature_flags::Rules;
use crate::app::Flags;
use crate::auth::token;
use crate::model::flag::Flag;
use crate::plugin::rules::CODE_CACHE_MIB;
use crate::plugin::signature::SignaturePolicy;
use crate::store::Options;

/// The keys of `switchyard.toml`; each is also `SWITCHYARD_<KEY>` in capitals.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where daemons and people reach the gateway. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where operators do.
    pub admin_listen: SocketAddr,
    /// Holds the embedded database, the compiled plugins and what was uploaded.
    pub data_dir: PathBuf,
    /// `sqlite:PATH` or `postgres://…`; absent means SQLite in the data dir.
    #[serde(default)]
    pub database_url: Option<String>,
    /// Whether nobody but gateways writes to the database.
    pub exclusive_database: bool,
    /// Where nodes find each other faster, and who lives; absent means the database does it all.
    #[serde(default)]
    pub redis_url: Option<String>,
    /// The plugin document; absent means the three built-in plugins.
    #[serde(default)]
    pub plugins: Option<PathBuf>,
    /// Where compiled plugins are kept; absent means below the data dir.
    #[serde(default)]
    pub code_cache_dir: Option<PathBuf>,
    /// Where secrets of plugins lie that are kept in files; absent means below the data dir.
    #[serde(default)]
    pub plugin_secrets_dir: Option<PathBuf>,
    /// Mebibytes that compiled plugins may take; what was used longest ago goes first.
    pub code_cache_mib: u64,
    /// What becomes of plugins that no trusted key signed: `off`, `warn` or `require`.
    pub plugin_signatures: SignaturePolicy,
    /// The public keys that are trusted: a list, or one text with commas.
    #[serde(deserialize_with = "plugin_rules::list")]
    pub plugin_keys: Vec<String>,
    /// The most that documents may ask for, by the name of a limit.
    pub plugin_caps: BTreeMap<String, u64>,
    /// Registries that are reached without TLS, beside those of this machine.
    #[serde(deserialize_with = "plugin_rules::list")]
    pub oci_insecure_registries: Vec<String>,
    /// Passwords for registries, in the form of Docker's `config.json`; absent means Docker's own.
    #[serde(default)]
    pub oci_auth_file: Option<PathBuf>,
    /// Seconds between two sweeps; 0 sweeps only when an operator asks.
    pub sweep_every: u32,
    /// Seconds that the other side of a WebSocket may stay silent; it is pinged a little
    /// before they are over.
    pub socket_timeout: u32,
    /// The most bytes that one upload may carry, its form around it included.
    pub max_upload_bytes: usize,
    /// What is logged, as `level` or `module=level,…`.
    pub log: String,
    /// `text` or `json`, on standard error.
    pub log_format: LogFormat,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

/// Read from the working directory when no other file is named.
const DEFAULT_FILE: &str = "switchyard.toml";

/// The names of every key, for the environment and for the documentation's test.
pub const KEYS: [&str; 20] = [
    "listen",
    "admin_listen",
    "data_dir",
    "database_url",
    "exclusive_database",
    "redis_url",
    "plugins",
    "code_cache_dir",
    "plugin_secrets_dir",
    "code_cache_mib",
    "plugin_signatures",
    "plugin_keys",
    "plugin_caps",
    "oci_insecure_registries",
    "oci_auth_file",
    "sweep_every",
    "socket_timeout",
    "max_upload_bytes",
    "log",
    "log_format",
];

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin_listen: SocketAddr::from(([127, 0, 0, 1], 8081)),
            data_dir: PathBuf::from("data"),
            database_url: None,
            exclusive_database: false,
            redis_url: None,
            plugins: None,
            code_cache_dir: None,
            plugin_secrets_dir: None,
            code_cache_mib: CODE_CACHE_MIB,
            plugin_signatures: SignaturePolicy::Off,
            plugin_keys: Vec::new(),
            plugin_caps: BTreeMap::new(),
            oci_insecure_registries: Vec::new(),
            oci_auth_file: None,
            sweep_every: 30,
            socket_timeout: 60,
            max_upload_bytes: 100 << 20,
            log: "info".to_owned(),
            log_format: LogFormat::Text,
        }
    }
}

impl Config {
    /// Reads the file (the named one, else `switchyard.toml` if it is there) and the
    /// environment, and lays `flags` over both.
    pub fn load(file: Option<&Path>, flags: &impl Serialize) -> anyhow::Result<Self> {
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        if let Some(file) = file {
            anyhow::ensure!(file.is_file(), "the configuration file {} does not exist", file.display());
            figment = figment.merge(Toml::file_exact(file));
        } else if Path::new(DEFAULT_FILE).is_file() {
            figment = figment.merge(Toml::file_exact(DEFAULT_FILE));
        }
        let figment =
            figment.merge(Env::prefixed("SWITCHYARD_").only(&KEYS)).merge(Serialized::defaults(flags));
        Ok(figment.extract()?)
    }

    /// How to reach the database.
    pub fn database(&self) -> Options {
        let embedded = || format!("sqlite:{}", self.data_dir.join("switchyard.db").display());
        Options::new(self.database_url.clone().filter(|url| !url.is_empty()).unwrap_or_else(embedded))
    }

    /// Where Redis is, if there is one.
    pub fn redis_url(&self) -> Option<&str> {
        self.redis_url.as_deref().map(str::trim).filter(|url| !url.is_empty())
    }

    /// Where compiled plugins are kept.
    pub fn code_cache(&self) -> PathBuf {
        self.code_cache_dir.clone().unwrap_or_else(|| self.data_dir.join("code-cache"))
    }

    /// Where secrets of plugins lie.
    pub fn plugin_secrets(&self) -> PathBuf {
        self.plugin_secrets_dir.clone().unwrap_or_else(|| self.data_dir.join("plugin-secrets"))
    }

    /// Where uploaded files are kept.
    pub fn uploads(&self) -> PathBuf {
        self.data_dir.join("uploads")
    }

    /// The time between two sweeps, if there are any.
    pub fn sweep_every(&self) -> Option<Duration> {
        (self.sweep_every > 0).then(|| Duration::from_secs(self.sweep_every.into()))
    }

    /// How long the other side of a WebSocket may stay silent.
    pub fn socket_timeout(&self) -> anyhow::Result<Duration> {
        let seconds = self.socket_timeout;
        anyhow::ensure!((1..=3600).contains(&seconds), "socket_timeout is {seconds}; give 1 to 3600 seconds");
        Ok(Duration::from_secs(seconds.into()))
    }

    /// Makes the data dir, for its owner alone.
    pub fn make_data_dir(&self) -> anyhow::Result<()> {
        use std::os::unix::fs::DirBuilderExt;

        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.data_dir);
        made.map_err(|error| anyhow::anyhow!("cannot make the data dir {}: {error}", self.data_dir.display()))
    }
}

/// Who is let in and from where, as the environment says.
pub fn access() -> anyhow::Result<access::Access> {
    access::Access::read(|name| std::env::var(name).ok())
}

/// What connected apps need, when all of it is there.
pub fn composio(flags: &Flags, access: &access::Access) -> Option<composio::Settings> {
    composio::Settings::read(flags, access, |name| std::env::var(name).ok())
}

/// The switches that existing deployments set, under the names they know. A variable beats
/// the rule file, also when it is blank.
pub fn flags() -> anyhow::Result<Flags> {
    let var = |name: &str| std::env::var(name).unwrap_or_default();
    let rules = match var("MULTICA_FEATURE_FLAGS_FILE").trim() {
        "" => Rules::default(),
        file => Rules::read(Path::new(file))?,
    };
    let flag = |key: &'static str, variable: &str| match std::env::var(variable) {
        Ok(text) => Flag::parse(key, &text),
        Err(_) => rules.flag(key),
    };
    Ok(Flags {
        composio_mcp_apps: flag("composio_mcp_apps", "FF_COMPOSIO_MCP_APPS").of(None) != "off",
        runtime_brief_slim: flag("runtime_brief_slim", "FF_RUNTIME_BRIEF_SLIM"),
        allowed_origins: origins(&var("CORS_ALLOWED_ORIGINS"), &var("FRONTEND_ORIGIN")),
        realtime_metrics_token: Some(var("REALTIME_METRICS_TOKEN"))
            .filter(|token| !token.is_empty())
            .map(|token| token::hash(&token)),
        disable_workspace_creation: var("DISABLE_WORKSPACE_CREATION") == "true",
        public_url: Some(var("MULTICA_PUBLIC_URL").trim().trim_end_matches('/').to_owned())
            .filter(|url| !url.is_empty()),
        trusted_proxies: networks(&var("MULTICA_TRUSTED_PROXIES")),
    })
}

/// What the addresses of uploaded files begin with.
pub fn upload_base_url() -> String {
    std::env::var("LOCAL_UPLOAD_BASE_URL").unwrap_or_default()
}

/// The comma list, else the one site, else where front ends are developed.
fn origins(list: &str, frontend: &str) -> Vec<String> {
    const DEVELOPMENT: [&str; 3] =
        ["http://localhost:3000", "http://localhost:5173", "http://localhost:5174"];
    let read = |list: &str| -> Vec<String> {
        let parts = list.split(',').map(|part| part.trim().trim_end_matches('/'));
        parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    let named = [read(list), read(frontend)].into_iter().find(|origins| !origins.is_empty());
    named.unwrap_or_else(|| DEVELOPMENT.map(str::to_owned).to_vec())
}

/// A comma list of networks and addresses; what is neither is passed over with a word.
fn networks(list: &str) -> Vec<IpNet> {
    let parts = list.split(',').map(str::trim).filter(|part| !part.is_empty());
    let read = |part: &str| {
        let network = part.parse().ok().or_else(|| part.parse::<IpAddr>().ok().map(IpNet::from));
        if network.is_none() {
            tracing::warn!("MULTICA_TRUSTED_PROXIES: `{part}` is no network and trusts nobody");
        }
        network
    };
    parts.filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_single_addresses_are_trusted() {
        let ten: IpAddr = "10.9.8.7".parse().unwrap();
        for (list, held) in [("10.0.0.0/8", true), ("x, 10.9.8.7 ,", true), ("fd00::/8", false), ("", false)]
        {
            assert_eq!(networks(list).iter().any(|network| network.contains(&ten)), held, "{list}");
        }
    }

    #[test]
    fn origins_come_from_the_first_setting_that_names_some() {
        assert_eq!(
            origins("https://a.example/, https://b.example", "x"),
            ["https://a.example", "https://b.example"]
        );
        assert_eq!(origins(" ,", "https://f.example"), ["https://f.example"]);
        assert_eq!(origins("", "").len(), 3);
    }

    #[test]
    fn every_key_is_named() {
        let value = serde_json::to_value(Config::default()).unwrap_or_default();
        let mut keys: Vec<String> =
            value.as_object().into_iter().flat_map(|map| map.keys().cloned()).collect();
        keys.sort();
        let mut named = KEYS.map(str::to_owned).to_vec();
        named.sort();
        assert_eq!(keys, named);
    }
}
