//! A skill in a zip archive: the `SKILL.md` nearest to the root, and the files beside it.
//! An archive is hostile until it is unpacked: what it says of its sizes is not believed.

use std::io::{Cursor, Read};

use thiserror::Error;
use zip::ZipArchive;

use crate::model::clean;
use crate::model::skill::FilePlace;

/// The most that an archive may be, packed.
pub const PACKED: usize = 16 << 20;
/// The most that all of it may be, unpacked: what a daemon can be handed.
const UNPACKED: u64 = 8 << 20;
/// The most files, whether they are of the skill or not.
const ENTRIES: usize = 10_000;
const FILES: usize = 1000;
const PATH_BYTES: usize = 1024;
const MANIFEST: &str = "skill.md";

#[derive(Debug, Error)]
pub enum PackageError {
    #[error("uploaded file is not a valid .skill/.zip archive")]
    NoArchive,
    #[error("archive does not contain a SKILL.md")]
    NoSkill,
    #[error("invalid multipart upload or file exceeds the size limit")]
    TooLarge,
}

/// A skill as it comes out of an archive.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Package {
    pub name: String,
    pub description: String,
    pub content: String,
    /// Paths with contents.
    pub files: Vec<(String, String)>,
}

/// Unpacks a skill. `called` names it when it does not name itself; `folder`, if given, is
/// the last part of the folder that the skill must lie in.
pub fn open(archive: &[u8], called: &str, folder: Option<&str>) -> Result<Package, PackageError> {
    let mut archive = ZipArchive::new(Cursor::new(archive)).map_err(|_| PackageError::NoArchive)?;
    if archive.len() > ENTRIES {
        return Err(PackageError::TooLarge);
    }
    let mut entries = Vec::new();
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(|_| PackageError::NoArchive)?;
        // Folders come with their files; links lead elsewhere.
        if entry.is_file() && !entry.is_symlink() {
            entries.push((index, entry.name().map_err(|_| PackageError::NoArchive)?.replace('\\', "/")));
        }
    }
    let manifests = entries.iter().filter(|(_, path)| {
        let (directory, name) = split(path);
        name.eq_ignore_ascii_case(MANIFEST)
            && FilePlace::of(&format!("{directory}/x")[usize::from(directory.is_empty())..])
                == FilePlace::Inside
            && folder.is_none_or(|folder| format!("/{directory}").ends_with(&format!("/{folder}")))
    });
    let manifest = manifests.min_by_key(|(_, path)| (path.matches('/').count(), path.clone()));
    let (manifest, path) = manifest.cloned().ok_or(PackageError::NoSkill)?;
    let directory = split(&path).0;
    let mut left = UNPACKED;
    let content = text(read(&mut archive, manifest, &mut left)?).unwrap_or_default();
    let mut package =
        named(content, directory.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(called));
    for (index, path) in entries {
        let below = match path.strip_prefix(directory) {
            Some(rest) if directory.is_empty() => rest,
            Some(rest) => match rest.strip_prefix('/') {
                Some(rest) => rest,
                None => continue,
            },
            None => continue,
        };
        if index == manifest || is_clutter(below) || FilePlace::of(below) != FilePlace::Inside {
            continue;
        }
        if package.files.len() == FILES || below.len() > PATH_BYTES {
            return Err(PackageError::TooLarge);
        }
        // What is not text cannot be kept with a skill.
        if let Some(content) = text(read(&mut archive, index, &mut left)?) {
            let mut path = below.to_owned();
            clean::string(&mut path);
            package.files.push((path, content));
        }
    }
    package.files.sort();
    Ok(package)
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// What archivers and version control leave behind.
fn is_clutter(path: &str) -> bool {
    path.split('/').any(|part| [".git", "__MACOSX", ".DS_Store"].contains(&part))
}

/// Unpacks one file, and takes its size from what is left.
fn read(
    archive: &mut ZipArchive<Cursor<&[u8]>>,
    index: usize,
    left: &mut u64,
) -> Result<Vec<u8>, PackageError> {
    let entry = archive.by_index(index).map_err(|_| PackageError::NoArchive)?;
    let mut bytes = Vec::new();
    let read = entry.take(*left + 1).read_to_end(&mut bytes).map_err(|_| PackageError::NoArchive)?;
    *left = left.checked_sub(read as u64).ok_or(PackageError::TooLarge)?;
    Ok(bytes)
}

fn text(bytes: Vec<u8>) -> Option<String> {
    let mut text = String::from_utf8(bytes).ok()?;
    clean::string(&mut text);
    Some(text)
}

/// Reads the name and the description from the front matter.
fn named(content: String, called: &str) -> Package {
    let (name, description) = (front_matter(&content, "name"), front_matter(&content, "description"));
    let name = Some(name).filter(|name| !name.is_empty()).unwrap_or_else(|| called.to_owned());
    Package { name, description, content, files: Vec::new() }
}

/// A member between the two lines of hyphens that a file may begin with: on its line, or
/// indented on those below.
fn front_matter(content: &str, member: &str) -> String {
    let mut lines = content.trim_start_matches('\u{feff}').lines();
    if lines.next().map(str::trim_end) != Some("---") {
        return String::new();
    }
    let mut lines = lines
        .take_while(|line| line.trim_end() != "---")
        .skip_while(|line| line.strip_prefix(member).is_none_or(|rest| !rest.trim_start().starts_with(':')));
    let Some((_, value)) = lines.next().and_then(|line| line.split_once(':')) else { return String::new() };
    let value = value.trim();
    if ["", ">", "|", ">-", "|-", ">+", "|+"].contains(&value) {
        let below = lines.take_while(|line| line.starts_with([' ', '\t']) || line.trim().is_empty());
        let words: Vec<&str> = below.map(str::trim).filter(|line| !line.is_empty()).collect();
        return words.join(if value.starts_with('|') { "\n" } else { " " });
    }
    let unquoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    unquoted.unwrap_or(value).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_matter_names_a_skill() {
        let text = "---\nname: \"Deploy\"\ndescription: >\n  Ships it,\n  safely.\nother: x\n---\n# Body\nname: no\n";
        assert_eq!(front_matter(text, "name"), "Deploy");
        assert_eq!(front_matter(text, "description"), "Ships it, safely.");
        assert_eq!(front_matter(text, "missing"), "");
        assert_eq!(front_matter("# Body\nname: no\n", "name"), "");
        assert_eq!(named("# Body".to_owned(), "folder").name, "folder");
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        for bytes in [&b""[..], b"hello", b"PK\x03\x04rest"] {
            assert!(matches!(open(bytes, "x", None), Err(PackageError::NoArchive)));
        }
    }
}
