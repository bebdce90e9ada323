//! Plays: Services, Ingresses and NetworkPolicies.

use crate::case::Case;
use crate::finding::Class;
use crate::object::Object;
use crate::propose::playbook::Play;

mod backend;
mod outside;
mod policy;
mod ports;
mod selector;
#[cfg(test)]
mod tests;

/// The plays of this module.
pub const PLAYS: &[Play] = &[
    Play {
        name: "service-selector",
        about: "corrects the one selector key that keeps a Service from its pods, or asks",
        classes: &[Class::ServiceNoEndpoints],
        run: selector::no_endpoints,
    },
    Play {
        name: "service-foreign-pods",
        about: "narrows a selector to the pods of the Service's own workload, or asks",
        classes: &[Class::ServiceSelectsForeignPods],
        run: selector::foreign_pods,
    },
    Play {
        name: "service-target-port",
        about: "points a Service at the only port that its pods declare, or asks",
        classes: &[Class::ServicePortMismatch],
        run: ports::run,
    },
    Play {
        name: "ingress-backend",
        about: "corrects the Service or port of an Ingress path where only one fits, or asks",
        classes: &[Class::IngressBackendMissing],
        run: backend::missing,
    },
    Play {
        name: "ingress-route",
        about: "sends an Ingress path to the Service that the report or Git history proves, or asks",
        classes: &[Class::IngressMisroute],
        run: backend::misroute,
    },
    Play {
        name: "ingress-reference",
        about: "says which class or TLS Secret an Ingress lacks, and what there is instead",
        classes: &[Class::IngressReferenceMissing],
        run: outside::ingress,
    },
    Play {
        name: "load-balancer",
        about: "says why a load balancer has no address; no manifest is at fault",
        classes: &[Class::LoadBalancerPending],
        run: outside::load_balancer,
    },
    Play {
        name: "network-policy",
        about: "says which rule a NetworkPolicy lacks; policies are never edited (E01)",
        classes: &[Class::NetworkPolicyBlocking],
        run: policy::run,
    },
];

/// The failing object as Git defines it, else as it is live.
fn object_of<'a>(case: &Case<'a>) -> Option<&'a Object> {
    case.manifest()
        .map(|d| &d.object)
        .or_else(|| case.snapshot.get(&case.finding.object))
}
