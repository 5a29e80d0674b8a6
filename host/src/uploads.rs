//! The bytes of what was uploaded: files in one folder of the local disk, each under a key
//! that the gateway made.

use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use crate::model::content_type::{self, HEAD};
use crate::model::ids::{UserId, WorkspaceId};

/// What a request goes through to reach the bytes of a key.
const ROUTE: &str = "/uploads/";
/// A longer suffix says nothing about a file.
const SUFFIX: usize = 16;

/// The folder, what may go into it, and where the world reaches it.
#[derive(Clone, Debug)]
pub struct Uploads {
    folder: PathBuf,
    limit: usize,
    base_url: String,
}

/// The name of a file in the folder: whose it is, an id, and the suffix it came with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Key(String);

impl Key {
    /// For a file of a workspace.
    pub fn of_workspace(workspace: WorkspaceId, id: Uuid, filename: &str) -> Self {
        Self(format!("workspaces/{workspace}/{id}{}", suffix(filename)))
    }

    /// For a file that belongs to nobody but a person.
    pub fn of_user(user: UserId, id: Uuid, filename: &str) -> Self {
        Self(format!("users/{user}/{id}{}", suffix(filename)))
    }

    /// Reads a key as the gateway writes them, and nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let (kind, owner, name) = (parts.next()?, parts.next()?, parts.next()?);
        let id = name.get(..36)?;
        let is_ours = parts.next().is_none()
            && ["workspaces", "users"].contains(&kind)
            && [owner, id].into_iter().all(is_canonical)
            && suffix(&name[36..]) == &name[36..];
        is_ours.then(|| Self(text.to_owned()))
    }

    /// The key in an attachment's address.
    pub fn of_url(url: &str) -> Option<Self> {
        url.rfind(ROUTE).and_then(|at| Self::parse(&url[at + ROUTE.len()..]))
    }
}

fn is_canonical(id: &str) -> bool {
    Uuid::try_parse(id).is_ok_and(|parsed| parsed.to_string() == id)
}

/// The last suffix, with its dot, when it is a plain one.
fn suffix(filename: &str) -> &str {
    let suffix = content_type::extension(filename);
    let plain = suffix.len() <= SUFFIX
        && suffix.bytes().skip(1).all(|byte| byte.is_ascii_alphanumeric() || b"-_+".contains(&byte));
    if plain { suffix } else { "" }
}

impl Uploads {
    /// Files below `folder`, each no bigger than `limit` bytes. `base_url` goes before the
    /// path of a file's address; it may be empty.
    pub fn new(folder: PathBuf, limit: usize, base_url: &str) -> Self {
        Self { folder, limit, base_url: base_url.trim().trim_end_matches('/').to_owned() }
    }

    /// The most that one upload may carry, in bytes.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The address under which the bytes of a key are served.
    pub fn url(&self, key: &Key) -> String {
        format!("{}{ROUTE}{}", self.base_url, key.0)
    }

    /// Begins a file that goes away by itself unless it is kept.
    pub async fn begin(&self) -> Result<Incoming> {
        let folder = self.folder.join("incoming");
        let made = blocking(move || {
            std::fs::create_dir_all(&folder)?;
            NamedTempFile::new_in(folder)
        });
        let (file, path) = made.await?.into_parts();
        Ok(Incoming { file: File::from_std(file), path, head: Vec::with_capacity(HEAD), size: 0 })
    }

    /// Puts a file in its place, whole and on disk, or not at all.
    pub async fn keep(&self, mut incoming: Incoming, key: &Key) -> Result<()> {
        incoming.file.flush().await?;
        incoming.file.sync_all().await?;
        let (path, place) = (incoming.path, self.place(key));
        blocking(move || {
            let folder = place.parent().ok_or(ErrorKind::InvalidInput)?;
            std::fs::create_dir_all(folder)?;
            path.persist(&place).map_err(Error::from)?;
            std::fs::File::open(folder)?.sync_all()
        })
        .await
    }

    /// The file of a key and its size; `None` when there is none, or when what is there is
    /// not a file of this folder.
    pub async fn open(&self, key: &Key) -> Result<Option<(File, u64)>> {
        let (folder, place) = (self.folder.clone(), self.place(key));
        let opened = blocking(move || {
            // A link could lead anywhere.
            let real = place.canonicalize()?;
            if !real.starts_with(folder.canonicalize()?) {
                return Err(ErrorKind::NotFound.into());
            }
            let file = std::fs::File::open(real)?;
            let about = file.metadata()?;
            if about.is_file() { Ok((file, about.len())) } else { Err(ErrorKind::NotFound.into()) }
        });
        match opened.await {
            Ok((file, size)) => Ok(Some((File::from_std(file), size))),
            Err(error) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes away the files of these addresses. What cannot be taken away is said in the log
    /// and stays: nothing refers to it any more.
    pub async fn forget(&self, urls: Vec<String>) {
        for key in urls.iter().filter_map(|url| Key::of_url(url)) {
            told(&key.0, tokio::fs::remove_file(self.place(&key)).await);
        }
    }

    /// Takes away everything of a workspace.
    pub async fn forget_workspace(&self, workspace: WorkspaceId) {
        let folder = self.folder.join("workspaces").join(workspace.to_string());
        told(&workspace.to_string(), tokio::fs::remove_dir_all(folder).await);
    }

    fn place(&self, key: &Key) -> PathBuf {
        self.folder.join(Path::new(&key.0))
    }
}

fn told(what: &str, removed: Result<()>) {
    if let Err(error) = removed
        && error.kind() != ErrorKind::NotFound
    {
        tracing::warn!(upload = what, %error, "an uploaded file could not be taken away");
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(Error::other)?
}

/// A file on its way in.
pub struct Incoming {
    file: File,
    path: TempPath,
    head: Vec<u8>,
    size: u64,
}

impl Incoming {
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let missing = HEAD.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..missing]);
        self.size += bytes.len() as u64;
        self.file.write_all(bytes).await
    }

    /// Its first bytes, as many as tell what it is.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    pub fn size(&self) -> u64 {
        self.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_what_the_gateway_made_and_nothing_else() {
        let (workspace, id) = (WorkspaceId::new(), Uuid::now_v7());
        let key = Key::of_workspace(workspace, id, "a.tar.gz");
        assert_eq!(key.0, format!("workspaces/{workspace}/{id}.gz"));
        assert_eq!(Key::parse(&key.0), Some(key));
        for bad in [
            format!("workspaces/{workspace}/../{id}"),
            format!("workspaces/{workspace}/{id}/x"),
            format!("workspaces/{workspace}/{id}.a/b"),
            format!("workspaces/{workspace}/{id}.a.b"),
            format!("workspaces/{workspace}/{id}x"),
            format!("incoming/{workspace}/{id}"),
            format!("/workspaces/{workspace}/{id}"),
            format!("workspaces/{workspace}/{}", id.to_string().to_uppercase()),
            format!("workspaces/../{id}"),
            String::new(),
        ] {
            assert_eq!(Key::parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn a_suffix_is_plain_or_left_out() {
        for (name, expected) in [
            ("a.txt", ".txt"),
            ("a", ""),
            ("a.", "."),
            ("..", "."),
            ("a.t\"x", ""),
            ("a.\u{e4}", ""),
            ("a.aaaaaaaaaaaaaaaaaaaaaa", ""),
        ] {
            assert_eq!(suffix(name), expected, "{name}");
        }
    }
}
