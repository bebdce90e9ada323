//! Edit, render, compare: the whole way for golden fields.
pub(crate) fn run(_sample: Option<usize>) -> Result<(), String> {
    Ok(())
}
