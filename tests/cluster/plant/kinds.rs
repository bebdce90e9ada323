//! The kinds of faults that are planted: which field, what it becomes, and what is right then.

use kubemend::object::{Container, Object};
use kubemend::path::FieldPath;
use kubemend::quantity::Quantity;
use serde_json::{Value, json};

use super::dice::Dice;
use crate::registry::Registry;

/// One kind of fault.
pub struct Kind {
    pub name: &'static str,
    /// Codes of questions and refusals that are right; none where the fix follows from facts.
    pub right: &'static [&'static str],
    /// The fields that a fix may touch, as the last words of their paths.
    pub fields: &'static [&'static str],
    /// What a field becomes; none where this kind of fault does not fit there.
    plant: fn(&mut Site<'_>) -> Option<Value>,
}

/// A field that may be changed.
pub struct Site<'a> {
    /// The object as it is applied.
    pub object: &'a Object,
    /// All that is applied with it.
    pub objects: &'a [Object],
    /// The path of the field in it.
    pub path: &'a str,
    /// What the file says there.
    pub value: &'a Value,
    pub registry: &'a Registry,
    pub dice: &'a mut Dice,
}

impl Kind {
    pub fn plant(&self, site: &mut Site<'_>) -> Option<Value> {
        (self.plant)(site).filter(|to| to != site.value)
    }
}

pub const KINDS: &[Kind] = &[
    Kind {
        name: "tag that does not exist",
        right: &[],
        fields: &["image", "newTag"],
        plant: |s| {
            let image = s.image()?;
            let (name, tag) = image.rsplit_once(':')?;
            let tag = s.dice.misspelled(tag).unwrap_or_else(|| format!("{tag}1"));
            let to = format!("{name}:{tag}");
            (!s.registry.has(&to)).then(|| json!(to))
        },
    },
    Kind {
        name: "release that crashes",
        right: &[],
        fields: &["image", "newTag"],
        plant: |s| Some(json!(s.registry.next(&s.image()?)?)),
    },
    Kind {
        name: "command that does not exist",
        right: &[],
        fields: &["command"],
        plant: |s| {
            s.at(".command[0]")?;
            s.slip("")
        },
    },
    Kind {
        name: "variable that the program misses",
        right: &["OwnerDecision", "MissingValue", "ApplicationFault"],
        fields: &["env"],
        plant: |s| {
            let (container, _) = s.path.split_once(".env[")?;
            let image = s.container(container)?.str("image")?.to_owned();
            let is_needed = s.registry.needs(&image, s.value.as_str()?);
            is_needed.then(|| s.slip("].name"))?
        },
    },
    Kind {
        name: "memory limit that is too low",
        right: &["MissingValue", "OwnerDecision"],
        fields: &["resources.limits.memory", "resources.requests.memory"],
        plant: |s| {
            let container = s.at(".resources.limits.memory")?;
            let uses = s.registry.uses(container.str("image")?)?;
            let low = whole_mebibytes(uses.times(3).div_floor(4)?)?;
            let request = container.get("resources.requests.memory");
            let fits = request.and_then(Quantity::of).is_none_or(|r| r <= low);
            fits.then(|| json!(low.to_string()))
        },
    },
    Kind {
        name: "ConfigMap that is misspelled",
        right: &[],
        fields: &[
            "configMapRef.name",
            "configMapKeyRef.name",
            "configMap.name",
        ],
        plant: |s| {
            let ends = [
                "configMapRef.name",
                "configMapKeyRef.name",
                "configMap.name",
            ];
            ends.iter().find_map(|e| s.slip_of_needed(e))
        },
    },
    Kind {
        name: "key of a ConfigMap that is misspelled",
        right: &[],
        fields: &["configMapKeyRef.key"],
        plant: |s| s.slip_of_needed("configMapKeyRef.key"),
    },
    Kind {
        name: "Secret that is misspelled",
        right: &["MissingSecretInput"],
        fields: &["secretRef.name", "secretKeyRef.name", "secret.secretName"],
        plant: |s| {
            let ends = ["secretRef.name", "secretKeyRef.name", "secret.secretName"];
            ends.iter().find_map(|e| s.slip_of_needed(e))
        },
    },
    Kind {
        name: "key of a Secret that is misspelled",
        right: &["MissingSecretInput"],
        fields: &["secretKeyRef.key"],
        plant: |s| s.slip_of_needed("secretKeyRef.key"),
    },
    Kind {
        name: "pull secret that is misspelled",
        right: &["MissingSecretInput"],
        fields: &["imagePullSecrets"],
        plant: |s| {
            let is_one = s.path.contains(".imagePullSecrets[");
            is_one.then(|| s.slip(".name"))?
        },
    },
    Kind {
        name: "port of a probe that nobody listens on",
        right: &[],
        fields: &["httpGet.port", "tcpSocket.port", "grpc.port"],
        plant: |s| {
            let probes = [
                "Probe.httpGet.port",
                "Probe.tcpSocket.port",
                "Probe.grpc.port",
            ];
            probes.iter().any(|p| s.path.ends_with(p)).then_some(())?;
            let port = s.value.as_i64().unwrap_or(8000);
            Some(json!(port + 1 + i64::try_from(s.dice.below(40)).ok()?))
        },
    },
    Kind {
        name: "path of a probe that is not served",
        right: &[],
        fields: &["httpGet.path"],
        plant: |s| s.slip("Probe.httpGet.path"),
    },
    Kind {
        name: "request that no node meets",
        right: &[],
        fields: &["resources.requests.cpu", "resources.requests.memory"],
        plant: |s| {
            let container = s.at(".resources.requests.cpu")?;
            let number = s.value.as_str()?.strip_suffix('m')?;
            let is_free = container.get("resources.limits.cpu").is_none();
            let is_too_much = number.parse::<u32>().is_ok_and(|n| n > 8);
            (is_free && is_too_much).then(|| json!(number))
        },
    },
    Kind {
        name: "request over the quota",
        right: &["OwnerDecision"],
        fields: &["resources.requests.memory"],
        plant: |s| {
            let container = s.at(".resources.requests.memory")?;
            let now = Quantity::of(s.value)?;
            let limit = container
                .get("resources.limits.memory")
                .and_then(Quantity::of)?;
            let quotas = s.objects.iter().filter(|o| o.kind() == "ResourceQuota");
            let hard = |o: &Object| Quantity::of(o.map("spec.hard")?.get("requests.memory")?);
            let hard = quotas.filter_map(hard).min()?;
            // a rollout has one pod more
            let is_over = s.object.kind() == "Deployment" && requested(s.objects) + limit > hard;
            (is_over && limit > now).then(|| json!(limit.to_string()))
        },
    },
    Kind {
        name: "node label that is misspelled",
        right: &[],
        fields: &["nodeSelector"],
        plant: |s| {
            let is_one = s.path.contains("spec.nodeSelector");
            is_one.then(|| s.slip(""))?
        },
    },
    Kind {
        name: "claim that is misspelled",
        right: &[],
        fields: &["persistentVolumeClaim.claimName"],
        plant: |s| s.slip("persistentVolumeClaim.claimName"),
    },
    Kind {
        name: "account that does not exist",
        right: &["ForbiddenByRule"],
        fields: &["serviceAccountName"],
        plant: |s| s.slip(".serviceAccountName"),
    },
    Kind {
        name: "Service that selects nothing",
        right: &[],
        fields: &["spec.selector"],
        plant: |s| {
            let is_one = s.object.kind() == "Service" && s.path.starts_with("spec.selector");
            is_one.then(|| s.slip(""))?
        },
    },
    Kind {
        name: "target port that is misspelled",
        right: &[],
        fields: &["targetPort"],
        plant: |s| {
            let is_one = s.object.kind() == "Service";
            is_one.then(|| s.slip(".targetPort"))?
        },
    },
    Kind {
        name: "backend that does not exist",
        right: &[],
        fields: &["backend.service.name", "backend.service.port"],
        plant: |s| s.slip("backend.service.name"),
    },
    Kind {
        name: "number that is none",
        right: &["MissingValue"],
        fields: &["replicas", "containerPort"],
        plant: |s| {
            let is_one = s.path == "spec.replicas" || s.path.ends_with(".containerPort");
            let number = is_one.then(|| s.value.as_u64())??.to_string();
            let at = s.dice.below(number.len());
            let (head, tail) = number.split_at(at);
            Some(json!(format!("{head}O{tail}")))
        },
    },
];

/// The largest number of whole MiB that is not over an amount.
fn whole_mebibytes(amount: Quantity) -> Option<Quantity> {
    let mut low = 0_i64;
    for bit in (0..24).rev() {
        let next = low + (1 << bit);
        if Quantity::mebi(next) <= amount {
            low = next;
        }
    }
    (low > 0).then(|| Quantity::mebi(low))
}

/// The memory that all workloads ask for.
fn requested(objects: &[Object]) -> Quantity {
    let of = |o: &Object| {
        let replicas = o.int("spec.replicas").unwrap_or(1);
        let all = o.containers().into_iter().filter(|c| !c.init);
        let each: Quantity = all
            .filter_map(|c| Quantity::of(c.get("resources.requests.memory")?))
            .sum();
        each.times(replicas)
    };
    objects.iter().map(of).sum()
}

impl Site<'_> {
    /// The container that the field is in, where the path ends so.
    fn at(&self, end: &str) -> Option<Container<'_>> {
        let head = self.path.strip_suffix(end)?;
        self.container(head)
    }

    fn container(&self, path: &str) -> Option<Container<'_>> {
        if !path.ends_with(']') {
            return None;
        }
        let mut all = self.object.containers().into_iter();
        all.find(|c| c.path.by_name(&self.object.value).to_string() == path)
    }

    /// The image, where the field is one.
    fn image(&self) -> Option<String> {
        self.at(".image")?;
        let image = self.value.as_str()?;
        (!image.contains('@')).then(|| image.to_owned())
    }

    /// The same of a reference that the app cannot do without.
    fn slip_of_needed(&mut self, end: &str) -> Option<Value> {
        let path: FieldPath = self.path.parse().ok()?;
        let (reference, _) = path.split_last()?;
        let may_lack = reference
            .get(&self.object.value)
            .and_then(|r| r.get("optional"));
        let is_needed = may_lack.and_then(Value::as_bool) != Some(true);
        is_needed.then(|| self.slip(end))?
    }

    /// A slip in a text whose path ends so.
    fn slip(&mut self, end: &str) -> Option<Value> {
        if !self.path.ends_with(end) {
            return None;
        }
        Some(json!(self.dice.misspelled(self.value.as_str()?)?))
    }
}
