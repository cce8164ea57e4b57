//! What was decided about a request, for whoever counts.

/// What a guard has decided about a request. It puts this into the extensions of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decided {
    /// The name of the scheme, or `none`.
    pub scheme: &'static str,
    /// Whether it was let through.
    pub is_allowed: bool,
    /// Why it was not: the code of the denial; empty where it was.
    pub code: &'static str,
}
