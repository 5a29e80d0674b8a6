//! What the configuration says of plugins, checked.

use std::path::PathBuf;

use anyhow::Context;
use serde::{Deserialize, Deserializer};

use super::Config;
use crate::plugin::caps::Caps;
use crate::plugin::oci;
use crate::plugin::rules::Rules;
use crate::plugin::signature::{Signatures, TrustedKey};

impl Config {
    /// What plugins may be on this gateway.
    pub fn plugin_rules(&self) -> anyhow::Result<Rules> {
        let keys = self.plugin_keys.iter().map(|text| TrustedKey::parse(text));
        let keys = keys.collect::<Result<_, _>>().map_err(anyhow::Error::msg).context("plugin_keys")?;
        let auth_file = self.oci_auth_file.clone().or_else(docker_config);
        Ok(Rules {
            signatures: Signatures { policy: self.plugin_signatures, keys },
            caps: Caps::new(self.plugin_caps.clone()).map_err(anyhow::Error::msg)?,
            registries: oci::Settings { insecure: self.oci_insecure_registries.clone(), auth_file },
            code_cache_bytes: self.code_cache_mib.saturating_mul(1 << 20),
        })
    }
}

/// Where Docker keeps the passwords of whoever runs the gateway, if it does.
fn docker_config() -> Option<PathBuf> {
    let folder = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let folder = folder.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".docker")))?;
    Some(folder.join("config.json")).filter(|file| file.is_file())
}

/// A list, or a text with commas as the environment has it.
pub(super) fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        List(Vec<String>),
        Text(String),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::List(list) => list,
        Either::Text(text) => {
            text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
        }
    })
}
