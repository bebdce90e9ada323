//! Who may give which command. Pure; the permission itself is asked from the forge at execution.

use super::Command;
use crate::config::Rules;
use crate::forge::{Actor, Permission};

/// Whether a command may be carried out for somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permitted {
    /// Yes.
    Yes,
    /// No: what it takes.
    No(Who),
}

/// Who may give a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// Whoever may read.
    Readers,
    /// Whoever may push.
    Writers,
    /// Whoever maintains the repository, or owns the file and may push.
    MaintainersAndOwners,
}

/// The least that a command takes.
pub fn least(command: &Command, rules: &Rules) -> Who {
    match command {
        Command::Help | Command::Status | Command::Explain { .. } if rules.readers_may_ask => {
            Who::Readers
        }
        Command::Revert => Who::MaintainersAndOwners,
        _ => Who::Writers,
    }
}

/// Whether `actor`, who has `permission` here, may give `command`.
///
/// A machine account may do what the configuration allows by its id, and never more than a person
/// who may push: any App can comment on a public repository, and a name that ends in `[bot]`
/// proves nothing.
pub fn permitted(
    command: &Command,
    permission: Permission,
    is_code_owner: bool,
    rules: &Rules,
    actor: &Actor,
) -> Permitted {
    let who = least(command, rules);
    let has = match (is_nobody(actor), is_machine(actor)) {
        (true, _) => Permission::None,
        (_, false) => permission,
        (_, true) if trusted_bot(actor, rules) => Permission::Write,
        (_, true) => Permission::None,
    };
    let enough = match who {
        Who::Readers => has >= Permission::Read,
        Who::Writers => has >= Permission::Write,
        Who::MaintainersAndOwners => {
            has >= Permission::Maintain
                || (is_code_owner && has >= Permission::Write && !is_machine(actor))
        }
    };
    if enough {
        Permitted::Yes
    } else {
        Permitted::No(who)
    }
}

/// Whether the configuration allows this machine account to give commands.
pub fn trusted_bot(actor: &Actor, rules: &Rules) -> bool {
    !is_nobody(actor) && is_machine(actor) && rules.allowed_bots.contains(&actor.id)
}

/// A deleted account, or one that the forge does not name.
fn is_nobody(actor: &Actor) -> bool {
    actor.id == 0
}

fn is_machine(actor: &Actor) -> bool {
    actor.bot || actor.login.ends_with("[bot]")
}
