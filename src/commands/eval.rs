//! `kubemend eval`.

use crate::cli::Eval;
use crate::commands::Failure;
use crate::terminal::Progress;

pub(super) fn run(_args: &Eval, _progress: Progress) -> Result<u8, Failure> {
    Err(Failure::Input("eval is not connected yet".to_owned()))
}
