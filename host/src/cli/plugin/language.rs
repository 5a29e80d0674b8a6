//! What plugins are written in here, and how a folder tells.

use std::path::Path;

use anyhow::bail;

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Language {
    Rust,
    #[value(alias = "js")]
    Javascript,
    #[value(alias = "py")]
    Python,
}

impl Language {
    const ALL: [Self; 3] = [Self::Rust, Self::Javascript, Self::Python];

    /// The file that a folder of this language has.
    pub fn marker(self) -> &'static str {
        match self {
            Self::Rust => "Cargo.toml",
            Self::Javascript => "package.json",
            Self::Python => "requirements.txt",
        }
    }

    /// The command that runs a plugin's own tests.
    pub fn unit_tests(self) -> &'static str {
        match self {
            Self::Rust => "cargo test",
            Self::Javascript => "npm test",
            Self::Python => "python3 -m unittest",
        }
    }

    /// What the plugin in this folder is written in.
    pub fn of(folder: &Path) -> anyhow::Result<Self> {
        let found: Vec<Self> =
            Self::ALL.into_iter().filter(|language| folder.join(language.marker()).is_file()).collect();
        match found.as_slice() {
            [language] => Ok(*language),
            [] => bail!(
                "{} holds no plugin: it has no Cargo.toml, package.json or requirements.txt; begin one with \
                 `switchyard plugin new`",
                folder.display()
            ),
            [first, second, ..] => bail!(
                "{} has a {} and a {}; a plugin is written in one language, so give each a folder of its own",
                folder.display(),
                first.marker(),
                second.marker()
            ),
        }
    }
}
