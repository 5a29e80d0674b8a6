//! Secrets that a plugin uses and never sees: it holds references, and the secret takes the
//! reference's place in a header when a request leaves.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use memchr::memmem;
use rand::RngExt;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use url::Url;

use super::allow::{host_of, is_named};
use super::{Reach, Refusal, Used};
use crate::plugin::standing::Standing;

/// What names of variables must begin with: a document must not be able to take the gateway's
/// own secrets.
pub const VARIABLE_PREFIX: &str = "SWITCHYARD_PLUGIN_SECRET_";
/// The most that a secret may have.
const BYTES: u64 = 8 << 10;
/// References of one call.
const REFERENCES: usize = 64;
/// What stands where a secret was. Shorter secrets are found in every text.
const BLOT: &[u8] = b"[secret]";
const BLOTTED_FROM: usize = 4;

/// One `[plugin.grants.secrets.NAME]`: where it is, never what it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SecretGrant {
    /// `env:VARIABLE` or `file:NAME`.
    pub from: String,
    /// Who may get it; `*.example.com` is every name below `example.com`.
    pub hosts: Vec<String>,
    /// Whether it may stand in a header of an overlay's server, and so go to the daemon and to
    /// wherever that server is.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub overlay: bool,
}

/// The secrets of one plugin, read when its document was applied.
#[derive(Default)]
pub struct Secrets(BTreeMap<String, Secret>);

struct Secret {
    value: SecretString,
    hosts: Vec<String>,
    overlay: bool,
}

impl Secrets {
    /// Reads every secret; each that cannot be read is told with its name.
    pub fn read(
        grants: &BTreeMap<String, SecretGrant>,
        folder: Option<&Path>,
    ) -> Result<Self, Vec<(String, String)>> {
        let (mut secrets, mut faults) = (BTreeMap::new(), Vec::new());
        for (name, grant) in grants {
            match read(&grant.from, folder) {
                Ok(value) => {
                    secrets.insert(name.clone(), Secret::new(value, grant));
                }
                Err(message) => faults.push((name.clone(), message)),
            }
        }
        if faults.is_empty() { Ok(Self(secrets)) } else { Err(faults) }
    }

    /// With one that came from the gateway's own settings.
    pub fn insert(&mut self, name: &str, grant: &SecretGrant, value: SecretString) {
        self.0.insert(name.to_owned(), Secret::new(value, grant));
    }

    /// Blots out every secret that a text from outside holds.
    pub(super) fn blot(&self, text: &mut Vec<u8>) {
        for secret in self.0.values() {
            let value = secret.value.expose_secret().as_bytes();
            if value.len() < BLOTTED_FROM || memmem::find(text, value).is_none() {
                continue;
            }
            let mut blotted = Vec::with_capacity(text.len());
            let mut rest = text.as_slice();
            while let Some(at) = memmem::find(rest, value) {
                blotted.extend_from_slice(&rest[..at]);
                blotted.extend_from_slice(BLOT);
                rest = &rest[at + value.len()..];
            }
            blotted.extend_from_slice(rest);
            *text = blotted;
        }
    }
}

impl Secret {
    fn new(value: SecretString, grant: &SecretGrant) -> Self {
        Self { value, hosts: grant.hosts.clone(), overlay: grant.overlay }
    }
}

/// Whether a secret can be sent in a header.
pub fn fits_header(secret: &str) -> bool {
    secret.len() as u64 <= BYTES && secret.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}

fn read(from: &str, folder: Option<&Path>) -> Result<SecretString, String> {
    let text = match from.split_once(':') {
        Some(("env", name)) => {
            std::env::var(name).map_err(|_| format!("the variable {name} is not set for this gateway"))?
        }
        Some(("file", name)) => {
            let folder = folder.ok_or("no folder for secrets is configured: set `plugin_secrets_dir`")?;
            let path = folder.join(name);
            let about =
                fs::metadata(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            if !about.is_file() || about.len() > BYTES {
                return Err(format!("{} is no file of at most {BYTES} bytes", path.display()));
            }
            fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?
        }
        _ => return Err("is neither `env:VARIABLE` nor `file:NAME`".to_owned()),
    };
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(format!("{from} holds nothing"));
    }
    if !fits_header(text) {
        return Err(format!("{from} does not fit into a header: visible ASCII, at most {BYTES} bytes"));
    }
    Ok(text.into())
}

impl Reach {
    /// Something to stand for a secret, in this call.
    pub fn reference(&self, used: &mut Used, name: &str) -> Result<String, Refusal> {
        let given = if !self.secrets.0.contains_key(name) {
            let name: String = name.chars().take(64).collect();
            Err(Refusal::new(
                "not-granted",
                format!("no secret `{name}` was granted; add it to the plugin's `grants.secrets`"),
            ))
        } else if let Some((reference, _)) = used.references.iter().find(|(_, known)| known == name) {
            Ok(reference.clone())
        } else if used.references.len() >= REFERENCES {
            Err(Refusal::new("too-many-calls", format!("a call may use {REFERENCES} secrets")))
        } else {
            // Not to be guessed by whoever wrote a text that the guest passes on.
            let reference = format!("secret-{}", hex::encode(rand::rng().random::<[u8; 16]>()));
            used.references.push((reference.clone(), name.to_owned()));
            Ok(reference)
        };
        self.counted(given)
    }

    /// The references that a call was given.
    pub fn standing(&self, used: &Used) -> Vec<Standing> {
        let standing = |(reference, name): &(String, String)| {
            let secret = self.secrets.0.get(name).filter(|secret| secret.overlay);
            let secret = secret.map(|secret| secret.value.clone());
            Standing { reference: reference.clone(), name: name.clone(), secret }
        };
        used.references.iter().map(standing).collect()
    }

    /// A header's value with the secrets in the place of their references.
    pub(super) fn filled(&self, used: &Used, url: &Url, value: &str) -> Result<String, Refusal> {
        let mut filled = value.to_owned();
        for (reference, name) in used.references.iter().filter(|(reference, _)| value.contains(reference)) {
            let Some(secret) = self.secrets.0.get(name) else { continue };
            let host = host_of(url);
            if !secret.hosts.iter().any(|granted| is_named(granted, &host)) {
                return Err(Refusal::new(
                    "not-granted",
                    format!("`{host}` may not get the secret `{name}`; add it to the secret's `hosts`"),
                ));
            }
            filled = filled.replace(reference, secret.value.expose_secret());
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_blotted_out_wherever_it_stands() {
        let grant = SecretGrant { from: "file:token".to_owned(), hosts: Vec::new(), overlay: false };
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("token"), "t0ken\n").unwrap();
        let grants = BTreeMap::from([("a".to_owned(), grant)]);
        let secrets = Secrets::read(&grants, Some(folder.path())).ok().unwrap();
        let mut text = b"t0ken, t0ke and t0kent0ken".to_vec();
        secrets.blot(&mut text);
        assert_eq!(text, b"[secret], t0ke and [secret][secret]");
    }

    #[test]
    fn what_cannot_be_read_is_told_and_not_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("odd"), "s3cr\u{e9}t").unwrap();
        let read = |from: &str| read(from, Some(folder.path())).map(drop);
        for from in ["file:none", "env:SWITCHYARD_PLUGIN_SECRET_NOT_THERE", "other:x", "file:odd"] {
            assert!(read(from).is_err_and(|message| !message.contains("s3cr")), "{from}");
        }
    }
}
