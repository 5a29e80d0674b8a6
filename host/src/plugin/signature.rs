//! Who vouches for a component: Ed25519 signatures over what it is and what it calls itself.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What becomes of a component that no trusted key signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignaturePolicy {
    /// It runs.
    #[default]
    Off,
    /// It runs, and the log says so.
    Warn,
    /// It is refused.
    Require,
}

/// What the operator asks of signatures, and whom they trust.
#[derive(Clone, Debug, Default)]
pub struct Signatures {
    pub policy: SignaturePolicy,
    pub keys: Vec<TrustedKey>,
}

/// A public key, with the name it is shown by.
#[derive(Clone, Debug)]
pub struct TrustedKey {
    pub name: String,
    key: VerifyingKey,
}

/// A signed component's own words: its digest, and its manifest's name and version.
#[derive(Clone, Copy, Debug)]
pub struct Statement<'a> {
    pub sha256: &'a str,
    pub name: &'a str,
    pub version: &'a str,
}

impl Statement<'_> {
    /// What is signed. Names and versions are quoted, so that no two statements read alike.
    fn text(&self) -> String {
        format!(
            "switchyard plugin signature 1\nsha256 {}\nname {:?}\nversion {:?}\n",
            self.sha256, self.name, self.version
        )
    }
}

impl TrustedKey {
    /// Reads `BASE64` or `NAME:BASE64`; without a name it is shown by its fingerprint.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, encoded) = text.trim().split_once(':').unwrap_or(("", text.trim()));
        let shown =
            "a public key is `BASE64` or `NAME:BASE64` of 32 bytes, as `switchyard plugin keygen` prints it";
        let bytes: [u8; 32] = STANDARD
            .decode(encoded.trim())
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| format!("`{text}` is no public key; {shown}"))?;
        let key =
            VerifyingKey::from_bytes(&bytes).map_err(|_| format!("`{text}` is no point of the curve"))?;
        let name = if name.is_empty() { fingerprint(&bytes) } else { name.to_owned() };
        Ok(Self { name, key })
    }
}

impl Signatures {
    /// The name of the trusted key that signed it, if one did.
    pub fn signer(&self, statement: &Statement, signature: &Signature) -> Option<&str> {
        let text = statement.text();
        let signer = self.keys.iter().find(|key| key.key.verify_strict(text.as_bytes(), signature).is_ok());
        signer.map(|key| key.name.as_str())
    }

    /// As [`Signatures::signer`]; an `Err` is why the component must not run.
    pub fn check(
        &self,
        statement: &Statement,
        signature: Option<&Signature>,
    ) -> Result<Option<String>, String> {
        let signer = signature.and_then(|signature| self.signer(statement, signature));
        if signer.is_some() || self.policy == SignaturePolicy::Off {
            return Ok(signer.map(str::to_owned));
        }
        let problem = match signature {
            None => "the component is not signed: sign it with `switchyard plugin sign COMPONENT --key FILE` and \
                     give what that prints as `signature`"
                .to_owned(),
            Some(_) if self.keys.is_empty() => {
                "no key is trusted, so no signature counts: list the signer's public key in `plugin_keys` of the \
                 gateway's configuration"
                    .to_owned()
            }
            Some(_) => {
                let mut names = String::new();
                for key in &self.keys {
                    let _ = write!(names, " {}", key.name);
                }
                format!(
                    "the signature is by none of the trusted keys ({}) over {} {} with the digest {}: sign this very \
                     component again, or list the signer's public key in `plugin_keys`",
                    names.trim_start(),
                    statement.name,
                    statement.version,
                    statement.sha256
                )
            }
        };
        if self.policy == SignaturePolicy::Warn {
            tracing::warn!(plugin.name = statement.name, sha256 = statement.sha256, "{problem}");
            return Ok(None);
        }
        Err(format!("{problem} (`plugin_signatures` is `require`)"))
    }
}

/// Reads a signature as [`sign`] writes it.
pub fn parse(text: &str) -> Result<Signature, String> {
    let bytes = STANDARD.decode(text.trim()).ok();
    bytes.and_then(|bytes| Signature::from_slice(&bytes).ok()).ok_or_else(|| {
        "must be the base64 of a signature's 64 bytes, as `switchyard plugin sign` prints it, or `file:PATH`"
            .to_owned()
    })
}

/// A secret key as text, and its public one.
pub fn keygen() -> (String, String) {
    let secret = SigningKey::from_bytes(&rand::random());
    (STANDARD.encode(secret.to_bytes()), STANDARD.encode(secret.verifying_key().to_bytes()))
}

/// The base64 of a signature, and the public key that it is checked with.
pub fn sign(statement: &Statement, secret: &str) -> Result<(String, String), String> {
    let bytes: [u8; 32] = STANDARD
        .decode(secret.trim())
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or("the key file holds no secret key; make one with `switchyard plugin keygen`")?;
    let secret = SigningKey::from_bytes(&bytes);
    let signature = secret.sign(statement.text().as_bytes());
    Ok((STANDARD.encode(signature.to_bytes()), STANDARD.encode(secret.verifying_key().to_bytes())))
}

fn fingerprint(key: &[u8]) -> String {
    hex::encode(&Sha256::digest(key)[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_for_one_digest_name_and_version() {
        let (secret, public) = keygen();
        let statement = Statement { sha256: "aa", name: "n", version: "1" };
        let signature = parse(&sign(&statement, &secret).unwrap().0).unwrap();
        let (other, _) = keygen();
        let keys = vec![TrustedKey::parse(&public).unwrap()];
        let trusting = Signatures { policy: SignaturePolicy::Require, keys };
        assert!(trusting.check(&statement, Some(&signature)).unwrap().is_some());
        for altered in [
            Statement { sha256: "ab", ..statement },
            Statement { name: "m", ..statement },
            Statement { version: "2", ..statement },
        ] {
            assert!(trusting.check(&altered, Some(&signature)).is_err());
        }
        let foreign = parse(&sign(&statement, &other).unwrap().0).unwrap();
        assert!(trusting.check(&statement, Some(&foreign)).is_err());
        assert!(trusting.check(&statement, None).is_err());
    }
}
