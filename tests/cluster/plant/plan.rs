//! Which fault is planted where: from apps and a seed, always the same.

use std::collections::{BTreeMap, BTreeSet};

use kubemend::edit::{self, FileEdit};
use kubemend::files::Files;
use kubemend::object::{Object, ObjectRef};
use kubemend::path::{FieldPath, Seg};
use kubemend::propose::Op;
use kubemend::render::Renderer;
use serde_json::{Value, json};

use super::app::{App, WORKLOADS, documents};
use super::dice::Dice;
use super::field;
use super::kinds::{Kind, Site};
use crate::registry::Registry;

/// A fault in an app that has a namespace of its own.
#[derive(Clone)]
pub struct Plant {
    pub kind: &'static Kind,
    pub app: App,
    pub namespace: String,
    /// The app as it is well.
    pub files: Files,
    /// What it defines, as it is well.
    pub objects: Vec<Object>,
    /// The object with the fault.
    pub object: ObjectRef,
    /// The field in the object, as it is applied.
    pub path: FieldPath,
    /// Its file, and the whole file with the fault in it.
    pub file: String,
    pub broken: Vec<u8>,
    /// What the file says, and what it is made to say.
    pub from: Value,
    pub to: Value,
}

impl Plant {
    /// The app as it is well.
    pub fn bed(&self) -> field::Bed {
        field::Bed {
            namespace: self.namespace.clone(),
            path: self.app.path.clone(),
            files: self.files.clone(),
            objects: self.objects.clone(),
        }
    }

    /// Its file in the repository.
    pub fn place(&self) -> String {
        format!("apps/{}/{}", self.namespace, self.file)
    }

    /// For people.
    pub fn shown(&self) -> String {
        format!(
            "{} in {} of {} ({}): {} becomes {}",
            self.kind.name,
            self.object,
            self.app.name,
            self.path.by_name(&self.object_value()),
            self.from,
            self.to
        )
    }

    fn object_value(&self) -> Value {
        let same = |o: &&Object| o.reference().same_object(&self.object);
        let object = self.objects.iter().find(same);
        object.map(|o| o.value.clone()).unwrap_or_default()
    }
}

/// What is wanted of a plan.
pub struct Order {
    pub seed: u64,
    pub count: usize,
    pub kinds: Vec<&'static Kind>,
}

/// So many faults, of all kinds as evenly as the apps allow; what no app has room for is left out.
pub fn plan(
    apps: &[App],
    renderer: &Renderer,
    registry: &Registry,
    order: Order,
    names: &dyn Fn(usize) -> String,
) -> Vec<Plant> {
    let count = order.count;
    let mut dice = Dice::new(order.seed);
    let known: Vec<(&App, Vec<Object>)> = apps
        .iter()
        .filter_map(|app| Some((app, app.bed("somewhere", renderer).ok()?.objects)))
        .collect();
    let mut plants: Vec<Plant> = Vec::new();
    let mut uses: BTreeMap<&str, usize> = BTreeMap::new();
    let mut kinds: Vec<&'static Kind> = dice.shuffled(order.kinds);
    while plants.len() < count && !kinds.is_empty() {
        let mut room = Vec::new();
        for kind in kinds {
            if plants.len() >= count {
                break;
            }
            let mut order = dice.shuffled(known.iter().collect());
            order.sort_by_key(|(app, _)| uses.get(app.name.as_str()).copied().unwrap_or(0));
            let namespace = names(plants.len());
            let found = order.into_iter().find_map(|(app, objects)| {
                let bed = Bed {
                    app,
                    renderer,
                    registry,
                };
                let plant = bed.plant(kind, objects, &namespace, &mut dice)?;
                let is_new = plants.iter().all(|p| !p.is_like(&plant));
                is_new.then_some((app, plant))
            });
            let Some((app, plant)) = found else {
                continue;
            };
            *uses.entry(&app.name).or_default() += 1;
            plants.push(plant);
            room.push(kind);
        }
        kinds = room;
    }
    plants
}

impl Plant {
    fn is_like(&self, other: &Self) -> bool {
        self.app.name == other.app.name && self.file == other.file && self.broken == other.broken
    }
}

/// Where something may be planted.
struct Bed<'a> {
    app: &'a App,
    renderer: &'a Renderer,
    registry: &'a Registry,
}

impl Bed<'_> {
    /// One fault of a kind, in a field by chance.
    fn plant(
        &self,
        kind: &'static Kind,
        objects: &[Object],
        namespace: &str,
        dice: &mut Dice,
    ) -> Option<Plant> {
        let mut fields: Vec<(&Object, FieldPath)> = Vec::new();
        for object in objects.iter().filter(|o| may_fail(o)) {
            for (path, value) in leaves(&object.value) {
                // the rest of a manifest is long, and no kind has a use for it
                if path.0.first() != Some(&Seg::Key("spec".to_owned())) {
                    continue;
                }
                let shown = path.by_name(&object.value).to_string();
                let mut site = Site {
                    object,
                    objects,
                    path: &shown,
                    value: &value,
                    registry: self.registry,
                    dice,
                };
                if kind.plant(&mut site).is_some() {
                    fields.push((object, path));
                }
            }
        }
        if fields.is_empty() {
            return None;
        }
        let files = self.app.moved(namespace).ok()?;
        let healthy = self.app.render(&files, self.renderer).ok()?;
        let fields = dice.shuffled(fields);
        fields
            .into_iter()
            .take(6)
            .find_map(|(object, path)| self.plant_at(kind, object, &path, &files, &healthy, dice))
            .map(|mut plant| {
                plant.namespace = namespace.to_owned();
                plant
            })
    }

    /// Changes the one place in the files that makes this field of this object what it is, and
    /// nothing else.
    fn plant_at(
        &self,
        kind: &'static Kind,
        object: &Object,
        path: &FieldPath,
        files: &Files,
        healthy: &[Object],
        dice: &mut Dice,
    ) -> Option<Plant> {
        let named = path.by_name(&object.value);
        let shown = named.to_string();
        for (file, bytes) in &files.by_path {
            for (number, document) in documents(bytes).iter().enumerate() {
                let Some((place, from, to)) = (match document["kind"] == object.kind() {
                    true => named.get(document).and_then(|value| {
                        let mut site = Site {
                            object,
                            objects: healthy,
                            path: &shown,
                            value,
                            registry: self.registry,
                            dice,
                        };
                        Some((named.clone(), value.clone(), kind.plant(&mut site)?))
                    }),
                    false => self.tag(kind, object, healthy, path, document, dice),
                }) else {
                    continue;
                };
                let edit = FileEdit {
                    document: number,
                    path: place,
                    op: Op::Set(to.clone()),
                    expected: Some(from.clone()),
                    inner: None,
                };
                let Ok(edited) = edit::apply(bytes, &[edit]) else {
                    continue;
                };
                let mut changed = files.clone();
                changed.by_path.insert(file.clone(), edited.bytes.clone());
                let Ok(broken) = self.app.render(&changed, self.renderer) else {
                    continue;
                };
                let wanted = format!("{}/{} {path}", object.kind(), object.name());
                if differences(healthy, &broken) != BTreeSet::from([wanted]) {
                    continue;
                }
                let same = |o: &&Object| o.kind() == object.kind() && o.name() == object.name();
                return Some(Plant {
                    kind,
                    app: self.app.clone(),
                    namespace: String::new(),
                    files: files.clone(),
                    objects: healthy.to_vec(),
                    object: healthy.iter().find(same)?.reference(),
                    path: path.clone(),
                    file: file.clone(),
                    broken: edited.bytes,
                    from,
                    to,
                });
            }
        }
        None
    }

    /// The tag that a kustomization sets.
    fn tag(
        &self,
        kind: &'static Kind,
        object: &Object,
        healthy: &[Object],
        path: &FieldPath,
        document: &Value,
        dice: &mut Dice,
    ) -> Option<(FieldPath, Value, Value)> {
        let value = path.get(&object.value)?;
        let (name, tag) = value.as_str()?.rsplit_once(':')?;
        let images = document.get("images")?.as_array()?;
        let at = images
            .iter()
            .position(|i| i["name"] == name && i["newTag"] == tag)?;
        let shown = path.by_name(&object.value).to_string();
        let mut site = Site {
            object,
            objects: healthy,
            path: &shown,
            value,
            registry: self.registry,
            dice,
        };
        let to = kind.plant(&mut site)?;
        let to = to.as_str()?.rsplit_once(':')?.1.to_owned();
        let place = FieldPath::keys(["images"]).index(at).key("newTag");
        Some((place, json!(tag), json!(to)))
    }
}

/// Whether what is planted in it shows at once.
fn may_fail(object: &Object) -> bool {
    WORKLOADS.contains(&object.kind()) && object.int("spec.replicas") != Some(0)
        || ["Service", "Ingress"].contains(&object.kind())
}

/// All values of an object, by their paths.
pub fn leaves(value: &Value) -> Vec<(FieldPath, Value)> {
    let mut all = Vec::new();
    walk(FieldPath::default(), value, &mut all);
    all
}

fn walk(path: FieldPath, value: &Value, all: &mut Vec<(FieldPath, Value)>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            map.iter()
                .for_each(|(k, v)| walk(path.then(Seg::Key(k.clone())), v, all));
        }
        Value::Array(items) if !items.is_empty() => {
            let items = items.iter().enumerate();
            items.for_each(|(i, v)| walk(path.index(i), v, all));
        }
        value => all.push((path, value.clone())),
    }
}

/// The fields that two renderings do not share, as `Kind/name path`.
pub fn differences(a: &[Object], b: &[Object]) -> BTreeSet<String> {
    let flat = |all: &[Object]| -> BTreeSet<(String, String)> {
        let of = |o: &Object| {
            let name = format!("{}/{}", o.kind(), o.name());
            let leaves = leaves(&o.value).into_iter();
            leaves
                .map(|(p, v)| (format!("{name} {p}"), v.to_string()))
                .collect::<Vec<_>>()
        };
        all.iter().flat_map(of).collect()
    };
    let (a, b) = (flat(a), flat(b));
    a.symmetric_difference(&b)
        .map(|(at, _)| at.clone())
        .collect()
}
