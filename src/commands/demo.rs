//! `kubemend demo`.

use crate::cli::Demo;
use crate::commands::Failure;

pub(super) fn run(_args: &Demo) -> Result<u8, Failure> {
    Err(Failure::Input("demo is not connected yet".to_owned()))
}
