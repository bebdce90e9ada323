//! [`answer`]
use crate::converse::Heard;
use crate::cycle::{Analysis, Report, Work};
use crate::forge::decide::Observed;
use crate::github::Result;

/// todo
pub async fn answer(
    _: &Work<'_>,
    _: &Heard,
    _: &Observed,
    _: &Analysis,
    _: &Report,
) -> Result<usize> {
    Ok(0)
}
