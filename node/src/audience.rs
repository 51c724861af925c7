//! How far a long command is, for whoever watches: a seam, so that what does the work knows no terminal.

/// Who is told.
pub trait Audience: Send + Sync {
    /// Something new begins, of so many operations; 0 if it has none to count.
    fn stage(&self, what: &str, operations: u64);

    /// So many of its operations are done.
    fn progress(&self, operations: u64);
}
