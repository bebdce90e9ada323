//! `kubemend locate`.

use serde_json::json;

use crate::cli::{Locate, TextOrJson};
use crate::commands::Failure;
use crate::commands::session::Session;
use crate::locate::{Repository, Site};
use crate::message;
use crate::object::ObjectRef;
use crate::terminal::{self, bold};

pub(super) fn run(args: &Locate) -> Result<u8, Failure> {
    let Some((kind, name)) = args
        .object
        .split_once('/')
        .filter(|(k, n)| !k.is_empty() && !n.is_empty())
    else {
        return Err(Failure::Input(format!(
            "{:?} is not KIND/NAME, for example Deployment/web",
            args.object
        )));
    };
    let session = Session::open(
        &args.repo,
        args.operator.config.as_deref(),
        args.operator.renderer.as_deref(),
    )?;
    let repository = Repository::open(
        &session.checkout.files,
        session.renderer.as_ref(),
        args.namespace.as_deref(),
        session.config.locate_policy(),
    );
    let kind = crate::report::kind_of(kind).unwrap_or(kind);
    let object = ObjectRef::new("", kind, args.namespace.as_deref(), name);
    let text = match (repository.locate(&object, &args.field), args.output) {
        (Ok(site), TextOrJson::Text) => describe(&site),
        (Ok(site), TextOrJson::Json) => pretty(&json!({
            "file": site.file, "line": site.line, "document": site.document, "path": site.path, "inner": site.inner,
            "strategy": site.strategy, "root": site.root, "affects": site.affects, "trail": site.trail, "code": null,
        })),
        (Err(refusal), TextOrJson::Text) => {
            format!("{}\n{}", refusal.message, message::explain(refusal.code))
        }
        (Err(refusal), TextOrJson::Json) => {
            pretty(&json!({"file": null, "code": refusal.code, "message": refusal.message}))
        }
    };
    terminal::out(&text);
    Ok(0)
}

fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}

fn describe(site: &Site) -> String {
    let mut out = format!("{}\n", bold(&format!("{}:{}", site.file, site.line)));
    out += &format!("  document {}, path {}\n", site.document, site.path);
    if let Some(inner) = &site.inner {
        out += &format!("  inside that text: {inner}\n");
    }
    if let Some(root) = &site.root {
        out += &format!("  proven in root {root} ({:?})\n", site.strategy);
    }
    if site.affects.len() > 1 {
        out += &format!(
            "  this line feeds {} roots: {}\n",
            site.affects.len(),
            site.affects.join(", ")
        );
    }
    for step in &site.trail {
        out += &format!("  - {step}\n");
    }
    out
}
