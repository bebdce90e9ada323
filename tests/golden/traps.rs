//! One tiny repository a trap (locate.md, section 12), rendered by the real tool.

use std::collections::BTreeMap;

use kubemend::code::{Code, Refusal};
use kubemend::edit;
use kubemend::files::Files;
use kubemend::locate::{Policy, Repository, SharedBase};
use kubemend::object::ObjectRef;
use kubemend::propose::{Op, ProposedEdit, Unlock};
use serde_json::json;

use crate::RENDERER;

type Outcome = Result<(), String>;
/// A name and what it checks.
type Trap = (&'static str, fn() -> Outcome);

/// All traps by name.
pub(crate) const ALL: &[Trap] = &[
    ("idempotent_pin", idempotent_pin),
    ("equal_image_entries", equal_image_entries),
    ("digest_instead_of_tag", digest_instead_of_tag),
    ("image_name_in_entry", image_name_in_entry),
    ("patches_in_order", patches_in_order),
    ("component_before_own_patch", component_before_own_patch),
    ("json_index_after_prepend", json_index_after_prepend),
    ("inline_patch", inline_patch),
    ("variable_is_no_literal", variable_is_no_literal),
    ("replacement_target", replacement_target),
    ("merged_generator", merged_generator),
    ("generator_file", generator_file),
    ("hash_renames_are_paired", hash_renames_are_paired),
    ("renamed_workload", renamed_workload),
    ("container_only_in_patch", container_only_in_patch),
    ("list_documents", list_documents),
    ("patch_is_no_definition", patch_is_no_definition),
    ("same_name_in_two_overlays", same_name_in_two_overlays),
    ("custom_resource_in_overlay", custom_resource_in_overlay),
    ("shared_base_policies", shared_base_policies),
    ("one_base_twice_in_one_root", one_base_twice_in_one_root),
    ("absent_field", absent_field),
    ("whole_subtree", whole_subtree),
    ("remove_and_append", remove_and_append),
    ("boolean_and_port", boolean_and_port),
    ("reference_with_prefix", reference_with_prefix),
    ("two_edits_one_patch", two_edits_one_patch),
    ("image_policy_line", image_policy_line),
    ("encrypted_file", encrypted_file),
    ("generated_file_header", generated_file_header),
    ("remote_base", remote_base),
    ("escape", escape),
    ("broken_root_is_mended", broken_root_is_mended),
    ("cycle", cycle),
    ("orphan", orphan),
    ("chart_object", chart_object),
    ("foreign_edit_is_caught", foreign_edit_is_caught),
    ("without_renderer", without_renderer),
];

fn files(list: &[(&str, &str)]) -> Files {
    Files {
        by_path: list
            .iter()
            .map(|(p, t)| ((*p).to_owned(), t.as_bytes().to_vec()))
            .collect(),
    }
}

fn open(files: &Files) -> Repository<'_> {
    Repository::open(files, RENDERER.as_ref(), Some("shop"), Policy::default())
}

fn deployment(name: &str, container: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\nspec:\n  replicas: 2\n  selector:\n    matchLabels:\n      app: {name}\n  template:\n    metadata:\n      labels:\n        app: {name}\n    spec:\n      containers:\n      - name: {container}\n        image: registry.test/{name}:1.0\n        resources:\n          limits:\n            memory: 64Mi\n"
    )
}

const MEMORY: &str = "spec.template.spec.containers[name=main].resources.limits.memory";
const IMAGE: &str = "spec.template.spec.containers[name=main].image";

fn web() -> ObjectRef {
    ObjectRef::new("apps/v1", "Deployment", Some("shop"), "web")
}

fn at(repository: &Repository<'_>, object: &ObjectRef, path: &str) -> Result<String, Code> {
    let path = path.parse().map_err(|_| Code::PathNotFound)?;
    let site = repository.locate(object, &path).map_err(|r| r.code)?;
    Ok(format!("{}:{}", site.file, site.line))
}

fn edit(object: ObjectRef, path: &str, op: Op) -> ProposedEdit {
    ProposedEdit {
        object,
        path: path.parse().unwrap_or_default(),
        op,
        unlock: Unlock::LastHealthyTemplate,
        basis: "test".to_owned(),
    }
}

/// Plans, applies and proves; gives the changed files.
fn mend(files: &Files, edits: &[ProposedEdit]) -> Result<BTreeMap<String, String>, Refusal> {
    mend_with(files, edits, Policy::default())
}

fn mend_with(
    files: &Files,
    edits: &[ProposedEdit],
    policy: Policy,
) -> Result<BTreeMap<String, String>, Refusal> {
    let repository = Repository::open(files, RENDERER.as_ref(), Some("shop"), policy);
    let mut by_file: BTreeMap<String, Vec<edit::FileEdit>> = BTreeMap::new();
    for located in repository.plan_all(edits)? {
        for (file, more) in located.edits {
            let list = by_file.entry(file).or_default();
            more.into_iter().for_each(|e| {
                if !list.contains(&e) {
                    list.push(e);
                }
            });
        }
    }
    let mut changed = BTreeMap::new();
    for (file, edits) in &by_file {
        let bytes = edit::apply(files.get(file).unwrap_or_default(), edits)?.bytes;
        changed.insert(file.clone(), bytes);
    }
    repository.verify(&changed, edits)?;
    let text = |b: Vec<u8>| String::from_utf8_lossy(&b).into_owned();
    Ok(changed.into_iter().map(|(f, b)| (f, text(b))).collect())
}

fn paths(changed: &BTreeMap<String, String>) -> Vec<&str> {
    changed.keys().map(String::as_str).collect()
}

fn same<T: PartialEq + std::fmt::Debug>(found: T, wanted: T) -> Outcome {
    if found == wanted {
        return Ok(());
    }
    Err(format!("found {found:?}\nwanted {wanted:?}"))
}

fn text(r: Refusal) -> String {
    r.to_string()
}

fn base_and_overlay(overlay: &str) -> Files {
    files(&[
        ("base/kustomization.yaml", "resources:\n- web.yaml\n"),
        ("base/web.yaml", &deployment("web", "main")),
        ("prod/kustomization.yaml", overlay),
    ])
}

fn idempotent_pin() -> Outcome {
    let mut f = base_and_overlay("resources:\n- ../base\npatches:\n- path: pin.yaml\n");
    let pin = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  template:\n    spec:\n      containers:\n      - name: main\n        resources:\n          limits:\n            memory: 64Mi\n";
    f.by_path.insert("prod/pin.yaml".into(), pin.into());
    same(at(&open(&f), &web(), MEMORY), Ok("prod/pin.yaml:12".into()))
}

fn equal_image_entries() -> Outcome {
    let f = base_and_overlay(
        "resources:\n- ../base\nimages:\n- name: registry.test/web\n  newTag: \"2\"\n- name: registry.test/web\n  newTag: \"2\"\n",
    );
    same(
        at(&open(&f), &web(), IMAGE),
        Ok("prod/kustomization.yaml:7".into()),
    )
}

fn digest_instead_of_tag() -> Outcome {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let f = base_and_overlay(&format!(
        "resources:\n- ../base\nimages:\n- name: registry.test/web\n  digest: {digest}\n"
    ));
    same(
        at(&open(&f), &web(), IMAGE),
        Ok("prod/kustomization.yaml:5".into()),
    )?;
    let wanted = edit(web(), IMAGE, Op::Set(json!("registry.test/web:1.1")));
    let changed = mend(&f, &[wanted]).map_err(text)?;
    let new = &changed["prod/kustomization.yaml"];
    same(
        new.contains("newTag: \"1.1\"") && !new.contains("digest"),
        true,
    )
}

fn image_name_in_entry() -> Outcome {
    let entry =
        "resources:\n- ../base\nimages:\n- name: registry.test/web\n  newName: mirror.test/wbe\n";
    let wanted = edit(web(), IMAGE, Op::Set(json!("mirror.test/web:1.0")));
    let f = base_and_overlay(entry);
    same(
        at(&open(&f), &web(), IMAGE),
        Ok("prod/kustomization.yaml:5".into()),
    )?;
    let changed = mend(&f, std::slice::from_ref(&wanted)).map_err(text)?;
    same(
        changed["prod/kustomization.yaml"].contains("newName: mirror.test/web\n"),
        true,
    )?;
    let f = base_and_overlay(&format!("{entry}  newTag: \"1.0\"\n"));
    let changed = mend(&f, &[wanted]).map_err(text)?;
    same(
        changed["prod/kustomization.yaml"].contains("newName: mirror.test/web\n"),
        true,
    )
}

fn patches_in_order() -> Outcome {
    let patch = |memory: &str| {
        format!(
            "- target: {{kind: Deployment, name: web}}\n  patch: |-\n    - op: replace\n      path: /spec/template/spec/containers/0/resources/limits/memory\n      value: {memory}\n"
        )
    };
    let f = base_and_overlay(&format!(
        "resources:\n- ../base\npatches:\n{}{}",
        patch("80Mi"),
        patch("96Mi")
    ));
    same(
        at(&open(&f), &web(), MEMORY),
        Ok("prod/kustomization.yaml:13".into()),
    )?;
    let changed = mend(&f, &[edit(web(), MEMORY, Op::Set(json!("128Mi")))]).map_err(text)?;
    let new = &changed["prod/kustomization.yaml"];
    same(
        new.contains("80Mi") && new.contains("128Mi") && !new.contains("96Mi"),
        true,
    )
}

fn component_before_own_patch() -> Outcome {
    let patch = |memory: &str| {
        format!(
            "patches:\n- target: {{kind: Deployment}}\n  patch: |-\n    - op: replace\n      path: /spec/template/spec/containers/0/resources/limits/memory\n      value: {memory}\n"
        )
    };
    let own = format!(
        "resources:\n- ../base\ncomponents:\n- ../part\n{}",
        patch("96Mi")
    );
    let part = format!(
        "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n{}",
        patch("80Mi")
    );
    let mut f = base_and_overlay(&own);
    f.by_path
        .insert("part/kustomization.yaml".into(), part.into());
    same(
        at(&open(&f), &web(), MEMORY),
        Ok("prod/kustomization.yaml:10".into()),
    )
}

fn json_index_after_prepend() -> Outcome {
    let f = base_and_overlay(
        "resources:\n- ../base\npatches:\n- target: {kind: Deployment}\n  patch: |-\n    - op: add\n      path: /spec/template/spec/containers/0\n      value: {name: first, image: registry.test/side:1}\n    - op: replace\n      path: /spec/template/spec/containers/1/resources/limits/memory\n      value: 96Mi\n",
    );
    same(
        at(&open(&f), &web(), MEMORY),
        Ok("prod/kustomization.yaml:11".into()),
    )
}

fn inline_patch() -> Outcome {
    let f = base_and_overlay(
        "resources:\n- ../base\npatches:\n- patch: |-\n    apiVersion: apps/v1\n    kind: Deployment\n    metadata:\n      name: web\n    spec:\n      template:\n        spec:\n          containers:\n          - name: main\n            resources:\n              limits:\n                memory: 96Mi # per pod\n",
    );
    same(
        at(&open(&f), &web(), MEMORY),
        Ok("prod/kustomization.yaml:16".into()),
    )?;
    let changed = mend(&f, &[edit(web(), MEMORY, Op::Set(json!("128Mi")))]).map_err(text)?;
    same(
        changed["prod/kustomization.yaml"].contains("memory: 128Mi # per pod\n"),
        true,
    )
}

fn variable_is_no_literal() -> Outcome {
    let web_yaml = deployment("web", "main").replace(
        "        resources:",
        "        args: [\"--host=$(HOST)\", $(HOST)]\n        resources:",
    );
    let f = files(&[
        (
            "app/kustomization.yaml",
            "resources:\n- web.yaml\n- service.yaml\nvars:\n- name: HOST\n  objref: {apiVersion: v1, kind: Service, name: api}\n",
        ),
        ("app/web.yaml", &web_yaml),
        (
            "app/service.yaml",
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: api\nspec:\n  ports:\n  - port: 80\n",
        ),
    ]);
    let r = open(&f);
    let arg = "spec.template.spec.containers[name=main].args[1]";
    same(at(&r, &web(), arg), Err(Code::Templated))?;
    same(
        at(
            &r,
            &web(),
            "spec.template.spec.containers[name=main].args[0]",
        ),
        Err(Code::Templated),
    )
}

fn replacement_target() -> Outcome {
    let f = files(&[
        (
            "app/kustomization.yaml",
            "resources:\n- web.yaml\n- size.yaml\nreplacements:\n- source: {kind: ConfigMap, name: size, fieldPath: data.memory}\n  targets:\n  - select: {kind: Deployment}\n    fieldPaths: [\"spec.template.spec.containers.[name=main].resources.limits.memory\"]\n",
        ),
        ("app/web.yaml", &deployment("web", "main")),
        (
            "app/size.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: size\ndata:\n  memory: 80Mi\n",
        ),
    ]);
    same(at(&open(&f), &web(), MEMORY), Ok("app/size.yaml:6".into()))?;
    // The ConfigMap itself would change too, and a patch would be overridden.
    let refused = mend(&f, &[edit(web(), MEMORY, Op::Set(json!("128Mi")))]);
    same(refused.map_err(|r| r.code), Err(Code::NotVerifiable))
}

fn merged_generator() -> Outcome {
    let f = files(&[
        (
            "base/kustomization.yaml",
            "configMapGenerator:\n- name: conf\n  literals:\n  - MODE=slow\n  - LEVEL=info\n",
        ),
        (
            "prod/kustomization.yaml",
            "resources:\n- ../base\nconfigMapGenerator:\n- name: conf\n  behavior: merge\n  literals:\n  - MODE=fast\n",
        ),
    ]);
    let r = open(&f);
    let conf = ObjectRef::new("v1", "ConfigMap", Some("shop"), "conf-aaaaaaaaaa");
    same(
        at(&r, &conf, "data.MODE"),
        Ok("prod/kustomization.yaml:7".into()),
    )?;
    same(
        at(&r, &conf, "data.LEVEL"),
        Ok("base/kustomization.yaml:5".into()),
    )
}

fn generator_file() -> Outcome {
    let f = files(&[
        (
            "app/kustomization.yaml",
            "configMapGenerator:\n- name: conf\n  files:\n  - app.ini\n  envs:\n  - app.env\n",
        ),
        ("app/app.ini", "[server]\nport=80\n"),
        ("app/app.env", "# comment\nMODE=fast\n"),
    ]);
    let r = open(&f);
    let conf = ObjectRef::new("v1", "ConfigMap", Some("shop"), "conf-aaaaaaaaaa");
    same(
        at(&r, &conf, "data[\"app.ini\"]"),
        Ok("app/app.ini:1".into()),
    )?;
    same(at(&r, &conf, "data.MODE"), Ok("app/app.env:2".into()))?;
    let refused = mend(&f, &[edit(conf, "data.MODE", Op::Set(json!("slow")))]);
    same(refused.map_err(|r| r.code), Err(Code::NotYetSupported))
}

fn hash_renames_are_paired() -> Outcome {
    let web_yaml = deployment("web", "main").replace(
        "        resources:",
        "        envFrom:\n        - configMapRef:\n            name: conf\n        resources:",
    );
    let f = files(&[
        (
            "app/kustomization.yaml",
            "resources:\n- web.yaml\nconfigMapGenerator:\n- name: conf\n  literals:\n  - MODE=slow\n",
        ),
        ("app/web.yaml", &web_yaml),
    ]);
    let conf = ObjectRef::new("v1", "ConfigMap", Some("shop"), "conf-aaaaaaaaaa");
    let changed = mend(&f, &[edit(conf, "data.MODE", Op::Set(json!("fast")))]).map_err(text)?;
    same(
        changed["app/kustomization.yaml"].contains("- MODE=fast\n"),
        true,
    )
}

fn renamed_workload() -> Outcome {
    let f = base_and_overlay("resources:\n- ../base\nnamePrefix: eu-\nnamespace: shop\n");
    let r = open(&f);
    let renamed = ObjectRef::new("apps/v1", "Deployment", Some("shop"), "eu-web");
    same(at(&r, &renamed, MEMORY), Ok("base/web.yaml:20".into()))?;
    same(at(&r, &web(), MEMORY), Err(Code::NotManaged))
}

fn container_only_in_patch() -> Outcome {
    let f = base_and_overlay("resources:\n- ../base\npatches:\n- path: side.yaml\n");
    let mut f = f;
    let side = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  template:\n    spec:\n      containers:\n      - name: side\n        image: registry.test/side:1\n";
    f.by_path.insert("prod/side.yaml".into(), side.into());
    let r = open(&f);
    same(
        at(&r, &web(), "spec.template.spec.containers[name=side].image"),
        Ok("prod/side.yaml:10".into()),
    )?;
    same(at(&r, &web(), MEMORY), Ok("base/web.yaml:20".into()))
}

fn list_documents() -> Outcome {
    let f = files(&[(
        "all.yaml",
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata:\n    name: a\n  spec:\n    ports:\n    - port: 80\n- apiVersion: v1\n  kind: Service\n  metadata:\n    name: b\n  spec:\n    ports:\n    - port: 81\n",
    )]);
    let b = ObjectRef::new("v1", "Service", Some("shop"), "b");
    same(
        at(&open(&f), &b, "spec.ports[0].port"),
        Ok("all.yaml:17".into()),
    )?;
    let changed = mend(&f, &[edit(b, "spec.ports[0].port", Op::Set(json!(82)))]).map_err(text)?;
    same(changed["all.yaml"].contains("port: 82"), true)
}

fn patch_is_no_definition() -> Outcome {
    let mut f = base_and_overlay("resources:\n- ../base\npatches:\n- path: web.yaml\n");
    f.by_path
        .insert("prod/web.yaml".into(), deployment("web", "main").into());
    let r = open(&f);
    let webs = r
        .desired
        .iter()
        .filter(|d| d.object.name() == "web")
        .count();
    same(webs, 1)?;
    same(at(&r, &web(), MEMORY), Ok("prod/web.yaml:20".into()))
}

fn two_environments(dev: &str, prod: &str) -> Files {
    let mut f = base_and_overlay(prod);
    f.by_path
        .insert("dev/kustomization.yaml".into(), dev.into());
    f
}

fn same_name_in_two_overlays() -> Outcome {
    let f = two_environments("resources: [../base]\n", "resources: [../base]\n");
    same(at(&open(&f), &web(), MEMORY), Err(Code::Ambiguous))?;
    let f = two_environments(
        "resources: [../base]\nnamespace: dev\n",
        "resources: [../base]\nnamespace: shop\n",
    );
    same(at(&open(&f), &web(), MEMORY), Ok("base/web.yaml:20".into()))
}

fn custom_resource_in_overlay() -> Outcome {
    let rollout = deployment("web", "main").replace(
        "apps/v1\nkind: Deployment",
        "argoproj.io/v1alpha1\nkind: Rollout",
    );
    let f = files(&[
        ("base/kustomization.yaml", "resources:\n- web.yaml\n"),
        ("base/web.yaml", &rollout),
        (
            "dev/kustomization.yaml",
            "resources: [../base]\nnamespace: dev\n",
        ),
        (
            "prod/kustomization.yaml",
            "resources:\n- ../base\nnamespace: shop\n",
        ),
    ]);
    let object = ObjectRef::new("argoproj.io/v1alpha1", "Rollout", Some("shop"), "web");
    let changed = mend(&f, &[edit(object, MEMORY, Op::Set(json!("128Mi")))]).map_err(text)?;
    let new = &changed["prod/kustomization.yaml"];
    same(
        new.contains("op: test") && new.contains("op: replace") && new.contains("128Mi"),
        true,
    )
}

fn shared_base_policies() -> Outcome {
    let f = two_environments(
        "resources: [../base]\nnamespace: dev\n",
        "resources:\n- ../base\nnamespace: shop\n",
    );
    let wanted = [edit(web(), MEMORY, Op::Set(json!("128Mi")))];
    let overlay = mend(&f, &wanted).map_err(text)?;
    same(paths(&overlay), vec!["prod/kustomization.yaml"])?;
    let policy = |shared_base| Policy { shared_base };
    let base = mend_with(&f, &wanted, policy(SharedBase::Base)).map_err(text)?;
    same(paths(&base), vec!["base/web.yaml"])?;
    let refused = mend_with(&f, &wanted, policy(SharedBase::Refuse)).map_err(|r| r.code);
    same(refused, Err(Code::SharedBase))?;
    let image = mend(
        &f,
        &[edit(web(), IMAGE, Op::Set(json!("registry.test/web:1.1")))],
    )
    .map_err(text)?;
    same(
        image["prod/kustomization.yaml"]
            .contains("images:\n- name: registry.test/web\n  newTag: \"1.1\""),
        true,
    )?;
    let replicas = mend(&f, &[edit(web(), "spec.replicas", Op::Set(json!(3)))]).map_err(text)?;
    same(
        replicas["prod/kustomization.yaml"].contains("replicas:\n- name: web\n  count: 3"),
        true,
    )
}

fn one_base_twice_in_one_root() -> Outcome {
    let f = files(&[
        ("base/kustomization.yaml", "resources:\n- web.yaml\n"),
        ("base/web.yaml", &deployment("web", "main")),
        (
            "a/kustomization.yaml",
            "resources: [../base]\nnamePrefix: a-\n",
        ),
        (
            "b/kustomization.yaml",
            "resources: [../base]\nnamePrefix: b-\n",
        ),
        (
            "all/kustomization.yaml",
            "namePrefix: all-\nresources:\n- ../a\n- ../b\n",
        ),
    ]);
    let a = ObjectRef::new("apps/v1", "Deployment", Some("shop"), "all-a-web");
    let changed = mend(&f, &[edit(a, MEMORY, Op::Set(json!("128Mi")))]).map_err(text)?;
    same(paths(&changed), vec!["all/kustomization.yaml"])
}

fn absent_field() -> Outcome {
    let cpu = MEMORY.replace("memory", "cpu");
    let f = base_and_overlay("resources:\n- ../base\nnamespace: shop\n");
    let changed = mend(&f, &[edit(web(), &cpu, Op::Add(json!("500m")))]).map_err(text)?;
    same(
        changed["base/web.yaml"].contains("            memory: 64Mi\n            cpu: 500m\n"),
        true,
    )?;
    let probe = "spec.template.spec.containers[name=main].readinessProbe";
    let probe_value = json!({"httpGet": {"path": "/ready", "port": 8080}});
    let changed = mend(&f, &[edit(web(), probe, Op::Add(probe_value.clone()))]).map_err(text)?;
    same(
        changed["base/web.yaml"].contains("        readinessProbe:\n"),
        true,
    )?;
    let f = two_environments(
        "resources: [../base]\nnamespace: dev\n",
        "resources: [../base]\nnamespace: shop\n",
    );
    let changed = mend(&f, &[edit(web(), probe, Op::Add(probe_value))]).map_err(text)?;
    same(paths(&changed), vec!["prod/kustomization.yaml"])
}

fn whole_subtree() -> Outcome {
    let f = base_and_overlay("resources:\n- ../base\n");
    let resources = "spec.template.spec.containers[name=main].resources";
    let wanted = json!({"limits": {"memory": "128Mi"}, "requests": {"cpu": "10m"}});
    let changed = mend(&f, &[edit(web(), resources, Op::Set(wanted.clone()))]).map_err(text)?;
    same(changed["base/web.yaml"].contains("cpu: 10m"), true)?;
    let f = base_and_overlay(
        "resources:\n- ../base\npatches:\n- target: {kind: Deployment}\n  patch: |-\n    - op: add\n      path: /spec/template/spec/containers/0/resources/limits/cpu\n      value: 100m\n",
    );
    let refused = mend(&f, &[edit(web(), resources, Op::Set(wanted))]);
    same(refused.map_err(|r| r.code), Err(Code::Ambiguous))
}

fn remove_and_append() -> Outcome {
    let web_yaml = deployment("web", "main").replace(
        "        resources:",
        "        env:\n        - name: A\n          value: \"1\"\n        - name: B\n          value: \"2\"\n        resources:",
    );
    let list = "spec.template.spec.containers[name=main].env";
    let mut f = base_and_overlay("resources:\n- ../base\n");
    f.by_path
        .insert("base/web.yaml".into(), web_yaml.clone().into());
    let changed = mend(&f, &[edit(web(), &format!("{list}[name=B]"), Op::Remove)]).map_err(text)?;
    same(changed["base/web.yaml"].contains("name: B"), false)?;
    let added = edit(
        web(),
        &format!("{list}[2]"),
        Op::Add(json!({"name": "C", "value": "3"})),
    );
    let changed = mend(&f, std::slice::from_ref(&added)).map_err(text)?;
    same(
        changed["base/web.yaml"].contains("        - name: C\n          value: \"3\"\n"),
        true,
    )?;
    let mut f = two_environments(
        "resources: [../base]\nnamespace: dev\n",
        "resources: [../base]\nnamespace: shop\n",
    );
    f.by_path.insert("base/web.yaml".into(), web_yaml.into());
    mend(&f, &[added]).map_err(text)?;
    let changed = mend(&f, &[edit(web(), &format!("{list}[name=B]"), Op::Remove)]).map_err(text)?;
    same(
        changed["prod/kustomization.yaml"].contains("$patch: delete"),
        true,
    )
}

fn boolean_and_port() -> Outcome {
    let web_yaml = deployment("web", "main").replace(
        "        resources:",
        "        ports:\n        - name: http\n          containerPort: 8080\n        securityContext:\n          readOnlyRootFilesystem: true\n        resources:",
    );
    let mut f = base_and_overlay("resources:\n- ../base\n");
    f.by_path.insert("base/web.yaml".into(), web_yaml.into());
    let r = open(&f);
    let at_container = |tail: &str| format!("spec.template.spec.containers[name=main].{tail}");
    same(
        at(&r, &web(), &at_container("ports[0].containerPort")),
        Ok("base/web.yaml:20".into()),
    )?;
    same(
        at(
            &r,
            &web(),
            &at_container("securityContext.readOnlyRootFilesystem"),
        ),
        Ok("base/web.yaml:22".into()),
    )?;
    let port = edit(
        web(),
        &at_container("ports[name=http].containerPort"),
        Op::Set(json!(8081)),
    );
    mend(&f, &[port]).map_err(text)?;
    same(
        at(&r, &web(), "spec.selector.matchLabels.app"),
        Ok("base/web.yaml:9".into()),
    )
}

fn reference_with_prefix() -> Outcome {
    let f = files(&[
        (
            "app/kustomization.yaml",
            "namePrefix: eu-\nresources:\n- ingress.yaml\n- services.yaml\n",
        ),
        (
            "app/ingress.yaml",
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: front\nspec:\n  defaultBackend:\n    service:\n      name: wbe\n      port:\n        number: 80\n",
        ),
        (
            "app/services.yaml",
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n  ports:\n  - port: 80\n",
        ),
    ]);
    let front = ObjectRef::new("networking.k8s.io/v1", "Ingress", Some("shop"), "eu-front");
    let wanted = edit(
        front,
        "spec.defaultBackend.service.name",
        Op::Set(json!("eu-web")),
    );
    let changed = mend(&f, &[wanted]).map_err(text)?;
    same(
        changed["app/ingress.yaml"].contains("      name: web\n"),
        true,
    )
}

fn two_edits_one_patch() -> Outcome {
    let f = two_environments(
        "resources: [../base]\nnamespace: dev\n",
        "resources: [../base]\nnamespace: shop\n",
    );
    let cpu = MEMORY.replace("memory", "cpu");
    let edits = [
        edit(web(), MEMORY, Op::Set(json!("128Mi"))),
        edit(web(), &cpu, Op::Add(json!("250m"))),
    ];
    let changed = mend(&f, &edits).map_err(text)?;
    let new = &changed["prod/kustomization.yaml"];
    same(
        (
            new.matches("patch:").count(),
            new.contains("128Mi"),
            new.contains("250m"),
        ),
        (1, true, true),
    )
}

fn image_policy_line() -> Outcome {
    let yaml = deployment("web", "main").replace(
        "web:1.0",
        "web:1.0 # {\"$imagepolicy\": \"flux-system:web\"}",
    );
    let f = files(&[("web.yaml", &yaml)]);
    same(at(&open(&f), &web(), IMAGE), Err(Code::ImageAutomation))?;
    same(at(&open(&f), &web(), MEMORY), Ok("web.yaml:20".into()))
}

fn encrypted_file() -> Outcome {
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c\ndata:\n  k: ENC[AES256_GCM,data:x]\nsops:\n  mac: ENC[x]\n";
    let f = files(&[("c.yaml", yaml)]);
    let c = ObjectRef::new("v1", "ConfigMap", Some("shop"), "c");
    same(at(&open(&f), &c, "data.k"), Err(Code::SopsEncrypted))
}

fn generated_file_header() -> Outcome {
    let yaml = format!(
        "# Code generated by make; DO NOT EDIT.\n{}",
        deployment("web", "main")
    );
    let f = files(&[("web.yaml", &yaml)]);
    same(at(&open(&f), &web(), MEMORY), Err(Code::GeneratedFile))
}

fn remote_base() -> Outcome {
    let mut f =
        base_and_overlay("resources:\n- ../base\n- https://example.test/acme/base?ref=v1\n");
    same(at(&open(&f), &web(), MEMORY), Err(Code::RemoteBase))?;
    // A broken root does not stop the others.
    f.by_path
        .insert("plain/api.yaml".into(), deployment("api", "main").into());
    let api = ObjectRef::new("apps/v1", "Deployment", Some("shop"), "api");
    same(at(&open(&f), &api, MEMORY), Ok("plain/api.yaml:20".into()))
}

fn escape() -> Outcome {
    let f = base_and_overlay("resources:\n- ../base\n- ../../../etc/passwd.yaml\n");
    same(at(&open(&f), &web(), MEMORY), Err(Code::RemoteBase))
}

fn broken_root_is_mended() -> Outcome {
    let f = base_and_overlay("resources:\n- ../base\npatches:\n- limits.yaml\n");
    let mut f = f;
    let patch =
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  replicas: 4\n";
    f.by_path.insert("prod/limits.yaml".into(), patch.into());
    same(at(&open(&f), &web(), MEMORY), Err(Code::RenderFailed))?;
    let k = ObjectRef::new(
        "kustomize.config.k8s.io/v1beta1",
        "Kustomization",
        None,
        "prod",
    );
    let wanted = edit(
        k.clone(),
        "patches",
        Op::Set(json!([{"path": "limits.yaml"}])),
    );
    let changed = mend(&f, &[wanted]).map_err(text)?;
    same(
        changed["prod/kustomization.yaml"].contains("path: limits.yaml"),
        true,
    )?;
    let useless = edit(k, "patches", Op::Set(json!([{"path": "absent.yaml"}])));
    same(
        mend(&f, &[useless]).map_err(|r| r.code),
        Err(Code::NotVerifiable),
    )
}

fn cycle() -> Outcome {
    let f = files(&[
        ("a/kustomization.yaml", "resources:\n- ../b\n"),
        ("b/kustomization.yaml", "resources:\n- ../a\n"),
    ]);
    let r = open(&f);
    same(r.problems.len(), 2)
}

fn orphan() -> Outcome {
    let mut f = base_and_overlay("resources:\n- ../base\n");
    f.by_path
        .insert("base/api.yaml".into(), deployment("api", "main").into());
    let api = ObjectRef::new("apps/v1", "Deployment", Some("shop"), "api");
    same(at(&open(&f), &api, MEMORY), Err(Code::NotRendered))
}

fn chart_object() -> Outcome {
    let f = files(&[
        (
            "chart/Chart.yaml",
            "apiVersion: v2\nname: web\nversion: 1.0.0\n",
        ),
        ("chart/values.yaml", "memory: 64Mi\n"),
        (
            "chart/templates/web.yaml",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {{ .Release.Name }}\n",
        ),
    ]);
    let r = open(&f);
    same(r.desired.len(), 0)?;
    same(at(&r, &web(), MEMORY), Err(Code::NotYetSupported))?;
    let service = ObjectRef::new("v1", "Service", Some("shop"), "web");
    same(at(&r, &service, "spec.type"), Err(Code::NotManaged))
}

/// The proof must see what the plan did not say.
fn foreign_edit_is_caught() -> Outcome {
    let f = base_and_overlay("resources:\n- ../base\n");
    let r = open(&f);
    let intended = [edit(web(), MEMORY, Op::Set(json!("128Mi")))];
    let proves = |yaml: String| {
        let changed = BTreeMap::from([("base/web.yaml".to_owned(), yaml.into_bytes())]);
        r.verify(&changed, &intended)
            .map(|_| ())
            .map_err(|r| r.code)
    };
    let right = deployment("web", "main").replace("64Mi", "128Mi");
    same(proves(right.clone()), Ok(()))?;
    same(
        proves(right.replace("replicas: 2", "replicas: 3")),
        Err(Code::NotVerifiable),
    )?;
    same(proves(deployment("web", "main")), Err(Code::NotVerifiable))?;
    same(
        proves(format!("{right}---\n{}", deployment("api", "main"))),
        Err(Code::NotVerifiable),
    )?;
    let plain = files(&[("web.yaml", &deployment("web", "main"))]);
    let r = open(&plain);
    let wrong = BTreeMap::from([(
        "web.yaml".to_owned(),
        right.replace("replicas: 2", "replicas: 3").into_bytes(),
    )]);
    same(
        r.verify(&wrong, &intended).map(|_| ()).map_err(|r| r.code),
        Err(Code::NotVerifiable),
    )
}

fn without_renderer() -> Outcome {
    let mut f = base_and_overlay("resources:\n- ../base\n");
    f.by_path
        .insert("plain/api.yaml".into(), deployment("api", "main").into());
    let r = Repository::open(&f, None, Some("shop"), Policy::default());
    same(at(&r, &web(), MEMORY), Err(Code::RendererMissing))?;
    let api = ObjectRef::new("apps/v1", "Deployment", Some("shop"), "api");
    same(at(&r, &api, MEMORY), Ok("plain/api.yaml:20".into()))
}
