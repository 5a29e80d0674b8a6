//! What befalls calls.

/// What a call met on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    Arrives,
    /// The request is lost; the gateway never sees it.
    RequestLost,
    /// The gateway did it and the caller does not know.
    AnswerLost,
    /// It arrives, and once more later.
    ComesTwice,
    /// It arrives when the world has moved on.
    ComesLate,
}

impl Fate {
    /// As many of them are counted.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Arrives => "calls that arrived",
            Self::RequestLost => "requests lost",
            Self::AnswerLost => "answers lost",
            Self::ComesTwice => "calls that came twice",
            Self::ComesLate => "calls that came late",
        }
    }
}
