//! Where a component's bytes come from.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::oci_reference::Reference;

/// Larger than any component that a script engine makes.
pub const MAX_BYTES: u64 = 32 << 20;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// Shipped in the gateway's own binary.
    Builtin(String),
    File(PathBuf),
    /// An artifact in a registry.
    Oci(Reference),
}

/// Where a signature stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Signed {
    /// Here, in base64.
    Text(String),
    /// In a file that holds the same.
    File(PathBuf),
}

/// The plugins every gateway has, in the order of their stages.
pub const BUILTIN: [(&str, &[u8]); 3] = [
    ("repo-resolution", include_bytes!(concat!(env!("SWITCHYARD_GUESTS"), "/repo-resolution.wasm"))),
    ("mcp-overlay", include_bytes!(concat!(env!("SWITCHYARD_GUESTS"), "/mcp-overlay.wasm"))),
    ("squad-briefing", include_bytes!(concat!(env!("SWITCHYARD_GUESTS"), "/squad-briefing.wasm"))),
];

impl Source {
    /// Reads `builtin:NAME`, `file:PATH` or `oci:REFERENCE`.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("builtin", name)) if BUILTIN.iter().any(|(known, _)| *known == name) => {
                Ok(Self::Builtin(name.to_owned()))
            }
            Some(("builtin", name)) => {
                let names: Vec<&str> = BUILTIN.iter().map(|(name, _)| *name).collect();
                Err(format!("there is no built-in plugin `{name}`; there are {}", names.join(", ")))
            }
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(PathBuf::from(path))),
            Some(("oci", reference)) => Reference::parse(reference).map(Self::Oci),
            _ => Err(format!(
                "`{text}` is no source; write `builtin:NAME`, `file:PATH` or `oci:REGISTRY/REPOSITORY[:TAG][@sha256:…]`"
            )),
        }
    }

    /// The bytes. A relative path is below `base`.
    pub fn read(&self, base: Option<&Path>) -> Result<Vec<u8>, String> {
        match self {
            Self::Builtin(name) => {
                let found = BUILTIN.iter().find(|(known, _)| known == name);
                found.map(|(_, bytes)| bytes.to_vec()).ok_or_else(|| format!("no built-in plugin `{name}`"))
            }
            Self::File(path) => read_below(path, base),
            Self::Oci(reference) => Err(format!("`{reference}` is in a registry, not here")),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin(name) => write!(f, "builtin:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Oci(reference) => write!(f, "oci:{reference}"),
        }
    }
}

impl Signed {
    /// The base64. A relative path is below `base`.
    pub fn read(&self, base: Option<&Path>) -> Result<String, String> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(path) => {
                let bytes = read_below(path, base)?;
                let text = String::from_utf8(bytes);
                text.map_err(|_| format!("`{}` is no signature: it is not text", path.display()))
            }
        }
    }
}

fn read_below(path: &Path, base: Option<&Path>) -> Result<Vec<u8>, String> {
    let path = match (path.is_absolute(), base) {
        (true, _) => path.to_owned(),
        (false, Some(base)) => base.join(path),
        (false, None) => {
            return Err(format!("`{}` is relative to nothing here; write the whole path", path.display()));
        }
    };
    read_file(&path).map_err(|problem| format!("cannot read `{}`: {problem}", path.display()))
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let about = file.metadata().map_err(|error| error.to_string())?;
    if !about.is_file() {
        return Err("it is not a file".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("it is larger than {} MiB", MAX_BYTES >> 20));
    }
    Ok(bytes)
}
