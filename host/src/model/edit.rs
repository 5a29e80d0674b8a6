//! What is to become of a value that need not be there.

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Edit<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// It goes away.
    Clear,
    Set(T),
}

impl<T> Edit<T> {
    /// The value as it is afterwards.
    pub fn apply(self, value: Option<T>) -> Option<T> {
        match self {
            Self::Keep => value,
            Self::Clear => None,
            Self::Set(value) => Some(value),
        }
    }

    /// Set to this, or cleared by `None`.
    pub fn to(value: Option<T>) -> Self {
        value.map_or(Self::Clear, Self::Set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_keeps_clears_or_sets() {
        assert_eq!(Edit::Keep.apply(Some(1)), Some(1));
        assert_eq!(Edit::Clear.apply(Some(1)), None);
        assert_eq!(Edit::Set(2).apply(Some(1)), Some(2));
        assert_eq!((Edit::to(Some(1)), Edit::<i32>::to(None)), (Edit::Set(1), Edit::Clear));
    }
}
