//! Who may say what: asked from the forge when it counts.

use std::collections::BTreeMap;

use crate::command::{Command, Permitted, permitted, trusted_bot};
use crate::cycle::Work;
use crate::forge::codeowners::CodeOwners;
use crate::forge::{Actor, Permission};
use crate::github::{Error, Result};

/// What is known of people in this pass.
#[derive(Default)]
pub(super) struct People {
    known: BTreeMap<u64, Option<Permission>>,
    owners: Option<CodeOwners>,
}

impl People {
    /// What somebody may do; `None` when the forge gave no answer that counts as one.
    ///
    /// Not found and forbidden mean nothing is allowed. An outage is no verdict: it ends the pass,
    /// and nobody was denied.
    pub(super) async fn permission(
        &mut self,
        work: &Work<'_>,
        actor: &Actor,
    ) -> Result<Option<Permission>> {
        if actor.id == 0 {
            return Ok(Some(Permission::None));
        }
        if actor.bot || actor.login.ends_with("[bot]") {
            let trusted = trusted_bot(actor, work.rules);
            let has = if trusted {
                Permission::Write
            } else {
                Permission::None
            };
            return Ok(Some(has));
        }
        if let Some(known) = self.known.get(&actor.id) {
            return Ok(*known);
        }
        let has = match work.github.permission(actor).await {
            Ok(permission) => Some(permission),
            Err(Error::NotFound(_) | Error::Forbidden(_)) => Some(Permission::None),
            Err(error) if error.is_outage() => return Err(error),
            Err(_) => None,
        };
        self.known.insert(actor.id, has);
        Ok(has)
    }

    /// Whether somebody with this permission may give a command about these pull request's files.
    pub(super) async fn may(
        &mut self,
        work: &Work<'_>,
        command: &Command,
        actor: &Actor,
        permission: Permission,
        about: &About<'_>,
    ) -> Result<Permitted> {
        let plain = permitted(command, permission, false, work.rules, actor);
        let as_owner = permitted(command, permission, true, work.rules, actor);
        if plain == as_owner || !about.is_pull {
            return Ok(plain);
        }
        let owner = self.is_owner(work, actor, about).await?;
        Ok(permitted(command, permission, owner, work.rules, actor))
    }

    async fn is_owner(
        &mut self,
        work: &Work<'_>,
        actor: &Actor,
        about: &About<'_>,
    ) -> Result<bool> {
        let files = match work.github.files_of(about.number).await {
            Ok(files) => files,
            Err(error) if error.is_outage() => return Err(error),
            Err(_) => return Ok(false),
        };
        let owners = self.owners(work, about.base_sha).await?;
        Ok(owners.owns_all(&actor.login, files.iter().map(String::as_str)))
    }

    /// CODEOWNERS of the base branch; a file in a pull request's own branch says nothing.
    async fn owners(&mut self, work: &Work<'_>, base: &str) -> Result<&CodeOwners> {
        if self.owners.is_none() {
            self.owners = Some(match work.github.code_owners(base).await {
                Err(error) if error.is_outage() => return Err(error),
                read => read.unwrap_or_default(),
            });
        }
        Ok(self.owners.get_or_insert_default())
    }
}

/// What a command is about.
pub(super) struct About<'a> {
    pub(super) number: u64,
    pub(super) is_pull: bool,
    pub(super) base_sha: &'a str,
}
