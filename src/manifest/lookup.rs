//! Finding nodes of a tree by path, and the paths of nodes.

use super::node::{Kind, Node};
use super::tree::Tree;
use crate::code::{Code, Refusal};
use crate::path::{FieldPath, Seg};

/// The way from the top of a document to a node.
#[derive(Debug, Clone)]
pub struct Trail<'t> {
    /// The nodes on the way: the top one first, then one for each segment that was found.
    pub nodes: Vec<&'t Node>,
    /// The segments that were found, name selectors replaced by indexes.
    pub path: FieldPath,
}

impl<'t> Trail<'t> {
    /// The last node on the way.
    pub fn node(&self) -> &'t Node {
        self.nodes.last().expect("a trail starts at the top node")
    }
}

impl Tree {
    /// The node at a path, if it can be changed there: nothing on the way is behind an alias, a
    /// merge key, or an anchor that something else uses.
    pub fn at(&self, path: &FieldPath) -> Result<&Node, Refusal> {
        let trail = self.reach(path)?;
        if trail.nodes.len() <= path.0.len() {
            return Err(not_found(path, &trail.path));
        }
        Ok(trail.node())
    }

    /// Follows a path as far as it exists.
    pub fn reach(&self, path: &FieldPath) -> Result<Trail<'_>, Refusal> {
        let mut trail = Trail {
            nodes: vec![&self.root],
            path: FieldPath::default(),
        };
        self.check_shared(&self.root, &trail.path)?;
        for seg in &path.0 {
            let Some((seg, next)) = step(trail.node(), seg, &trail.path)? else {
                break;
            };
            trail.nodes.push(next);
            trail.path.0.push(seg);
            self.check_shared(next, &trail.path)?;
        }
        Ok(trail)
    }

    /// Every scalar with its path, absent values included, in the order of the document. Scalars
    /// below a key that is no scalar have no path and are left out.
    pub fn scalars(&self) -> Vec<(FieldPath, &Node)> {
        let mut found = Vec::new();
        collect(&self.root, &mut FieldPath::default(), &mut found);
        found
    }

    /// Refuses a node that is an alias or that aliases depend on.
    fn check_shared(&self, node: &Node, path: &FieldPath) -> Result<(), Refusal> {
        if let Kind::Alias { anchor } = &node.kind {
            return Err(anchored(format!("{path} is the alias *{}", anchor.name)));
        }
        match &node.anchor {
            Some(anchor) if self.aliases_of(anchor) > 0 => Err(anchored(format!(
                "{path} carries the anchor &{}, which {} aliases use",
                anchor.name,
                self.aliases_of(anchor)
            ))),
            _ => Ok(()),
        }
    }
}

/// The refusal of a path that ends at `reached`.
pub(crate) fn not_found(path: &FieldPath, reached: &FieldPath) -> Refusal {
    let nearest = match reached.0.is_empty() {
        true => "only the document itself".to_owned(),
        false => format!("{reached}"),
    };
    Refusal::new(
        Code::PathNotFound,
        format!("{path} is not in the document; what exists of it is {nearest}"),
    )
}

fn anchored(message: String) -> Refusal {
    Refusal::new(Code::AnchoredYaml, message)
}

type Step<'t> = Option<(Seg, &'t Node)>;

fn step<'t>(node: &'t Node, seg: &Seg, at: &FieldPath) -> Result<Step<'t>, Refusal> {
    match seg {
        Seg::Key(key) => match node.get(key) {
            Some(value) => Ok(Some((seg.clone(), value))),
            None if node.get("<<").is_some() => Err(anchored(format!(
                "{at} merges other mappings (<<), which may provide {key}"
            ))),
            None => Ok(None),
        },
        Seg::Index(index) => {
            let item = node.items().get(*index);
            Ok(item.map(|i| (seg.clone(), &i.node)))
        }
        Seg::Named { key, value } => named(node, key, value, at),
    }
}

/// The only item whose scalar `key` is `value`.
fn named<'t>(node: &'t Node, key: &str, value: &str, at: &FieldPath) -> Result<Step<'t>, Refusal> {
    let matches = |node: &Node| node.get(key).and_then(Node::text) == Some(value);
    let mut hits = node
        .items()
        .iter()
        .enumerate()
        .filter(|(_, item)| matches(&item.node));
    let Some((index, item)) = hits.next() else {
        return Ok(None);
    };
    let more = hits.count();
    if more > 0 {
        return Err(Refusal::new(
            Code::Ambiguous,
            format!("{at} has {} items with {key} {value}", more + 1),
        ));
    }
    Ok(Some((Seg::Index(index), &item.node)))
}

fn collect<'t>(node: &'t Node, path: &mut FieldPath, found: &mut Vec<(FieldPath, &'t Node)>) {
    match &node.kind {
        Kind::Scalar { .. } => found.push((path.clone(), node)),
        Kind::Alias { .. } => {}
        Kind::Map { entries, .. } => {
            for entry in entries {
                if let Some(key) = entry.key.text() {
                    path.0.push(Seg::Key(key.to_owned()));
                    collect(&entry.value, path, found);
                    path.0.pop();
                }
            }
        }
        Kind::Seq { items, .. } => {
            for (index, item) in items.iter().enumerate() {
                path.0.push(Seg::Index(index));
                collect(&item.node, path, found);
                path.0.pop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn found(source: &str, path: &str) -> Result<String, Code> {
        let tree = Tree::parse(source).unwrap();
        let node = tree.at(&path.parse().unwrap()).map_err(|r| r.code)?;
        Ok(node.text().unwrap().to_owned())
    }

    #[test]
    fn keys_match_whatever_their_style_and_names_select_one_item() {
        let source = "\"spec\":\n  'c' : [{name: a, v: 1}, {name: b, v: 2}, {name: b}]\n";
        assert_eq!(found(source, "spec.c[name=a].v"), Ok("1".into()));
        assert_eq!(found(source, "spec.c[1].v"), Ok("2".into()));
        assert_eq!(found(source, "spec.c[name=b].v"), Err(Code::Ambiguous));
        assert_eq!(found(source, "spec.c[name=z].v"), Err(Code::PathNotFound));
        assert_eq!(found(source, "spec.c[7]"), Err(Code::PathNotFound));
        assert_eq!(found(source, "spec.c.name"), Err(Code::PathNotFound));
    }

    #[test]
    fn keys_that_a_merge_gives_are_refused() {
        let source = "a: &b {x: 1}\nc:\n  <<: *b\n  y: 2\n";
        assert_eq!(found(source, "c.y"), Ok("2".into()));
        assert_eq!(found(source, "c.x"), Err(Code::AnchoredYaml));
    }

    #[test]
    fn every_scalar_is_found_at_its_path() {
        let source = "a: 1\nb:\n- c: x\n- [y, ]\nd:\n? [k]\n: v\n";
        let tree = Tree::parse(source).unwrap();
        let paths: Vec<String> = tree.scalars().iter().map(|(p, _)| p.to_string()).collect();
        assert_eq!(paths, ["a", "b[0].c", "b[1][0]", "d"]);
        for (path, node) in tree.scalars() {
            assert_eq!(tree.at(&path).unwrap(), node);
        }
    }
}
