//! Process trees.
pub(crate) fn end_marked(_folder: &std::path::Path) -> usize {
    0
}
