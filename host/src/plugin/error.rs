//! Why a call to a plugin gave no value.

use thiserror::Error;

#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum PluginError {
    /// The guest used up its own time.
    #[error("the guest used more than its {0} ms of processor time")]
    Deadline(u64),
    /// All of the call, waits included, took too long.
    #[error("the call took longer than its {0} ms")]
    Timeout(u64),
    #[error("the guest trapped: {0}")]
    Trapped(String),
    #[error("the guest wanted more than its {0} MiB of memory")]
    OutOfMemory(u64),
    /// `input` or `output`, with the bytes there were and those allowed.
    #[error("the {what} has {bytes} bytes; {limit} are allowed")]
    TooLarge { what: &'static str, bytes: usize, limit: usize },
    /// It was too large to be taken at all, so nobody counted it.
    #[error("the output is over the {0} bytes that are allowed")]
    OutputOverflow(usize),
    /// The guest said so itself.
    #[error("{code}: {message}")]
    Failed { code: String, message: String },
    /// Too many calls at once, for too long.
    #[error("too many calls are under way")]
    Overloaded,
    /// It failed too often just now and is left alone for a while.
    #[error("the plugin failed too often and is left alone for a while")]
    BreakerOpen,
    #[error("the output is not acceptable: {0}")]
    InvalidOutput(String),
    /// The stage is not among those the component serves.
    #[error("the component does not serve this stage")]
    NoSuchStage,
}

impl PluginError {
    /// Whether the guest brought it about, and not who called or the machine.
    pub fn is_the_guests(&self) -> bool {
        match self {
            Self::Deadline(_)
            | Self::Timeout(_)
            | Self::Trapped(_)
            | Self::OutOfMemory(_)
            | Self::OutputOverflow(_)
            | Self::Failed { .. }
            | Self::InvalidOutput(_) => true,
            Self::TooLarge { what, .. } => *what == "output",
            Self::Overloaded | Self::BreakerOpen | Self::NoSuchStage => false,
        }
    }

    /// Stable, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Deadline(_) => "deadline",
            Self::Timeout(_) => "timeout",
            Self::Trapped(_) => "trap",
            Self::OutOfMemory(_) => "memory",
            Self::TooLarge { .. } | Self::OutputOverflow(_) => "size",
            Self::Failed { .. } => "failed",
            Self::Overloaded => "overload",
            Self::BreakerOpen => "breaker_open",
            Self::InvalidOutput(_) => "invalid_output",
            Self::NoSuchStage => "no_such_stage",
        }
    }
}
