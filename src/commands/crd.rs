//! `kubemend crd`.

use crate::cluster::remediation;
use crate::commands::Failure;
use crate::manifest::print;
use crate::terminal;

pub(super) fn run() -> Result<u8, Failure> {
    let text = print::yaml(&remediation::definition()).map_err(Failure::Infrastructure)?;
    terminal::out(&text);
    Ok(0)
}
