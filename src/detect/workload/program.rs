//! A container that runs the program of another workload: everything is ready, and callers fail.

use super::{Class, Finding, Object, ObjectRef, Severity, View, fact, text};
use serde_json::Value;

/// Workloads that the report names, whose command is the name of a sibling that runs the same
/// image under that very name.
pub(super) fn findings(view: &View<'_>, reported: &[ObjectRef]) -> Vec<Finding> {
    reported
        .iter()
        .filter_map(|r| view.snapshot.get(r))
        .filter_map(|workload| foreign_program(view, workload))
        .collect()
}

fn foreign_program(view: &View<'_>, workload: &Object) -> Option<Finding> {
    for container in workload.containers().into_iter().filter(|c| !c.init) {
        let Some(command) = container.list("command").first().and_then(Value::as_str) else {
            continue;
        };
        let program = command.rsplit('/').next().unwrap_or(command);
        if program == workload.name() || program.is_empty() {
            continue;
        }
        let image = container.str("image").unwrap_or_default();
        let all = view
            .snapshot
            .in_namespace(workload.kind(), workload.namespace());
        let Some(sibling) = all.into_iter().find(|o| runs_itself(o, program, image)) else {
            continue;
        };
        let object = workload.reference();
        let line = confession(view, workload, container.name, program);
        let heard = line
            .as_ref()
            .map_or_else(String::new, |l| format!("; its log says: {l}"));
        let summary = format!(
            "{object}, container {}: its command is {command:?}, which is the program of {}{heard}",
            container.name,
            sibling.reference()
        );
        let mut finding = Finding::new(Class::ApplicationError, Severity::High, object, summary)
            .with_fact("program", command)
            .with_fact("programOf", sibling.name())
            .with_fact("confession", line.clone().unwrap_or_default());
        finding.container = Some(container.name.to_owned());
        finding.message = line.unwrap_or_default();
        finding.related = vec![sibling.reference()];
        finding.pods = view
            .snapshot
            .pods_of(&workload.reference())
            .iter()
            .map(|p| p.reference())
            .take(5)
            .collect();
        if let Some(log) = first_log(view, workload, container.name) {
            finding = finding.with_fact(fact::LOG_TAIL, text::tail(&log, 20));
        }
        return Some(finding);
    }
    None
}

fn runs_itself(workload: &Object, program: &str, image: &str) -> bool {
    workload.name() == program
        && workload.containers().iter().any(|c| {
            let command = c.list("command").first().and_then(Value::as_str);
            c.str("image") == Some(image)
                && command.is_some_and(|p| p.rsplit('/').next() == Some(program))
        })
}

/// The line of the log in which the program calls itself by the other's name.
fn confession(
    view: &View<'_>,
    workload: &Object,
    container: &str,
    program: &str,
) -> Option<String> {
    let log = first_log(view, workload, container)?;
    let names_it = |l: &&str| {
        l.to_ascii_lowercase()
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .any(|w| w == program.to_ascii_lowercase())
            && l.to_ascii_lowercase().contains("service")
    };
    log.lines()
        .rev()
        .find(names_it)
        .map(|l| text::one_line(l, 200))
}

fn first_log(view: &View<'_>, workload: &Object, container: &str) -> Option<String> {
    view.snapshot
        .pods_of(&workload.reference())
        .iter()
        .find_map(|pod| {
            let namespace = pod.namespace().unwrap_or_default();
            view.snapshot
                .log(namespace, pod.name(), container, false)
                .map(str::to_owned)
        })
}
